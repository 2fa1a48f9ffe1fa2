//! The memory of a read that asks for quotes: only notes that can be shown to stand in the document are kept.

use data::{Document, MemoryOutcome, Support};

use crate::cite::{QuoteFound, Sources, note_quotes};
use crate::prompts::NOTHING_YET;
use crate::reply::NextState;

/// Takes out of `next` the notes that `section` does not prove, counted in the outcome. A note is proven if
/// - it stands in the `previous` memory, where it was proven when it came, or brings a quote that a note there brought;
/// - it brings a quote of two words or more that stands in the section;
/// - it brings none, and each of its sentences is itself quoted from the section ([`Support::Quoted`]).
///
/// If nothing is left, the previous memory stays. Small models invent a quote rather than say that there is none, and such a note,
/// copied from turn to turn, would keep the true one out.
pub fn keep_proven(next: NextState, previous: &str, section: &str) -> NextState {
    let before = note_quotes(previous);
    let sources = Sources::new(&[Document::plain("section", "section", section)]);
    let proven = |line: &str| {
        sources.check_quotes(line, None).iter().all(|checked| {
            let note = &checked.note;
            let known = before.iter().any(|old| old.quote == note.quote && (old.quote.is_some() || old.note == note.note));
            known
                || match checked.found {
                    QuoteFound::There(_) => true,
                    QuoteFound::NotFound | QuoteFound::TooShort => false,
                    QuoteFound::NoQuote => {
                        let said = sources.cite(line);
                        said.iter().any(|citation| citation.support == Support::Quoted)
                            && said.iter().all(|citation| matches!(citation.support, Support::Quoted | Support::NoClaim))
                    }
                }
        })
    };
    let notes: Vec<&str> = next.memory.lines().filter(|line| line.contains(char::is_alphanumeric)).collect();
    let kept: Vec<&str> = notes.iter().copied().filter(|line| proven(line)).collect();
    let removed = notes.len() - kept.len();
    if removed == 0 {
        return next;
    }
    let memory = match kept.is_empty() {
        true if before.iter().all(|note| note.note.trim_end_matches('.').eq_ignore_ascii_case(NOTHING_YET)) => String::new(),
        true => previous.to_string(),
        false => kept.join("\n"),
    };
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
    fn what_the_section_does_not_prove_is_not_kept() {
        let quoted = "- “The mill was sold in 1931”: the sale";
        let bare = "- It had stood empty for nine years.";
        let invented = "- “The mill was sold in 1932”: the sale";
        let told = "- The section discusses the mill.";
        assert_eq!(kept(&format!("{quoted}\n{bare}"), ""), (format!("{quoted}\n{bare}"), MemoryOutcome::Updated));
        assert_eq!(kept(&format!("{quoted}\n{invented}\n{told}"), ""), (quoted.into(), MemoryOutcome::Unproven { removed: 2 }));
        assert_eq!(kept("- The price: 4,000 crowns “and”", ""), (String::new(), MemoryOutcome::Unproven { removed: 1 }));
    }

    #[test]
    fn notes_that_were_there_stay_and_nothing_proven_wipes_nothing() {
        let old = "- “Anna Holt built the mill in 1822”: who built it";
        let shorter = "- “Anna Holt built the mill in 1822”: the builder";
        assert_eq!(kept(old, old), (old.into(), MemoryOutcome::Updated));
        assert_eq!(kept(shorter, old), (shorter.into(), MemoryOutcome::Updated));
        assert_eq!(kept("- “Anna Holt sold it in 1823”: sold", old), (old.into(), MemoryOutcome::Unproven { removed: 1 }));
        // A quote that another note brought does not prove a note without one.
        assert_eq!(kept("- Anna Holt built the mill in 1822", old), (old.into(), MemoryOutcome::Unproven { removed: 1 }));
        assert_eq!(kept("- “Nothing found yet”", ""), (String::new(), MemoryOutcome::Unproven { removed: 1 }));
    }
}
