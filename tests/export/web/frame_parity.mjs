// Runs frame.js and self_check.js as the page does, without a browser.
// node frame_parity.mjs PAGE CASES.json: writes each case's answers beside it, as raw bytes.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [page, casesFile] = process.argv.slice(2);
const folder = path.dirname(casesFile);

/** The page's folder does not tell node that its scripts are modules; a copy's name does. */
async function load(name) {
  const copy = path.join(folder, name.replace(/js$/, "mjs"));
  fs.copyFileSync(path.join(page, name), copy);
  return import(pathToFileURL(copy));
}

const { enlargedLabels, intoFrame, isShrunk, outOfFrame } = await load("frame.js");
const { drawnPicture } = await load("self_check.js");
for (const { name, width, height, input } of JSON.parse(fs.readFileSync(casesFile))) {
  const data = new Uint8ClampedArray(fs.readFileSync(path.join(folder, `${name}.rgba`)));
  const photo = { data, width, height };
  const framed = intoFrame(photo, input);
  // Labels and logits that differ at every pixel: the frame's own channels.
  const labels = framed.pixels.filter((_, at) => at % 3 === 0);
  fs.writeFileSync(path.join(folder, `${name}.framed`), framed.pixels);
  const found = isShrunk(framed, photo)
    ? enlargedLabels(Float32Array.from(framed.pixels), input, framed, photo)
    : outOfFrame(labels, input, photo);
  fs.writeFileSync(path.join(folder, `${name}.labels`), found);
  fs.writeFileSync(path.join(folder, `${name}.drawn`), drawnPicture(input.height, input.width));
}
