//! The memory of a read whose notes must be proven: a note is not kept whose quote, or whose names and numbers, the document does not have.

use std::collections::HashSet;

use data::{Document, MemoryOutcome};

use crate::cite::{QuoteFound, SentenceLines, Sources, note_quotes, split_sentences};
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

/// Takes out of `next` the new notes that `section` does not state or that lead on from nothing, counted in the outcome: who waits for the
/// next link of a chain through a thousand sections is tempted to make one up, and what it makes up is seldom stated anywhere.
///
/// A note is a sentence; new is one that the `previous` memory does not have. It is stated if all its names and numbers stand in one sentence
/// of the section: of few names each section has most, but not side by side. A name is a word with a capital that is not its note's first,
/// with those that follow it ("Mara Voss" must stand there as it is), a number any word with a digit. It leads on if a name in it is one of
/// the question, of the notes before, or of a new note that was kept; a question without names leads on by its numbers, one that has
/// neither to anything. A note with numbers and no name need not lead on, and one without either is none. Its first word must stand in the
/// section, the question or the notes before: what a small model spells wrong is no word. If a note is taken out, the previous memory stays whole, and those new notes follow that are kept.
pub fn keep_stated(next: NextState, question: &str, previous: &str, section: &str) -> NextState {
    let before: HashSet<&str> = notes(previous).collect();
    let new: Vec<&str> = notes(&next.memory).filter(|note| !before.contains(note)).collect();
    if new.is_empty() {
        return next;
    }
    let sentences: Vec<Named> =
        split_sentences(section, SentenceLines::Wrapped).into_iter().map(|(start, end)| Named::of(&section[start..end])).collect();
    let mut known = Known::of(question, &before);
    let mut kept = Vec::new();
    for note in &new {
        if known.leads_to(note) && known.begins(note, section) && sentences.iter().any(|sentence| sentence.has(note)) {
            known.names.extend(names(note));
            kept.push(*note);
        }
    }
    let removed = new.len() - kept.len();
    if removed == 0 {
        return next;
    }
    let memory = [previous.trim()].into_iter().chain(kept).filter(|note| !note.is_empty()).collect::<Vec<_>>().join(" ");
    NextState { memory, plan: next.plan, outcome: MemoryOutcome::Unproven { removed } }
}

/// The sentences of `section` that lead on from the question or the notes, for who was refused a note and looks again: `None` where there is
/// no such sentence, or nothing to tell them by.
pub fn leading(question: &str, memory: &str, section: &str) -> Option<String> {
    let known = Known::of(question, &notes(memory).collect());
    let sentences = split_sentences(section, SentenceLines::Wrapped).into_iter().map(|(start, end)| section[start..end].trim());
    let leading: Vec<&str> = sentences.filter(|sentence| known.is_in(sentence)).collect();
    (!leading.is_empty() && !known.anything).then(|| leading.join(" "))
}

/// What a sentence names.
struct Named<'a> {
    words: HashSet<&'a str>,
    /// Words that follow each other.
    pairs: HashSet<(&'a str, &'a str)>,
}

impl<'a> Named<'a> {
    fn of(sentence: &'a str) -> Self {
        Self { words: words(sentence).collect(), pairs: pairs(sentence).collect() }
    }

    /// Whether all names and numbers of a note are among it.
    fn has(&self, note: &str) -> bool {
        let asked = |(at, word): &(usize, &str)| (*at > 0 && capital(word)) || number(word);
        // The first word has a capital whatever it is.
        let mut joined = pairs(note).filter(|(one, other)| capital(one) && capital(other) && !std::ptr::eq(one.as_ptr(), note.as_ptr()));
        words(note).enumerate().filter(asked).all(|(_, word)| self.words.contains(word)) && joined.all(|pair| self.pairs.contains(&pair))
    }
}

/// What a new note may lead on from.
struct Known<'a> {
    question: &'a str,
    before: Vec<&'a str>,
    names: Vec<Vec<&'a str>>,
    /// Of a question that names nobody.
    numbers: Vec<&'a str>,
    /// The question has neither names nor numbers.
    anything: bool,
}

impl<'a> Known<'a> {
    fn of(question: &'a str, before: &HashSet<&'a str>) -> Self {
        let mut names: Vec<Vec<&str>> = names(question).collect();
        let numbers: Vec<&str> = words(question).filter(|word| names.is_empty() && number(word)).collect();
        let anything = names.is_empty() && numbers.is_empty();
        names.extend(before.iter().flat_map(|note| self::names(note)));
        Self { question, before: before.iter().copied().collect(), names, numbers, anything }
    }

    fn leads_to(&self, note: &str) -> bool {
        let holds = |one: &[&str], other: &[&str]| one.windows(other.len()).any(|part| part == other);
        let mut named = names(note).peekable();
        self.anything
            || named.peek().is_none() && words(note).any(number)
            || words(note).any(|word| self.numbers.contains(&word))
            || named.any(|name| self.names.iter().any(|known| holds(known, &name) || holds(&name, known)))
    }

    /// Whether a note's first word, whose capital says nothing, stands anywhere: a word that does not is none.
    fn begins(&self, note: &str, section: &str) -> bool {
        let first = words(note).next().unwrap_or_default().to_lowercase();
        let stands = |text: &str| words(text).any(|word| word.to_lowercase() == first);
        stands(section) || stands(self.question) || self.before.iter().any(|note| stands(note))
    }
}

impl Known<'_> {
    /// Whether one of its names stands in a sentence, or a number.
    fn is_in(&self, sentence: &str) -> bool {
        let words: Vec<&str> = words(sentence).collect();
        let has = |name: &[&str]| words.windows(name.len()).any(|part| part == name);
        self.names.iter().any(|name| has(name)) || self.numbers.iter().any(|number| words.contains(number))
    }
}

/// Runs of words with a capital; alone, a text's first word is none.
fn names(text: &str) -> impl Iterator<Item = Vec<&str>> {
    let mut runs: Vec<Vec<&str>> = Vec::new();
    let mut end = None;
    for word in words(text).filter(|word| capital(word)) {
        let start = word.as_ptr() as usize - text.as_ptr() as usize;
        match (end, runs.last_mut()) {
            (Some(end), Some(run)) if text[end..start].trim().is_empty() => run.push(word),
            _ => runs.push(vec![word]),
        }
        end = Some(start + word.len());
    }
    let first = words(text).next().map(str::as_ptr);
    runs.into_iter().filter(move |run| run.len() > 1 || Some(run[0].as_ptr()) != first)
}

fn capital(word: &str) -> bool {
    word.starts_with(char::is_uppercase)
}

fn number(word: &str) -> bool {
    word.contains(char::is_numeric)
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

    fn stated(memory: &str, question: &str, previous: &str) -> (String, MemoryOutcome) {
        let next = NextState { memory: memory.into(), plan: String::new(), outcome: MemoryOutcome::Updated };
        let next = keep_stated(next, question, previous, SECTION);
        (next.memory, next.outcome)
    }

    fn all(memory: &str) -> (String, MemoryOutcome) {
        (memory.to_string(), MemoryOutcome::Updated)
    }

    fn but(removed: usize, memory: &str) -> (String, MemoryOutcome) {
        (memory.to_string(), MemoryOutcome::Unproven { removed })
    }

    #[test]
    fn names_and_numbers_of_new_notes_stand_in_one_sentence() {
        let named = |memory: &str, previous: &str| stated(memory, "who bought it?", previous);
        let sold = "the buyer of the mill in 1931 is Mara Voss.";
        assert_eq!(named(sold, ""), all(sold));
        // What was noted before need not stand here, and nothing new is asked of words without a capital.
        let old = "the owner of the mill is Otto Reed.";
        assert_eq!(named(&format!("{old} {sold} it was cheap."), old), all(&format!("{old} {sold} it was cheap.")));
        assert_eq!(named(old, old), all(old));
        assert_eq!(named("the buyer of the mill in 1932 is Mara Voss.", old), but(1, old));
        assert_eq!(named("the buyer of the mill in 1931 is Mara Hart.", old), but(1, old));
        // Each of its words stands there, the name does not.
        assert_eq!(named("the buyer of the mill in 1931 is Voss Mara.", old), but(1, old));
        // Both stand there, in two sentences.
        assert_eq!(named("the price that Mara Voss paid is 4,000 crowns.", old), but(1, old));
        // What a comma parts are two names.
        let two = "it was sold, in 1931, to Mara, Mara Voss.";
        assert_eq!(named(two, ""), all(two));
        // The previous notes come back where the reply spoilt them, and what is stated is added.
        assert_eq!(named(&format!("the owner of the mill is Otto Black. {sold}"), old), but(1, &format!("{old} {sold}")));
        assert_eq!(named(&format!("{old} the teacher of Mara Voss is Ida Stone."), old), but(1, old));
        assert_eq!(named("the teacher of Mara Voss is Ida Stone.", ""), but(1, ""));
        assert_eq!(named("", ""), all(""));
        assert_eq!(named("It had a price of 4,000 crowns", ""), all("It had a price of 4,000 crowns"));
        // A first word that stands nowhere.
        assert_eq!(named("Itve had a price of 4,000 crowns", ""), but(1, ""));
        assert_eq!(named("Zmey.", ""), but(1, ""));
    }

    #[test]
    fn new_notes_lead_on_from_the_question_or_from_notes() {
        let sold = "the buyer of the mill in 1931 is Mara Voss.";
        let asks = |question: &str, previous: &str| stated(&format!("{previous} {sold}"), question, previous);
        let (kept, without) = (all(&format!(" {sold}")), but(1, ""));
        assert_eq!(asks("What did Mara Voss buy?", ""), kept);
        assert_eq!(asks("Voss bought what?", ""), kept);
        assert_eq!(asks("What did Voss buy?", ""), kept);
        assert_eq!(asks("What did Ada Voss buy?", ""), without);
        assert_eq!(asks("What did Otto Reed sell in 1931?", ""), without);
        assert_eq!(asks("What was sold in 1931?", ""), kept);
        assert_eq!(asks("What was sold in 1932?", ""), without);
        assert_eq!(asks("What was sold?", ""), kept);
        // A note before leads on, and so does a new one that is kept; one that is not, does not.
        let old = "the pupil of Otto Reed is Mara Voss.";
        assert_eq!(asks("Who is taught by Otto Reed?", old), all(&format!("{old} {sold}")));
        assert_eq!(stated("the week.", "What did Mara Voss pay?", ""), but(1, ""));
        let price = "the price was 4,000 crowns.";
        assert_eq!(stated(&format!("{sold} {price}"), "What did Mara Voss pay?", ""), all(&format!("{sold} {price}")));
        let chain = |first: &str| stated(&format!("{first} the mill of Mara Voss is old."), "What is new in 1931?", "");
        assert_eq!(chain(sold), all(&format!("{sold} the mill of Mara Voss is old.")));
        assert_eq!(chain("the buyer of the mill in 1931 is Mara Hart."), but(2, ""));
    }

    #[test]
    fn who_looks_again_sees_the_sentences_that_lead_on() {
        let sale = "The mill was sold in 1931 to Mara Voss.";
        let looks = |question: &str, memory: &str| leading(question, memory, SECTION);
        assert_eq!(looks("What did Mara Voss buy?", ""), Some(sale.into()));
        assert_eq!(looks("Who was taught by Otto Reed?", "the pupil of Otto Reed is Mara Voss."), Some(sale.into()));
        assert_eq!(looks("Who was taught by Otto Reed?", "the pupil of Otto Reed is Mara Hart."), None);
        assert_eq!(looks("What was sold in 1931?", ""), Some(sale.into()));
        assert_eq!(looks("What was sold?", ""), None);
        assert_eq!(looks("What cost 4,000 crowns in 1931?", ""), Some(format!("{sale} The price was 4,000 crowns.")));
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
