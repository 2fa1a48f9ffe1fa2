//! How fast this machine is: a short measurement of it, and what finished work has measured of a model.

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use data::{BoxFuture, ChatError, ChatModel, ChatReply, ChatRequest, Message, OnToken};
use kernels::attention::{self, Batch, KvCache, KvDType, KvShape, PAGE_TOKENS, Span};
use kernels::matmul::{self, Output};
use kernels::{Bytes, DType, Device, Tensor, Weight};
use model::ChatEngine;
use serde::Deserialize;
use serde_json::json;

use crate::fetch::cache_home;

/// Rows and width of the matrix product that is measured, as a prompt is read in steps of 512.
const ROWS: usize = 512;
const WIDTH: usize = 2048;
/// Tokens of the attention that is measured.
const CONTEXT: usize = 1024;
/// Matrices that are met one after the other with one row, as in writing a token: 71 MB in Q8_0, more than most caches hold.
const MATRICES: usize = 16;
/// Records that are kept; the oldest go first.
const KEPT: usize = 200;

/// What the machine does in a second.
#[derive(Clone, Debug)]
pub struct Speeds {
    /// FLOP of matrix products of many rows, by the weights' format.
    pub matmul: Vec<(DType, f64)>,
    /// FLOP of attention over a prompt.
    pub attention: f64,
    /// Bytes of weights met with one row. Unlike a plain copy's rate it feels what two busy threads lose by waiting for each other.
    pub stream: f64,
}

impl Speeds {
    /// Measures for about a second on a CPU: matrix products of `dtypes`, attention, products of one row.
    pub fn measure(device: &Device, dtypes: &[DType]) -> Result<Self> {
        let noise = |shape: &[usize]| -> Result<Tensor> {
            let values: Vec<f32> = (0..shape.iter().product::<usize>()).map(|i| (i * 7919 % 997) as f32 / 997.0 - 0.5).collect();
            Ok(device.f32_tensor(shape, &values)?)
        };
        let mut rates = Vec::new();
        let (x, mut y) = (noise(&[ROWS, WIDTH])?, device.zeros(&[ROWS, WIDTH], DType::F32)?);
        for &dtype in dtypes {
            if rates.iter().any(|(measured, _)| *measured == dtype) || dtype.row_bytes(WIDTH).is_none() {
                continue;
            }
            let bytes: Bytes = model::random::weight_bytes(dtype, WIDTH * WIDTH, 7).into();
            let w = Weight::new(device, WIDTH, WIDTH, dtype, 1, bytes)?;
            let seconds = seconds(device, || Ok(matmul::forward(device, &x, &w, None, &mut y, ROWS, Output::Store)?))?;
            rates.push((dtype, (2 * ROWS * WIDTH * WIDTH) as f64 / seconds));
        }
        let (heads, kv_heads, head_dim) = (16, 4, 128);
        let pages = CONTEXT.div_ceil(PAGE_TOKENS);
        let mut cache = KvCache::new(device, KvShape { layers: 1, kv_heads, head_dim, pages, dtype: KvDType::F16 })?;
        let batch = Batch::new(device, vec![Span { row: 0, rows: CONTEXT, past: 0, pages: (0..pages as u32).collect() }], pages)?;
        let (q, kv) = (noise(&[CONTEXT, heads * head_dim])?, noise(&[CONTEXT, kv_heads * head_dim])?);
        attention::append(device, &kv, &kv, &mut cache, 0, &batch)?;
        let mut out = device.zeros(&[CONTEXT, heads * head_dim], DType::F32)?;
        let took = seconds(device, || Ok(attention::forward(device, &q, &cache, 0, &batch, 0.1, &mut out)?))?;
        // Each query meets the keys at or before it: q·k and p·v, two FLOP each.
        let attention = 2.0 * (CONTEXT * CONTEXT * heads * head_dim) as f64 / took;
        let bytes = model::random::weight_bytes(DType::Q8_0, WIDTH * WIDTH, 7);
        let weight = || Weight::new(device, WIDTH, WIDTH, DType::Q8_0, 1, bytes.clone().into());
        let matrices = (0..MATRICES).map(|_| weight()).collect::<kernels::Result<Vec<_>>>()?;
        let took =
            seconds(device, || matrices.iter().try_for_each(|w| Ok(matmul::forward(device, &x, w, None, &mut y, 1, Output::Store)?)))?;
        Ok(Self { matmul: rates, attention, stream: (MATRICES * bytes.len()) as f64 / took })
    }

    /// FLOP a second with weights in `dtype`; the slowest that was measured where that format was not.
    pub fn matmul(&self, dtype: DType) -> f64 {
        let slowest = self.matmul.iter().map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min);
        self.matmul.iter().find(|(measured, _)| *measured == dtype).map_or(slowest, |(_, rate)| *rate)
    }
}

/// The median of up to five runs, or of what a quarter of a second allows.
fn seconds(device: &Device, mut op: impl FnMut() -> Result<()>) -> Result<f64> {
    let probe = device.zeros(&[1], DType::U32)?;
    // A read-back waits for everything recorded before it.
    let mut run = || -> Result<f64> {
        let started = Instant::now();
        op()?;
        pollster::block_on(device.read_u32(&probe, 1))?;
        Ok(started.elapsed().as_secs_f64().max(1e-9))
    };
    run()?;
    let mut times = vec![run()?];
    while times.len() < 5 && times.iter().sum::<f64>() < 0.25 {
        times.push(run()?);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// What was measured of a model on a device.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// An entry's short name, or a checkpoint's full path.
    pub model: String,
    /// Bytes of its weights: the same model comes in several formats.
    pub bytes: u64,
    /// As the device describes itself.
    pub device: String,
    /// Prompt tokens of a call, on average.
    pub prompt: f64,
    /// Prompt tokens a second.
    pub prefill: f64,
    /// Tokens before the ones that were generated, on average.
    pub context: f64,
    /// Generated tokens a second.
    pub decode: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Records {
    version: u32,
    models: Vec<Record>,
}

impl Record {
    fn is_sound(&self) -> bool {
        [self.prompt, self.prefill, self.context, self.decode].iter().all(|value| value.is_finite() && *value > 0.0)
    }

    /// Whether it is of this model: the name, and the weights' bytes within 3 % (a file has a few more than its tensors).
    pub fn is_of(&self, model: &str, bytes: u64, device: &str) -> bool {
        self.model == model && self.device == device && (self.bytes as f64 / bytes as f64 - 1.0).abs() <= 0.03
    }
}

fn file() -> Result<PathBuf> {
    Ok(cache_home()?.join("longhand").join("speeds.json"))
}

/// The records that are kept; none where there is no file. A file that cannot be understood is said, and not used.
pub fn kept() -> Vec<Record> {
    let Ok(path) = file() else { return vec![] };
    let Ok(bytes) = std::fs::read(&path) else { return vec![] };
    match parse(&bytes) {
        Ok(records) => records,
        Err(error) => {
            eprintln!("{}: {error:#}; what was measured before is not used", path.display());
            vec![]
        }
    }
}

fn parse(bytes: &[u8]) -> Result<Vec<Record>> {
    let records: Records = serde_json::from_slice(bytes)?;
    anyhow::ensure!(records.version == 1, "its version is {}; this program writes 1", records.version);
    Ok(records.models.into_iter().filter(Record::is_sound).collect())
}

/// Keeps `record`, in place of an older one of the same model and device. Work is not lost over it: failing is only said.
pub fn keep(record: Record) {
    if !record.is_sound() {
        return;
    }
    if let Err(error) = write(record) {
        eprintln!("the measured speed is not kept: {error:#}");
    }
}

fn write(record: Record) -> Result<()> {
    let mut records = kept();
    records.retain(|old| !old.is_of(&record.model, record.bytes, &record.device));
    records.push(record);
    let late = records.len().saturating_sub(KEPT);
    let models: Vec<_> = records[late..]
        .iter()
        .map(|r| json!({"model": r.model, "bytes": r.bytes, "device": r.device, "prompt": r.prompt, "prefill": r.prefill, "context": r.context, "decode": r.decode}))
        .collect();
    let path = file()?;
    let folder = path.parent().context("no folder")?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // Written beside it and moved, so that no reader sees half a file.
    let fresh = folder.join(format!(".speeds-{}.json", std::process::id()));
    std::fs::write(&fresh, json!({"version": 1, "models": models}).to_string())
        .with_context(|| format!("cannot write {}", fresh.display()))?;
    std::fs::rename(&fresh, &path).with_context(|| format!("cannot write {}", path.display()))
}

/// A local model whose calls are timed: the prompt until the first text comes, the reply from there.
pub struct Timed {
    /// The model.
    pub engine: ChatEngine,
    /// Who it is in the records, bytes, and the device.
    pub identity: (String, u64, String),
    spent: Mutex<Spent>,
    /// Calls under way, and calls that ever began: calls that share the engine's steps say nothing of one alone.
    under_way: AtomicUsize,
    begun: AtomicUsize,
}

#[derive(Clone, Copy, Default)]
struct Spent {
    calls: f64,
    prompt: f64,
    prompt_seconds: f64,
    /// Without each call's first token, which the prompt's time holds.
    reply: f64,
    reply_seconds: f64,
    /// Tokens before a generated one, over all of them.
    context: f64,
}

impl Timed {
    /// Times `engine`.
    pub fn new(engine: ChatEngine, identity: (String, u64, String)) -> Self {
        Self { engine, identity, spent: Mutex::default(), under_way: AtomicUsize::new(0), begun: AtomicUsize::new(0) }
    }

    /// What its calls have shown; `None` before a call with a reply of several tokens has ended.
    pub fn record(&self) -> Option<Record> {
        let spent = *self.spent.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (model, bytes, device) = self.identity.clone();
        let record = Record {
            model,
            bytes,
            device,
            prompt: spent.prompt / spent.calls,
            prefill: spent.prompt / spent.prompt_seconds,
            context: spent.context / spent.reply,
            decode: spent.reply / spent.reply_seconds,
        };
        record.is_sound().then_some(record)
    }

    async fn timed(&self, request: &ChatRequest, on_text: OnToken<'_>) -> Result<ChatReply, ChatError> {
        let started = Instant::now();
        let others = self.under_way.fetch_add(1, Ordering::SeqCst);
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        let mut first = None;
        let mut heard = |text: &str| {
            if !text.is_empty() {
                first.get_or_insert_with(Instant::now);
            }
            on_text(text);
        };
        let reply = self.engine.chat(request, &mut heard).await;
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        let reply = reply?;
        let alone = others == 0 && self.begun.load(Ordering::SeqCst) == number + 1;
        let (ended, tokens) = (Instant::now(), reply.usage.completion_tokens as f64);
        if let Some(first) = first.filter(|_| tokens > 1.0 && alone) {
            let mut spent = self.spent.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            spent.calls += 1.0;
            spent.prompt += reply.usage.prompt_tokens as f64;
            spent.prompt_seconds += (first - started).as_secs_f64();
            spent.reply += tokens - 1.0;
            spent.reply_seconds += (ended - first).as_secs_f64();
            spent.context += (tokens - 1.0) * (reply.usage.prompt_tokens as f64 + tokens / 2.0);
        }
        Ok(reply)
    }
}

impl ChatModel for Timed {
    fn name(&self) -> String {
        self.engine.name()
    }

    fn window(&self) -> usize {
        self.engine.window()
    }

    fn continues(&self) -> bool {
        self.engine.continues()
    }

    fn count_prompt(&self, messages: &[Message]) -> Result<usize, ChatError> {
        self.engine.count_prompt(messages)
    }

    fn chat<'a>(&'a self, request: &'a ChatRequest, on_text: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>> {
        Box::pin(self.timed(request, on_text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_sees_every_rate() {
        let device = Device::cpu(kernels::Precision::Fast);
        let speeds = Speeds::measure(&device, &[DType::Q8_0, DType::Q8_0, DType::BF16]).unwrap();
        assert_eq!(speeds.matmul.len(), 2);
        // Between a slow laptop's and a large server's.
        for rate in [speeds.matmul(DType::Q8_0), speeds.matmul(DType::BF16), speeds.attention] {
            assert!((1e8..1e14).contains(&rate), "{rate}");
        }
        assert!((1e8..1e13).contains(&speeds.stream), "{}", speeds.stream);
        let slowest = speeds.matmul.iter().map(|(_, rate)| *rate).fold(f64::INFINITY, f64::min);
        assert_eq!(speeds.matmul(DType::Q4_0), slowest);
    }

    #[test]
    fn records_are_read_or_refused() {
        let one = r#"{"model":"m","bytes":100,"device":"cpu","prompt":10,"prefill":1.5,"context":10,"decode":2}"#;
        let list = |models: &str, version: u32| format!(r#"{{"version":{version},"models":[{models}]}}"#);
        let record = &parse(list(one, 1).as_bytes()).unwrap()[0];
        assert!(record.is_of("m", 103, "cpu") && !record.is_of("m", 110, "cpu") && !record.is_of("m", 100, "gpu"));
        // A rate of nothing would make an estimate without end.
        assert!(parse(list(&one.replace("1.5", "0"), 1).as_bytes()).unwrap().is_empty());
        for broken in [list(one, 2), list(&one.replace("prefill", "fill"), 1), "[]".into(), "{".into()] {
            assert!(parse(broken.as_bytes()).is_err(), "{broken}");
        }
    }
}
