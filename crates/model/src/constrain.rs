//! Replies held to a form: at each step the tokens that go on with JSON of a schema, and no others.
//!
//! - `schema` reads a JSON Schema into a `grammar`; what it does not know is an error that names it.
//! - `automaton` reads a reply byte by byte against it, with `text` within strings and `number` within numbers.
//! - `vocabulary` has the model's tokens in a tree of their bytes; `mask` walks it with the automaton.
//!
//! White space is at most one space or line end where JSON allows any, so that a model cannot go on writing it. A place that a reply
//! comes to always has a way to the end: by its bytes because the automaton opens nothing that it could not close, and by tokens because
//! every byte that may be needed is a token of its own.

mod automaton;
mod exclusive;
mod grammar;
mod literals;
mod mask;
mod number;
mod schema;
mod text;
mod trie;
mod vocabulary;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::error::{ModelError, Result};
use automaton::Stack;
use grammar::Grammar;
pub use vocabulary::Vocabulary;

/// A form that a reply is held to, and how far the reply has come. A clone begins where the original is; clones share what was computed.
#[derive(Clone)]
pub struct Constraint {
    shared: Arc<Shared>,
    stacks: Vec<Stack>,
}

struct Shared {
    grammar: Grammar,
    vocabulary: Arc<Vocabulary>,
    /// Masks of stacks seen before.
    masks: Mutex<HashMap<Stack, Arc<[u32]>>>,
}

impl Constraint {
    /// JSON of `schema`, from its first byte, in a model's tokens.
    ///
    /// # Errors
    /// A schema with a keyword that is not known, one that nothing satisfies, or whose fixed texts the model cannot spell.
    pub fn new(vocabulary: Arc<Vocabulary>, schema: &Value) -> Result<Self> {
        let grammar = schema::compile(schema, &|byte| vocabulary.is_single(byte))?;
        vocabulary.check(&grammar)?;
        let stacks = vec![grammar.start()];
        Ok(Self { shared: Arc::new(Shared { grammar, vocabulary, masks: Mutex::default() }), stacks })
    }

    /// Goes on by a text that is already there: the first words of the reply.
    ///
    /// # Errors
    /// A text that is not the beginning of such JSON.
    pub fn begin(&mut self, text: &str) -> Result<()> {
        let wrong = || ModelError::Request(format!("the reply is begun with `{text}`, which is no beginning of JSON of its schema"));
        self.stacks = self.after(text.as_bytes()).ok_or_else(wrong)?;
        Ok(())
    }

    /// Goes on by a token that its mask allowed.
    ///
    /// # Errors
    /// Another token.
    pub fn accept(&mut self, id: u32) -> Result<()> {
        let spelling = self.shared.vocabulary.spelling(id);
        let after = if spelling.is_empty() { None } else { self.after(spelling) };
        self.stacks =
            after.ok_or_else(|| ModelError::Request(format!("token {id} does not go on with the JSON that its reply is held to")))?;
        Ok(())
    }

    /// Whether the reply may end here.
    pub fn may_end(&self) -> bool {
        self.stacks.iter().any(|stack| self.shared.grammar.may_end(stack))
    }

    /// The model's tokens.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.shared.vocabulary
    }

    /// Errors unless a reply can end: with a token that is not needed for its text.
    pub fn check_stops(&self, stop_ids: &[u32]) -> Result<()> {
        let vocabulary = self.vocabulary();
        if !stop_ids.iter().any(|&id| (id as usize) < vocabulary.width()) {
            return Err(ModelError::Request("a reply that is held to a schema needs a token to end with".into()));
        }
        match stop_ids.iter().find(|&&id| vocabulary.spelling(id).len() == 1) {
            Some(id) => Err(ModelError::Request(format!("token {id} ends the reply, but its text may need it"))),
            None => Ok(()),
        }
    }

    /// The stacks after `bytes`; `None` if they are not allowed.
    fn after(&self, bytes: &[u8]) -> Option<Vec<Stack>> {
        let (mut stacks, mut next) = (self.stacks.clone(), Vec::new());
        for &byte in bytes {
            if !self.shared.grammar.step_all(&stacks, byte, &mut next) {
                return None;
            }
            std::mem::swap(&mut stacks, &mut next);
        }
        // What tokens do not lead out of was not allowed either.
        stacks.retain(|stack| self.shared.vocabulary.leads_on(stack));
        (!stacks.is_empty()).then_some(stacks)
    }
}
