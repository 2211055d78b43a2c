// Photos and camera views as pixels: {data: RGBA bytes, width, height}.
import { takeOrientation, turned } from "./orientation.js";

// The largest canvas that phones give; what is larger the browser shrinks first.
const MOST_PIXELS = 4096 * 4096;

/** Decodes an image file, upright; the pixels of a JPEG are those that Pillow gives. */
export async function readPhoto(file) {
  const { orientation, bytes } = takeOrientation(new Uint8Array(await file.arrayBuffer()));
  let bitmap;
  try {
    // Colour profiles are left out, as everywhere in deeplab_tf.
    bitmap = await createImageBitmap(new Blob([bytes]), { colorSpaceConversion: "none" });
  } catch {
    const name = file.name ? `“${file.name}”` : "That";
    throw new Error(`${name} is not a picture that this browser can read. Try a JPEG, PNG or WebP.`);
  }
  const shrink = Math.min(1, Math.sqrt(MOST_PIXELS / (bitmap.width * bitmap.height)));
  const photo = pixelsOf(bitmap, Math.floor(bitmap.width * shrink), Math.floor(bitmap.height * shrink));
  bitmap.close();
  const shown = turned(photo, orientation);
  return new ImageData(shown.data, shown.width, shown.height);
}

/** What an image or a video shows now, at the given size; white where it is transparent. */
export function pixelsOf(source, width, height) {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true, alpha: false });
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.drawImage(source, 0, 0, width, height);
  return context.getImageData(0, 0, width, height);
}
