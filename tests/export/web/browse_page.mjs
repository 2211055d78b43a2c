// A visit to the page in headless Chromium: node browse_page.mjs PLAYWRIGHT CHROMIUM URL FOLDER
// Writes what it saw to standard output, as one JSON object. In FOLDER lie photos; of each whose
// name begins with "photo" the classes that the page shows are written, NAME.labels, one byte a
// pixel. Prints "offline" on a line of its own and waits for a line before it loads the page again.
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { createRequire } from "node:module";

const [playwright, executablePath, url, folder] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwright);
const FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
const seen = { requests: [], complaints: [] };
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...FAKE_CAMERA] });
const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
page.setDefaultTimeout(30_000);
page.on("request", (request) => seen.requests.push(request.url()));
page.on("pageerror", (error) => seen.complaints.push(error.message));
page.on("console", (message) => {
  if (message.text().includes("Content Security Policy")) seen.complaints.push(message.text());
});

try {
  await page.goto(url);
  await page.waitForSelector("body[data-ready]");
  seen.offlineTold = await page.textContent("#offline");
  seen.known = await page.locator("#legend li").allTextContents();
  await photos("labels");
  await keyboard();
  await wrongFile();
  await drop();
  await camera();
  await offline();
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));

/** Gives each photo by the file button and writes the classes that the page's overlay shows. */
async function photos(suffix) {
  for (const name of fs.readdirSync(folder).filter((name) => /^photo.*(jpg|png)$/.test(name))) {
    await answered(() => page.setInputFiles("#file", path.join(folder, name)));
    fs.writeFileSync(path.join(folder, `${name}.${suffix}`), await shownClasses());
  }
  seen.latency = await page.textContent("#latency");
  seen.summary = await page.textContent("#summary");
  seen.description = await page.getAttribute("#overlay", "aria-label");
  seen.found = await page.locator("#legend li span:first-of-type").allTextContents();
  seen.shares = await page.locator("#legend .share").allTextContents();
}

/** Does something and waits until the page shows another answer. */
async function answered(act) {
  const results = () => page.evaluate(() => document.body.dataset.results ?? "0");
  const before = await results();
  await act();
  await page.waitForFunction((n) => (document.body.dataset.results ?? "0") !== n, before);
}

/** The overlay's colours, read back as the classes of model.json. */
async function shownClasses() {
  const base64 = await page.evaluate(async () => {
    const { classes, background } = await (await fetch("model.json")).json();
    const key = ([red, green, blue]) => (red << 16) | (green << 8) | blue;
    const byColor = new Map(classes.map(({ color }, index) => [key(color), index]));
    const overlay = document.getElementById("overlay");
    const { data } = overlay.getContext("2d").getImageData(0, 0, overlay.width, overlay.height);
    let text = "";
    for (let at = 0; at < data.length; at += 4) {
      const color = key(data.subarray(at, at + 3));
      // 255: the grey of a background that is shown alone.
      text += String.fromCharCode(data[at + 3] === 0 ? background : (byColor.get(color) ?? 255));
    }
    return btoa(text);
  });
  return Buffer.from(base64, "base64");
}

/** From the top of the page by Tab and arrows alone: every control in turn. */
async function keyboard() {
  await page.evaluate(() => document.activeElement?.blur());
  const focused = () => page.evaluate(() => document.activeElement.dataset.action ??
    (document.activeElement.id || document.activeElement.dataset.index));
  seen.tabbed = [];
  for (let i = 0; i < 5; i++) {
    await page.keyboard.press("Tab");
    seen.tabbed.push(await focused());
  }
  await page.focus("#opacity");
  await page.keyboard.press("ArrowLeft");
  seen.opacity = await page.evaluate(() => getComputedStyle(document.getElementById("overlay")).opacity);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  seen.focusAfterEnter = await focused();
  seen.pressed = await page.locator("#legend [aria-pressed=true]").count();
  const alone = await shownClasses();
  seen.classesAlone = [...new Set(alone)].length;
  await page.keyboard.press("Space");
  seen.pressedAgain = await page.locator("#legend [aria-pressed=true]").count();
  const chooser = page.waitForEvent("filechooser");
  await page.focus("#toolbar [data-action=choose]");
  await page.keyboard.press("Enter");
  seen.chooser = Boolean(await chooser);
}

/** A file that is no image: said, and the photo before stays. */
async function wrongFile() {
  const before = await shownClasses();
  await page.setInputFiles("#file", path.join(folder, "notes.txt"));
  await page.waitForSelector("#alert:not([hidden])");
  seen.alert = await page.textContent("#alert-text");
  seen.photoStays = before.equals(await shownClasses());
  await page.keyboard.press("Escape");
  seen.alertClosed = await page.locator("#alert").isHidden();
}

/** Drags a photo over the page and lets go. */
async function drop() {
  const name = fs.readdirSync(folder).find((name) => /^photo.*png$/.test(name));
  const content = fs.readFileSync(path.join(folder, name)).toString("base64");
  const drag = (type) => page.evaluate(([type, content]) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([bytes], "dropped.png", { type: "image/png" }));
    const options = { bubbles: true, cancelable: true, dataTransfer };
    document.getElementById("stage").dispatchEvent(new DragEvent(type, options));
  }, [type, content]);
  await drag("dragover");
  seen.dropHint = await page.locator("#drop-hint").isVisible();
  await answered(() => drag("drop"));
  seen.dropHintGone = await page.locator("#drop-hint").isHidden();
  seen.droppedEqual = (await shownClasses()).equals(fs.readFileSync(path.join(folder, `${name}.labels`)));
}

/** Two views of the camera, then the last one is kept. */
async function camera() {
  await answered(() => page.click("#toolbar [data-action=camera]"));
  await answered(() => {});
  seen.cameraState = await page.getAttribute("body", "data-state");
  seen.cameraFocus = await page.evaluate(() => document.activeElement.dataset.action);
  await page.keyboard.press("Enter");
  seen.cameraStopped = await page.getAttribute("body", "data-state");
  const results = await page.getAttribute("body", "data-results");
  await page.waitForTimeout(500);
  seen.cameraRests = results === (await page.getAttribute("body", "data-results"));
}

/** Loads the page again with no server left, and gives it the same photos. */
async function offline() {
  console.log("offline");
  await new Promise((resolve) => readline.createInterface({ input: process.stdin }).once("line", resolve));
  seen.refused = await page.evaluate(() => fetch("no_such_file").then(() => false, () => true));
  await page.reload();
  await page.waitForSelector("body[data-ready]");
  await photos("offline");
}
