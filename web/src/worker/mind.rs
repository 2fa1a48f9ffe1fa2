//! A model that reads in this tab, or a server's: loaded, tested, and described.

use std::rc::Rc;
use std::sync::Arc;

use agent::{Mode, ReadSettings};
use data::{ChatModel, ChatRequest, Message, Sampling};
use kernels::attention::KvDType;
use kernels::{Bytes, DType, Device, Extent, Precision};
use model::{ChatEngine, Checkpoint, EngineSettings, Model};
use tokenizer::Tokenizer;
use web_sys::Blob;

use super::endpoint::{Endpoint, UNREACHED};
use super::store;
use super::weights::{Folder, Told, unread};
use crate::checks;
use crate::protocol::{DeviceChoice, ModelChoice, ModelInfo, Problem, ProblemKind, Stage};

/// Tokens of one call at most, in a tab.
const WINDOW: usize = 8192;
/// As above, where the CPU computes.
const CPU_WINDOW: usize = 4096;

/// The demonstration model's calls, sections, notes and answers, in tokens: what it was trained with.
const TINY: (usize, usize, usize, usize) = (1024, 192, 112, 24);

/// Who reads.
pub struct Mind {
    /// The engine or the server.
    pub model: Box<dyn ChatModel>,
    counts: Counts,
    thinks: bool,
    /// For the page.
    pub info: ModelInfo,
}

/// What counts a mind's tokens.
enum Counts {
    /// A copy of the engine's.
    Own(Rc<Tokenizer>),
    /// An estimate.
    Approximate(Tokenizer),
}

impl Mind {
    /// What counts its tokens.
    pub fn tokenizer(&self) -> &Tokenizer {
        match &self.counts {
            Counts::Own(tokenizer) => tokenizer,
            Counts::Approximate(tokenizer) => tokenizer,
        }
    }

    /// How it reads, with sections of `chunk` tokens where that is wished.
    pub fn settings(&self, chunk: Option<usize>) -> ReadSettings {
        let mut settings = match self.info.tiny {
            true => {
                let (window, chunk, memory, answer) = TINY;
                let base = ReadSettings { chunk, memory, answer, ..ReadSettings::for_window(window, false) };
                ReadSettings { short: true, quotes: true, mode: Mode::Memory, sampling: Sampling::GREEDY, ..base }
            }
            false => ReadSettings { thinking: 0, ..ReadSettings::for_window(self.model.window(), self.thinks) },
        };
        settings.chunk = chunk.unwrap_or(settings.chunk);
        settings
    }

    /// Makes the chosen model ready. `files` are those of [`ModelChoice::Files`]; they are read in ranges.
    pub async fn load(choice: &ModelChoice, device: DeviceChoice, files: &[Blob], told: &Told) -> Result<Self, Problem> {
        let (checkpoint, name, unkept) = match choice {
            ModelChoice::Server { url, model, key } => return Self::server(url, model, key),
            ModelChoice::Tiny { base } => {
                let (checkpoint, unkept) = folder(base, told).await?;
                (checkpoint, "tiny".to_string(), unkept)
            }
            ModelChoice::Address { url } if url.split('?').next().is_some_and(|path| path.ends_with(".gguf")) => {
                let store = Folder::open(url).await;
                let file = store.file("model.gguf", url, false, told).await?.unwrap_or_else(|| Vec::new().into());
                let unkept = store.unkept.take();
                (Checkpoint::from_gguf(file).map_err(damaged)?, last_word(url), unkept)
            }
            ModelChoice::Address { url } => {
                let (checkpoint, unkept) = folder(url, told).await?;
                (checkpoint, last_word(url), unkept)
            }
            ModelChoice::Files { names } => {
                let (checkpoint, name) = chosen(names, files)?;
                (checkpoint, name, None)
            }
        };
        let tiny = matches!(choice, ModelChoice::Tiny { .. });
        let (device, mut remark) = open_device(device, told).await?;
        if let Some(why) = unkept {
            let kept = format!("The model is not kept for the next time: {why}");
            remark = Some(remark.map_or(kept.clone(), |remark| format!("{remark} {kept}")));
        }
        let gpu = matches!(device, Device::Gpu(_));
        let most = checkpoint.config().max_positions;
        let window = most.min(if gpu { WINDOW } else { CPU_WINDOW });
        told(Stage::Load, 0.0, checkpoint.total_bytes() as f64);
        let loaded = Model::load(&checkpoint, device, window, |done, all| told(Stage::Load, done as f64, all as f64)).map_err(damaged)?;
        let f32_weights = checkpoint.tensors().iter().all(|tensor| tensor.dtype == DType::F32);
        let kv = if f32_weights { KvDType::F32 } else { KvDType::F16 };
        let parameters = checkpoint.config().parameters() as f64;
        let engine = ChatEngine::new(Arc::new(loaded), &checkpoint, EngineSettings::single(window, kv), name).map_err(damaged)?;
        let tokenizer = Rc::new(model::TextParts::new(&checkpoint).map_err(damaged)?.tokenizer);
        let thinks = engine.thinks();
        let mut mind = Self {
            counts: Counts::Own(tokenizer),
            thinks,
            info: ModelInfo {
                name: engine.name(),
                parameters: Some(parameters),
                window: engine.window(),
                chunk: 0,
                tiny,
                server: None,
                gpu,
                remark,
                speed: None,
            },
            model: Box::new(engine),
        };
        mind.info.chunk = mind.settings(None).chunk;
        mind.info.speed = mind.measure(told).await?;
        Ok(mind)
    }

    fn server(url: &str, model: &str, key: &str) -> Result<Self, Problem> {
        let endpoint = Endpoint::new(url, model, key)?;
        let host = endpoint.host();
        let window = endpoint.window();
        let mut mind = Self {
            counts: Counts::Approximate(Tokenizer::approximate()),
            thinks: true,
            info: ModelInfo {
                name: endpoint.name(),
                parameters: None,
                window,
                chunk: 0,
                tiny: false,
                server: Some(host),
                gpu: false,
                remark: None,
                speed: None,
            },
            model: Box::new(endpoint),
        };
        mind.info.chunk = mind.settings(None).chunk;
        Ok(mind)
    }

    /// Tokens a second over a short call, prompt and reply together. The first run makes the pipelines, so it is the second that is timed.
    async fn measure(&self, told: &Told) -> Result<Option<f64>, Problem> {
        let request = ChatRequest::new(vec![Message::user("one two three ".repeat(16))], Sampling::GREEDY, 4);
        let mut speed = None;
        for round in 0..2 {
            told(Stage::Test, round as f64, 2.0);
            let begun = js_sys::Date::now();
            let reply = self.model.chat(&request, &mut |_| {}).await.map_err(of_model)?;
            let tokens = reply.usage.prompt_tokens + reply.usage.completion_tokens;
            speed = Some(tokens as f64 / ((js_sys::Date::now() - begun) / 1000.0).max(1e-3));
        }
        Ok(speed)
    }
}

/// The device, and why it is not WebGPU where that was hoped for.
async fn open_device(choice: DeviceChoice, told: &Told) -> Result<(Device, Option<String>), Problem> {
    if choice == DeviceChoice::Cpu {
        return Ok((Device::cpu(Precision::Fast), None));
    }
    told(Stage::Test, 0.0, 0.0);
    let found = match checks::tested().await {
        Ok(options) => {
            let remark =
                options.plain.then(|| "This adapter's optional features gave wrong results; WebGPU computes without them.".to_string());
            Device::gpu(&options).await.map(|device| (device, remark)).map_err(|problem| problem.to_string())
        }
        Err(problem) => Err(problem),
    };
    match (found, choice) {
        (Ok(found), _) => Ok(found),
        (Err(why), DeviceChoice::Auto) => {
            Ok((Device::cpu(Precision::Fast), Some(format!("WebGPU is not used here ({why}); the processor computes, more slowly."))))
        }
        (Err(why), _) => Err(Problem { kind: ProblemKind::Device, message: format!("WebGPU cannot be used here: {why}.") }),
    }
}

/// A Hugging Face folder at an address; and why it could not be kept, if so.
async fn folder(base: &str, told: &Told) -> Result<(Checkpoint, Option<String>), Problem> {
    let store = Folder::open(base).await;
    let file = async |name: &str, optional: bool| store.file(name, &format!("{base}{name}"), optional, told).await;
    let text = async |name: &str, optional: bool| file(name, optional).await?.map(|file| file.load().map_err(unread)).transpose();
    let config = text("config.json", false).await?.unwrap_or_else(|| Vec::new().into());
    let mut weights = Vec::new();
    for name in shards(text("model.safetensors.index.json", true).await?)? {
        if let Some(file) = file(&name, false).await? {
            weights.push((name, file));
        }
    }
    let (json, settings) = (text("tokenizer.json", true).await?, text("tokenizer_config.json", true).await?);
    let (template, generation) = (text("chat_template.jinja", true).await?, text("generation_config.json", true).await?);
    let checkpoint =
        Checkpoint::from_parts(config, weights).and_then(|checkpoint| checkpoint.with_files(json, settings, template, generation));
    Ok((checkpoint.map_err(damaged)?, store.unkept.take()))
}

/// The weights' files by the index, or the one file of a model without.
fn shards(index: Option<Bytes>) -> Result<Vec<String>, Problem> {
    let Some(index) = index else { return Ok(vec!["model.safetensors".into()]) };
    let index: serde_json::Value = serde_json::from_slice(index.as_slice())
        .map_err(|problem| Problem { kind: ProblemKind::Model, message: format!("model.safetensors.index.json is no JSON: {problem}.") })?;
    let names = index["weight_map"].as_object().into_iter().flatten().filter_map(|(_, name)| name.as_str());
    let mut names: Vec<String> = names.filter(|name| !name.contains('/')).map(String::from).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// A model of files that were chosen on this computer.
fn chosen(names: &[String], files: &[Blob]) -> Result<(Checkpoint, String), Problem> {
    let mut files: Vec<(&str, Extent)> = names.iter().zip(files).map(|(name, file)| (&**name, store::chosen(file, name))).collect();
    let mut take = |wanted: &str| {
        let at = files.iter().position(|(name, _)| *name == wanted);
        at.map(|at| files.swap_remove(at).1.load().map_err(unread)).transpose()
    };
    let missing = |what: &str| Problem {
        kind: ProblemKind::Model,
        message: format!("{what} is missing: choose a .gguf file, or config.json, tokenizer.json and every .safetensors file together."),
    };
    let config = take("config.json")?;
    let (json, settings) = (take("tokenizer.json")?, take("tokenizer_config.json")?);
    let (template, generation) = (take("chat_template.jinja")?, take("generation_config.json")?);
    if let Some(at) = files.iter().position(|(name, _)| name.ends_with(".gguf")) {
        let (name, file) = files.swap_remove(at);
        return Ok((Checkpoint::from_gguf(file).map_err(damaged)?, last_word(name)));
    }
    let config = config.ok_or_else(|| missing("config.json"))?;
    let mut weights: Vec<(String, Extent)> =
        files.into_iter().filter(|(name, _)| name.ends_with(".safetensors")).map(|(name, file)| (name.into(), file)).collect();
    weights.sort_by(|a, b| a.0.cmp(&b.0));
    if weights.is_empty() {
        return Err(missing("A .safetensors file"));
    }
    let checkpoint =
        Checkpoint::from_parts(config, weights).and_then(|checkpoint| checkpoint.with_files(json, settings, template, generation));
    Ok((checkpoint.map_err(damaged)?, "local files".into()))
}

/// An address's last word, without `.gguf`.
fn last_word(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or(url).trim_end_matches('/');
    let word = path.rsplit('/').next().unwrap_or(path);
    word.strip_suffix(".gguf").unwrap_or(word).to_string()
}

fn damaged(problem: model::ModelError) -> Problem {
    of_text(problem.to_string(), ProblemKind::Model)
}

/// What a failed call means.
pub fn of_model(problem: data::ChatError) -> Problem {
    of_text(problem.to_string(), ProblemKind::Other)
}

/// A lost device or missing memory is known by what kernels say of it, a server that is not there by what the endpoint says.
pub fn of_text(message: String, otherwise: ProblemKind) -> Problem {
    let lost = ["device was lost", "out of memory", "device lost"].iter().any(|sign| message.to_lowercase().contains(sign));
    let kind = match message.contains(UNREACHED) {
        _ if lost => ProblemKind::Lost,
        true => ProblemKind::Network,
        false => otherwise,
    };
    Problem { kind, message }
}
