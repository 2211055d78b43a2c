// How a photo is to be turned: EXIF's orientation, 1 to 8, by the rule of deeplab-predict. Browsers
// turn by EXIF in some formats and never by XMP, so the page takes the metadata away and turns itself.

const XMP = "http://ns.adobe.com/xap/1.0/\0";
const PNG_XMP = "XML:com.adobe.xmp\0";
const BYTES_OF_TYPE = { 3: 2, 4: 4, 6: 1, 8: 2, 9: 4 }; // TIFF's types of one whole number

/**
 * The orientation of an encoded photo and its bytes without EXIF and XMP. Both stay as they are,
 * `orientation` 1, where the photo is neither JPEG nor PNG: then the browser turns it.
 */
export function takeOrientation(bytes) {
  const found = { exif: null, xmp: null, compressed: false };
  let blocks = null;
  if (startsWith(bytes, 0, "\xff\xd8")) blocks = jpegBlocks(bytes, found);
  else if (startsWith(bytes, 0, "\x89PNG")) blocks = pngBlocks(bytes, found);
  if (!blocks) return { orientation: 1, bytes };
  const byExif = tiffOrientation(found.exif);
  if (byExif === undefined && found.compressed) {
    throw new Error("The photo's XMP packet is compressed. Save the photo again, upright.");
  }
  const value = byExif ?? xmpOrientation(found.xmp);
  const orientation = value >= 1 && value <= 8 ? value : 1;
  return { orientation, bytes: without(bytes, blocks) };
}

/** A photo, {data: RGBA bytes, width, height}, turned as a viewer shows it. */
export function turned(photo, orientation) {
  if (orientation === 1) return photo;
  const { width, height } = photo;
  const swap = orientation >= 5;
  const [w, h] = swap ? [height, width] : [width, height];
  const stored = new Uint32Array(photo.data.buffer, photo.data.byteOffset, width * height);
  const shown = new Uint32Array(width * height);
  const fromRight = [2, 3, 6, 7].includes(orientation);
  const fromBottom = [3, 4, 7, 8].includes(orientation);
  for (let y = 0; y < h; y++) {
    const row = fromBottom ? h - 1 - y : y;
    for (let x = 0; x < w; x++) {
      const column = fromRight ? w - 1 - x : x;
      shown[y * w + x] = swap ? stored[column * width + row] : stored[row * width + column];
    }
  }
  return { data: new Uint8ClampedArray(shown.buffer), width: w, height: h };
}

/** The [begin, end] of each segment with metadata; sets the first EXIF and the last XMP. */
function jpegBlocks(bytes, found) {
  const blocks = [];
  let at = 0;
  while (at + 4 <= bytes.length) {
    const marker = bytes[at + 1];
    if (bytes[at] !== 0xff || marker === 0 || marker === 0xff) at += 1;
    else if (marker === 0xda || marker === 0xd9) break;
    else if (marker === 1 || (marker >= 0xd0 && marker <= 0xd8)) at += 2;
    else {
      const end = at + 2 + Math.max(2, bytes[at + 2] * 256 + bytes[at + 3]);
      if (marker === 0xe1 && end <= bytes.length) {
        const isExif = startsWith(bytes, at + 4, "Exif\0\0");
        const isXmp = startsWith(bytes, at + 4, XMP);
        if (isExif) found.exif ??= bytes.subarray(at + 10, end);
        if (isXmp) found.xmp = bytes.subarray(at + 4 + XMP.length, end);
        if (isExif || isXmp) blocks.push([at, end]);
      }
      at = end;
    }
  }
  return blocks;
}

/** The [begin, end] of each chunk with metadata; sets the last EXIF and the last XMP. */
function pngBlocks(bytes, found) {
  const blocks = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 8; at + 12 <= bytes.length; ) {
    const end = at + 12 + view.getUint32(at);
    if (end > bytes.length) break;
    const isExif = startsWith(bytes, at + 4, "eXIf");
    const isXmp = startsWith(bytes, at + 4, "iTXt" + PNG_XMP);
    if (isExif) found.exif = bytes.subarray(at + 8, end - 4);
    if (isXmp) {
      found.xmp = bytes.subarray(at + 8 + PNG_XMP.length, end - 4);
      found.compressed = found.xmp[0] !== 0;
    }
    if (isExif || isXmp) blocks.push([at, end]);
    at = end;
  }
  return blocks;
}

/** The orientation in an EXIF block; undefined where it has none. */
function tiffOrientation(tiff) {
  if (!tiff || tiff.length < 8) return undefined;
  const little = startsWith(tiff, 0, "II*\0");
  if (!little && !startsWith(tiff, 0, "MM\0*")) return undefined;
  const view = new DataView(tiff.buffer, tiff.byteOffset, tiff.length);
  const number = (at, size) =>
    size === 1 ? view.getUint8(at) : size === 2 ? view.getUint16(at, little) : view.getUint32(at, little);
  const first = number(4, 4);
  let value;
  if (first + 2 > tiff.length) return value;
  for (let at = first + 2, left = number(first, 2); left > 0 && at + 12 <= tiff.length; at += 12, left--) {
    const size = BYTES_OF_TYPE[number(at + 2, 2)];
    if (number(at, 2) === 0x0112 && number(at + 4, 4) === 1 && size) value = number(at + 8, size);
  }
  return value;
}

/** The orientation in an XMP packet; undefined where it has none. */
function xmpOrientation(packet) {
  if (!packet) return undefined;
  const match = /tiff:Orientation(?:="|>)([0-9])/.exec(new TextDecoder("latin1").decode(packet));
  return match ? Number(match[1]) : undefined;
}

function startsWith(bytes, at, text) {
  return [...text].every((character, i) => bytes[at + i] === character.charCodeAt(0));
}

function without(bytes, blocks) {
  const parts = [];
  let at = 0;
  for (const [begin, end] of [...blocks, [bytes.length, bytes.length]]) {
    parts.push(bytes.subarray(at, begin));
    at = end;
  }
  const kept = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  at = 0;
  for (const part of parts) {
    kept.set(part, at);
    at += part.length;
  }
  return kept;
}
