//! The published models that a tab can hold: `configs/models.toml`, by size.

use super::figures;

/// A model of one file at the hub.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listed {
    /// `OWNER/NAME`.
    pub hub: &'static str,
    /// Its file there.
    pub file: &'static str,
    /// Of its weights.
    pub licence: &'static str,
    /// To download.
    pub bytes: f64,
}

/// All of the list, biggest first.
const LIST: &[Listed] = include!(concat!(env!("OUT_DIR"), "/listed.rs"));

/// Weights that a GPU holds for a tab. The module's memory bounds nothing here: a file is read in ranges, and what was read goes to the GPU. A browser does
/// not tell how much memory a GPU has, so this is what leaves room, on one of 8 GB, for the cache of a window (1.2 GB for Qwen3-4B and Qwen3-8B alike), for
/// what computes, and for everything else that the screen shows.
const WITH_GPU: f64 = 4.0 * 1024.0 * 1024.0 * 1024.0;
/// And those that the processor computes with, which lie in the module's memory, each once. That could hold some 3 GB; but what is larger than this would
/// take hours to read a document.
const WITHOUT: f64 = 700e6;

impl Listed {
    /// Where its file lies.
    pub fn url(&self) -> String {
        format!("https://huggingface.co/{}/resolve/main/{}", self.hub, self.file)
    }

    /// `Qwen3-0.6B-Q8_0`.
    pub fn name(&self) -> &'static str {
        self.file.strip_suffix(".gguf").unwrap_or(self.file)
    }
}

/// Those that fit, biggest first.
pub fn fitting(gpu: bool) -> Vec<Listed> {
    let most = if gpu { WITH_GPU } else { WITHOUT };
    LIST.iter().copied().filter(|model| model.bytes <= most).collect()
}

/// Why the others are not offered.
pub fn others(gpu: bool) -> Option<String> {
    let fit = fitting(gpu);
    let smallest = LIST.iter().filter(|model| !fit.contains(model)).map(|model| model.bytes).reduce(f64::min)?;
    let why = match gpu {
        true => "a GPU of 8 GB has no room for more than 4 GiB of weights with all else that it holds",
        false => "without WebGPU the processor computes, and models of more than 700 MB would be too slow on it",
    };
    Some(format!("Larger models, from {} on, are not offered here: {why}. The longhand program reads with them.", figures::bytes(smallest)))
}
