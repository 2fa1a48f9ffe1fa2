//! The memory of a read whose notes must be proven: a note is not kept whose quote, or whose names and numbers, the document does not have.

use std::collections::HashSet;

use data::{Document, MemoryOutcome};

use crate::cite::{QuoteFound, Sources, note_quotes};
use crate::reply::NextState;

/// Takes out of `next` the notes whose quote does not stand in `section`, counted in the outcome. What stays:
/// - a note that stands in the `previous` memory, or brings a quote that a note there brought: it was looked up when it came;
/// - a note that brings no quote. It is shown as such; dropping it too took the right notes from a small model that never quotes.
///
/// If nothing is left, the previous memory stays: an invented quote, copied from turn to turn, must not push out what is true.
pub fn keep_proven(next: NextState, previous: &str, section: &str) -> NextState {
    let before = note_quotes(previous);
    let sources = Sources::new(&[Document::plain("section", "section", section)]);
    let proven = |line: &str| {
        sources.check_quotes(line, None).iter().all(|checked| {
            let note = &checked.note;
            let known = before.iter().any(|old| old.quote == note.quote && (old.quote.is_some() || old.note == note.note));
            known || matches!(checked.found, QuoteFound::There(_) | QuoteFound::NoQuote)
        })
    };
    let notes: Vec<&str> = next.memory.lines().filter(|line| line.contains(char::is_alphanumeric)).collect();
    let kept: Vec<&str> = notes.iter().copied().filter(|line| proven(line)).collect();
    let removed = notes.len() - kept.len();
    if removed == 0 {
        return next;
    }
    let memory = if kept.is_empty() { previous.to_string() } else { kept.join("\n") };
    NextState { memory, plan: next.plan, outcome: MemoryOutcome::Unproven { removed } }
}

/// Takes out of `next` the new notes with names or numbers that do not stand in `section`, counted in the outcome: who waits for the next
/// link of a chain through a hundred sections is tempted to make one up, and what it makes up stands nowhere.
///
/// A note is a sentence; new is one that the `previous` memory does not have. A name is a word with a capital that is not its first, with
/// those that follow it ("Mara Voss" must stand there as it is, not Mara here and Voss there: of few names a section has most), a
/// number any word with a digit. If a note is taken out, the previous memory stays whole, and those new notes follow that are proven.
pub fn keep_named(next: NextState, previous: &str, section: &str) -> NextState {
    let here = Named::of(section);
    let before: HashSet<&str> = notes(previous).collect();
    let new: Vec<&str> = notes(&next.memory).filter(|note| !before.contains(note)).collect();
    let kept: Vec<&str> = new.iter().copied().filter(|note| here.has(note)).collect();
    let removed = new.len() - kept.len();
    if removed == 0 {
        return next;
    }
    let memory = [previous.trim()].into_iter().chain(kept).filter(|note| !note.is_empty()).collect::<Vec<_>>().join(" ");
    NextState { memory, plan: next.plan, outcome: MemoryOutcome::Unproven { removed } }
}

/// What a section names.
struct Named<'a> {
    words: HashSet<&'a str>,
    /// Words that follow each other.
    pairs: HashSet<(&'a str, &'a str)>,
}

impl<'a> Named<'a> {
    fn of(section: &'a str) -> Self {
        Self { words: words(section).collect(), pairs: pairs(section).collect() }
    }

    /// Whether all names and numbers of a note are among it.
    fn has(&self, note: &str) -> bool {
        let capital = |word: &str| word.starts_with(char::is_uppercase);
        let asked = |(at, word): &(usize, &str)| (*at > 0 && capital(word)) || word.contains(|letter: char| letter.is_numeric());
        // The first word has a capital whatever it is.
        let mut joined = pairs(note).filter(|(one, other)| capital(one) && capital(other) && !std::ptr::eq(one.as_ptr(), note.as_ptr()));
        words(note).enumerate().filter(asked).all(|(_, word)| self.words.contains(word)) && { joined }
            .all(|pair| self.pairs.contains(&pair))
    }
}

/// Words with nothing but space between them.
fn pairs(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let at = move |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    let next_to = move |&(one, other): &(&str, &str)| text[at(one) + one.len()..at(other)].trim().is_empty();
    words(text).zip(words(text).skip(1)).filter(next_to)
}

/// The sentences of notes; one may begin with a small letter.
fn notes(memory: &str) -> impl Iterator<Item = &str> {
    let pieces = memory.lines().flat_map(|line| line.split_inclusive(". "));
    pieces.map(str::trim).filter(|note| note.contains(char::is_alphanumeric))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECTION: &str = "The mill was sold in 1931 to Mara Voss. It had stood empty for nine years. The price was 4,000 crowns.\n";

    fn kept(memory: &str, previous: &str) -> (String, MemoryOutcome) {
        let next = NextState { memory: memory.into(), plan: String::new(), outcome: MemoryOutcome::Updated };
        let next = keep_proven(next, previous, SECTION);
        (next.memory, next.outcome)
    }

    #[test]
    fn a_quote_that_does_not_stand_there_takes_its_note_with_it() {
        let quoted = "- “The mill was sold in 1931”: the sale";
        let bare = "- It had stood empty for nine years.";
        let invented = "- “The mill was sold in 1932”: the sale";
        let told = "- The price: 4,000 crowns “and”";
        assert_eq!(kept(&format!("{quoted}\n{bare}"), ""), (format!("{quoted}\n{bare}"), MemoryOutcome::Updated));
        assert_eq!(kept(&format!("{quoted}\n{invented}\n{told}"), ""), (quoted.into(), MemoryOutcome::Unproven { removed: 2 }));
    }

    #[test]
    fn names_and_numbers_of_new_notes_stand_in_the_section() {
        let named = |memory: &str, previous: &str| {
            let next = NextState { memory: memory.into(), plan: String::new(), outcome: MemoryOutcome::Updated };
            let next = keep_named(next, previous, SECTION);
            (next.memory, next.outcome)
        };
        let kept = |memory: &str| (memory.to_string(), MemoryOutcome::Updated);
        let sold = "the buyer of the mill in 1931 is Mara Voss.";
        assert_eq!(named(sold, ""), kept(sold));
        // What was noted before need not stand here, and nothing new is asked of words without a capital.
        let old = "the owner of the mill is Otto Reed.";
        assert_eq!(named(&format!("{old} {sold} it was cheap."), old), kept(&format!("{old} {sold} it was cheap.")));
        assert_eq!(named(old, old), kept(old));
        let one = |memory: &str| (memory.to_string(), MemoryOutcome::Unproven { removed: 1 });
        assert_eq!(named("the buyer of the mill in 1932 is Mara Voss.", old), one(old));
        assert_eq!(named("the buyer of the mill in 1931 is Mara Hart.", old), one(old));
        // Each of its words stands there, the name does not.
        assert_eq!(named("the buyer of the mill in 1931 is Voss Mara.", old), one(old));
        // What a comma parts are two names.
        let two = "it was sold, in 1931, to Mara, Mara Voss.";
        assert_eq!(named(two, ""), kept(two));
        // The previous notes come back where the reply spoilt them, and what is proven is added.
        assert_eq!(named(&format!("the owner of the mill is Otto Black. {sold}"), old), one(&format!("{old} {sold}")));
        assert_eq!(named(&format!("{old} the teacher of Mara Voss is Ida Stone."), old), one(old));
        assert_eq!(named("the teacher of Mara Voss is Ida Stone.", ""), one(""));
        assert_eq!(named("", ""), kept(""));
        assert_eq!(named("Later she sold 4,000 crowns' worth", ""), kept("Later she sold 4,000 crowns' worth"));
    }

    #[test]
    fn notes_that_were_there_stay_and_nothing_left_wipes_nothing() {
        let old = "- “Anna Holt built the mill in 1822”: who built it";
        let shorter = "- “Anna Holt built the mill in 1822”: the builder";
        assert_eq!(kept(old, old), (old.into(), MemoryOutcome::Updated));
        assert_eq!(kept(shorter, old), (shorter.into(), MemoryOutcome::Updated));
        assert_eq!(kept("- “Anna Holt sold it in 1823”: sold", old), (old.into(), MemoryOutcome::Unproven { removed: 1 }));
    }
}
