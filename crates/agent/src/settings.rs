//! How a read is set up, and the defaults that follow from a window.

use data::Sampling;
use serde::Deserialize;

/// Whether the document is read whole or through memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// One pass if everything fits the window, memory otherwise.
    Auto,
    /// One pass or an error.
    Single,
    /// Memory even if it would fit.
    Memory,
    /// A baseline: beginning and end of the documents, as much as the window holds, in one pass.
    Truncate,
    /// A baseline: the passages that BM25 finds for the question, as many as the window holds, in one pass.
    Retrieve,
    /// A baseline: MemAgent's prompt (arXiv 2507.02259): the whole reply is the memory, and there is no plan.
    MemAgent,
    /// Each section's notes apart, and an outline put together from them; no question.
    Outline,
}

/// Sizes in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
pub struct ReadSettings {
    /// Prompt and reply of one call.
    pub window: usize,
    /// Section per turn.
    pub chunk: usize,
    /// Budget of the memory.
    pub memory: usize,
    /// Budget of the plan.
    pub plan: usize,
    /// Room for thinking before each reply; 0 for models that do not think.
    pub thinking: usize,
    /// Budget of the answer.
    pub answer: usize,
    /// Whole or through memory.
    pub mode: Mode,
    /// Ask for one verbatim quote a note, and drop notes whose quote does not stand there ([`Mode::Memory`]). With `short` no quote is asked
    /// for: a new note is dropped whose names and numbers no sentence of the section has, or that shares no name with question or notes.
    pub quotes: bool,
    /// Give a model that does not think the first words of each update. The smallest models copy the form alone after them.
    pub begin: bool,
    /// Prompts of a few words, for small models that were trained on them: the reply to an update is the memory, and there is no plan.
    pub short: bool,
    /// How tokens are chosen.
    pub sampling: Sampling,
}

impl ReadSettings {
    /// The paper's 32K chunks and 15K memory (§2.6) where they fit; else 25 % and 12 % of the window.
    pub fn for_window(window: usize, thinks: bool) -> Self {
        Self {
            window,
            chunk: (window / 4).min(32 * 1024),
            memory: (window * 12 / 100).min(15 * 1024),
            plan: (window * 3 / 100).clamp(32, 1024),
            thinking: if thinks { (window / 4).min(16 * 1024) } else { 0 },
            answer: (window * 12 / 100).min(4096),
            mode: Mode::Auto,
            quotes: false,
            begin: true,
            short: false,
            sampling: Sampling::PAPER,
        }
    }
}
