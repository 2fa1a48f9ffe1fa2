//! Containment and equality of texts.

use super::answer::Final;
use super::normalise::{bare, normalise, squad};

/// Words of the answer beyond twice the gold's.
const MORE_WORDS: usize = 4;
/// Parts of the answer (`Paris, France` has two) beyond the gold's.
const MORE_PARTS: usize = 1;
/// Between parts of an answer. A comma inside a number is none.
const SEPARATORS: [char; 9] = [',', ';', '/', '|', '&', '\n', '、', '；', '•'];
const NEGATIONS: [&str; 6] = ["not", "nor", "neither", "never", "isnt", "cannot"];
const CHINESE_NEGATIONS: [&str; 3] = ["不是", "并非", "而非"];

/// Whether the gold stands in the final answer, and the answer is little else.
pub fn contain(last: &Final, gold: &str) -> bool {
    let whole = last.lines(lines(gold));
    // The reasons may follow in the same line ("The answer is Paris. …"), or precede where nothing introduces the answer.
    let sentence = if last.stated { first_sentence(&whole) } else { last_sentence(&whole) };
    contained(&whole, gold) || contained(sentence, gold)
}

/// Cover exact match: containment of characters after SQuAD's normalisation.
pub fn cem(last: &Final, gold: &str) -> bool {
    let text = last.statements().next().map_or_else(|| last.lines(usize::MAX), str::to_string);
    let (answer, gold) = (squad(&text), squad(gold));
    !answer.is_empty() && !gold.is_empty() && answer.contains(&gold)
}

/// Equality after normalisation.
pub fn exact(last: &Final, gold: &str) -> bool {
    let answer = last.lines(lines(gold));
    if too_long(&answer, gold) {
        return false;
    }
    let (said, wanted) = (normalise(&answer), normalise(gold));
    if wanted.is_empty() { same_characters(&answer, gold) } else { said == wanted }
}

/// Seen before it is looked at closely: a policy that runs away writes hundreds of kilobytes.
fn too_long(answer: &str, gold: &str) -> bool {
    answer.len() > 10 * gold.len() + 2000
}

fn lines(gold: &str) -> usize {
    gold.lines().filter(|line| !line.trim().is_empty()).count().max(1)
}

fn contained(answer: &str, gold: &str) -> bool {
    if too_long(answer, gold) {
        return false;
    }
    let (said, wanted) = (normalise(answer), normalise(gold));
    if wanted.is_empty() {
        return same_characters(answer, gold);
    }
    words(&said) <= 2 * words(&wanted) + MORE_WORDS
        && parts(answer) <= parts(gold) + MORE_PARTS
        && ors(answer) <= ors(gold)
        && said.match_indices(&wanted).any(|(at, _)| {
            let (before, after) = (&said[..at], &said[at + wanted.len()..]);
            !joined(before.chars().next_back(), wanted.chars().next(), wanted.chars().next())
                && !joined(wanted.chars().next_back(), after.chars().next(), after.chars().nth(1))
                && (negated(&wanted) || !negated(before))
        })
}

/// For a gold that normalisation leaves nothing of, such as `A`, `The` or `[]`.
fn same_characters(answer: &str, gold: &str) -> bool {
    let (said, wanted) = (bare(answer), bare(gold));
    if !wanted.is_empty() {
        return said == wanted;
    }
    let end = |c: char| c.is_whitespace() || c == '.';
    !gold.trim().is_empty() && answer.trim_matches(end) == gold.trim_matches(end)
}

/// Words; a Chinese or Japanese character counts as one.
fn words(text: &str) -> usize {
    text.split(' ')
        .map(|word| word.chars().filter(|&c| stands_alone(c)).count() + usize::from(word.chars().any(|c| !stands_alone(c))))
        .sum()
}

/// Written without spaces between words.
fn stands_alone(c: char) -> bool {
    matches!(c, '\u{0E00}'..='\u{0EFF}' | '\u{1780}'..='\u{17FF}' | '\u{3040}'..='\u{30FF}' | '\u{3400}'..='\u{4DBF}' | '\u{4E00}'..='\u{9FFF}'
        | '\u{F900}'..='\u{FAFF}' | '\u{20000}'..='\u{3FFFF}')
}

/// Whether two neighbours belong to one word or number (`3` and `.5`, when `beyond` is the 5).
fn joined(left: Option<char>, right: Option<char>, beyond: Option<char>) -> bool {
    let (Some(left), Some(right)) = (left, right) else { return false };
    match (left, right) {
        ('.' | '-', _) => right.is_ascii_digit(),
        (_, '.') => left.is_ascii_digit() && beyond.is_some_and(|c| c.is_ascii_digit()),
        _ => left.is_alphanumeric() && right.is_alphanumeric() && !stands_alone(left) && !stands_alone(right),
    }
}

/// How many things are named, by what separates them.
fn parts(text: &str) -> usize {
    let text = text.trim().trim_end_matches(['.', ',', ';', '。']);
    let chars: Vec<char> = text.chars().map(|c| if c == '，' { ',' } else { c }).collect();
    let digit = |at: Option<usize>| at.and_then(|at| chars.get(at)).is_some_and(char::is_ascii_digit);
    let separators = chars.iter().enumerate().filter(|&(at, c)| match c {
        ',' => !(digit(at.checked_sub(1)) && digit(Some(at + 1))),
        '.' | '!' | '?' => chars.get(at + 1).is_some_and(|c| c.is_whitespace()),
        '。' | '！' | '？' => true,
        c => SEPARATORS.contains(c),
    });
    1 + separators.count() + word_count(text, "and")
}

fn ors(text: &str) -> usize {
    word_count(text, "or") + word_count(text, "either") + text.matches("或者").count() + text.matches("还是").count()
}

fn word_count(text: &str, word: &str) -> usize {
    text.split(|c: char| !c.is_alphanumeric()).filter(|part| part.eq_ignore_ascii_case(word)).count()
}

fn negated(text: &str) -> bool {
    text.split(' ').any(|word| NEGATIONS.contains(&word)) || CHINESE_NEGATIONS.iter().any(|word| text.contains(word))
}

/// Ends of sentences: byte offsets after their mark.
fn sentence_ends(text: &str) -> impl DoubleEndedIterator<Item = usize> {
    text.char_indices().filter_map(|(at, c)| {
        let end = at + c.len_utf8();
        let ends = match c {
            '.' | '!' | '?' => text[end..].chars().next().is_none_or(char::is_whitespace),
            c => matches!(c, '。' | '！' | '？' | '\n'),
        };
        ends.then_some(end)
    })
}

fn first_sentence(text: &str) -> &str {
    sentence_ends(text).find(|&end| !text[..end].trim().is_empty()).map_or(text, |end| &text[..end])
}

fn last_sentence(text: &str) -> &str {
    let text = text.trim_end();
    sentence_ends(text).rev().find(|&end| end < text.len()).map_or(text, |end| &text[end..])
}
