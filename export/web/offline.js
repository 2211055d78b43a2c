// Use without a network: the service worker keeps what was loaded.

const PATIENCE_MS = 15000;

/**
 * Waits until the service worker answers for this page, so that it sees the model being loaded.
 * Without one, on plain http or in a private window, the page works all the same.
 * @param {(load: () => void) => void} tellOfNewer called if the host has a newer version of the
 *   page, with what loads it.
 * @returns {Promise<boolean>} Whether what is loaded from now on is kept.
 */
export async function keepForOffline(tellOfNewer) {
  const workers = navigator.serviceWorker;
  if (!workers) return false;
  const controlled = becomesControlled(workers);
  try {
    // The list of files is part of the worker: without this browsers may miss a new one for a day.
    const options = { updateViaCache: "none" };
    const registration = await workers.register("service_worker.js", options);
    watch(workers, registration, tellOfNewer);
    // An active worker that does not control this page: it was reloaded past the cache, on purpose.
    if (registration.active && !workers.controller) return false;
    return await controlled;
  } catch {
    return Boolean(workers.controller); // no network: the one that was there before
  }
}

async function becomesControlled(workers) {
  if (workers.controller) return true;
  return new Promise((resolve) => {
    workers.addEventListener("controllerchange", () => resolve(true), { once: true });
    setTimeout(() => resolve(Boolean(workers.controller)), PATIENCE_MS);
  });
}

/** A newer worker waits until it is asked for, or until no page of the older one is open. */
function watch(workers, registration, tellOfNewer) {
  const tell = () => {
    if (registration.waiting && workers.controller) tellOfNewer(() => renew(workers, registration));
  };
  registration.addEventListener("updatefound", () => {
    registration.installing.addEventListener("statechange", tell);
  });
  tell();
}

function renew(workers, registration) {
  workers.addEventListener("controllerchange", () => location.reload(), { once: true });
  registration.waiting.postMessage("take over");
}
