//! What a document is, its parts, people, dates and figures: each section's notes on their own, put together afterwards.
//!
//! A memory that is rewritten forgets what its question does not ask for; notes of sections do not. The model writes four lines a
//! section; people, dates and figures that do not stand in the section are left out, so that a list is never longer than its text.

use std::collections::{HashMap, HashSet};

use data::{Document, MemoryOutcome};
use tokenizer::{Tokenizer, TokenizerError};

use crate::cite::words::{Kind, Token, tokens, words};
use crate::cite::{SentenceLines, split_sentences};
use crate::reader::Plan;
use crate::reply::{NextState, cut_to};
use crate::tags::neutralise;

/// The lines of a section's notes, as the form asks for them.
pub const LABELS: [&str; 4] = ["Summary", "People", "Dates", "Figures"];
/// Entries of a list, those of most sections first.
const MOST: usize = 24;
/// The fewest tokens a section's summary is worth having with.
const LEAST: usize = 12;
/// Words of one entry, beyond which it is no entry.
const LONGEST: usize = 40;

/// A section's notes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Notes {
    summary: String,
    people: Vec<String>,
    dates: Vec<String>,
    figures: Vec<String>,
}

/// One of a section's lists.
type List = fn(&Notes) -> &Vec<String>;

impl Notes {
    /// Reads the four lines, however they are adorned. What stands before the first label is the summary.
    fn parse(text: &str) -> Self {
        let mut notes = Self::default();
        let mut at = 0;
        for line in text.lines() {
            let bare = line.trim().trim_start_matches(['*', '-', '#', '•', ' ']);
            let label = LABELS.iter().position(|label| {
                bare.get(..label.len()).is_some_and(|start| start.eq_ignore_ascii_case(label))
                    && bare[label.len()..].trim_start_matches('*').starts_with([':', '：'])
            });
            let rest = match label {
                Some(label) => {
                    at = label;
                    bare[LABELS[label].len()..].trim_start_matches(['*', ':', '：']).trim_start_matches(['*', ' '])
                }
                None => bare,
            };
            let rest = rest.trim();
            if rest.is_empty() {
                continue;
            }
            let list = match at {
                0 => {
                    if !notes.summary.is_empty() {
                        notes.summary.push(' ');
                    }
                    notes.summary.push_str(rest);
                    continue;
                }
                1 => &mut notes.people,
                2 => &mut notes.dates,
                _ => &mut notes.figures,
            };
            list.extend(rest.split([';', '；']).flat_map(|part| if at == 1 { names(part) } else { vec![entry(part)] }));
            list.retain(|entry| !entry.is_empty());
        }
        if is_none(&notes.summary) {
            notes.summary.clear();
        }
        notes
    }

    /// Leaves out what the section does not hold: names whose words do not follow one another in it; dates and figures without a number, or
    /// whose words and numbers (those of a date up to its colon) no single sentence of it holds. Also what is said twice.
    fn verify(&mut self, section: &str) {
        let place = Place::of(section);
        self.people.retain(|entry| place.holds_run(name_of(entry)));
        self.dates.retain(|entry| {
            let date = &entry[..entry.find([':', '：']).unwrap_or(entry.len())];
            has_number(date) && place.holds_together(date, 1.0) && place.holds_together(entry, 0.5)
        });
        self.figures.retain(|entry| has_number(entry) && place.holds_together(entry, 0.5));
        // A date is no figure as well.
        let dates: Vec<String> = self.dates.iter().map(|date| key(date)).collect();
        self.figures.retain(|entry| !dates.contains(&key(entry)));
        for list in [&mut self.people, &mut self.dates, &mut self.figures] {
            let mut seen = Vec::new();
            list.retain(|entry| {
                let fresh = !seen.contains(&key(entry));
                seen.push(key(entry));
                fresh
            });
        }
    }

    fn text(&self) -> String {
        let mut out = format!("Summary: {}", self.summary);
        for (label, list) in LABELS[1..].iter().zip([&self.people, &self.dates, &self.figures]) {
            if !list.is_empty() {
                out.push_str(&format!("\n{label}: {}", list.join("; ")));
            }
        }
        out
    }
}

/// Reads a section's reply as its notes: what the section does not hold is left out, and over `budget` tokens lists are cut from
/// the end. A reply without any label is a summary (`MissingTags`), an empty one `KeptPrevious` with no notes.
pub fn read_notes(text: &str, section: &str, budget: usize, tokenizer: &Tokenizer) -> Result<NextState, TokenizerError> {
    let mut notes = Notes::parse(&neutralise(text));
    notes.verify(section);
    let state = |memory, outcome| NextState { memory, plan: String::new(), outcome };
    if notes == Notes::default() {
        return Ok(state(String::new(), MemoryOutcome::KeptPrevious));
    }
    let labelled = LABELS.iter().any(|label| text.contains(label));
    let mut outcome = if labelled { MemoryOutcome::Updated } else { MemoryOutcome::MissingTags };
    let tokens = tokenizer.count(&notes.text())?;
    while tokenizer.count(&notes.text())? > budget {
        outcome = MemoryOutcome::Truncated { tokens };
        let lists = [&mut notes.figures, &mut notes.dates, &mut notes.people];
        match lists.into_iter().max_by_key(|list| list.len()).filter(|list| !list.is_empty()) {
            Some(list) => drop(list.pop()),
            None => {
                notes.summary = cut_to(&notes.summary, budget.saturating_sub(LEAST / 2), tokenizer)?;
                break;
            }
        }
    }
    Ok(state(notes.text(), outcome))
}

/// The sections' summaries for the last call, in `room` tokens: each cut alike where they are too many, and evenly left out where even
/// that is not enough.
pub fn summaries(notes: &[String], room: usize, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
    let all: Vec<String> = notes.iter().map(|notes| Notes::parse(notes).summary).filter(|summary| !summary.is_empty()).collect();
    let join = |summaries: &[String]| summaries.iter().map(|summary| format!("- {summary}\n")).collect::<String>();
    let text = join(&all);
    if tokenizer.count(&text)? <= room {
        return Ok(text);
    }
    // A mark, a line end and what joining may cost, for each.
    let kept = (room / (LEAST + 4)).clamp(1, all.len());
    let each = (room / kept).saturating_sub(4);
    let cut: Vec<String> = (0..kept).map(|i| cut_to(&all[i * all.len() / kept], each, tokenizer)).collect::<Result<_, _>>()?;
    cut_to(&join(&cut), room, tokenizer)
}

/// The outline as Markdown: what the model said of the whole, the parts with their summaries, and the lists.
pub fn compose(whole: &str, documents: &[Document], plan: &Plan, notes: &[String]) -> String {
    let notes: Vec<Notes> = notes.iter().map(|notes| Notes::parse(notes)).collect();
    let mut out = format!("{}\n", neutralise(whole.trim()));
    out.push_str("\n## Parts\n\n");
    for (index, ((number, chunk), notes)) in plan.iter().zip(&notes).enumerate() {
        let document = &documents[*number];
        let mut places: Vec<String> = document.places(chunk.start).iter().map(ToString::to_string).filter(|p| !p.is_empty()).collect();
        if documents.len() > 1 {
            places.insert(0, document.source.clone());
        }
        let summary = if notes.summary.is_empty() { "(no notes)" } else { &notes.summary };
        out.push_str(&format!("{}. ({}) {summary}\n", index + 1, places.join(", ")));
    }
    let lists: [(&str, List); 3] =
        [("People", |notes| &notes.people), ("Dates", |notes| &notes.dates), ("Figures", |notes| &notes.figures)];
    for (title, list) in lists {
        let (entries, left_out) = ranked(&notes, list);
        if entries.is_empty() {
            continue;
        }
        out.push_str(&format!("\n## {title}\n\n"));
        for entry in entries {
            out.push_str(&format!("- {entry}\n"));
        }
        if left_out > 0 {
            out.push_str(&format!("\n({left_out} more in the notes of the sections)\n"));
        }
    }
    out
}

/// An outline, or a section's notes, with spaces in place of what claims nothing: the places that head its parts (`1. (page 3) …`) and the
/// labels of its lines (`Summary: …`). No byte moves.
pub fn claims_of(outline: &str) -> String {
    let mut out = String::with_capacity(outline.len());
    for line in outline.split_inclusive('\n') {
        let number = line.find(|c: char| !c.is_ascii_digit()).unwrap_or(0);
        let place = line[number..].find(") ").map(|end| number + 2..number + end + 1);
        let place = place.filter(|_| number > 0 && line[number..].starts_with(". ("));
        let label = LABELS.iter().find(|label| line.strip_prefix(**label).is_some_and(|rest| rest.starts_with(':')));
        match place.or(label.map(|label| 0..label.len() + 1)) {
            Some(blank) => {
                out.push_str(&line[..blank.start]);
                out.extend(std::iter::repeat_n(' ', blank.len()));
                out.push_str(&line[blank.end..]);
            }
            None => out.push_str(line),
        }
    }
    out
}

/// What a section's notes state, one statement each: its summary, its dates and figures, and whom it names.
pub fn statements(notes: &str) -> Vec<String> {
    let Notes { summary, people, dates, figures } = Notes::parse(notes);
    let named = if people.is_empty() { None } else { Some(format!("Named here: {}", people.join("; "))) };
    std::iter::once(summary).chain(dates).chain(figures).chain(named).filter(|statement| !statement.is_empty()).collect()
}

/// The entries of most sections first, earlier ones first among equals, shown in the order of the text; and how many were left out.
fn ranked(notes: &[Notes], list: List) -> (Vec<String>, usize) {
    let mut entries: Vec<(String, usize)> = Vec::new();
    let mut known: HashMap<String, usize> = HashMap::new();
    for entry in notes.iter().flat_map(list) {
        let next = entries.len();
        match *known.entry(key(entry)).or_insert(next) {
            at if at < next => entries[at].1 += 1,
            _ => entries.push((entry.clone(), 1)),
        }
    }
    let mut order: Vec<usize> = (0..entries.len()).collect();
    order.sort_by_key(|&at| (std::cmp::Reverse(entries[at].1), at));
    let left_out = order.len().saturating_sub(MOST);
    order.truncate(MOST);
    order.sort_unstable();
    (order.into_iter().map(|at| entries[at].0.clone()).collect(), left_out)
}

/// The names of "Mr. Rayburn, John McCormack and the Congress"; the one of "Ada Lovelace, mathematician".
fn names(text: &str) -> Vec<String> {
    let capital = |part: &&str| part.trim().trim_start_matches("the ").starts_with(char::is_uppercase);
    if text.contains('(') || !text.split(',').all(|part| capital(&part.trim().trim_start_matches("and "))) {
        return vec![entry(text)];
    }
    let text = text.split_once(" mentions ").map_or(text, |(_, names)| names);
    text.split(',').map(|part| entry(part.trim().trim_start_matches("and "))).collect()
}

/// An entry without its adornment; empty for "none" and for what is too long to be one.
fn entry(text: &str) -> String {
    let text = text.trim().trim_start_matches(['-', '*', '•', ' ']).trim_end_matches(['.', ',', '*', ' ']).trim();
    if is_none(text) || text.split_whitespace().count() > LONGEST { String::new() } else { text.to_string() }
}

fn is_none(text: &str) -> bool {
    let bare = text.trim().trim_end_matches('.');
    ["none", "n/a", "none given", "none mentioned", "not given"].iter().any(|none| bare.eq_ignore_ascii_case(none))
}

/// The name of "Ada Lovelace (mathematician)" and "Ada Lovelace, mathematician".
fn name_of(entry: &str) -> &str {
    let end = entry.find(['(', ',', ':', '–', '—']).unwrap_or(entry.len());
    entry[..end].trim()
}

/// What two spellings of one entry share.
fn key(entry: &str) -> String {
    let mut out = String::new();
    words(entry, |word, _| {
        out.push_str(word);
        out.push(' ');
    });
    out
}

fn has_number(entry: &str) -> bool {
    let mut found = false;
    words(entry, |_, word| found |= matches!(word.kind, Kind::Number | Kind::Mixed));
    found
}

/// A section's words, to look entries up in.
struct Place {
    /// All of them, one space before and after each.
    run: String,
    /// Those of each sentence: numbers, and stems of other words.
    sentences: Vec<HashSet<u64>>,
}

impl Place {
    fn of(section: &str) -> Self {
        let mut run = String::from(" ");
        words(section, |text, _| {
            run.push_str(text);
            run.push(' ');
        });
        let sentence = |(start, end): (usize, usize)| {
            let mut found = Vec::new();
            tokens(&section[start..end], &mut found);
            found.into_iter().map(|token| token.stem).collect()
        };
        Self { run, sentences: split_sentences(section, SentenceLines::Wrapped).into_iter().map(sentence).collect() }
    }

    fn holds_run(&self, name: &str) -> bool {
        let key = key(name);
        !key.is_empty() && self.run.contains(&format!(" {key}"))
    }

    /// Whether one sentence has every number of the entry and at least `share` of its other words, short ones apart.
    fn holds_together(&self, entry: &str, share: f32) -> bool {
        let mut all = Vec::new();
        tokens(entry, &mut all);
        let number = |token: &&Token| matches!(token.word.kind, Kind::Number | Kind::Mixed);
        let (numbers, others): (Vec<&Token>, Vec<&Token>) = all.iter().partition(|token| number(token));
        let others: Vec<_> = others.into_iter().filter(|token| token.word.end - token.word.start > 3).collect();
        self.sentences.iter().any(|sentence| {
            let held = others.iter().filter(|token| sentence.contains(&token.stem)).count();
            numbers.iter().all(|token| sentence.contains(&token.stem)) && held as f32 >= share * others.len() as f32
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &str = "On 3 December 1929 Herbert Hoover wrote to the Congress. About 1,600 marines remain in Nicaragua, 700 in Haiti.";

    fn parsed(text: &str) -> Notes {
        let mut notes = Notes::parse(text);
        notes.verify(SECTION);
        notes
    }

    #[test]
    fn notes_keep_what_the_section_holds() {
        let reply = "Summary: The President wrote.\n**People:** Herbert Hoover (President); Calvin Coolidge; the Congress\nDates: 3 December 1929: a letter to Congress; 4 July 1776; March 1929\nFigures: 1,600 marines in Nicaragua; 1600 marines in Nicaragua; 700 soldiers elsewhere; 900 in Cuba; many ships; none";
        let notes = parsed(reply);
        assert_eq!(notes.summary, "The President wrote.");
        assert_eq!(notes.people, ["Herbert Hoover (President)", "the Congress"]);
        assert_eq!(notes.dates, ["3 December 1929: a letter to Congress"]);
        assert_eq!(notes.figures, ["1,600 marines in Nicaragua"]);
        assert_eq!(Notes::parse(&notes.text()), notes);
    }

    #[test]
    fn places_of_parts_are_blanked_and_nothing_moves() {
        let outline = "Minutes (of 2).\n\n1. (a.txt, line 7) It was (so) sold.\n2) (x) no.\n12. (Größe › 1) é\n";
        assert_eq!(claims_of("Summary: S.\nPeople here"), "         S.\nPeople here");
        let claims = claims_of(outline);
        assert_eq!(claims.len(), outline.len());
        assert_eq!(claims.split_whitespace().collect::<Vec<_>>().join(" "), "Minutes (of 2). 1. It was (so) sold. 2) (x) no. 12. é");
        assert!(outline.char_indices().filter(|(_, c)| c.is_alphabetic()).all(|(at, _)| claims.is_char_boundary(at)));
    }

    #[test]
    fn odd_replies_are_read() {
        assert_eq!(parsed("Just a sentence.").summary, "Just a sentence.");
        assert_eq!(parsed("Summary: none\nPeople: none.\nDates: N/A"), Notes::default());
        let bullets = parsed("summary: S\nPeople:\n- Herbert Hoover\n- Nobody\nFigures:\n* 700 in Haiti");
        assert_eq!(
            Notes::parse("People: Mr. Rayburn, John McCormack, and Congress; Ada, mathematician").people,
            ["Mr. Rayburn", "John McCormack", "Congress", "Ada, mathematician"]
        );
        assert_eq!((bullets.people, bullets.figures), (vec!["Herbert Hoover".to_string()], vec!["700 in Haiti".to_string()]));
    }

    #[test]
    fn lists_name_each_once_and_the_most_named_survive() {
        let notes = |people: Vec<String>| Notes { people, ..Notes::default() };
        let many: Vec<String> = (0..MOST + 5).map(|i| format!("Person {i}")).collect();
        let last = many[MOST + 4].clone();
        let (entries, left_out) = ranked(&[notes(many), notes(vec![last.to_uppercase()])], |notes| &notes.people);
        assert_eq!((entries.len(), left_out), (MOST, 5));
        assert!(entries.contains(&last) && !entries.contains(&format!("Person {}", MOST + 3)));
    }
}
