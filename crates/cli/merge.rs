//! `longhand merge`: several fine-tunes of one base made one model.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use kernels::DType;
use serde_json::{Value, json};
use train::export::{Card, card};
use train::finetune;
use train::merge::{self, File, Merge, Method, Source};

use crate::given::Given;
use crate::{load, progress};

/// Merges fine-tunes of one base, tensor by tensor, into a new Hugging Face folder with the base's configuration, tokenizer and number format.
///
/// A model is a folder with config.json and safetensors, a training run, a hub id, MODEL+ADAPTER with an adapter's folder (PEFT's, or a run's
/// `adapter`), or that folder alone, which names its base. Memory stays small however large the models are.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand merge --method sce --base Qwen/Qwen3-4B --models expert-1 expert-2 --select-topk 0.5 --out merged\n  longhand merge --method ties --base A --models A+lora-1 A+lora-2 --weights 1 0.5 --density 0.4 --out merged\n\nsce     elements that differ most between the models; weights from how far each model moved (arXiv 2408.07990)\nties    each model's largest changes; signs by majority (arXiv 2306.01708)\nlinear  the models' weighted mean, the base not among them (arXiv 2203.05482)"
)]
pub struct MergeArgs {
    /// How.
    #[arg(long, value_enum, value_name = "METHOD")]
    method: Kind,
    /// What the models were trained from.
    #[arg(long, value_name = "MODEL")]
    base: String,
    /// What to merge, one or more.
    #[arg(long, value_name = "MODEL", num_args = 1.., required = true)]
    models: Vec<String>,
    /// ties, linear: a weight for each model, in their order; 1 unless told otherwise.
    #[arg(long, value_name = "W", num_args = 1.., value_delimiter = ',', allow_negative_numbers = true)]
    weights: Vec<f64>,
    /// sce: the share of a tensor's elements that is merged, of those in which the models differ; all (1) unless told otherwise.
    #[arg(long, value_name = "SHARE")]
    select_topk: Option<f64>,
    /// ties: the share of a model's changes that is kept, one for all or one for each; all (1) unless told otherwise.
    #[arg(long, value_name = "SHARE", num_args = 1.., value_delimiter = ',')]
    density: Vec<f64>,
    /// ties, linear: do not divide by the weights' sum.
    #[arg(long)]
    no_normalize: bool,
    /// A new or empty folder. README.md in it is the model card.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Number format; that of each tensor in the base unless told otherwise.
    #[arg(long, value_enum, value_name = "DTYPE")]
    dtype: Option<Format>,
    /// What the model is called; the last word of --out unless told otherwise.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// The base's licence, for the model card: apache-2.0.
    #[arg(long, value_name = "ID")]
    licence: Option<String>,
    /// A line of JSON for each event: `progress`, then `done` with every file and its hash.
    #[arg(long)]
    json: bool,
}

/// `--method`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Sce,
    Ties,
    Linear,
}

/// `--dtype`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Bf16,
    F16,
    F32,
}

/// Runs the verb.
pub fn run(args: &MergeArgs) -> Result<()> {
    let begun = Instant::now();
    let (method, weights) = method(args)?;
    method.check(args.models.len(), &weights)?;
    merge::vacant(&args.out)?;
    let base = Given::parse(&args.base).context("--base")?;
    let models = args.models.iter().map(|model| Given::parse(model).context("--models")).collect::<Result<Vec<_>>>()?;
    let all: Vec<&Given> = std::iter::once(&base).chain(&models).collect();
    let mut sources = all
        .iter()
        .map(|given| Ok(Source { name: given.name.clone(), weights: given.weights()?, files: vec![] }))
        .collect::<Result<Vec<_>>>()?;
    // Before minutes of hashing: whether they can be merged at all.
    let (first, others) = sources.split_first().context("no models")?;
    merge::check(first, others)?;
    let hashed = hashed(&all, args.json)?;
    sources.iter_mut().zip(hashed).for_each(|(source, files)| source.files = files);

    let name = args.name.clone().unwrap_or_else(|| load::display_name(&args.out.display().to_string()));
    let licence = args.licence.clone().map_or_else(|| base.licence(), |licence| Ok(Some(licence)))?;
    let card = Card { base: base.shown()?, licence, ..Card::default() };
    let dtype = args.dtype.map(|format| match format {
        Format::Bf16 => DType::BF16,
        Format::F16 => DType::F16,
        Format::F32 => DType::F32,
    });
    let base = sources.remove(0);
    let job = Merge { base, models: sources, method, weights, dtype, out: &args.out, name: &name, card };
    let mut steps = Steps::new("merging", 0, args.json);
    let written = merge::merge(&job, |done, total| steps.at(done, total)).context("cannot merge")?;
    steps.end();

    let files = written.files.iter().map(|file| merge::hash(file, |_| {})).collect::<Result<Vec<_>, _>>()?;
    let tensors: usize = written.formats.iter().map(|(_, count)| count).sum();
    if args.json {
        let done = json!({
            "event": "done", "method": job.method.name(), "out": args.out.display().to_string(), "tensors": tensors, "bytes": written.bytes,
            "seconds": begun.elapsed().as_secs_f64(), "peak_memory": finetune::peak_memory(), "base": told(&job.base),
            "models": job.models.iter().map(told).collect::<Vec<_>>(), "files": listed(&files), "notes": written.notes,
        });
        println!("{done}");
        return Ok(());
    }
    files.iter().for_each(|file| println!("{}", file.path.display()));
    let formats: Vec<String> = written.formats.iter().map(|(dtype, count)| format!("{count} {}", dtype.name())).collect();
    let (seconds, memory) = (begun.elapsed().as_secs_f64(), finetune::peak_memory());
    eprintln!("{} of weights: {} tensors, merged in {seconds:.1} s", card::size(written.bytes), formats.join(", "));
    if memory > 0 {
        eprintln!("memory at most {}", card::size(memory));
    }
    written.notes.iter().for_each(|note| eprintln!("note: {note}"));
    Ok(())
}

/// What was asked for; an option of another method is refused.
fn method(args: &MergeArgs) -> Result<(Method, Vec<f64>)> {
    let kind = args.method;
    ensure!(kind == Kind::Sce || args.select_topk.is_none(), "--select-topk is for --method sce; ties takes --density");
    ensure!(kind == Kind::Ties || args.density.is_empty(), "--density is for --method ties; sce takes --select-topk");
    ensure!(kind != Kind::Sce || args.weights.is_empty(), "--weights is for ties and linear: sce finds a weight for each model and tensor");
    ensure!(kind != Kind::Sce || !args.no_normalize, "--no-normalize is for ties and linear");
    let models = args.models.len();
    let weights = if args.weights.is_empty() { vec![1.0; models] } else { args.weights.clone() };
    let normalize = !args.no_normalize;
    let method = match kind {
        Kind::Sce => Method::Sce { select_topk: args.select_topk.unwrap_or(1.0) },
        Kind::Linear => Method::Linear { normalize },
        Kind::Ties => {
            let density = match args.density.as_slice() {
                [] => vec![1.0; models],
                [one] => vec![*one; models],
                each => each.to_vec(),
            };
            Method::Ties { density, normalize }
        }
    };
    Ok((method, weights))
}

/// The files of each model, hashed; one that several share is read once.
fn hashed(all: &[&Given], json: bool) -> Result<Vec<Vec<File>>> {
    let mut paths: Vec<PathBuf> = all.iter().flat_map(|given| given.files()).collect();
    paths.sort();
    paths.dedup();
    let total: u64 = paths.iter().filter_map(|path| std::fs::metadata(path).ok()).map(|meta| meta.len()).sum();
    let (mut steps, mut done) = (Steps::new("hashing", total, json), 0);
    let mut files = vec![];
    for path in &paths {
        let file = merge::hash(path, |bytes| {
            done += bytes;
            steps.at(done, total);
        });
        files.push(file?);
    }
    steps.end();
    let of = |given: &&Given| -> Vec<File> {
        let mine = given.files();
        files.iter().filter(|file| mine.contains(&file.path)).cloned().collect()
    };
    Ok(all.iter().map(of).collect())
}

fn told(source: &Source) -> Value {
    json!({"name": source.name, "files": listed(&source.files)})
}

fn listed(files: &[File]) -> Value {
    files.iter().map(|file| json!({"path": file.path.display().to_string(), "bytes": file.bytes, "sha256": file.sha256})).collect()
}

/// A bar, or a line of JSON each second.
struct Steps {
    what: &'static str,
    bar: Option<indicatif::ProgressBar>,
    said: Instant,
}

impl Steps {
    fn new(what: &'static str, total: u64, json: bool) -> Self {
        Self { what, bar: (!json).then(|| progress::bytes(total, what)), said: Instant::now() }
    }

    fn at(&mut self, done: u64, total: u64) {
        match &self.bar {
            Some(bar) => {
                bar.set_length(total);
                bar.set_position(done);
            }
            None if done == total || self.said.elapsed() >= Duration::from_secs(1) => {
                self.said = Instant::now();
                println!("{}", json!({"event": "progress", "what": self.what, "bytes": done, "of": total}));
            }
            None => {}
        }
    }

    fn end(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
