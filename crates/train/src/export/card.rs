//! The model card: a README.md beside the weights that says what they are, where they come from and how to run them.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use model::gguf::Gguf;
use model::source::Origin;
use model::{Checkpoint, Role};

use super::{Export, ExportError, Format, Result, Written, gguf, whole};
use crate::adapter::fingerprint;

/// The card's file name.
pub const NAME: &str = "README.md";

/// What a card says that cannot be seen from the weights.
#[derive(Clone, Debug, Default)]
pub struct Card {
    /// The base, as a person would look it up: a hub id, or a name.
    pub base: String,
    /// Its licence, as Hugging Face names it (`apache-2.0`); `None`: what the base's own files say, if they do.
    pub licence: Option<String>,
    /// The models it was merged from, its base not among them; empty if it was not merged.
    pub merged: Vec<String>,
    /// How it was trained or merged: a line for each fact (stage, data, steps, date). Empty: not at all, only converted.
    pub training: Vec<String>,
}

/// Writes the card. A README.md that is not the card of these very weights stays: the card is then named after them.
pub(super) fn write(job: &Export, written: &Written) -> Result<PathBuf> {
    let weights = written.files.first().map(PathBuf::as_path).unwrap_or(job.out);
    let folder = weights.parent().unwrap_or(Path::new(""));
    let mut path = folder.join(NAME);
    let mark = mark(weights);
    if fs::read(&path).is_ok_and(|bytes| !bytes.windows(mark.len()).any(|window| window == mark.as_bytes())) {
        let stem = weights.file_stem().unwrap_or_default().to_string_lossy();
        path = folder.join(format!("{stem}.{NAME}"));
    }
    let text = text(job, written, weights)?;
    whole(&path, |out| out.write_all(text.as_bytes())).map_err(|source| ExportError::io(&path, source))?;
    Ok(path)
}

fn text(job: &Export, written: &Written, weights: &Path) -> Result<String> {
    let base = job.weights.base();
    let config = base.config();
    let (library, kind) = match job.to {
        Format::Safetensors => ("transformers", job.dtype.name()),
        Format::Gguf => ("gguf", gguf::label(job.dtype)),
    };
    let is_trained = !job.card.training.is_empty() || job.weights.is_changed();
    let mut card = String::new();
    let mut line = |text: std::fmt::Arguments| {
        let _ = writeln!(card, "{text}"); // a String takes anything
    };
    line(format_args!("---"));
    let licence = job.card.licence.clone().or_else(|| base_licence(base));
    if let Some(licence) = &licence {
        line(format_args!("license: {}", quoted(licence)));
    }
    let is_merged = !job.card.merged.is_empty();
    if is_merged {
        line(format_args!("base_model:"));
        std::iter::once(&job.card.base).chain(&job.card.merged).for_each(|model| line(format_args!("- {}", quoted(model))));
        line(format_args!("base_model_relation: merge"));
    } else if !job.card.base.is_empty() {
        line(format_args!("base_model: {}", quoted(&job.card.base)));
        line(format_args!("base_model_relation: {}", if is_trained { "finetune" } else { "quantized" }));
    }
    let tags = if is_merged { "- longhand\n- merge" } else { "- longhand" };
    line(format_args!("library_name: {library}\npipeline_tag: text-generation\ntags:\n{tags}\n---\n{}\n", mark(weights)));
    line(format_args!("# {}\n", plain(job.name)));
    let experts = config.moe.as_ref().map_or(String::new(), |moe| format!(", {} experts, {} for each token", moe.experts, moe.top_k));
    line(format_args!(
        "{} ({} layers, hidden size {}, {:.3} billion parameters{experts}), {kind}.\n",
        config.architecture.hf_name(),
        config.layers,
        config.hidden,
        config.parameters() as f64 / 1e9
    ));
    line(format_args!("## Where it comes from\n"));
    let format = if matches!(base.origin(), Origin::Gguf(_)) { "a GGUF file" } else { "a Hugging Face folder" };
    let stored = base.stored(Role::Q, 0).map_or("", |(dtype, _)| dtype.name());
    line(format_args!("- Base: {}, {format} (projections of layer 0 as {stored})", or_unknown(&job.card.base)));
    line(format_args!("- Fingerprint of the base (its sizes, norms and biases): `{}`", fingerprint(base)?));
    if let Some(adapter) = job.weights.adapter() {
        let modules: Vec<&str> = adapter.modules().into_iter().collect();
        line(format_args!("- Merged in: a LoRA adapter, rank {}, α {}, on {}", adapter.rank, adapter.alpha, modules.join(", ")));
    }
    job.card.training.iter().for_each(|fact| line(format_args!("- {}", plain(fact))));
    if !is_trained {
        line(format_args!("- Only converted: the weights are the base's, rounded to the format"));
    }
    let licence = licence.as_deref().unwrap_or("that of the base, which its own card names");
    line(format_args!("- Licence: {}\n", plain(licence)));
    line(format_args!("## What it is stored as\n\n| format | tensors |\n| --- | ---: |"));
    written.formats.iter().for_each(|(dtype, count)| line(format_args!("| {} | {count} |", dtype.name())));
    line(format_args!("\n{} of weights.", size(written.bytes)));
    if job.dtype.block_len() > 1 {
        line(format_args!("Quantised weights are an approximation: answers differ from the unquantised model's."));
    }
    if !written.notes.is_empty() {
        line(format_args!(""));
    }
    written.notes.iter().for_each(|note| line(format_args!("- {}", plain(note))));
    let file = weights.file_name().unwrap_or_default().to_string_lossy();
    line(format_args!("\n## Running it\n"));
    match job.to {
        Format::Gguf => line(format_args!("    longhand chat --model {file}\n    llama-cli -m {file}")),
        Format::Safetensors => line(format_args!(
            "    longhand chat --model .\n\nor, in Python, `AutoModelForCausalLM.from_pretrained(\".\")` of Transformers, in this folder."
        )),
    }
    Ok(card)
}

/// By which the card of a file is known again, and may be replaced.
fn mark(weights: &Path) -> String {
    let file = weights.file_name().unwrap_or_default().to_string_lossy();
    format!("<!-- written by longhand export for {} -->", plain(&file))
}

/// The licence that a base's files name: `general.license` of a GGUF file, or the first lines of a folder's card.
fn base_licence(base: &Checkpoint) -> Option<String> {
    match base.origin() {
        Origin::Gguf(file) => Gguf::text_of(base.name(), file, "general.license").ok()?,
        Origin::HuggingFace { .. } => {
            let card = fs::read_to_string(Path::new(base.name()).join(NAME)).ok()?;
            let head = card.strip_prefix("---\n")?.split("\n---").next()?;
            let value = head.lines().find_map(|line| line.strip_prefix("license:"))?.trim().trim_matches(['"', '\'']);
            (!value.is_empty()).then(|| value.to_owned())
        }
    }
}

fn or_unknown(base: &str) -> String {
    if base.is_empty() { "not named".into() } else { plain(base) }
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    if bytes < 100_000_000 { format!("{:.1} MB", bytes as f64 / 1e6) } else { format!("{:.2} GB", bytes as f64 / 1e9) }
}

/// On one line, and no markup of its own.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect::<String>().replace('<', "&lt;")
}

/// A YAML string: JSON's are YAML's too.
fn quoted(text: &str) -> String {
    serde_json::Value::String(text.into()).to_string()
}
