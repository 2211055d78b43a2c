// Keeps the page, the model and the runtime for use without a network.
"use strict";

importScripts("cache_list.js"); // VERSION, FILES and FIRST_FILES, written at the export

const NAME = `deeplab ${self.registration.scope} `; // other pages of this host have others
const CACHE = NAME + self.VERSION;
const URLS = new Set(self.FILES.map((file) => new URL(file, self.registration.scope).href));
const INDEX = new URL("index.html", self.registration.scope).href;

self.addEventListener("install", (event) => {
  // Past the browser's own cache, which may still hold an earlier export's.
  const files = self.FIRST_FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(files)));
});

// A new version waits until all pages of the old one are closed, or until one asks for it and loads
// anew: a page with files of both could read one model by the description of another.
self.addEventListener("message", ({ data }) => {
  if (data === "take over") self.skipWaiting();
});

self.addEventListener("activate", (event) => {
  event.waitUntil(forgetOthers().then(() => self.clients.claim()));
});

async function forgetOthers() {
  const others = (await caches.keys()).filter((key) => key.startsWith(NAME) && key !== CACHE);
  await Promise.all(others.map((key) => caches.delete(key)));
}

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  url.search = url.hash = "";
  const file = url.href === self.registration.scope ? INDEX : url.href;
  if (event.request.method === "GET" && URLS.has(file)) event.respondWith(kept(file));
});

async function kept(file) {
  const cache = await caches.open(CACHE);
  const before = await cache.match(file);
  if (before) return before;
  const response = await fetch(file, { cache: "no-cache" });
  if (response.ok) await cache.put(file, response.clone());
  return response;
}
