//! `longhand export MODEL --to …`: a model, an adapter merged in where one is given, for others to run.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use kernels::DType;
use train::export::{Card, Export, Format, Written, card, export};
use train::finetune::Trained;

use crate::given::Given;
use crate::{load, progress};

/// What becomes of a model.
#[derive(clap::Args)]
pub struct ExportModelArgs {
    /// Write a model, as this.
    #[arg(long, value_enum, value_name = "FORMAT", requires = "out", conflicts_with_all = ["html", "md", "json"], help_heading = "A model")]
    pub to: Option<To>,
    /// Format of the matrices; q8_0 and q4_k (llama.cpp's Q4_K_M) for GGUF only.
    #[arg(long = "type", value_enum, value_name = "TYPE", default_value = "bf16", requires = "to", help_heading = "A model")]
    kind: Kind,
    /// A LoRA adapter to merge in: a folder with adapter_config.json and adapter_model.safetensors.
    #[arg(long, value_name = "DIR", requires = "to", help_heading = "A model")]
    adapter: Option<PathBuf>,
    /// Of a training run: its newest checkpoint instead of the one with the lowest validation loss.
    #[arg(long, requires = "to", help_heading = "A model")]
    last: bool,
    /// Where to: a new folder, or a .gguf file that is not there yet. README.md beside the weights is the model card.
    #[arg(long, value_name = "PATH", requires = "to", help_heading = "A model")]
    out: Option<PathBuf>,
    /// What the model is called; the last word of --out unless told otherwise.
    #[arg(long, value_name = "NAME", requires = "to", help_heading = "A model")]
    name: Option<String>,
    /// The base's licence, for the model card: apache-2.0.
    #[arg(long, value_name = "ID", requires = "to", help_heading = "A model")]
    licence: Option<String>,
}

/// `--to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum To {
    /// A Hugging Face folder.
    Safetensors,
    /// One file for Longhand, llama.cpp and what is built on it.
    Gguf,
}

/// `--type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    Bf16,
    F16,
    F32,
    #[value(name = "q8_0")]
    Q8_0,
    #[value(name = "q4_k")]
    Q4K,
}

/// Runs the verb on a model.
pub fn run(model: &Path, args: &ExportModelArgs) -> Result<()> {
    let written = make(model, args)?;
    written.files.iter().for_each(|file| println!("{}", file.display()));
    Ok(())
}

/// Exports a model; what was written is told to people alone.
fn make(model: &Path, args: &ExportModelArgs) -> Result<Written> {
    let (Some(to), Some(out)) = (args.to, args.out.as_deref()) else { anyhow::bail!("--to and --out belong together") };
    let model = model.to_str().context("the model's name is not UTF-8")?;
    let is_read = Path::new(model).join("events.jsonl").exists() && !Trained::is_run(Path::new(model));
    ensure!(!is_read, "{model} is a kept read, not a model: --html, --md and --json export it");
    let given = Given::open(model, args.adapter.as_deref(), args.last)?;
    let weights = given.weights()?;
    if let Some(trained) = &given.trained {
        let loss = trained.validation.map_or(String::new(), |loss| format!(", validation loss {loss:.4}"));
        eprintln!("step {}{loss}", trained.step);
    }
    let format = match to {
        To::Safetensors => Format::Safetensors,
        To::Gguf => Format::Gguf,
    };
    let dtype = match args.kind {
        Kind::Bf16 => DType::BF16,
        Kind::F16 => DType::F16,
        Kind::F32 => DType::F32,
        Kind::Q8_0 => DType::Q8_0,
        Kind::Q4K => DType::Q4_K,
    };
    let name = args.name.clone().unwrap_or_else(|| load::display_name(&out.display().to_string()));
    let licence = args.licence.clone().map_or_else(|| given.licence(), |licence| Ok(Some(licence)))?;
    let training = given.trained.as_ref().map(Trained::told).unwrap_or_default();
    let card = Card { base: given.shown()?, licence, training, ..Card::default() };
    let bar = progress::bytes(0, "writing");
    let written = export(&Export { weights, to: format, dtype, out, name: &name, card }, |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    })
    .with_context(|| format!("cannot export {model}"))?;
    bar.finish_and_clear();
    let formats: Vec<String> = written.formats.iter().map(|(dtype, count)| format!("{count} {}", dtype.name())).collect();
    eprintln!("{} of weights: {} tensors", card::size(written.bytes), formats.join(", "));
    written.notes.iter().for_each(|note| eprintln!("note: {note}"));
    Ok(written)
}

/// The newest checkpoint of a run as a folder of f32 weights.
pub fn folder_of(run: &Path, out: &Path) -> Result<()> {
    let (to, kind, out) = (Some(To::Safetensors), Kind::F32, Some(out.to_path_buf()));
    make(run, &ExportModelArgs { to, kind, adapter: None, last: true, out, name: None, licence: None }).map(drop)
}
