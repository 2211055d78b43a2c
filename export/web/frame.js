// A photo of any size in the one size that the model takes, and its labels back at the photo's size.
// The same rule, bit for bit, as deeplab_tf/artefacts/litert.py and predictor.py, which use Pillow:
// a photo that fits is padded, a larger one is first shrunk, keeping its aspect.

const PRECISION_BITS = 22; // Pillow's fixed point: 255 * 2**22 still fits an int32.

/**
 * @param {{data: Uint8ClampedArray, width: number, height: number}} photo RGBA; alpha is left out.
 * @param {{height: number, width: number, pad: number[]}} input of model.json.
 * @returns {{pixels: Uint8Array, height: number, width: number}} RGB [input.height, input.width, 3],
 *   and the size that the photo has in its top left corner.
 */
export function intoFrame(photo, input) {
  const { height, width } = innerSize(photo, input);
  let rgb = withoutAlpha(photo.data);
  // Width first, then height, each rounded to whole numbers: Pillow's order.
  if (width !== photo.width) rgb = resizeWidth(rgb, photo.width, width);
  if (height !== photo.height) rgb = resizeHeight(rgb, width, photo.height, height);
  return { pixels: padded(rgb, width, height, input), height, width };
}

/** Labels of the photo inside a frame, uint8, at the photo's own size by nearest neighbour. */
export function outOfFrame(labels, input, inner, photo) {
  const columns = nearest(inner.width, photo.width);
  const rows = nearest(inner.height, photo.height);
  const whole = new Uint8Array(photo.width * photo.height);
  let at = 0;
  for (const row of rows) {
    const start = row * input.width;
    for (const column of columns) whole[at++] = labels[start + column];
  }
  return whole;
}

/** The size of the photo inside the frame: never more than the frame, never nothing. */
function innerSize(photo, input) {
  const shrink = Math.min(1, input.height / photo.height, input.width / photo.width);
  const side = (length) => Math.max(1, Math.floor(length * shrink + 1e-6));
  return { height: side(photo.height), width: side(photo.width) };
}

function withoutAlpha(rgba) {
  const rgb = new Uint8Array((rgba.length / 4) * 3);
  for (let from = 0, to = 0; from < rgba.length; from += 4) {
    rgb[to++] = rgba[from];
    rgb[to++] = rgba[from + 1];
    rgb[to++] = rgba[from + 2];
  }
  return rgb;
}

function padded(rgb, width, height, input) {
  const frame = new Uint8Array(input.height * input.width * 3);
  for (let at = 0; at < frame.length; at++) frame[at] = input.pad[at % 3];
  for (let row = 0; row < height; row++) {
    frame.set(rgb.subarray(row * width * 3, (row + 1) * width * 3), row * input.width * 3);
  }
  return frame;
}

/**
 * For each of `to` samples: the first of the `from` pixels that it is a mean of, and their weights
 * as whole numbers. A triangle as wide as the shrinkage, so that no pixel is left out.
 */
function triangleWeights(from, to) {
  const scale = from / to;
  const support = Math.max(scale, 1);
  return Array.from({ length: to }, (_, sample) => {
    const center = (sample + 0.5) * scale;
    const first = Math.max(0, Math.trunc(center - support + 0.5));
    const end = Math.min(from, Math.trunc(center + support + 0.5));
    const weights = new Float64Array(end - first);
    let sum = 0;
    for (let i = 0; i < weights.length; i++) {
      const distance = Math.abs((i + first - center + 0.5) * (1 / support));
      weights[i] = distance < 1 ? 1 - distance : 0;
      sum += weights[i];
    }
    const fixed = weights.map((weight) => Math.trunc(0.5 + (weight / sum) * 2 ** PRECISION_BITS));
    return { first, weights: Int32Array.from(fixed) };
  });
}

function resizeWidth(rgb, from, to) {
  const rows = rgb.length / (from * 3);
  const samples = triangleWeights(from, to);
  const result = new Uint8Array(rows * to * 3);
  let at = 0;
  for (let row = 0; row < rows; row++) {
    for (const { first, weights } of samples) {
      const start = (row * from + first) * 3;
      for (let channel = 0; channel < 3; channel++) {
        result[at++] = weightedMean(rgb, start + channel, 3, weights);
      }
    }
  }
  return result;
}

function resizeHeight(rgb, width, from, to) {
  const line = width * 3;
  const result = new Uint8Array(to * line);
  let at = 0;
  for (const { first, weights } of triangleWeights(from, to)) {
    for (let column = 0; column < line; column++) {
      result[at++] = weightedMean(rgb, first * line + column, line, weights);
    }
  }
  return result;
}

function weightedMean(values, start, step, weights) {
  let sum = 1 << (PRECISION_BITS - 1); // a half: the shift below rounds
  for (let i = 0, at = start; i < weights.length; i++, at += step) sum += values[at] * weights[i];
  return Math.min(255, sum >> PRECISION_BITS);
}

/** Returns, for each of `to` pixels, the one of `from` pixels that it takes. */
function nearest(from, to) {
  const step = from / to;
  const places = new Int32Array(to);
  // Added up and not multiplied, as Pillow does: the last digits decide at ties.
  for (let i = 0, place = step * 0.5; i < to; i++, place += step) places[i] = Math.trunc(place);
  return places;
}
