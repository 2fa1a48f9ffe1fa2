//! Questions of facts that a model has yet to find: what tries them, as long as such questions usually are.

use tokenizer::TokenizerError;

use super::{Prose, Row, Size};
use crate::plan::{Ground, Group, Maker, other_lengths};

/// A question as long as they usually are, with how a reply has to end.
const QUESTION: &str = "Start from the place whose \"area\" is about 360 thousand sq km and whose \"founded in\" gives a year of the 1870s. Go to the place named there under \"twinned with\", from there to the place named there first under \"trade › partners\". What is given under \"coast length\" for the place at the end? End with “Therefore, the answer is (insert answer here)”.";
/// Lengths that stand for all that may be drawn.
const DRAWN: usize = 32;

/// Candidates of a group with their shares, for every length alike.
///
/// # Errors
/// A tokenizer that cannot read a question.
pub(super) fn supposed(group: &Group, ground: &Ground, prose: &Prose) -> Result<Vec<(Row, f64)>, String> {
    let count = |text: &str| ground.tokenizer.count(text).map_err(|error: TokenizerError| error.to_string());
    let closed = Size { bytes: QUESTION.len(), tokens: count(QUESTION)? };
    let documents = match group.engine {
        Maker::Table => (group.rows.0 + group.rows.1) as f64 / 2.0,
        // A walk's documents are one more than its links.
        _ => f64::from(group.hops) + 1.0,
    };
    let (least, most) = (group.lengths.0 as f64, group.lengths.1 as f64);
    let bytes = prose.mean.bytes as f64 / prose.mean.tokens.max(1) as f64;
    let size = |tokens: f64| Size { bytes: (tokens * bytes) as usize, tokens: tokens as usize };
    let talk = (group.talk.0 + group.talk.1) as f64 / 2.0;
    let own = if group.engine == Maker::Dialogue { talk } else { documents * prose.mean.tokens as f64 };
    let evidence = size((own + closed.tokens as f64).min(most));
    let row = |at: usize| {
        let share = (at as f64 + 0.5) / DRAWN as f64;
        let length = (least * (most / least).powf(share)).max(evidence.tokens as f64);
        let other = other_lengths(length as usize, group.lengths).next().map(|other| other as f64);
        (Row { closed, evidence, contexts: [length].into_iter().chain(other).map(size).collect() }, 1.0 / DRAWN as f64)
    };
    Ok((0..DRAWN).map(row).collect())
}
