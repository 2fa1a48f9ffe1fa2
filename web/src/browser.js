// What the browser's own interfaces do for us where Rust has no stable binding to them.

let opened;

// One device with everything the adapter offers, so that every variant can be compiled.
async function open() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return null;
  const device = await adapter.requestDevice({ requiredFeatures: [...adapter.features] });
  device.lost.then(() => { opened = undefined; });
  return { adapter, device };
}

function gpu() {
  opened ??= open();
  return opened;
}

// JSON: what this browser can do, or null where it has no WebGPU adapter.
export async function describeMachine() {
  const machine = await gpu();
  if (!machine) return "null";
  const { adapter, device } = machine;
  const { vendor, architecture, device: model, description } = adapter.info;
  const limits = {};
  for (const name in adapter.limits) limits[name] = adapter.limits[name];
  return JSON.stringify({ adapter: { vendor, architecture, device: model, description }, features: [...device.features].sort(), limits });
}

const featureOf = { f16: "shader-f16", subgroups: "subgroups" };

// The feature that this module needs and the adapter lacks, or undefined.
export async function missingFeature(wgsl) {
  const machine = await gpu();
  const needed = [...wgsl.matchAll(/^\s*enable\s+(\w+)\s*;/gm)].map((match) => featureOf[match[1]] ?? match[1]);
  return needed.find((feature) => !machine?.device.features.has(feature));
}

// The errors of the browser's compiler, as "line:column message"; then, if wanted, those of building a pipeline from the module.
export async function checkShader(wgsl, build) {
  const machine = await gpu();
  if (!machine) return ["this browser has no WebGPU adapter"];
  const { device } = machine;
  device.pushErrorScope("validation");
  const module = device.createShaderModule({ code: wgsl });
  const { messages } = await module.getCompilationInfo();
  const errors = messages.filter(({ type }) => type === "error").map(({ lineNum, linePos, message }) => `${lineNum}:${linePos} ${message}`);
  if (build && errors.length === 0) {
    try {
      await device.createComputePipelineAsync({ layout: "auto", compute: { module } });
    } catch (problem) {
      errors.push(problem.message);
    }
  }
  const scoped = await device.popErrorScope();
  if (scoped && errors.length === 0) errors.push(scoped.message);
  return errors;
}

export async function fetchBytes(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(`${url}: ${answer.status} ${answer.statusText}`);
  return new Uint8Array(await answer.arrayBuffer());
}

// What the page's address says under this name, as an address of the same origin; undefined if nothing or another's.
export function addressed(name) {
  const said = new URLSearchParams(location.search).get(name);
  const url = said && new URL(said, location.href);
  return url && url.origin === location.origin ? url.href : undefined;
}

// The inspector's module lies beside the page's own. What is thrown in it later ends it, since a module that trapped is not to be trusted further:
// `ended` hears why. `times` is how often it was asked for before: browsers keep what an import gave, a failure too, so the address differs.
export async function showInspector(base, times, place, line, dataset, ended) {
  const name = "longhand-inspect";
  const again = times ? `?again=${times}` : "";
  const module = await import(new URL(`${base}${name}.js${again}`, document.baseURI).href);
  await module.default();
  module.inspect(place, line, new URL(base, document.baseURI).href, dataset);
  const listening = new AbortController();
  const heard = ({ error, reason }) => {
    const problem = error ?? reason;
    if (!String(problem?.stack).includes(name)) return;
    listening.abort();
    place.replaceChildren();
    ended(String(problem));
  };
  for (const kind of ["error", "unhandledrejection"]) addEventListener(kind, heard, { signal: listening.signal });
}

let files;
let failures = 0;

// The module for files of other formats than plain text, which lies beside the worker's script. It is fetched when it is first needed, and anew
// after a failure: one that trapped is not to be trusted further. The address differs then, since browsers keep what an import gave.
async function withFiles(work) {
  const again = failures ? `?again=${failures}` : "";
  files ??= import(new URL(`longhand-files.js${again}`, self.location.href).href).then(async (module) => {
    await module.default();
    return module;
  });
  try {
    return await work(await files);
  } catch (problem) {
    if (typeof problem !== "string") {
      files = undefined;
      failures += 1;
    }
    throw problem;
  }
}

export function convertFile(name, bytes) {
  return withFiles((module) => module.convert(name, bytes));
}

export function makeRows(names, lists, count, seed) {
  return withFiles((module) => module.makeRows(names, lists, count, seed));
}
