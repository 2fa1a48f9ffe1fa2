//! What a question names: its words without those that only ask.

use std::collections::HashSet;

use tokenizer::{Tokenizer, TokenizerError};

use crate::cite::words::{Token, terms, tokens};
use crate::cite::{SentenceLines, split_sentences};

/// Words of questions that name nothing.
const EMPTY: &str = "a about all an and any are as at be been by can could did do does each ever for from give given had has have he her \
    him his how i if in into is it its list many me more most much name named no not of off on one or our per said say says shall she \
    should so some state stated such tell than that the their them then there these they this those to total under up upon was we were \
    what when where which who whom whose why will with would you your";

/// The stems of the words that `question` names something with.
pub fn named(question: &str) -> HashSet<u64> {
    let mut named = HashSet::new();
    stems_of(question, |stem| {
        named.insert(stem);
    });
    stems_of(EMPTY, |stem| {
        named.remove(&stem);
    });
    named
}

/// Calls `each` with the stem of every word (of every pair of neighbours in scripts without spaces).
pub fn stems_of(text: &str, mut each: impl FnMut(u64)) {
    let mut words: Vec<Token> = Vec::new();
    tokens(text, &mut words);
    terms(&words, |word| word.stem, |stem, _| each(stem));
}

/// The notes before, and then those sentences of `text` that share most with `question`, in their order, in `budget` tokens: what a memory
/// can be made of that ran on through a section. A sentence has to name two things of the question, or all there are.
pub fn keep_named(before: &str, text: &str, question: &str, budget: usize, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
    let wanted = named(question);
    let mut sentences: Vec<(usize, usize, &str)> = Vec::new();
    for (start, end) in split_sentences(text, SentenceLines::Ends) {
        let sentence = text[start..end].trim();
        let mut shared = HashSet::new();
        stems_of(sentence, |stem| {
            if wanted.contains(&stem) {
                shared.insert(stem);
            }
        });
        if shared.len() >= wanted.len().clamp(1, 2)
            && !before.contains(sentence)
            && sentences.iter().all(|(_, _, other)| *other != sentence)
        {
            sentences.push((start, shared.len(), sentence));
        }
    }
    sentences.sort_by_key(|&(start, shared, _)| (std::cmp::Reverse(shared), start));
    let mut kept: Vec<(usize, &str)> = Vec::new();
    let join = |kept: &[(usize, &str)]| {
        let mut order = kept.to_vec();
        order.sort_unstable();
        let lines = std::iter::once(before.trim()).chain(order.into_iter().map(|(_, sentence)| sentence));
        lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
    };
    for (start, _, sentence) in sentences {
        kept.push((start, sentence));
        if tokenizer.count(&join(&kept))? > budget {
            kept.pop();
        }
    }
    Ok(join(&kept))
}
