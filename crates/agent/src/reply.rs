//! What a model's reply means: thinking stripped, `<memory>` and `<plan>` taken out, and a stated outcome for everything else.

use data::MemoryOutcome;
use tokenizer::Tokenizer;

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
    match (reply.rfind("</think>"), reply.find("<think>")) {
        (Some(end), _) => reply[end + "</think>".len()..].trim(),
        (None, Some(open)) => reply[..open].trim(),
        (None, None) => reply.trim(),
    }
}

/// Reads an update reply. `budget` is the memory's token budget.
///
/// - no `<memory>` tag: the whole text (thinking, labels and plan removed) is the memory, the plan stays: `MissingTags`;
/// - an empty memory: the previous one stays: `KeptPrevious`;
/// - the same memory as before: accepted: `Unchanged`;
/// - lines said over and over: kept once: `Collapsed`;
/// - more than `budget` tokens: cut at the last sentence that fits: `Truncated`.
pub fn read_update(
    reply: &str,
    previous: (&str, &str),
    budget: usize,
    tokenizer: &Tokenizer,
) -> Result<NextState, tokenizer::TokenizerError> {
    let text = strip_thinking(reply);
    let tagged = between(text, "memory");
    let plan = between(text, "plan").filter(|plan| !plan.is_empty()).unwrap_or(previous.1).to_string();
    let raw = match tagged {
        Some(memory) => memory,
        None => {
            let text = text.split("<plan>").next().unwrap_or(text).trim();
            text.strip_prefix("Updated memory:").unwrap_or(text).trim()
        }
    };
    if raw.is_empty() || raw == "the new memory" {
        return Ok(NextState { memory: previous.0.to_string(), plan, outcome: MemoryOutcome::KeptPrevious });
    }
    let mut outcome = if tagged.is_none() { MemoryOutcome::MissingTags } else { MemoryOutcome::Updated };
    let (mut memory, removed) = collapse(raw);
    if removed > 0 {
        outcome = MemoryOutcome::Collapsed { removed };
    }
    let tokens = tokenizer.count(&memory)?;
    if tokens > budget {
        memory = cut_to(&memory, budget, tokenizer)?;
        outcome = MemoryOutcome::Truncated { tokens };
    }
    if memory == previous.0 {
        outcome = MemoryOutcome::Unchanged;
    }
    Ok(NextState { memory, plan, outcome })
}

/// The text of the last opened `<tag>`, to its end tag or, when the reply was cut off, to the next tag or the end.
fn between<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    let open = text.rfind(&format!("<{tag}>"))? + tag.len() + 2;
    let rest = &text[open..];
    let end = rest.find(&format!("</{tag}>")).or_else(|| rest.find("<plan>")).or_else(|| rest.find("</")).unwrap_or(rest.len());
    Some(rest[..end].trim())
}

/// Drops lines that were said before, word for word. Small models fall into such loops.
fn collapse(text: &str) -> (String, usize) {
    let mut seen = std::collections::HashSet::new();
    let mut removed = 0;
    let mut lines = Vec::new();
    for line in text.lines() {
        let key = line.trim().trim_start_matches(|c: char| c.is_ascii_digit() || ".-*) ".contains(c));
        if !key.is_empty() && !seen.insert(key.to_lowercase()) {
            removed += 1;
        } else {
            lines.push(line);
        }
    }
    (lines.join("\n").trim().to_string(), removed)
}

/// The longest beginning of at most `budget` tokens that ends with a sentence or line; with a word if there is none.
fn cut_to(text: &str, budget: usize, tokenizer: &Tokenizer) -> Result<String, tokenizer::TokenizerError> {
    let mut ids = tokenizer.encode(text)?;
    ids.truncate(budget);
    // A token border may fall inside a character: take the common beginning with the original.
    let decoded = tokenizer.decode(&ids, true)?;
    let common = text.char_indices().zip(decoded.chars()).take_while(|((_, a), b)| a == b).last();
    let end = common.map_or(0, |((index, c), _)| index + c.len_utf8());
    let head = &text[..end];
    let sentence = head.rfind(['.', '!', '?', '\n', '。', '！', '？']).map(|i| i + head[i..].chars().next().map_or(1, char::len_utf8));
    let cut = sentence.filter(|&cut| cut * 2 > end).or_else(|| head.rfind(' ')).unwrap_or(end);
    Ok(text[..cut].trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinking_is_never_reused() {
        assert_eq!(strip_thinking("<think>\na </think> b"), "b");
        assert_eq!(strip_thinking("still thinking </think> b"), "b");
        assert_eq!(strip_thinking("a <think> never closed"), "a");
        assert_eq!(strip_thinking("plain"), "plain");
    }

    #[test]
    fn tags_that_never_close_end_with_the_reply() {
        assert_eq!(between("x <memory> a\nb", "memory"), Some("a\nb"));
        assert_eq!(between("<memory>a<plan>p</plan>", "memory"), Some("a"));
        assert_eq!(between("nothing", "memory"), None);
    }

    #[test]
    fn repeated_lines_are_said_once() {
        assert_eq!(collapse("1. a\n2. b\n3. a\n4. A"), ("1. a\n2. b".to_string(), 2));
    }
}
