// The photo and the colours above it: two canvases of the photo's size, one on the other, so that
// the slider costs nothing.

export class Stage {
  #photo = document.getElementById("photo");
  #overlay = document.getElementById("overlay");
  #labels = null;
  #colors; // by class, as the four bytes of a pixel in one number

  constructor(facts) {
    this.#colors = facts.classes.map(({ color: [red, green, blue] }, index) => {
      const alpha = index === facts.background ? 0 : 255;
      return new Uint32Array(Uint8Array.of(red, green, blue, alpha).buffer)[0];
    });
  }

  showPhoto(photo) {
    for (const canvas of [this.#photo, this.#overlay]) {
      // A new size clears a canvas.
      canvas.width = photo.width;
      canvas.height = photo.height;
    }
    this.#photo.getContext("2d").putImageData(photo, 0, 0);
    this.#labels = null;
  }

  /** Colours the classes; of `only` a class that one alone, even if it is the background. */
  showLabels(labels, only = null) {
    this.#labels = labels;
    const { width, height } = this.#overlay;
    const image = new ImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const colors = Uint32Array.from(this.#colors, (color, index) =>
      only === null ? color : index === only ? color : 0,
    );
    if (only !== null && colors[only] >>> 24 === 0) colors[only] = 0xffcccccc;
    for (let at = 0; at < pixels.length; at++) pixels[at] = colors[labels[at]];
    this.#overlay.getContext("2d").putImageData(image, 0, 0);
  }

  set opacity(share) {
    this.#overlay.style.opacity = share;
  }

  set description(text) {
    this.#overlay.setAttribute("aria-label", text);
  }

  /** The class under a point of the window, or null. */
  classAt(clientX, clientY) {
    const { width, height } = this.#overlay;
    const box = this.#overlay.getBoundingClientRect();
    // The picture lies in the middle of the box and touches two of its sides (object-fit).
    const scale = Math.min(box.width / width, box.height / height);
    const x = Math.floor((clientX - box.left - box.width / 2) / scale + width / 2);
    const y = Math.floor((clientY - box.top - box.height / 2) / scale + height / 2);
    const inside = x >= 0 && y >= 0 && x < width && y < height;
    return this.#labels && inside ? this.#labels[y * width + x] : null;
  }

  /** Photo and colours in one PNG, as they are seen. */
  toPng() {
    const canvas = document.createElement("canvas");
    canvas.width = this.#photo.width;
    canvas.height = this.#photo.height;
    const context = canvas.getContext("2d");
    context.drawImage(this.#photo, 0, 0);
    context.globalAlpha = this.#overlay.style.opacity;
    context.drawImage(this.#overlay, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
}
