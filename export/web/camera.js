// The camera as a row of views, one at a time: the next is taken when the last one is done.
import { pixelsOf } from "./photo.js";

export class Camera {
  #video = Object.assign(document.createElement("video"), { muted: true, playsInline: true });
  #facing = "environment"; // the one at a phone's back

  get running() {
    return Boolean(this.#video.srcObject);
  }

  /** Whether there is another camera to turn to. Known only once the first may be used. */
  static async hasSeveral() {
    const devices = await navigator.mediaDevices.enumerateDevices();
    return devices.filter((device) => device.kind === "videoinput").length > 1;
  }

  /** Starts it and gives each view to `look`, an async function that never fails, until `stop`. */
  async start(look) {
    const stream = await this.#open();
    this.stop(); // one that was started meanwhile
    this.#video.srcObject = stream;
    await this.#video.play();
    this.#loop(stream, look);
  }

  async turn(look) {
    this.#facing = this.#facing === "environment" ? "user" : "environment";
    this.stop();
    await this.start(look);
  }

  stop() {
    for (const track of this.#video.srcObject?.getTracks() ?? []) track.stop();
    this.#video.srcObject = null;
  }

  async #open() {
    if (!navigator.mediaDevices) {
      throw new Error("The camera can only be used where the page comes by https or from localhost.");
    }
    const video = { facingMode: this.#facing, width: { ideal: 960 }, height: { ideal: 720 } };
    try {
      return await navigator.mediaDevices.getUserMedia({ video });
    } catch (error) {
      if (error.name === "NotAllowedError") {
        throw new Error("The camera is blocked. Allow it in the browser's settings of this page.");
      }
      throw new Error("There is no camera that can be used now.");
    }
  }

  async #loop(stream, look) {
    while (this.#video.srcObject === stream) {
      const { videoWidth: width, videoHeight: height } = this.#video;
      if (width && height) await look(pixelsOf(this.#video, width, height));
      // Hidden pages get no frames: nothing is computed that no one sees.
      await new Promise(requestAnimationFrame);
    }
  }
}
