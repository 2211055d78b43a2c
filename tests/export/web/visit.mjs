// What every visit to the page does.
import { createRequire } from "node:module";

/** A page without an address in headless Chromium, driven by the playwright-core in a folder. */
export async function openPage(playwright, executablePath, args = []) {
  const { chromium } = createRequire(import.meta.url)(playwright);
  // Chromium's sandbox does not start as root, as which continuous integration often runs.
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", ...args] });
  const page = await browser.newPage({ viewport: { width: 1280, height: 860 } });
  page.setDefaultTimeout(120_000);
  return { browser, page };
}

/** Does something and waits until the page shows another answer. */
export async function answered(page, act) {
  const results = () => page.evaluate(() => document.body.dataset.results ?? "0");
  const before = await results();
  await act();
  await page.waitForFunction((n) => (document.body.dataset.results ?? "0") !== n, before);
}

/** The overlay's colours, read back as the classes of model.json: one byte a pixel. */
export async function shownClasses(page) {
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
