// Whether this browser computes what the exporting machine computed: LiteRT.js gives garbage, not an
// error, for what it cannot do. model.json has logits of a drawn picture at a few places.
// export/self_check.py draws the same picture and writes them.

const ALLOWED = 0.05; // of the largest logit: half precision on a GPU stays below, garbage does not

/** RGB [height, width, 3]: three slanted triangle waves, whole numbers only. */
export function drawnPicture(height, width) {
  const pixels = new Uint8Array(height * width * 3);
  let at = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let channel = 0; channel < 3; channel++) {
        const phase = (x * (3 + channel) + y * (5 - channel)) % 510;
        pixels[at++] = phase < 256 ? phase : 510 - phase;
      }
    }
  }
  return pixels;
}

/** @param {Float32Array} logits [H, W, C] @param {{index: number[], logits: number[]}} expected */
export function isRight(logits, expected) {
  const largest = Math.max(...expected.logits.map(Math.abs));
  return expected.index.every((index, i) => {
    const difference = Math.abs(logits[index] - expected.logits[i]);
    return difference <= ALLOWED * largest; // false for NaN
  });
}
