// Runs orientation.js as the page does, without a browser.
// node orientation_parity.mjs PAGE CASES.json: writes what becomes of each photo beside it.
import fs from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

const [page, casesFile] = process.argv.slice(2);
const folder = path.dirname(casesFile);
const copy = path.join(folder, "orientation.mjs");
fs.copyFileSync(path.join(page, "orientation.js"), copy);
const { takeOrientation, turned } = await import(pathToFileURL(copy));

const found = {};
for (const { name, width, height } of JSON.parse(fs.readFileSync(casesFile))) {
  try {
    const taken = takeOrientation(new Uint8Array(fs.readFileSync(path.join(folder, name))));
    fs.writeFileSync(path.join(folder, `${name}.bare`), taken.bytes);
    const data = new Uint8ClampedArray(fs.readFileSync(path.join(folder, `${name}.rgba`)));
    const photo = turned({ data, width, height }, taken.orientation);
    fs.writeFileSync(path.join(folder, `${name}.shown`), photo.data);
    found[name] = [taken.orientation, photo.height, photo.width];
  } catch (error) {
    found[name] = error.message;
  }
}
console.log(JSON.stringify(found));
