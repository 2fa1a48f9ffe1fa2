//! Writing a document: planned facts where they belong, and sentences of no matter between.

use std::fmt;
use std::ops::Range;

use crate::fact::Fact;
use crate::language;
use crate::names::{Entity, Kind, Names};
use crate::plan::Plan;
use crate::random::Random;
use crate::settings::WorldSettings;
use crate::template::{self, GRAMMAR, Piece};
use crate::words::push_word;

/// A document with fewer words has no headings.
const SECTIONED: usize = 600;
/// Words of a section.
const SECTION: usize = 400;
/// Sentences of a paragraph, on average.
const PARAGRAPH: usize = 6;
/// A sentence is not begun where fewer words are left.
const SHORTEST: usize = 6;
/// Words of a sentence that is not planned, as long as few have been written.
const SENTENCE: f64 = 10.0;

struct Writer<'a, W> {
    out: &'a mut W,
    bytes: usize,
    words: usize,
    section: usize,
    section_ends: usize,
    /// What stands before the next sentence.
    before: &'static str,
}

impl<W: fmt::Write> Writer<'_, W> {
    fn sentence(&mut self, sentence: &str, random: &mut Random) -> Result<Range<usize>, fmt::Error> {
        self.out.write_str(self.before)?;
        let start = self.bytes + self.before.len();
        self.out.write_str(sentence)?;
        self.bytes = start + sentence.len();
        self.words += count(sentence);
        self.before = if random.below(PARAGRAPH) == 0 { "\n" } else { " " };
        Ok(start..self.bytes)
    }

    fn heading(&mut self) -> fmt::Result {
        if self.words >= self.section_ends {
            self.section += 1;
            self.section_ends += SECTION;
            let heading = template::filled(language::SECTION, &[("number", &self.section.to_string())]);
            let before = if self.bytes == 0 { "" } else { "\n\n" };
            write!(self.out, "{before}{heading}")?;
            self.bytes += before.len() + heading.len();
            self.before = "\n";
        }
        Ok(())
    }
}

/// Writes a document of about `words` words, more only where the planned facts need more. Returns the bytes of each planned fact.
///
/// Memory beyond `out` is that of the plan and of what was said already: a few bytes for each fact.
pub(crate) fn write<W: fmt::Write>(
    settings: &WorldSettings,
    plan: &mut Plan<'_>,
    words: usize,
    out: &mut W,
) -> Result<Vec<Range<usize>>, fmt::Error> {
    let mut random = plan.random.clone();
    let mut random = Random::new(&[random.next()]);
    let placed = std::mem::take(&mut plan.placed);
    let sentences: Vec<String> = placed.iter().map(|fact| fact_sentence(settings, fact, &mut random)).collect();
    let planned: usize = sentences.iter().map(|sentence| count(sentence)).sum();
    let free = words.saturating_sub(planned) as f64;
    let section_ends = if words >= SECTIONED { 0 } else { usize::MAX };
    let mut writer = Writer { out, bytes: 0, words: 0, section: 0, section_ends, before: "" };
    let mut spans = Vec::new();
    let (mut done, mut sentences_done, mut line) = (0usize, 0usize, String::new());
    loop {
        writer.heading()?;
        let full = done as f64 + SHORTEST as f64 > free;
        // Sequential sampling: whatever is left to say comes next with equal chance, so planned facts stand anywhere alike.
        let mean = (SENTENCE * 8.0 + done as f64) / (8.0 + sentences_done as f64);
        let (planned_left, free_left) = ((placed.len() - spans.len()) as f64, (free - done as f64) / mean);
        match sentences.get(spans.len()) {
            Some(sentence) if full || random.chance(planned_left / (planned_left + free_left)) => {
                let span = writer.sentence(sentence, &mut random)?;
                spans.push(span);
            }
            None if full => break,
            _ => {
                line.clear();
                match random.chance(settings.facts).then(|| plan.background()).flatten() {
                    Some(fact) => line.push_str(&fact_sentence(settings, &fact, &mut random)),
                    None => filler(settings, &plan.apart, &mut random, &mut line),
                }
                done += count(&line);
                sentences_done += 1;
                writer.sentence(&line, &mut random)?;
            }
        }
    }
    plan.placed = placed;
    Ok(spans)
}

fn count(sentence: &str) -> usize {
    sentence.bytes().filter(|byte| *byte == b' ').count() + 1
}

fn fact_sentence(settings: &WorldSettings, fact: &Fact, random: &mut Random) -> String {
    let templates = GRAMMAR.facts(fact.relation, settings.templates());
    let mut out = String::with_capacity(96);
    template::fact(&templates[random.below(templates.len())], fact, &mut out);
    out
}

fn filler(settings: &WorldSettings, apart: &[Entity], random: &mut Random, out: &mut String) {
    let names = Names { split: settings.split, count: settings.names };
    let templates = GRAMMAR.filler(settings.templates());
    let template: &[Piece] = &templates[random.below(templates.len())];
    template::fill(template, out, |slot, out| {
        let list: &[&str] = match slot {
            "adjective" => &language::ADJECTIVES,
            "object" => &language::OBJECTS,
            "spot" => &language::SPOTS,
            "food" => &language::FOODS,
            "when" => &language::WHEN,
            "When" => &language::WHEN_FIRST,
            _ => {
                let kind = match slot {
                    "person" => Kind::Person,
                    "firm" => Kind::Firm,
                    _ => Kind::Place,
                };
                return template::name(names.draw_apart(kind, apart, random), out);
            }
        };
        random.pick(list).split(' ').for_each(|word| push_word(out, word));
    });
}
