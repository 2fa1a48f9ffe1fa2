// Measures for `cargo xtask web-figures`, which calls these functions one after the other.
import "/package/longhand.js";
import init, * as module from "/package/longhand-web.js";

const seconds = (begun) => (performance.now() - begun) / 1000;

const tiny = (device) => ({ from: "tiny", base: new URL("/package/tiny/", location.href).href, device });

// An element put into the page and started, then a reader with a document and the demonstration model on the processor that answers a prompt; both
// taken out again.
export async function mount() {
  const element = document.createElement("longhand-reader");
  element.setAttribute("src", "/package/examples/story.txt");
  document.querySelector("main").append(element);
  await element.start();
  if (!element.shadowRoot.querySelector("[data-test=question]")) throw new Error("the reader shows no question");
  element.remove();
  const place = document.createElement("div");
  document.querySelector("main").append(place);
  const reader = module.mountReader(place, { base: "/package/" }, () => {});
  await reader.load(tiny("cpu"));
  await reader.openText("a.txt", "Mara Voss bought the mill in 1931. ".repeat(2000));
  await reader.generate("Who bought the mill?", 4);
  reader.close();
  place.remove();
  await new Promise((done) => setTimeout(done, 300));
}

// Seconds until the demonstration model can be asked: the module, the files or what is kept of them, on WebGPU the known answer.
export async function start(device) {
  const begun = performance.now();
  await init();
  const reader = module.headlessReader({ base: "/package/" }, () => {});
  await reader.load(tiny(device));
  const took = seconds(begun);
  reader.close();
  return took;
}

// What one more token of a greedy reply costs on WebGPU: dispatches, submits, and bytes that are mapped to be read. Counted at the browser's own
// interface, over the difference of two lengths.
export async function perToken(folder, prompt, few, many) {
  const counts = { dispatches: 0, submits: 0, mapped: 0 };
  const wrap = (owner, name, count) => {
    const real = owner.prototype[name];
    owner.prototype[name] = function (...given) {
      count(this, ...given);
      return real.apply(this, given);
    };
    return () => { owner.prototype[name] = real; };
  };
  const restore = [
    wrap(GPUComputePassEncoder, "dispatchWorkgroups", () => { counts.dispatches += 1; }),
    wrap(GPUQueue, "submit", () => { counts.submits += 1; }),
    wrap(GPUBuffer, "mapAsync", (buffer, mode, start = 0, size = buffer.size - start) => { if (mode === GPUMapMode.READ) counts.mapped += size; }),
  ];
  await init();
  const run = async (count) => {
    Object.keys(counts).forEach((name) => { counts[name] = 0; });
    const ids = await module.decode_known(folder, new Uint32Array(prompt), count, false);
    return { tokens: ids.length, ...counts };
  };
  const [short, long] = [await run(few), await run(many)];
  restore.forEach((undo) => undo());
  const more = long.tokens - short.tokens;
  if (more !== many - few) throw new Error(`${more} tokens more, ${many - few} were asked for`);
  return Object.fromEntries(Object.keys(counts).map((name) => [name, (long[name] - short[name]) / more]));
}

// Tokens a second of a greedy reply: prompt and reply apart, by the difference of two lengths.
async function speeds(reply) {
  await reply(2);
  const begun = performance.now();
  await reply(2);
  const short = seconds(begun);
  const again = performance.now();
  const said = await reply(66);
  return { prompt: short, reply: 64 / (seconds(again) - short), said };
}

// What this browser computes with.
export async function adapter() {
  await init();
  return module.machine();
}

// Our engine in a worker, with a model at an address; `device` is "cpu" or "gpu".
export async function ours(url, device, prompt) {
  await init();
  const reader = module.headlessReader({ base: "/package/" }, () => {});
  const begun = performance.now();
  await reader.load({ from: "address", url, device });
  const load = seconds(begun);
  try {
    return { load, ...await speeds(async (count) => reader.generate(prompt, count)) };
  } finally {
    reader.close();
  }
}

// Bytes of the engine's memory, the most there were, when the weights of a model at an address are on the device: before it computes anything, which
// on a software adapter takes minutes. On a page of its own, since the memory of models before counts too.
export async function memory(url, device) {
  await init();
  const channel = new BroadcastChannel("longhand-figures");
  const begun = performance.now();
  let load;
  const loaded = new Promise((done) => {
    const reader = module.headlessReader({ base: new URL("/figures/measured/", location.href).href }, (name, detail) => {
      // The device is tried before, without a total; the loaded model is tried with one.
      if (name === "loading" && detail.stage === "test" && detail.total > 0) done();
    });
    load = reader.load({ from: "address", url: new URL(url, location.href).href, device });
  });
  await Promise.race([loaded, load]);
  const took = seconds(begun);
  const bytes = await new Promise((done) => {
    channel.onmessage = ({ data }) => data.memory && done(data.memory);
    channel.postMessage("memory?");
  });
  load.catch(() => {});
  return { bytes, load: took };
}

// wllama (llama.cpp as WebAssembly) on one thread without a graphics adapter, with the same file.
export async function theirs(url, prompt) {
  const { Wllama } = await import("/wllama/esm/index.js");
  const wllama = new Wllama({ default: "/wllama/esm/wasm/wllama.wasm" }, { suppressNativeLog: true });
  const begun = performance.now();
  await wllama.loadModelFromUrl(new URL(url, location.href).href, { n_ctx: 1024, n_threads: 1, n_gpu_layers: 0, useCache: false });
  const load = seconds(begun);
  try {
    return {
      load,
      ...await speeds(async (count) => {
        const answer = await wllama.createChatCompletion({ messages: [{ role: "user", content: prompt }], max_tokens: count, temperature: 0 });
        return answer.choices[0].message.content;
      }),
    };
  } finally {
    await wllama.exit();
  }
}
