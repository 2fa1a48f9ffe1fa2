//! The baselines that read a part of a document in one pass: head-and-tail truncation, and the passages BM25 finds.

use data::{Document, Span};
use tokenizer::{Tokenizer, TokenizerError};

use crate::Passages;

/// What stands where something was left out.
pub const GAP: &str = "\n[…]\n";
/// Tokens of the pieces a document is truncated in.
const PIECE: usize = 64;
/// Passages that are looked at, best first, before the room is full.
const CANDIDATES: usize = 256;

/// The beginning and the end of all documents together, half of `budget` tokens each: what long-context evaluations call middle
/// truncation (the paper's own protocol, §4.1).
pub fn truncate(documents: &[Document], budget: usize, tokenizer: &Tokenizer) -> Result<Vec<Span>, TokenizerError> {
    let mut pieces = Vec::new();
    for document in documents {
        let span = |start, end| Span { doc: document.id.clone(), start, end };
        pieces.extend(tokenizer::chunks(tokenizer, &document.text, PIECE)?.into_iter().map(|c| (span(c.start, c.end), c.tokens)));
    }
    let total: usize = pieces.iter().map(|(_, tokens)| tokens).sum();
    if total <= budget {
        return Ok(pieces.into_iter().map(|(span, _)| span).collect());
    }
    let fitting = |pieces: &mut dyn Iterator<Item = &(Span, usize)>| {
        let mut left = budget / 2;
        pieces
            .take_while(|(_, tokens)| {
                let fits = *tokens <= left;
                left = left.saturating_sub(*tokens);
                fits
            })
            .count()
    };
    let (head, tail) = (fitting(&mut pieces.iter()), fitting(&mut pieces.iter().rev()));
    let tail = pieces.len() - tail.min(pieces.len() - head);
    Ok(pieces.drain(..).enumerate().filter(|(i, _)| *i < head || *i >= tail).map(|(_, (span, _))| span).collect())
}

/// The best passages for `query` that fit `budget` tokens, in the documents' order.
pub fn retrieve(documents: &[Document], query: &str, budget: usize, tokenizer: &Tokenizer) -> Result<Vec<Span>, TokenizerError> {
    let number = |span: &Span| documents.iter().position(|document| document.id == span.doc);
    let (mut left, mut spans) = (budget, Vec::new());
    let gap = tokenizer.count(GAP)?;
    for (span, _) in Passages::new(documents).top(query, CANDIDATES) {
        let Some(number) = number(&span) else { continue };
        let tokens = tokenizer.count(&documents[number].text[span.start..span.end])? + gap;
        if tokens <= left {
            left -= tokens;
            spans.push((number, span));
        }
    }
    spans.sort_by_key(|(number, span)| (*number, span.start));
    Ok(spans.into_iter().map(|(_, span)| span).collect())
}

/// The spans' texts, a gap where something lies between; `named` heads each document with its name.
pub fn joined(documents: &[Document], spans: &[Span], named: impl Fn(&Document) -> String) -> String {
    let mut text = String::new();
    for document in documents {
        let (mut at, mut first) = (0, true);
        for span in spans.iter().filter(|span| span.doc == document.id) {
            if first {
                text.push_str(&named(document));
            }
            if span.start > at {
                text.push_str(GAP);
            }
            text.push_str(&document.text[span.start..span.end]);
            (at, first) = (span.end, false);
        }
        if !first && at < document.text.len() {
            text.push_str(GAP);
        }
    }
    text
}
