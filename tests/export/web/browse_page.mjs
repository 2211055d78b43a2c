// A visit to the page in headless Chromium: node browse_page.mjs PLAYWRIGHT CHROMIUM URL FOLDER
// Writes what it saw to standard output, as one JSON object. In FOLDER lie photos; of each whose
// name begins with "photo" the classes that the page shows are written, NAME.labels, one byte a
// pixel. Prints "newer" and "offline" on lines of their own, and goes on when it is given a line.
import fs from "node:fs";
import path from "node:path";
import readline from "node:readline";
import { answered, openPage, shownClasses } from "./visit.mjs";

const [playwright, chromium, url, folder] = process.argv.slice(2);
const FAKE_CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"];
const seen = { requests: [], complaints: [] };
const answers = readline.createInterface({ input: process.stdin });
const { browser, page } = await openPage(playwright, chromium, FAKE_CAMERA);
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
  await saved();
  await keyboard();
  await wrongFile();
  await drop();
  await camera();
  await wrongNumbers();
  await newer();
  await offline();
} finally {
  answers.close();
  await browser.close();
}
console.log(JSON.stringify(seen));

/** Gives each photo by the file button and writes the classes that the page's overlay shows. */
async function photos(suffix) {
  for (const name of fs.readdirSync(folder).filter((name) => /^photo.*(jpg|png)$/.test(name))) {
    await answered(page, () => page.setInputFiles("#file", path.join(folder, name)));
    fs.writeFileSync(path.join(folder, `${name}.${suffix}`), await shownClasses(page));
  }
  seen.latency = await page.textContent("#latency");
  seen.summary = await page.textContent("#summary");
  seen.description = await page.getAttribute("#overlay", "aria-label");
  seen.found = await page.locator("#legend li span:first-of-type").allTextContents();
  seen.shares = await page.locator("#legend .share").allTextContents();
}

/** The picture that the page offers to keep, as FOLDER/saved.png. */
async function saved() {
  const download = page.waitForEvent("download");
  // Not by the mouse, after which Tab would go on from there.
  await page.evaluate(() => document.querySelector("[data-action=save]").click());
  seen.savedName = (await download).suggestedFilename();
  await (await download).saveAs(path.join(folder, "saved.png"));
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
  const alone = await shownClasses(page);
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
  const before = await shownClasses(page);
  await page.setInputFiles("#file", path.join(folder, "notes.txt"));
  await page.waitForSelector("#alert:not([hidden])");
  seen.alert = await page.textContent("#alert-text");
  seen.photoStays = before.equals(await shownClasses(page));
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
  await answered(page, () => drag("drop"));
  seen.dropHintGone = await page.locator("#drop-hint").isHidden();
  seen.droppedEqual = (await shownClasses(page)).equals(fs.readFileSync(path.join(folder, `${name}.labels`)));
}

/** Two views of the camera, then the last one is kept. */
async function camera() {
  await answered(page, () => page.click("#toolbar [data-action=camera]"));
  await answered(page, () => {});
  seen.cameraState = await page.getAttribute("body", "data-state");
  seen.cameraFocus = await page.evaluate(() => document.activeElement.dataset.action);
  await page.keyboard.press("Enter");
  seen.cameraStopped = await page.getAttribute("body", "data-state");
  const results = await page.getAttribute("body", "data-results");
  await page.waitForTimeout(500);
  seen.cameraRests = results === (await page.getAttribute("body", "data-results"));
}

/** A browser that computes something else than model.json says; and no service worker. */
async function wrongNumbers() {
  const context = await browser.newContext({ serviceWorkers: "block" });
  const other = await context.newPage();
  other.setDefaultTimeout(120_000);
  await other.route("**/model.json", async (route) => {
    const facts = await (await route.fetch()).json();
    const largest = Math.max(...facts.check.logits.map(Math.abs));
    facts.check.logits[3] += 0.06 * largest; // 0.05 are allowed
    await route.fulfill({ json: facts });
  });
  await other.goto(url);
  await other.waitForSelector("#alert:not([hidden])");
  seen.wrongNumbers = await other.textContent("#alert-text");
  seen.readyAllTheSame = await other.locator("body[data-ready]").count();
  await context.close();
}

/** Says a word, and waits until it is done. */
async function ask(word) {
  const done = new Promise((resolve) => answers.once("line", resolve));
  console.log(word);
  await done;
}

/** The folder is another export's now. */
async function newer() {
  const isNew = () => page.evaluate(async () => "newer" in (await (await fetch("model.json")).json()));
  await ask("newer");
  await page.reload();
  await page.waitForSelector("#newer:not([hidden])");
  seen.newBeforeAsked = await isNew();
  await Promise.all([page.waitForEvent("load"), page.click("[data-action=renew]")]);
  await page.waitForSelector("body[data-ready]");
  seen.newAfterAsked = await isNew();
  seen.caches = await page.evaluate(async () => (await caches.keys()).length);
}

/** Loads the page again with no server left, and gives it the same photos. */
async function offline() {
  await ask("offline");
  seen.refused = await page.evaluate(() => fetch("no_such_file").then(() => false, () => true));
  await page.reload();
  await page.waitForSelector("body[data-ready]");
  await photos("offline");
}
