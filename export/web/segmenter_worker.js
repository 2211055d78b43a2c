// Runs the model beside the page, which stays responsive meanwhile. A classic worker: LiteRT.js loads
// its WebAssembly by importScripts, which module workers do not have.
"use strict";

const RUNTIME = new URL("litert/", self.location.href).href;

let engine; // {model, accelerator, frame, facts} once started

self.onmessage = async ({ data: { id, action, argument } }) => {
  try {
    const answer = await { start, segment }[action](argument);
    self.postMessage({ id, answer }, answer.labels ? [answer.labels.buffer] : []);
  } catch (error) {
    self.postMessage({ id, error: String(error?.message ?? error) });
  }
};

/** Loads the runtime and the model; the accelerator is the fastest one that computes right. */
async function start(facts) {
  const [litert, frame, check] = await Promise.all([
    import("./litert/index.js"),
    import("./frame.js"),
    import("./self_check.js"),
  ]);
  const response = await fetch(facts.file);
  if (!response.ok) throw new Error(`${facts.file}: the host answers ${response.status}`);
  const content = new Uint8Array(await response.arrayBuffer());
  const gpu = await hasGpu();
  // Without it Emscripten looks for the .wasm file beside this worker.
  self.Module = { locateFile: (name) => RUNTIME + name };
  const jspi = gpu && (await litert.supportsFeature("jspi"));
  await litert.loadLiteRt(RUNTIME, { jspi });
  const models = [];
  for (const accelerator of gpu ? ["webgpu", "wasm"] : ["wasm"]) {
    const model = await tried(litert, check, facts, content, accelerator);
    if (model) models.push(model);
  }
  if (!models.length) throw new Error("this browser computes other numbers than it should");
  models.sort((a, b) => a.milliseconds - b.milliseconds);
  for (const slower of models.slice(1)) slower.model.delete();
  engine = { ...models[0], litert, frame, facts };
  return { accelerator: engine.accelerator };
}

async function hasGpu() {
  return Boolean(await self.navigator.gpu?.requestAdapter().catch(() => null));
}

/** The compiled model with the time of a run, or null where it fails or computes other numbers. */
async function tried(litert, check, facts, content, accelerator) {
  const { height, width } = facts.input;
  const picture = check.drawnPicture(height, width);
  try {
    const model = await litert.loadAndCompile(content, { accelerator });
    const first = await run(litert, model, facts, picture, "logits");
    if (!check.isRight(first.values, facts.check)) {
      model.delete();
      throw new Error("it computes other numbers than the exporting machine");
    }
    // The first run prepares the weights, so that its time says nothing.
    const { milliseconds } = await run(litert, model, facts, picture, "labels");
    return { model, milliseconds, accelerator: model.options.accelerator };
  } catch (error) {
    console.warn(`${accelerator} is not used: ${error?.message ?? error}`);
    return null;
  }
}

/** RGB pixels of the model's size -> the values of one of its outputs, and the time of the run. */
async function run(litert, model, facts, pixels, output) {
  const { height, width, name } = facts.input;
  const image = new litert.Tensor(pixels, [1, height, width, 3]);
  const begin = performance.now();
  const outputs = await model.run({ [name]: image });
  try {
    const values = (await outputs[output].data()).slice();
    return { values, milliseconds: performance.now() - begin };
  } finally {
    // The runtime's memory is not the browser's to collect.
    for (const tensor of [image, ...Object.values(outputs)]) tensor.delete();
  }
}

/** RGBA photo -> uint8 labels at its size, and the milliseconds that the model took. */
async function segment(photo) {
  const { litert, model, frame, facts } = engine;
  const inner = frame.intoFrame(photo, facts.input);
  const output = frame.isShrunk(inner, photo) ? "logits" : "labels";
  const { values, milliseconds } = await run(litert, model, facts, inner.pixels, output);
  const labels =
    output === "logits"
      ? frame.enlargedLabels(values, facts.input, inner, photo)
      : frame.outOfFrame(values, facts.input, photo);
  return { labels, milliseconds };
}
