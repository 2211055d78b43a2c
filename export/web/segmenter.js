// The model, as seen from the page: a worker that answers by promises.

export class Segmenter {
  #worker = new Worker("segmenter_worker.js");
  #waiting = new Map(); // of each call that is under way: how to end it
  #calls = 0;

  constructor() {
    this.#worker.onmessage = ({ data: { id, answer, error } }) => {
      const { resolve, reject } = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) resolve(answer);
      else reject(new Error(error));
    };
    this.#worker.onerror = (event) => {
      const error = new Error(event.message || "the worker cannot be loaded");
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    };
  }

  /** Loads the model that `facts`, of model.json, describe -> {accelerator: "wasm" or "webgpu"}. */
  start(facts) {
    return this.#call("start", facts);
  }

  /**
   * @param {{data: Uint8ClampedArray, width: number, height: number}} photo RGBA; its bytes move to
   *   the worker.
   * @returns {Promise<{labels: Uint8Array, milliseconds: number}>} A class for every pixel.
   */
  segment({ data, width, height }) {
    return this.#call("segment", { data, width, height }, [data.buffer]);
  }

  #call(action, argument, moved = []) {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ id, action, argument }, moved);
    });
  }
}
