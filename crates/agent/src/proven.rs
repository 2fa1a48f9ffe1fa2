//! The memory of a read that asks for quotes: a note whose quote does not stand in the document is not kept.

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
    fn notes_that_were_there_stay_and_nothing_left_wipes_nothing() {
        let old = "- “Anna Holt built the mill in 1822”: who built it";
        let shorter = "- “Anna Holt built the mill in 1822”: the builder";
        assert_eq!(kept(old, old), (old.into(), MemoryOutcome::Updated));
        assert_eq!(kept(shorter, old), (shorter.into(), MemoryOutcome::Updated));
        assert_eq!(kept("- “Anna Holt sold it in 1823”: sold", old), (old.into(), MemoryOutcome::Unproven { removed: 1 }));
    }
}
