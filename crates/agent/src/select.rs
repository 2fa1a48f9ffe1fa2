//! The baselines that read a part of a document in one pass: head-and-tail truncation, and the passages BM25 finds.

use std::collections::HashMap;

use data::{Document, Span};
use tokenizer::{Tokenizer, TokenizerError};

use crate::Passages;

/// What stands where something was left out.
pub const GAP: &str = "\n[…]\n";
/// Tokens of the pieces a document is truncated in.
const PIECE: usize = 64;
/// Bytes of text per token of the budget above which only the documents' ends are looked at. Few texts take as many.
const FAR: usize = 32;
/// Passages that are looked at, best first, before the room is full.
const CANDIDATES: usize = 256;

/// The beginning and the end of all documents together, half of `budget` tokens each: what long-context evaluations call middle
/// truncation (the paper's own protocol, §4.1). Of documents far larger than the budget only the ends are looked at.
pub fn truncate(documents: &[Document], budget: usize, tokenizer: &Tokenizer) -> Result<Vec<Span>, TokenizerError> {
    let bytes: usize = documents.iter().map(|document| document.text.len()).sum();
    if bytes > FAR * budget.max(PIECE) {
        return ends(documents, budget / 2, tokenizer);
    }
    let mut pieces = Vec::new();
    for document in documents {
        let chunks = tokenizer::chunks(tokenizer, &document.text, PIECE)?;
        pieces.extend(chunks.into_iter().map(|chunk| (span(document, chunk.start, chunk.end), chunk.tokens)));
    }
    let total: usize = pieces.iter().map(|(_, tokens)| tokens).sum();
    if total <= budget {
        return Ok(pieces.into_iter().map(|(span, _)| span).collect());
    }
    let tokens = |piece: &(Span, usize)| piece.1;
    let head = fitting(pieces.iter().map(tokens), &mut (budget / 2));
    let tail = fitting(pieces.iter().rev().map(tokens), &mut (budget / 2));
    let tail = pieces.len() - tail.min(pieces.len() - head);
    Ok(pieces.drain(..).enumerate().filter(|(i, _)| *i < head || *i >= tail).map(|(_, (span, _))| span).collect())
}

fn span(document: &Document, start: usize, end: usize) -> Span {
    Span { doc: document.id.clone(), start, end }
}

/// How many of these sizes in a row fit what is `left`, which becomes less by them; nothing is left once one does not fit.
fn fitting(sizes: impl Iterator<Item = usize>, left: &mut usize) -> usize {
    let fits = |tokens: &usize| {
        let fits = *tokens <= *left;
        *left = if fits { *left - tokens } else { 0 };
        fits
    };
    sizes.take_while(fits).count()
}

/// `half` tokens from the beginning of the first document on, and as many from the end of the last one back.
fn ends(documents: &[Document], half: usize, tokenizer: &Tokenizer) -> Result<Vec<Span>, TokenizerError> {
    // (document, first byte, one past the last).
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    let mut left = half;
    for (number, document) in documents.iter().enumerate() {
        let end = reach(&document.text, &mut left, Side::Beginning, tokenizer)?;
        head.push((number, 0, end));
        if end < document.text.len() {
            break;
        }
    }
    left = half;
    let (last, _, covered) = head.last().copied().unwrap_or_default();
    for (number, document) in documents.iter().enumerate().skip(last).rev() {
        let start = reach(&document.text, &mut left, Side::End, tokenizer)?;
        // A token can be a hundred spaces: the two may meet after all.
        tail.push((number, if number == last { start.max(covered) } else { start }, document.text.len()));
        if start > 0 {
            break;
        }
    }
    let all = head.into_iter().chain(tail.into_iter().rev()).filter(|(_, start, end)| start < end);
    Ok(all.map(|(number, start, end)| span(&documents[number], start, end)).collect())
}

#[derive(Clone, Copy, PartialEq)]
enum Side {
    Beginning,
    End,
}

/// How far whole pieces reach into a text that take what is `left` of tokens at most: one past the last byte from the beginning on,
/// or the first byte from the end back. What they take is taken off `left`.
fn reach(text: &str, left: &mut usize, side: Side, tokenizer: &Tokenizer) -> Result<usize, TokenizerError> {
    let mut look = FAR * (*left).max(PIECE);
    loop {
        let (from, to) = match side {
            Side::Beginning => (0, text.floor_char_boundary(look)),
            Side::End => (text.ceil_char_boundary(text.len().saturating_sub(look)), text.len()),
        };
        let whole = to - from == text.len();
        let mut pieces = tokenizer::chunks(tokenizer, &text[from..to], PIECE)?;
        if side == Side::End {
            pieces.reverse();
        }
        // The last two end where the look ends: in the whole text they may be cut otherwise.
        let sure = if whole { pieces.len() } else { pieces.len().saturating_sub(2) };
        let mut rest = *left;
        let taken = fitting(pieces[..sure].iter().map(|piece| piece.tokens), &mut rest);
        if taken < sure || whole {
            *left = rest;
            let last = pieces[..taken].last();
            return Ok(match side {
                Side::Beginning => last.map_or(0, |piece| piece.end),
                Side::End => last.map_or(text.len(), |piece| from + piece.start),
            });
        }
        look = look.saturating_mul(4);
    }
}

/// The best passages for `query` that fit `budget` tokens, in the documents' order.
pub fn retrieve(documents: &[Document], query: &str, budget: usize, tokenizer: &Tokenizer) -> Result<Vec<Span>, TokenizerError> {
    let numbers: HashMap<&str, usize> = documents.iter().enumerate().rev().map(|(number, document)| (&*document.id, number)).collect();
    let (mut left, mut spans) = (budget, Vec::new());
    let gap = tokenizer.count(GAP)?;
    for (span, _) in Passages::new(documents).top(query, CANDIDATES) {
        let Some(&number) = numbers.get(&*span.doc) else { continue };
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
