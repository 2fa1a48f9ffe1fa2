//! What is in a file of rows: read once, every row turned into examples, every fault and every row that is left out remembered.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use rayon::prelude::*;
use sha2::{Digest, Sha256};
use tokenizer::TokenizerError;

use super::example::{ChatFormat, Example, Outcome};
use super::rows::{Row, RowError, Rows};
use crate::config::{DataSection, Duplicates, Loss};

/// Rows that are turned into tokens together.
const TOGETHER: usize = 256;
/// Lines that a report names of each kind.
const NAMED: usize = 10;
/// Faults that are kept in words.
const FAULTS: usize = 100;

/// A file's examples and what there is to say about them.
#[derive(Debug, Default)]
pub struct Survey {
    /// In the file's order.
    pub examples: Vec<Example>,
    /// Counts.
    pub report: Report,
    /// The first hundred bad rows, or why the file could not be read to its end.
    pub faults: Vec<RowError>,
}

/// Counts of a file of rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Rows read, bad ones included.
    pub rows: u64,
    /// Bad rows.
    pub bad: u64,
    /// Examples that are kept; a row may give several ([`Outcome::examples`]).
    pub examples: u64,
    /// Their tokens.
    pub tokens: u64,
    /// Their tokens that count.
    pub loss_tokens: u64,
    /// Tokens of each example that is kept or too long.
    pub lengths: Vec<usize>,
    /// What is left out, by reason.
    pub dropped: BTreeMap<Reason, Dropped>,
    /// Columns that mean nothing here, with the first row that has each.
    pub ignored: BTreeMap<String, u64>,
    /// Replies that have an example of their own, as the template rewrites them for later turns.
    pub rewritten: u64,
    /// Replies whose tokens were cut where the prompt ends.
    pub cut: u64,
    /// Replies of which the template leaves something out.
    pub altered: u64,
    /// Rows with turns after the last reply, which are left out.
    pub trailing: u64,
}

/// Why a row, an example or a reply is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// An example has more than `max_length` tokens.
    TooLong,
    /// The row has a reply of white space alone.
    EmptyAnswer,
    /// The row has no reply.
    NoAnswer,
    /// A row before has the same tokens and mask.
    Duplicate,
    /// A reply that the template does not let one train on ([`super::Unfit`]).
    Unfit,
}

impl Reason {
    /// One word for files.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::EmptyAnswer => "empty_answer",
            Self::NoAnswer => "no_assistant_turn",
            Self::Duplicate => "duplicate",
            Self::Unfit => "unfit_for_template",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "too long",
            Self::EmptyAnswer => "empty answer",
            Self::NoAnswer => "no assistant turn",
            Self::Duplicate => "duplicate",
            Self::Unfit => "unfit for the chat template",
        })
    }
}

/// How much is left out for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How often.
    pub count: u64,
    /// The first ten rows it happened in.
    pub lines: Vec<u64>,
    /// The first one's reason in words, where there is more to say.
    pub example: Option<String>,
}

/// A bar of the histogram of lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LengthBin {
    /// Shortest.
    pub from: usize,
    /// Longest.
    pub to: usize,
    /// Examples.
    pub count: u64,
}

impl Report {
    /// Examples by length: up to 64 tokens, 128, 256, and so on, from the first to the last that has any.
    pub fn histogram(&self) -> Vec<LengthBin> {
        let bin = |length: usize| length.max(1).div_ceil(64).next_power_of_two().ilog2() as usize;
        let Some(most) = self.lengths.iter().copied().max() else { return vec![] };
        let mut bins: Vec<LengthBin> = (0..=bin(most))
            .map(|power| LengthBin { from: if power == 0 { 1 } else { (32usize << power) + 1 }, to: 64 << power, count: 0 })
            .collect();
        for &length in &self.lengths {
            bins[bin(length)].count += 1;
        }
        let first = bins.iter().position(|bin| bin.count > 0).unwrap_or(0);
        bins.split_off(first)
    }

    fn drop(&mut self, reason: Reason, line: u64, words: Option<String>) {
        let dropped = self.dropped.entry(reason).or_default();
        dropped.count += 1;
        if dropped.lines.len() < NAMED && dropped.lines.last() != Some(&line) {
            dropped.lines.push(line);
        }
        if dropped.example.is_none() {
            dropped.example = words;
        }
    }
}

/// Reads all rows. `progress` hears how many were read.
pub fn survey(mut rows: Rows, chat: &ChatFormat, data: &DataSection, mut progress: impl FnMut(u64)) -> Survey {
    let mut survey = Survey::default();
    let mut seen = HashSet::new();
    let mut more = true;
    while more {
        let mut batch = Vec::with_capacity(TOGETHER);
        while batch.len() < TOGETHER {
            match rows.next() {
                Some(Ok(row)) => batch.push(row),
                Some(Err(fault)) => survey.fault(fault),
                None => {
                    more = false;
                    break;
                }
            }
        }
        let read: Vec<Result<Outcome, Left>> = batch.par_iter().map(|row| outcome(row, chat)).collect();
        for (row, read) in batch.iter().zip(read) {
            survey.report.rows += 1;
            survey.add(row.line, read, rows.file(), data, &mut seen);
        }
        progress(survey.report.rows);
    }
    survey.report.ignored = rows.ignored().clone();
    survey
}

/// What stands between a row and its examples.
enum Left {
    Out(Reason),
    Refused(TokenizerError),
}

fn outcome(row: &Row, chat: &ChatFormat) -> Result<Outcome, Left> {
    let mut replies = row.messages[row.from..].iter().filter(|turn| turn.role == data::Role::Assistant).peekable();
    if replies.peek().is_none() {
        return Err(Left::Out(Reason::NoAnswer));
    }
    if replies.any(|turn| turn.content.trim().is_empty()) {
        return Err(Left::Out(Reason::EmptyAnswer));
    }
    chat.examples(&row.messages, row.from).map_err(Left::Refused)
}

impl Survey {
    fn fault(&mut self, fault: RowError) {
        // A file that cannot be read on has no row to count.
        if matches!(fault, RowError::Row { .. }) {
            self.report.rows += 1;
            self.report.bad += 1;
        }
        if self.faults.len() < FAULTS {
            self.faults.push(fault);
        }
    }

    fn add(&mut self, line: u64, read: Result<Outcome, Left>, file: &str, data: &DataSection, seen: &mut HashSet<[u8; 32]>) {
        let report = &mut self.report;
        let outcome = match read {
            Ok(outcome) => outcome,
            Err(Left::Out(reason)) => return report.drop(reason, line, None),
            Err(Left::Refused(error)) => {
                report.rows -= 1;
                return self.fault(RowError::Row { file: file.into(), line, field: "messages".into(), message: error.to_string() });
            }
        };
        if !seen.insert(digest(&outcome.examples)) && data.duplicates == Duplicates::Drop && !outcome.examples.is_empty() {
            return report.drop(Reason::Duplicate, line, None);
        }
        report.rewritten += outcome.rewritten.len() as u64;
        report.cut += outcome.cut.len() as u64;
        report.altered += outcome.altered.len() as u64;
        report.trailing += u64::from(outcome.trailing);
        for (turn, unfit) in outcome.unfit {
            report.drop(Reason::Unfit, line, Some(format!("turn {}: {unfit}", turn + 1)));
        }
        for mut example in outcome.examples {
            if data.loss == Loss::All {
                example.loss_mask[1..].fill(true);
            }
            report.lengths.push(example.ids.len());
            if example.ids.len() > data.max_length {
                report.drop(Reason::TooLong, line, Some(format!("{} tokens", example.ids.len())));
                continue;
            }
            report.examples += 1;
            report.tokens += example.ids.len() as u64;
            report.loss_tokens += example.loss_tokens() as u64;
            self.examples.push(example);
        }
    }
}

/// SHA-256 of examples: lengths, ids, masks.
pub(super) fn digest(examples: &[Example]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for example in examples {
        hash.update((example.ids.len() as u64).to_le_bytes());
        for (id, &counts) in example.ids.iter().zip(&example.loss_mask) {
            hash.update(id.to_le_bytes());
            hash.update([u8::from(counts)]);
        }
    }
    hash.finalize().into()
}
