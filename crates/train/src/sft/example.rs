//! A conversation as tokens with a mask: loss falls on exactly what the model itself is asked to write.

use data::{Message, Role};
use model::{Checkpoint, ModelError, TextParts};
use tokenizer::{ChatTemplate, TemplateOptions, Tokenizer, TokenizerError};

/// Tokens to learn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Example {
    /// Token ids.
    pub ids: Vec<u32>,
    /// Of the same length: whether the model is to predict this token from those before it. Never the first.
    pub loss_mask: Vec<bool>,
}

impl Example {
    /// How many tokens count.
    pub fn loss_tokens(&self) -> usize {
        self.loss_mask.iter().filter(|&&counts| counts).count()
    }
}

/// A model's tokenizer, template and end-of-turn tokens.
#[derive(Clone)]
pub struct ChatFormat {
    tokenizer: Tokenizer,
    template: ChatTemplate,
    stop_ids: Vec<u32>,
    vocab: usize,
    spaced: bool,
}

/// What became of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// In every one of them, each turn that counts stands after exactly the tokens after which the model would write it. One is
    /// enough unless the template writes earlier turns anew (Qwen3's strips their thinking); then such turns have their own.
    pub examples: Vec<Example>,
    /// Turns (numbers in the conversation) that got an example of their own, because later turns see them rewritten.
    pub rewritten: Vec<usize>,
    /// Turns in which the tokens were cut where the prompt ends: encoded as one text, prompt and reply would have shared a token.
    pub cut: Vec<usize>,
    /// Turns of which the template leaves something out, or writes it otherwise (white space apart).
    pub altered: Vec<usize>,
    /// Turns that do not count, and why.
    pub unfit: Vec<(usize, Unfit)>,
    /// Whether turns after the last reply were left out.
    pub trailing: bool,
}

/// Why the assistant's turn cannot be trained on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// With the reply the prompt reads otherwise than without it.
    #[error("the chat template writes the prompt of this turn otherwise once the reply is there")]
    Prompt,
    /// No end-of-turn token follows the reply, or more text does.
    #[error("the chat template ends this turn with no token that the model stops at")]
    NoEnd,
    /// The tokenizer gives no tokens for the reply alone.
    #[error("the reply's tokens cannot be told from the prompt's")]
    Inseparable,
}

/// A turn as the model would write it: `ids[start..=stop]` after `ids[..start]`.
struct Turn {
    ids: Vec<u32>,
    start: usize,
    stop: usize,
    cut: bool,
    altered: bool,
}

impl ChatFormat {
    /// What a checkpoint brings; ChatML without a template, where the vocabulary has its marks.
    pub fn new(checkpoint: &Checkpoint) -> Result<Self, ModelError> {
        let TextParts { tokenizer, template, .. } = TextParts::new(checkpoint)?;
        let chatml = tokenizer.id("<|im_start|>").is_some() && tokenizer.id("<|im_end|>").is_some();
        let template = template.or_else(|| chatml.then(ChatTemplate::chatml)).ok_or_else(|| {
            ModelError::unsupported(checkpoint.name(), "has no chat template, and its vocabulary is not ChatML: add chat_template.jinja")
        })?;
        let mut stop_ids = checkpoint.config().eos.clone();
        // As in conversation (`model::ChatEngine`).
        stop_ids.extend(["<|im_end|>", "<|endoftext|>", "<|eot_id|>"].iter().filter_map(|token| tokenizer.id(token)));
        let vocab = checkpoint.config().vocab;
        if !stop_ids.iter().any(|&id| (id as usize) < vocab && (id as usize) < tokenizer.vocab_size()) {
            let message = format!("has no token that ends a turn among its {vocab}: do its weights and its tokenizer belong together?");
            return Err(ModelError::unsupported(checkpoint.name(), message));
        }
        Ok(Self::from_parts(tokenizer, template, stop_ids, vocab))
    }

    /// The model's tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Ids as text, special tokens left out. Where the template puts a space before a reply ([`tokenizer::SPACED_CHATML`]), that space is
    /// left out as well: it is no part of what is said.
    pub fn text(&self, ids: &[u32]) -> String {
        let text = self.tokenizer.decode(ids, true).unwrap_or_default();
        match text.strip_prefix(' ') {
            Some(bare) if self.spaced => bare.to_string(),
            _ => text,
        }
    }

    /// Of its parts. `stop_ids`: tokens that end a turn; `vocab`: ids the model has.
    pub fn from_parts(tokenizer: Tokenizer, template: ChatTemplate, mut stop_ids: Vec<u32>, vocab: usize) -> Self {
        stop_ids.sort_unstable();
        stop_ids.dedup();
        let spaced = spaced(&template);
        Self { tokenizer, template, stop_ids, vocab, spaced }
    }

    /// The examples of a conversation whose replies from turn `from` on count. A template that refuses it is an error.
    pub fn examples(&self, messages: &[Message], from: usize) -> Result<Outcome, TokenizerError> {
        let mut outcome = Outcome::default();
        let replies = (from..messages.len()).filter(|&turn| messages[turn].role == Role::Assistant);
        let mut turns = Vec::new();
        for number in replies {
            match self.turn(messages, number)? {
                Ok(turn) => turns.push((number, turn)),
                Err(unfit) => outcome.unfit.push((number, unfit)),
            }
        }
        outcome.trailing = messages.iter().rposition(|turn| turn.role == Role::Assistant).is_some_and(|last| last + 1 < messages.len());
        outcome.cut = turns.iter().filter(|(_, turn)| turn.cut).map(|&(number, _)| number).collect();
        outcome.altered = turns.iter().filter(|(_, turn)| turn.altered).map(|&(number, _)| number).collect();
        // The last turn's tokens hold the earlier turns; those they hold otherwise are left for an example that ends with them.
        while let Some((number, last)) = turns.pop() {
            let mut example = Example { loss_mask: vec![false; last.ids.len()], ids: last.ids };
            example.loss_mask[last.start..=last.stop].fill(true);
            if !outcome.examples.is_empty() {
                outcome.rewritten.push(number);
            }
            turns.retain(|(_, turn)| {
                let held = example.ids.starts_with(&turn.ids[..=turn.stop]);
                if held {
                    example.loss_mask[turn.start..=turn.stop].fill(true);
                }
                !held
            });
            outcome.examples.push(example);
        }
        outcome.examples.reverse();
        outcome.rewritten.reverse();
        Ok(outcome)
    }

    /// Turn `number` after the prompt the model would get for it.
    fn turn(&self, messages: &[Message], number: usize) -> Result<Result<Turn, Unfit>, TokenizerError> {
        let asked = TemplateOptions { add_generation_prompt: true, enable_thinking: None };
        let answered = TemplateOptions::default();
        let (before, with) = (&messages[..number], &messages[..=number]);
        let prompt = self.known(self.template.encode(&self.tokenizer, before, &asked)?)?;
        let whole = self.known(self.template.encode(&self.tokenizer, with, &answered)?)?;
        let prompt_text = self.template.render(before, &asked)?;
        let whole_text = self.template.render(with, &answered)?;
        let Some(reply) = whole_text.strip_prefix(prompt_text.as_str()) else { return Ok(Err(Unfit::Prompt)) };

        let shared = prompt.iter().zip(&whole).take_while(|(a, b)| a == b).count();
        let stop = (shared..whole.len()).find(|&at| self.stop_ids.contains(&whole[at]));
        let Some(stop) = stop else { return Ok(Err(Unfit::NoEnd)) };
        if !self.tokenizer.decode(&whole[stop + 1..], true)?.trim().is_empty() {
            return Ok(Err(Unfit::NoEnd));
        }
        let altered = !squeezed(reply).contains(&squeezed(&messages[number].content));
        if shared == prompt.len() {
            return Ok(Ok(Turn { ids: whole, start: shared, stop, cut: false, altered }));
        }
        // A token holds the prompt's end and the reply's beginning ("\n" and "\n…" may be one). The model is given the prompt's own
        // tokens, so what follows them is the reply encoded alone.
        let end = self.tokenizer.decode(&whole[stop..], false)?;
        let Some(body) = reply.strip_suffix(end.as_str()) else { return Ok(Err(Unfit::Inseparable)) };
        if whole[shared..stop].iter().any(|&id| self.tokenizer.is_special(id)) {
            return Ok(Err(Unfit::Inseparable));
        }
        let start = prompt.len();
        let mut ids = prompt;
        ids.extend(self.known(self.tokenizer.encode(body)?)?);
        let cut_stop = ids.len();
        ids.extend(&whole[stop..]);
        if self.tokenizer.decode(&ids, false)? != self.tokenizer.decode(&whole, false)? {
            return Ok(Err(Unfit::Inseparable));
        }
        Ok(Ok(Turn { ids, start, stop: cut_stop, cut: true, altered }))
    }

    /// `ids`, if the model has them all.
    /// The ids that `messages` make as a prompt, to which the model replies.
    pub fn prompt(&self, messages: &[Message]) -> Result<Vec<u32>, TokenizerError> {
        let asked = TemplateOptions { add_generation_prompt: true, enable_thinking: None };
        self.known(self.template.encode(&self.tokenizer, messages, &asked)?)
    }

    /// The ids of a text as it stands.
    pub fn plain(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.known(self.tokenizer.encode(text)?)
    }

    /// Tokens that end a turn, ascending.
    pub fn stop_ids(&self) -> &[u32] {
        &self.stop_ids
    }

    fn known(&self, ids: Vec<u32>) -> Result<Vec<u32>, TokenizerError> {
        match ids.iter().find(|&&id| id as usize >= self.vocab) {
            Some(&id) => Err(TokenizerError::UnknownId { id, size: self.vocab }),
            None => Ok(ids),
        }
    }
}

/// Without white space.
/// Whether the template puts a space before what the assistant says.
fn spaced(template: &ChatTemplate) -> bool {
    let asked = [Message::user("x")];
    let answered = [Message::user("x"), Message::assistant("y")];
    let options = |add_generation_prompt| TemplateOptions { add_generation_prompt, enable_thinking: None };
    let (prompt, whole) = (template.render(&asked, &options(true)), template.render(&answered, &options(false)));
    prompt.ok().zip(whole.ok()).is_some_and(|(prompt, whole)| whole.strip_prefix(&prompt).is_some_and(|reply| reply.starts_with(" y")))
}

fn squeezed(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_that_the_template_puts_before_a_reply_is_seen() {
        let template = |text: &str| ChatTemplate::new(text, None, Some("<|im_end|>")).unwrap();
        assert!(spaced(&template(tokenizer::SPACED_CHATML)));
        assert!(!spaced(&ChatTemplate::chatml()));
    }
}
