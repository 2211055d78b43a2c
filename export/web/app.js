// The page: what happens when. The other files each do one thing.
import { Camera } from "./camera.js";
import { Legend, percent, sharesOf } from "./legend.js";
import { keepForOffline } from "./offline.js";
import { readPhoto } from "./photo.js";
import { Segmenter } from "./segmenter.js";
import { Stage } from "./stage.js";

const element = (id) => document.getElementById(id);
const body = document.body;
element("not-started").remove();

const facts = await loadFacts();
const stage = new Stage(facts);
const legend = new Legend(facts, pickClass);
const camera = new Camera();
const segmenter = new Segmenter();
const started = start();

let result = null; // {labels, shares} of the photo that is shown
let only = null; // the only class that is shown
let latest = 0; // counts photos: an answer that comes after the next photo is dropped

legend.showAll();
setOpacity();
describeModel();
listen();

async function loadFacts() {
  try {
    return await (await fetch("model.json")).json();
  } catch (error) {
    complain("model.json cannot be loaded. Is the folder whole on this host?");
    throw error;
  }
}

async function start() {
  try {
    element("engine").textContent = "Loading …";
    const kept = await keepForOffline(offerNewer);
    const { accelerator } = await segmenter.start(facts);
    element("engine").textContent = "Ready";
    element("runs-on").textContent = accelerator === "webgpu" ? "GPU (WebGPU)" : "CPU (WebAssembly)";
    const later = navigator.serviceWorker ? "after a reload" : "needs https";
    element("offline").textContent = kept ? "works" : later;
    body.dataset.ready = "";
  } catch (error) {
    element("engine").textContent = "Cannot start";
    complain(`The model cannot run here: ${error.message}.`);
    throw error;
  }
}

function describeModel() {
  const { height, width } = facts.input;
  const longest = facts.input.longest ?? Infinity;
  element("sees").textContent = `${Math.min(width, longest)} × ${Math.min(height, longest)} pixels`;
  element("sees").title = "Larger photos are shrunk to this for the model, smaller ones are not.";
  const known = facts.classes.length - (facts.background === null ? 0 : 1);
  element("legend-note").textContent = `${known} classes.`;
}

// Photos -----------------------------------------------------------------------------------------

async function showFile(file) {
  leaveCamera();
  const turn = ++latest;
  try {
    const photo = await readPhoto(file);
    if (turn === latest) await show(photo, turn);
  } catch (error) {
    complain(error.message);
  }
}

/** Shows the photo at once, and its classes when they are known. */
async function show(photo, turn) {
  dismiss();
  body.dataset.state = "photo";
  stage.showPhoto(photo);
  result = only = null;
  body.dataset.busy = "";
  element("busy-text").textContent = "ready" in body.dataset ? "Looking …" : "Loading the model …";
  try {
    await started;
    element("busy-text").textContent = "Looking …";
    const answer = await segmenter.segment(photo);
    if (turn !== latest) return;
    present(answer);
    element("summary").textContent = summary();
  } finally {
    if (turn === latest) delete body.dataset.busy;
  }
}

function present({ labels, milliseconds }) {
  const shares = sharesOf(labels, facts.classes.length);
  if (!shares.some(({ index }) => index === only)) only = null;
  result = { labels, shares };
  stage.showLabels(labels, only);
  stage.description = summary();
  legend.show(shares, only);
  element("legend-title").textContent = "What is there";
  element("legend-note").textContent = "Press one to see it alone.";
  element("latency").textContent = `${milliseconds.toFixed(0)} ms`;
  body.dataset.results = Number(body.dataset.results ?? 0) + 1;
}

function summary() {
  const parts = result.shares.map(
    ({ index, share }) => `${facts.classes[index].name} ${percent(share)}`,
  );
  return `What is there: ${parts.join(", ")}`;
}

function pickClass(index) {
  if (!result) return;
  only = only === index ? null : index;
  stage.showLabels(result.labels, only);
  legend.show(result.shares, only);
}

function setOpacity() {
  const value = element("opacity").value;
  stage.opacity = value / 100;
  element("opacity-value").textContent = `${value} %`;
}

async function save() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await stage.toPng());
  link.download = "what_is_where.png";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // some browsers read it later
}

// Camera -----------------------------------------------------------------------------------------

async function useCamera(begin) {
  const turn = ++latest;
  dismiss();
  try {
    await started;
    await begin((view) => lookAt(view, turn));
    if (turn !== latest) camera.stop(); // a photo was given while the browser asked for leave
    const several = await Camera.hasSeveral();
    document.querySelector("[data-action=turn]").hidden = !several;
  } catch (error) {
    leaveCamera();
    complain(error.message);
  }
}

async function lookAt(view, turn) {
  try {
    const shown = new ImageData(view.data.slice(), view.width);
    const answer = await segmenter.segment(view);
    if (turn !== latest) return;
    // Together, so that the colours do not lag behind.
    stage.showPhoto(shown);
    present(answer);
  } catch (error) {
    leaveCamera();
    complain(error.message);
    return;
  }
  if (body.dataset.state === "camera") return;
  body.dataset.state = "camera";
  document.querySelector("[data-action=stop]").focus(); // the button pressed is gone
}

/** Stops the camera; its last view stays as a photo. */
function leaveCamera() {
  if (!camera.running) return;
  latest++;
  camera.stop();
  if (body.dataset.state === "camera") body.dataset.state = "photo";
}

function keepView() {
  leaveCamera();
  if (result) element("summary").textContent = summary();
  document.querySelector("#toolbar button").focus();
}

// Messages and events ----------------------------------------------------------------------------

function complain(text) {
  element("alert-text").textContent = text;
  element("alert").hidden = false;
}

let renew = null; // loads the newer version of the page, once there is one

function offerNewer(load) {
  renew = load;
  element("newer").hidden = false;
}

function dismiss() {
  element("alert").hidden = true;
}

function listen() {
  const actions = {
    choose: () => element("file").click(),
    camera: () => useCamera((look) => camera.start(look)),
    turn: () => useCamera((look) => camera.turn(look)),
    stop: keepView,
    save,
    dismiss,
    renew: () => renew(),
  };
  document.addEventListener("click", (event) => {
    actions[event.target.closest("[data-action]")?.dataset.action]?.();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (camera.running) keepView();
    dismiss();
  });
  element("file").addEventListener("change", ({ target }) => {
    if (target.files.length) showFile(target.files[0]);
    target.value = ""; // so that the same photo can be chosen again
  });
  element("opacity").addEventListener("input", setOpacity);
  document.addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) showFile(clipboardData.files[0]);
  });
  listenForDrops();
  listenForPointer();
}

function listenForDrops() {
  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    body.dataset.drop = "";
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) delete body.dataset.drop; // it left the window
  });
  document.addEventListener("drop", (event) => {
    delete body.dataset.drop;
    if (!hasFiles(event)) return;
    event.preventDefault(); // else the browser would open the file instead of the page
    showFile(event.dataTransfer.files[0]);
  });
}

/** Names the class under the pointer or the finger. */
function listenForPointer() {
  const pointed = element("pointed");
  const name = (event) => {
    const index = stage.classAt(event.clientX, event.clientY);
    pointed.hidden = index === null;
    if (index !== null) pointed.textContent = facts.classes[index].name;
  };
  element("picture").addEventListener("pointermove", name);
  element("picture").addEventListener("pointerdown", name);
  element("picture").addEventListener("pointerleave", () => (pointed.hidden = true));
}
