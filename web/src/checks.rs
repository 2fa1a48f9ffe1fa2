//! What a browser must get right before anything is read in it. The page's button and the browser tests run the same code.

use std::cell::RefCell;
use std::sync::Arc;

use data::Sampling;
use kernels::attention::KvDType;
use kernels::gpu::GpuOptions;
use kernels::gpu::preprocess::Target;
use kernels::{Bytes, Device, Precision};
use model::{Checkpoint, Engine, EngineSettings, Model, Request};
use wasm_bindgen::prelude::*;

use crate::browser;

/// One shader as this browser's compiler is given it.
pub struct Variant {
    /// `matmul[TILE=8]`
    pub name: String,
    /// The preprocessed text, or why there is none.
    pub wgsl: Result<String, String>,
}

/// Every variant of every shader. What a variant needs and this browser lacks is found when it is compiled.
pub fn variants() -> Vec<Variant> {
    let target = Target { f16: true, subgroups: true, web: true };
    let mut variants = Vec::new();
    for spec in kernels::table::shaders() {
        for defines in (spec.variants)() {
            let values: Vec<String> = defines.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let name = if values.is_empty() { spec.name.to_string() } else { format!("{}[{}]", spec.name, values.join(" ")) };
            let wgsl = spec.module(&defines, target).map(|module| module.source).map_err(|problem| problem.to_string());
            variants.push(Variant { name, wgsl });
        }
    }
    variants
}

/// What a check of one variant found.
pub enum Verdict {
    /// The compiler took it.
    Fine,
    /// This browser lacks the feature it needs.
    Lacks(String),
    /// The compiler's errors.
    Refused(Vec<String>),
}

impl Variant {
    /// Gives it to this browser's compiler; `build` makes a pipeline of it as well.
    pub async fn check(&self, build: bool) -> Verdict {
        let wgsl = match &self.wgsl {
            Ok(wgsl) => wgsl,
            Err(problem) => return Verdict::Refused(vec![problem.clone()]),
        };
        if let Some(feature) = browser::missing_feature(wgsl).await.ok().and_then(|feature| feature.as_string()) {
            return Verdict::Lacks(feature);
        }
        let errors = match browser::check_shader(wgsl, build).await {
            Ok(errors) => js_sys::Array::from(&errors).iter().map(|error| error.as_string().unwrap_or_default()).collect(),
            Err(problem) => vec![format!("{problem:?}")],
        };
        if errors.is_empty() { Verdict::Fine } else { Verdict::Refused(errors) }
    }
}

/// What this browser is, in a line.
#[wasm_bindgen]
pub async fn machine() -> Result<JsValue, JsValue> {
    browser::describe_machine().await
}

/// The names of every variant of every shader.
#[wasm_bindgen]
pub fn shader_variants() -> Vec<String> {
    variants().into_iter().map(|variant| variant.name).collect()
}

/// JSON of what this browser's compiler says about variant `index`: `{"errors": […], "skipped": null | feature}`.
#[wasm_bindgen]
pub async fn check_variant(index: usize, build: bool) -> Result<String, JsValue> {
    let variant = variants().into_iter().nth(index).ok_or("no such variant")?;
    let (errors, skipped) = match variant.check(build).await {
        Verdict::Fine => (vec![], None),
        Verdict::Lacks(feature) => (vec![], Some(format!("this adapter has no {feature}"))),
        Verdict::Refused(errors) => (errors, None),
    };
    Ok(serde_json::json!({ "errors": errors, "skipped": skipped }).to_string())
}

/// What this browser's compiler says against a module: an array of strings.
#[wasm_bindgen]
pub async fn check_shader(wgsl: String) -> Result<JsValue, JsValue> {
    browser::check_shader(&wgsl, true).await
}

/// Greedy tokens of the model in `folder` (an address) after `prompt`, computed on WebGPU or, if `cpu`, on the processor.
#[wasm_bindgen]
pub async fn decode_known(folder: String, prompt: Vec<u32>, count: usize, cpu: bool) -> Result<Vec<u32>, JsValue> {
    let device = device(cpu).await?;
    greedy(checkpoint(&folder).await?, prompt, count, device).await.map_err(told)
}

/// The log-probability of each of `tokens` but the first after those before it, by the model in `folder`.
#[wasm_bindgen]
pub async fn score_known(folder: String, tokens: Vec<u32>, cpu: bool) -> Result<Vec<f32>, JsValue> {
    let device = device(cpu).await?;
    let model = Model::load(&checkpoint(&folder).await?, device, tokens.len(), |_, _| {}).map_err(told)?;
    let scored = model.score_tokens(&tokens, 1.0, KvDType::F32, 512, false).await.map_err(told)?;
    Ok(scored.logprobs)
}

async fn device(cpu: bool) -> Result<Device, JsValue> {
    match cpu {
        true => Ok(Device::cpu(Precision::Exact)),
        // As the engine of the page computes.
        false => {
            Device::gpu(&GpuOptions { precision: Precision::Fast, ..GpuOptions::default() }).await.map_err(|problem| told(problem.into()))
        }
    }
}

async fn checkpoint(folder: &str) -> Result<Checkpoint, JsValue> {
    let file = |name: &str| format!("{folder}/{name}");
    let checkpoint = if folder.contains("gguf") {
        Checkpoint::from_gguf(fetch(&file("model.gguf")).await?.into())
    } else {
        let weights = vec![("model.safetensors".to_string(), fetch(&file("model.safetensors")).await?.into())];
        Checkpoint::from_parts(fetch(&file("config.json")).await?, weights)
    };
    checkpoint.map_err(told)
}

/// Options for a device of this browser that gives the tokens that are known: with the adapter's optional features, or else without
/// them; or what is wrong with both. It is tried once.
pub async fn tested() -> Result<GpuOptions, String> {
    thread_local!(static FOUND: RefCell<Option<Result<GpuOptions, String>>> = const { RefCell::new(None) });
    if let Some(found) = FOUND.with_borrow(Clone::clone) {
        return found;
    }
    let mut found = Err(String::new());
    for plain in [false, true] {
        let options = GpuOptions { precision: Precision::Fast, plain, ..GpuOptions::default() };
        match known_tokens("known", &options).await {
            Ok(_) => {
                found = Ok(options);
                break;
            }
            Err(problem) if found.as_ref().is_err_and(String::is_empty) => found = Err(problem),
            Err(_) => {}
        }
    }
    FOUND.set(Some(found.clone()));
    found
}

/// Decodes what `folder/greedy.json` asks for; how many tokens were right and the seconds it took, or what went wrong.
pub async fn known_answer(folder: &str) -> Result<(usize, f64), String> {
    known_tokens(folder, &GpuOptions::default()).await
}

async fn known_tokens(folder: &str, options: &GpuOptions) -> Result<(usize, f64), String> {
    let text = |problem: JsValue| problem.as_string().unwrap_or_else(|| format!("{problem:?}"));
    let known: serde_json::Value = fetch(&format!("{folder}/greedy.json"))
        .await
        .map_err(text)
        .and_then(|bytes| serde_json::from_slice(bytes.as_slice()).map_err(|problem| problem.to_string()))?;
    let ids = |name: &str| known[name].as_array().into_iter().flatten().filter_map(|id| Some(id.as_u64()? as u32)).collect::<Vec<u32>>();
    let (prompt, expected) = (ids("prompt"), ids("ids"));
    let start = js_sys::Date::now();
    let checkpoint = checkpoint(folder).await.map_err(text)?;
    let device = Device::gpu(options).await.map_err(|problem| problem.to_string())?;
    let decoded = greedy(checkpoint, prompt, expected.len(), device).await.map_err(|problem| problem.to_string())?;
    if decoded != expected || decoded.is_empty() {
        return Err(format!("computed {decoded:?}, known are {expected:?}"));
    }
    Ok((decoded.len(), (js_sys::Date::now() - start) / 1000.0))
}

async fn greedy(checkpoint: Checkpoint, prompt: Vec<u32>, count: usize, device: Device) -> model::Result<Vec<u32>> {
    let window = prompt.len() + count;
    let model = Model::load(&checkpoint, device, window, |_, _| {})?;
    let mut engine = Engine::new(Arc::new(model), EngineSettings::single(window, KvDType::F32))?;
    let request = Request { prompt, max_new_tokens: count, sampling: Sampling::GREEDY, stop_ids: vec![] };
    Ok(engine.generate(request, |_| {}).await?.ids)
}

async fn fetch(url: &str) -> Result<Bytes, JsValue> {
    Ok(js_sys::Uint8Array::from(browser::fetch_bytes(url).await?).to_vec().into())
}

fn told(problem: model::ModelError) -> JsValue {
    js_sys::Error::new(&problem.to_string()).into()
}
