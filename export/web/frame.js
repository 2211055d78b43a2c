// A photo of any size in the one size that the model takes, and its labels at the photo's size.
// The same rule as deeplab_tf/images/frame.py: a photo that fits is padded, a larger one is first
// shrunk, keeping its aspect, bit for bit as Pillow does it; its logits are enlarged bilinearly.

const PRECISION_BITS = 22; // Pillow's fixed point: 255 * 2**22 still fits an int32.

/**
 * @param {{data: Uint8ClampedArray, width: number, height: number}} photo RGBA; alpha is left out.
 * @param {{height: number, width: number, pad: number[], longest: number | null}} input of
 *   model.json; `longest` is the longest side at which the model sees a photo, null for any.
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

/** Whether the photo was shrunk into its frame, so that its labels need logits. */
export function isShrunk(inner, photo) {
  return inner.height !== photo.height || inner.width !== photo.width;
}

/** The labels, uint8, of a photo that lies in its frame as it is. */
export function outOfFrame(labels, input, photo) {
  const whole = new Uint8Array(photo.width * photo.height);
  for (let row = 0; row < photo.height; row++) {
    const start = row * input.width;
    whole.set(labels.subarray(start, start + photo.width), row * photo.width);
  }
  return whole;
}

/**
 * The labels, uint8, of a photo that was shrunk into its frame: the largest of its logits, enlarged
 * bilinearly to the photo's size.
 * @param {Float32Array} logits [input.height, input.width, classes].
 */
export function enlargedLabels(logits, input, inner, photo) {
  const classes = logits.length / (input.height * input.width);
  const best = largest(logits, input, classes);
  const columns = neighbours(inner.width, photo.width);
  const whole = new Uint8Array(photo.width * photo.height);
  let at = 0;
  for (const [above, below, down] of neighbours(inner.height, photo.height)) {
    const rows = [above * input.width, below * input.width];
    for (const [left, right, along] of columns) {
      const corners = [rows[0] + left, rows[0] + right, rows[1] + left, rows[1] + right];
      const label = best[corners[0]];
      // A class that is the largest at all four corners is the largest between them.
      whole[at++] = corners.every((corner) => best[corner] === label)
        ? label
        : largestBetween(logits, classes, corners, down, along);
    }
  }
  return whole;
}

/** The size of the photo inside the frame: never more than the frame, never nothing. */
function innerSize(photo, input) {
  const longest = input.longest ?? Math.max(input.height, input.width);
  const shrink = Math.min(
    ...[1, input.height / photo.height, input.width / photo.width],
    longest / Math.max(photo.height, photo.width),
  );
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

/** For each of `to` samples: the two of `from` samples beside it, and its way from one to the other. */
function neighbours(from, to) {
  const scale = Math.fround(from / to); // float32, as in deeplab_tf/images/resampling.py
  const inside = (place) => Math.min(Math.max(place, 0), from - 1);
  return Array.from({ length: to }, (_, sample) => {
    const place = Math.fround(Math.fround(Math.fround(sample + 0.5) * scale) - 0.5);
    const before = Math.floor(place);
    return [inside(before), inside(before + 1), place - before];
  });
}

/** The class of the largest logit at each place of the frame; the first of equal ones. */
function largest(logits, input, classes) {
  const best = new Uint8Array(input.height * input.width);
  for (let place = 0, at = 0; place < best.length; place++, at += classes) {
    for (let index = 1; index < classes; index++) {
      if (logits[at + index] > logits[at + best[place]]) best[place] = index;
    }
  }
  return best;
}

function largestBetween(logits, classes, corners, down, along) {
  const [topLeft, topRight, bottomLeft, bottomRight] = corners.map((corner) => corner * classes);
  let best = 0;
  let most = -Infinity;
  for (let index = 0; index < classes; index++) {
    const from = logits[topLeft + index];
    const to = logits[topRight + index];
    const left = from + (logits[bottomLeft + index] - from) * down;
    const right = to + (logits[bottomRight + index] - to) * down;
    const value = left + (right - left) * along;
    if (value > most) {
      most = value;
      best = index;
    }
  }
  return best;
}
