//! What a model's reply means: thinking stripped, `<memory>` and `<plan>` taken out, and a stated outcome for everything else.

use std::collections::HashSet;

use data::MemoryOutcome;
use tokenizer::{Tokenizer, TokenizerError};

use crate::prompts::{NO_MEMORY, NO_PLAN, NOTHING_YET, SAME};
use crate::question::keep_named;
use crate::tags::{first_tag, neutralise};

/// What ends a sentence or a line.
const ENDS: [char; 7] = ['.', '!', '?', '\n', '。', '！', '？'];

/// A reply read as the next state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NextState {
    /// The new memory.
    pub memory: String,
    /// The new plan.
    pub plan: String,
    /// What had to be done to the reply.
    pub outcome: MemoryOutcome,
}

/// The reply without its thinking: what follows the last `</think>`. An opened block that never closes is thinking to its end.
pub fn strip_thinking(reply: &str) -> &str {
    let said = reply.rfind("</think>").map_or(reply, |end| &reply[end + "</think>".len()..]);
    said.find("<think>").map_or(said, |open| &said[..open]).trim()
}

/// What a reply says. Templates of thinking models open the block themselves, so a reply that reached its bound (`cut_off`) before
/// any `</think>` is thinking from its first word and says nothing.
pub fn spoken(reply: &str, thinks: bool, cut_off: bool) -> &str {
    if thinks && cut_off && !reply.contains("</think>") { "" } else { strip_thinking(reply) }
}

/// Reads an update reply whose thinking was stripped. `budget` is the memory's token budget.
///
/// - no `<memory>` tag, or one that never closes: the text there is (labels and plan removed) is the memory: `MissingTags`;
/// - an empty memory, or the form's own words: the previous one stays: `KeptPrevious`;
/// - the same memory as before: accepted: `Unchanged`;
/// - lines said over and over, or an ending that goes round in circles: kept once: `Collapsed`;
/// - more than `budget` tokens: cut at the last sentence that fits: `Truncated`;
/// - more than `budget` tokens and no end in sight: small models copy a section so. The previous notes stay, with the new sentences that
///   name what `question` names: `RanOn`.
///
/// The plan stays as it was unless the reply has a new one. Tags of the prompt's own inside either are made harmless.
pub fn read_update(
    text: &str,
    previous: (&str, &str),
    question: &str,
    budget: usize,
    tokenizer: &Tokenizer,
) -> Result<NextState, TokenizerError> {
    let (tagged, closed) = block(text, "memory");
    let (raw, labelled) = match tagged {
        Some(memory) => (bare(memory), None),
        None => {
            let (memory, plan) = by_labels(&text[..first_tag(text)]);
            (bare(memory), plan)
        }
    };
    let plan = match block(text, "plan").0.or(labelled) {
        Some(plan) if !says_nothing(plan) => neutralise(plan),
        _ => previous.1.to_string(),
    };
    if says_nothing(raw) {
        return Ok(NextState { memory: previous.0.to_string(), plan, outcome: MemoryOutcome::KeptPrevious });
    }
    let mut outcome = if closed { MemoryOutcome::Updated } else { MemoryOutcome::MissingTags };
    let (mut memory, removed) = collapse(&neutralise(&without_nothing(raw)));
    if removed > 0 {
        outcome = MemoryOutcome::Collapsed { removed };
    }
    let tokens = tokenizer.count(&memory)?;
    if tokens > budget && !closed {
        let before = if says_nothing(previous.0) || previous.0.trim() == NOTHING_YET { "" } else { previous.0 };
        memory = keep_named(before, &memory, question, budget, tokenizer)?;
        outcome = MemoryOutcome::RanOn { tokens };
    } else if tokens > budget {
        memory = cut_to(&memory, budget, tokenizer)?;
        outcome = MemoryOutcome::Truncated { tokens };
    }
    if memory == previous.0 && outcome == MemoryOutcome::Updated {
        outcome = MemoryOutcome::Unchanged;
    }
    Ok(NextState { memory, plan, outcome })
}

/// Reads a MemAgent reply, whose whole text is the memory: an empty one keeps the previous memory, loops are said once, and what is
/// over `budget` tokens is cut at a sentence.
pub fn read_memory(text: &str, previous: &str, budget: usize, tokenizer: &Tokenizer) -> Result<NextState, TokenizerError> {
    let state = |memory: String, outcome| NextState { memory, plan: String::new(), outcome };
    let raw = text.trim();
    let raw = raw.strip_prefix("Updated memory:").unwrap_or(raw).trim();
    if says_nothing(raw) {
        return Ok(state(previous.to_string(), MemoryOutcome::KeptPrevious));
    }
    let (memory, removed) = collapse(&neutralise(raw));
    let tokens = tokenizer.count(&memory)?;
    if tokens > budget {
        return Ok(state(cut_to(&memory, budget, tokenizer)?, MemoryOutcome::Truncated { tokens }));
    }
    let outcome = match removed {
        0 if memory == previous => MemoryOutcome::Unchanged,
        0 => MemoryOutcome::Updated,
        removed => MemoryOutcome::Collapsed { removed },
    };
    Ok(state(memory, outcome))
}

/// Reads the reply of a turn in a few words: [`SAME`] keeps the previous memory, which takes a model one token instead of all of them, and
/// cannot miscopy; anything else is read as [`read_memory`] does.
pub fn read_short(text: &str, previous: &str, budget: usize, tokenizer: &Tokenizer) -> Result<NextState, TokenizerError> {
    if text.trim() == SAME {
        return Ok(NextState { memory: previous.to_string(), plan: String::new(), outcome: MemoryOutcome::Unchanged });
    }
    read_memory(text, previous, budget, tokenizer)
}

/// Memory and plan of a reply that has labels instead of tags: what follows a line "Plan:" is the plan.
fn by_labels(text: &str) -> (&str, Option<&str>) {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let label = line.trim_start_matches([' ', '*', '#']);
        if at > 0 && label.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("plan:")) {
            let plan = text[at..].trim_start_matches([' ', '*', '#']);
            return (&text[..at], Some(bare(plan[5..].trim_start_matches('*'))));
        }
        at += line.len();
    }
    (text, None)
}

/// Without what some models put around a memory: code fences, and the label once more.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    loop {
        let before = text.len();
        if let Some(rest) = text.strip_prefix("```") {
            // A fence alone on its line, with or without a language.
            let end = rest.find('\n').unwrap_or(rest.len());
            if rest[..end].chars().all(char::is_alphanumeric) {
                text = rest[end..].trim();
            }
        }
        text = text.strip_prefix("Updated memory:").unwrap_or(text).trim();
        text = text.strip_suffix("```").unwrap_or(text).trim();
        if text.len() == before {
            return text;
        }
    }
}

/// Nothing, or only the words that stand in the prompt where memory and plan go.
fn says_nothing(text: &str) -> bool {
    ["", "and", NO_MEMORY, NO_PLAN, "the new memory", "the new plan", "the memory", "the plan"]
        .iter()
        .any(|words| text.eq_ignore_ascii_case(words))
}

/// The text of the last complete `<tag>…</tag>`, and `true`. Without one: the text from the last `<tag>` to the next tag of the form or
/// the end, where the reply was cut off, and `false`.
fn block<'a>(text: &'a str, tag: &str) -> (Option<&'a str>, bool) {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    if let Some(end) = text.rfind(&close)
        && let Some(start) = text[..end].rfind(&open)
    {
        return (Some(text[start + open.len()..end].trim()), true);
    }
    let Some(start) = text.rfind(&open) else { return (None, false) };
    let rest = &text[start + open.len()..];
    let rest = &rest[..first_tag(rest)];
    // A cut can leave the beginning of the end tag.
    let partial = (1..close.len()).rev().find(|&n| rest.ends_with(&close[..n])).unwrap_or(0);
    (Some(rest[..rest.len() - partial].trim()), false)
}

/// Without the prompt's own "Nothing found yet" where something else is said: it would talk the answer out of what was found.
fn without_nothing(memory: &str) -> String {
    let bare = |line: &str| without_marker(line.trim()).trim_matches(['.', ':', ' ', '"', '“', '”']).to_string();
    let nothing = |line: &&str| bare(line).eq_ignore_ascii_case(NOTHING_YET);
    let said: Vec<&str> = memory.lines().filter(|line| !nothing(line)).collect();
    if said.iter().all(|line| line.trim().is_empty()) { memory.to_string() } else { said.join("\n") }
}

/// Drops lines that were said before, word for word, and all but the first round of an ending that repeats itself. Small models
/// fall into such loops.
fn collapse(text: &str) -> (String, usize) {
    let mut seen = HashSet::new();
    let mut removed = 0;
    let mut lines = Vec::new();
    for line in text.lines() {
        let key = without_marker(line.trim()).to_lowercase();
        if !key.is_empty() && !seen.insert(key) {
            removed += 1;
        } else if !(line.trim().is_empty() && lines.last().is_none_or(|last: &&str| last.trim().is_empty())) {
            // Of several blank lines, which dropped ones leave behind, one says as much.
            lines.push(line);
        }
    }
    let kept = lines.join("\n");
    let (end, rounds) = before_rounds(kept.trim());
    (kept.trim()[..end].trim_end().to_string(), removed + rounds)
}

/// A line without its list marker (`- `, `3. `): a loop counts on while it repeats itself. Numbers that are no marker stay, because
/// "10 ships" and "20 ships" are two facts.
fn without_marker(line: &str) -> &str {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let marker = match line.as_bytes().get(digits) {
        Some(b'.' | b')') if digits > 0 => digits + 1,
        Some(b'-' | b'*') if digits == 0 => 1,
        _ => return line,
    };
    if line[marker..].starts_with(' ') { line[marker..].trim_start() } else { line }
}

/// Where the first round of a repeating ending stops, and how many rounds follow it. Four rounds over forty characters or more make
/// a loop; the last may be cut off.
fn before_rounds(text: &str) -> (usize, usize) {
    let chars: Vec<(usize, char)> = text.char_indices().collect();
    let n = chars.len();
    for period in 1..=n / 4 {
        let same = (period..n).rev().take_while(|&i| chars[i].1 == chars[i - period].1).count();
        if same >= 3 * period && same + period >= 40 {
            // Rounds have no beginning: end the first one with a sentence if one ends in it.
            let ends = (n - same..n - same + period).map(|end| chars[end].0);
            let first = ends.clone().find(|&end| text[..end].trim_end().ends_with(ENDS)).unwrap_or(chars[n - same].0);
            return (first, same.div_ceil(period));
        }
    }
    (text.len(), 0)
}

/// The longest beginning of at most `budget` tokens, ending with a sentence or line if one ends in its second half, else with a word.
pub fn cut_to(text: &str, budget: usize, tokenizer: &Tokenizer) -> Result<String, TokenizerError> {
    let ids = tokenizer.encode(text)?;
    let mut most = budget.min(ids.len());
    loop {
        let decoded = tokenizer.decode(&ids[..most], true)?;
        // A token border may fall inside a character: take the common beginning with the original.
        let common = text.char_indices().zip(decoded.chars()).take_while(|((_, a), b)| a == b).last();
        let end = common.map_or(0, |((index, c), _)| index + c.len_utf8());
        let cut = if end == text.len() { end } else { border(&text[..end]) };
        let kept = text[..cut].trim();
        // Shorter text can take more tokens than it did as part of the longer one.
        if most == 0 || tokenizer.count(kept)? <= budget {
            return Ok(kept.to_string());
        }
        most -= 1;
    }
}

fn border(head: &str) -> usize {
    let sentence = head.char_indices().rev().find(|(_, c)| ENDS.contains(c)).map(|(i, c)| i + c.len_utf8());
    sentence.filter(|&cut| cut * 2 > head.len()).or_else(|| head.rfind(' ')).unwrap_or(head.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_never_reused() {
        assert_eq!(strip_thinking("<think>\na </think> b"), "b");
        assert_eq!(strip_thinking("still thinking </think> b"), "b");
        assert_eq!(strip_thinking("a <think> never closed"), "a");
        assert_eq!(strip_thinking("<think>a</think> b <think> c"), "b");
        assert_eq!(strip_thinking("plain"), "plain");
        assert_eq!(spoken("thoughts without an end", true, true), "");
        assert_eq!(spoken("an answer", true, false), "an answer");
        assert_eq!(spoken("thoughts</think>answer, cut", true, true), "answer, cut");
    }

    #[test]
    fn one_word_keeps_the_notes() {
        let tokenizer = Tokenizer::approximate();
        let read = |reply: &str| read_short(reply, "Anna owns the mill.", 64, &tokenizer).unwrap();
        let kept = |outcome| NextState { memory: "Anna owns the mill.".into(), plan: String::new(), outcome };
        assert_eq!(read(" same\n"), kept(MemoryOutcome::Unchanged));
        assert_eq!(read(""), kept(MemoryOutcome::KeptPrevious));
        assert_eq!(read("same as ever").memory, "same as ever");
        assert_eq!(read("Anna sold it.").outcome, MemoryOutcome::Updated);
    }

    #[test]
    fn tags_that_never_close_end_with_the_reply() {
        assert_eq!(block("x <memory> a\nb", "memory"), (Some("a\nb"), false));
        assert_eq!(block("<memory>a <b>x</b></mem", "memory"), (Some("a <b>x</b>"), false));
        assert_eq!(block("<memory>a<plan>p</plan>", "memory"), (Some("a"), false));
        assert_eq!(block("<memory>a</section> Update", "memory"), (Some("a"), false));
        assert_eq!(block("nothing", "memory"), (None, false));
    }

    #[test]
    fn labels_and_fences_are_no_memory() {
        let fenced = "```plaintext\nUpdated memory:\nThe debt was 5.\n\n**Plan:** Go on.\n```";
        let (memory, plan) = by_labels(fenced);
        assert_eq!((bare(memory), plan), ("The debt was 5.", Some("Go on.")));
        assert_eq!(by_labels("Plan: all of it"), ("Plan: all of it", None));
        assert_eq!(bare("```\ncode stays\n``` here"), "code stays\n``` here");
        assert_eq!(bare("Ends with ```"), "Ends with");
    }

    #[test]
    fn the_last_complete_block_counts() {
        assert_eq!(block("<memory>old</memory> no: <memory>new</memory>", "memory"), (Some("new"), true));
        assert_eq!(block("<memory>kept</memory><plan>fill <memory> next</plan>", "memory"), (Some("kept"), true));
    }

    #[test]
    fn nothing_found_stands_alone_or_not_at_all() {
        assert_eq!(without_nothing("Haiti: 700\n- nothing found yet."), "Haiti: 700");
        assert_eq!(without_nothing("Nothing found yet\n"), "Nothing found yet\n");
        assert_eq!(without_nothing("Nothing found yet of the mill"), "Nothing found yet of the mill");
    }

    #[test]
    fn repeated_lines_are_said_once() {
        assert_eq!(collapse("1. a\n2. b\n3. a\n4. A"), ("1. a\n2. b".to_string(), 2));
        assert_eq!(collapse("a\n\na\n\na\n\nb").0, "a\n\nb");
        assert_eq!(collapse("10 ships\n20 ships\n1990\n1991").1, 0);
    }

    #[test]
    fn an_ending_in_circles_is_said_once() {
        let (text, rounds) = collapse(&format!("Facts. {}The king wa", "The king was old. ".repeat(9)));
        assert_eq!((text.as_str(), rounds), ("Facts. The king was old.", 9));
        assert_eq!(collapse("no, no, no").1, 0);
    }
}
