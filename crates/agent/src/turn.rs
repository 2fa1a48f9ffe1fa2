//! One turn of a read with memory, without the call: what the model is asked, and what its reply means (§3.1).

use data::MemoryOutcome;
use tokenizer::{Tokenizer, TokenizerError};

use crate::prompts;
use crate::proven::{keep_proven, keep_stated, leading};
use crate::reply::{NextState, cut_to, read_memory, read_short, read_update, spoken};
use crate::settings::{Mode, ReadSettings};

/// What the form of an update reply takes beside memory and plan.
pub(crate) const FORM: usize = 32;

/// The prompt that leads from (memory, plan) over a section to the next.
pub(crate) fn prompt(settings: &ReadSettings, question: &str, (memory, plan): (&str, &str), section: &str) -> String {
    match settings.mode {
        Mode::MemAgent => prompts::memagent_update(question, memory, section),
        _ if settings.short => prompts::short_update(question, memory, section),
        _ => prompts::update(question, memory, plan, section, settings.quotes),
    }
}

/// The prompt that answers from the last memory.
pub(crate) fn last_prompt(settings: &ReadSettings, question: &str, memory: &str, instruction: &str) -> String {
    match settings.mode {
        Mode::MemAgent => prompts::memagent_answer(question, memory, instruction),
        _ if settings.short => prompts::short_single(question, memory, instruction),
        _ => prompts::answer(question, memory, instruction),
    }
}

/// The prompt that answers from a text that fits the window.
pub(crate) fn single(settings: &ReadSettings, question: &str, text: &str, instruction: &str) -> String {
    if settings.short { prompts::short_single(question, text, instruction) } else { prompts::single(question, text, instruction) }
}

/// What a model that continues its reply is given of it, and where nothing need follow.
pub(crate) fn frame(settings: &ReadSettings, continues: bool) -> (&'static str, Vec<String>) {
    let has_tags = settings.mode != Mode::MemAgent && !settings.short;
    // Small models lose the form otherwise, or repeat the prompt.
    let begins = has_tags && continues && settings.thinking == 0 && settings.begin;
    let ends = has_tags && settings.thinking == 0;
    (if begins { prompts::UPDATE_BEGINS } else { "" }, if ends { vec![prompts::UPDATE_ENDS.to_string()] } else { vec![] })
}

/// Tokens that the reply to an update may have.
pub fn limit(settings: &ReadSettings) -> usize {
    if settings.short { settings.memory } else { settings.memory + settings.plan + FORM + settings.thinking }
}

/// What a reply means. `reply` has the words it was begun with; `cut_off`: it reached its bound.
pub(crate) fn next(
    settings: &ReadSettings,
    question: &str,
    (memory, plan): (&str, &str),
    section: &str,
    (reply, cut_off): (&str, bool),
    tokenizer: &Tokenizer,
) -> Result<NextState, TokenizerError> {
    let said = spoken(reply, settings.thinking > 0, cut_off);
    let next = match settings.mode {
        Mode::MemAgent => read_memory(said, memory, settings.memory, tokenizer)?,
        _ if settings.short => read_short(said, memory, settings.memory, tokenizer)?,
        _ => read_update(said, (memory, plan), question, settings.memory, tokenizer)?,
    };
    let next = match (settings.quotes, settings.short) {
        (true, true) => {
            let next = keep_stated(next, question, memory, section);
            NextState { memory: cut_to(&next.memory, settings.memory, tokenizer)?, ..next }
        }
        (true, false) => keep_proven(next, memory, section),
        (false, _) => next,
    };
    Ok(NextState { plan: cut_to(&next.plan, settings.plan, tokenizer)?, ..next })
}

/// What a model looks at again whose note was refused: of short notes that must be proven, the section's sentences that lead on. A model that
/// is led astray by what stands beside a fact mostly reads the fact alone rightly. `memory` is what was kept.
pub(crate) fn again(settings: &ReadSettings, question: &str, memory: &str, section: &str, outcome: &MemoryOutcome) -> Option<String> {
    let refused = settings.quotes && settings.short && matches!(outcome, MemoryOutcome::Unproven { .. });
    refused.then(|| leading(question, memory, section)).flatten()
}

/// A question's way through sections, for who makes the calls itself (training does): ask, reply, ask.
#[derive(Clone)]
pub struct Trail {
    tokenizer: Tokenizer,
    settings: ReadSettings,
    question: String,
    instruction: String,
    memory: String,
    plan: String,
}

impl Trail {
    /// Before the first section.
    pub fn new(question: &str, settings: ReadSettings, tokenizer: &Tokenizer) -> Self {
        let (question, instruction) = prompts::split_question(question);
        Self { tokenizer: tokenizer.clone(), settings, question, instruction, memory: String::new(), plan: String::new() }
    }

    /// What is asked over a section, and how the reply begins.
    pub fn ask(&self, section: &str) -> (String, &'static str) {
        let prompt = prompt(&self.settings, &self.question, (&self.memory, &self.plan), &crate::neutralise(section));
        (prompt, frame(&self.settings, true).0)
    }

    /// Takes the reply over `section`, what it was begun with left out; `cut_off`: it reached its bound.
    pub fn take(&mut self, section: &str, reply: &str, cut_off: bool) -> Result<MemoryOutcome, TokenizerError> {
        let begun = [frame(&self.settings, true).0, reply].concat();
        let state = (&*self.memory, &*self.plan);
        let next = next(&self.settings, &self.question, state, &crate::neutralise(section), (&begun, cut_off), &self.tokenizer)?;
        (self.memory, self.plan) = (next.memory, next.plan);
        Ok(next.outcome)
    }

    /// After a note was refused: the part of `section` to ask about once more and to take the reply over, if there is one.
    pub fn again(&self, section: &str, outcome: &MemoryOutcome) -> Option<String> {
        again(&self.settings, &self.question, &self.memory, section, outcome)
    }

    /// What is asked at the end.
    pub fn conclude(&self) -> String {
        last_prompt(&self.settings, &self.question, &self.memory, &self.instruction)
    }

    /// Tokens that a turn's reply may have.
    pub fn limit(&self) -> usize {
        limit(&self.settings)
    }

    /// The notes so far.
    pub fn memory(&self) -> &str {
        &self.memory
    }
}
