// node label_photos.mjs PLAYWRIGHT CHROMIUM URL OUT PHOTO...: gives the page each photo and writes
// the classes that it shows, OUT/0.labels and so on; prints the times and the accelerator as JSON.
import fs from "node:fs";
import path from "node:path";
import { answered, openPage, shownClasses } from "./visit.mjs";

const [playwright, chromium, url, out, ...photos] = process.argv.slice(2);
const { browser, page } = await openPage(playwright, chromium);
try {
  const begin = performance.now();
  await page.goto(url);
  await page.waitForSelector("body[data-ready]");
  const ready = performance.now() - begin;
  const milliseconds = [];
  for (const [index, photo] of photos.entries()) {
    await answered(page, () => page.setInputFiles("#file", photo));
    milliseconds.push(parseFloat(await page.textContent("#latency")));
    fs.writeFileSync(path.join(out, `${index}.labels`), await shownClasses(page));
  }
  const accelerator = await page.textContent("#runs-on");
  console.log(JSON.stringify({ accelerator, ready, milliseconds }));
} finally {
  await browser.close();
}
