// Runs in the page that `cargo xtask web-gate` opens: tries everything and posts what it saw. The judging is in crates/xtask.
import init, * as longhand from "/pkg/longhand-web.js";

const post = (report) => fetch("/report", { method: "POST", body: JSON.stringify(report) });

// A panic ends the module and leaves its promise open for ever: the browser's own error event is the word we get. The panic's text
// went to the console just before.
const said = [];
const consoleError = console.error;
console.error = (...words) => { said.push(words.join(" ")); consoleError(...words); };
addEventListener("error", ({ message }) => post({ kind: "failed", text: [...said, message].join("\n") }));

// Faults that the gate must catch. naga accepts the second: only a browser's compiler knows that its barrier is not uniform.
const planted = {
  syntax: "@compute @workgroup_size(1) fn main() { let x = ; }",
  uniformity: `@compute @workgroup_size(64) fn main(@builtin(local_invocation_index) i: u32) {
    if (i < 32u) { workgroupBarrier(); }
  }`,
};

// Tiny models of tests/golden, whose greedy tokens Transformers computed.
const decoded = ["qwen3", "qwen2", "llama", "qwen3_moe", "gguf_llama"];

const json = (url) => fetch(url).then((answer) => answer.json());

// The numbers of one tensor of a safetensors file, all of which are f32.
async function tensor(url, name) {
  const bytes = await fetch(url).then((answer) => answer.arrayBuffer());
  const length = Number(new DataView(bytes).getBigUint64(0, true));
  const [start, end] = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 8, length)))[name].data_offsets;
  return Array.from(new Float32Array(bytes.slice(8 + length + start, 8 + length + end)));
}

async function run() {
  await init();
  await post({ kind: "machine", ...JSON.parse(await longhand.machine()) });

  for (const [name, wgsl] of Object.entries(planted)) {
    await post({ kind: "planted shader", name, errors: await longhand.check_shader(wgsl) });
  }

  const variants = longhand.shader_variants();
  await post({ kind: "variants", count: variants.length });
  // A pipeline takes this software adapter over a second: of each shader's variants the first and the last get one.
  const shader = (name) => name?.split("[")[0];
  for (const [index, name] of variants.entries()) {
    const build = shader(variants[index - 1]) !== shader(name) || shader(variants[index + 1]) !== shader(name);
    await post({ kind: "shader", name, ...JSON.parse(await longhand.check_variant(index, build)) });
  }

  for (const model of decoded) {
    for (const cpu of [false, true]) {
      const name = `${model} on ${cpu ? "the processor" : "WebGPU"}`;
      try {
        const { prompt, ids, gap } = await json(`/golden/${model}/greedy.json`);
        const decoded = await longhand.decode_known(`/golden/${model}`, new Uint32Array(prompt), ids.length, cpu);
        await post({ kind: "decode", name, ids: Array.from(decoded), expected: ids, gap });
        const { ids: tokens } = await json(`/golden/${model}/case.json`);
        const logprobs = await longhand.score_known(`/golden/${model}`, new Uint32Array(tokens), cpu);
        await post({ kind: "score", name, logprobs: Array.from(logprobs), expected: await tensor(`/golden/${model}/expected.safetensors`, "logprobs") });
      } catch (problem) {
        await post({ kind: "decode", name, error: String(problem) });
      }
    }
  }
  await post({ kind: "done" });
}

run().catch((problem) => post({ kind: "failed", text: `${problem}\n${problem?.stack ?? ""}` }));
