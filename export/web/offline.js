// Use without a network: the service worker keeps what was loaded.

const PATIENCE_MS = 5000;

/**
 * Waits until the service worker answers for this page, so that it sees the model being loaded.
 * Without one, on plain http or in a private window, the page works all the same.
 * @returns {Promise<boolean>} Whether what is loaded from now on is kept.
 */
export async function keepForOffline() {
  const workers = navigator.serviceWorker;
  if (!workers) return false;
  if (workers.controller) return true;
  const controlled = new Promise((resolve) => {
    workers.addEventListener("controllerchange", () => resolve(true), { once: true });
    setTimeout(() => resolve(Boolean(workers.controller)), PATIENCE_MS);
  });
  try {
    // The list of files is part of the worker: without this browsers may miss a new one for a day.
    const { active } = await workers.register("service_worker.js", { updateViaCache: "none" });
    // An active worker that does not control this page: it was reloaded past the cache, on purpose.
    return active ? false : await controlled;
  } catch {
    return false;
  }
}
