//! Where the final answer of a reply stands.

/// Words after which an answer follows, lower case.
const MARKERS: [&str; 4] = ["answer is", "answers are", "answer:", "answer："];
/// The same in Chinese, where no word boundary is needed.
const CHINESE: [&str; 4] = ["答案是", "答案为", "答案：", "答案:"];
/// Bytes of a line that LaTeX is taken out of: an answer is shorter.
const LONGEST: usize = 10_000;
/// The blank of the prompt's own template, copied instead of filled in.
const BLANK: &str = "insert answer here";

/// What follows the thinking; `None` where thinking began and did not end.
pub(crate) fn after_thinking(reply: &str) -> Option<&str> {
    const END: &str = "</think>";
    match (reply.rfind("<think>"), reply.rfind(END)) {
        (open, Some(close)) if open.is_none_or(|open| open < close) => Some(&reply[close + END.len()..]),
        (Some(_), _) => None,
        (None, _) => Some(reply),
    }
}

/// At most one think block, at the beginning and closed. Its opening tag may stand in the prompt.
pub(crate) fn well_formed(reply: &str) -> bool {
    let (opened, closed) = (reply.matches("<think>").count(), reply.matches("</think>").count());
    match (opened, closed) {
        (0, 0 | 1) => true,
        (1, 1) => reply.trim_start().starts_with("<think>"),
        _ => false,
    }
}

/// The final answer of a reply.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Final {
    /// What follows the thinking, without Markdown's asterisks.
    text: String,
    /// Where in it an answer is stated (byte ranges), in order. Empty: nowhere.
    stated_at: Vec<(usize, usize)>,
    /// Whether "the answer is" (or the like) introduces it.
    pub stated: bool,
}

impl Final {
    /// `None` where there is no answer: the thinking did not end, or nothing follows it.
    pub fn of(reply: &str) -> Option<Self> {
        let text = after_thinking(reply)?.replace('*', "");
        if text.trim().is_empty() {
            return None;
        }
        let mut stated_at = statements(&text);
        stated_at.retain(|&(from, to)| !is_blank(&text[from..to]));
        Some(Self { stated: !stated_at.is_empty(), text, stated_at })
    }

    /// What is stated, the last first, each to the end of the reply (of the braces for `\boxed{…}`).
    pub fn statements(&self) -> impl Iterator<Item = &str> {
        self.stated_at.iter().rev().map(|&(from, to)| trim(&self.text[from..to]))
    }

    /// The answer in at most `count` lines that are not blank: the first ones of what is stated, or the reply's last ones.
    pub fn lines(&self, count: usize) -> String {
        let text = self.statements().next().unwrap_or(&self.text);
        let mut lines: Vec<&str> = if self.stated {
            text.lines().filter(|line| !line.trim().is_empty()).take(count).collect()
        } else {
            text.lines().rev().filter(|line| !line.trim().is_empty()).take(count).collect()
        };
        if !self.stated {
            lines.reverse();
        }
        lines.iter().map(|line| unwrap(line)).collect::<Vec<_>>().join("\n")
    }
}

/// (from, to) of everything that follows a marker, in order.
fn statements(text: &str) -> Vec<(usize, usize)> {
    // ASCII only, so that offsets are those of the text.
    let lower = text.to_ascii_lowercase();
    let mut out = Vec::new();
    for marker in MARKERS {
        let starts_word = |at: usize| !lower[..at].chars().next_back().is_some_and(char::is_alphanumeric);
        let ends_word = |end: usize| !lower[end..].chars().next().is_some_and(char::is_alphanumeric) || !marker.is_ascii();
        let found = lower.match_indices(marker).map(|(at, _)| (at, at + marker.len()));
        out.extend(
            found.filter(|&(at, end)| starts_word(at) && (ends_word(end) || marker.ends_with(':'))).map(|(_, end)| (end, text.len())),
        );
    }
    for marker in CHINESE {
        out.extend(text.match_indices(marker).map(|(at, _)| (at + marker.len(), text.len())));
    }
    out.extend(boxed(text));
    out.sort_unstable();
    out
}

/// (from, to) between the braces of each `\\boxed{…}` that is closed.
fn boxed(text: &str) -> Vec<(usize, usize)> {
    const BOXED: &str = "\\boxed";
    let (mut open, mut out) = (Vec::new(), Vec::new());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => open.push(text[..at].ends_with(BOXED).then_some(at + 1)),
            b'}' => out.extend(open.pop().flatten().map(|from| (from, at))),
            _ => {}
        }
    }
    out
}

/// Bytes before the brace that closes one already open.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 1;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// What introduces or surrounds an answer and is no part of it.
fn trim(text: &str) -> &str {
    text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '：')).trim_end()
}

fn is_blank(text: &str) -> bool {
    let inner = trim(text).lines().next().unwrap_or("").trim_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation());
    inner.eq_ignore_ascii_case(BLANK) || (trim(text).chars().all(|c| c.is_whitespace() || matches!(c, '.' | '。' | '$' | '`' | '"')))
}

/// A line without LaTeX's wrapping of words: `$\text{Paris}$` is `Paris`.
fn unwrap(line: &str) -> String {
    if line.len() > LONGEST {
        return line.trim().to_string();
    }
    let mut out = line.trim().trim_matches('$').trim().to_string();
    for command in ["\\boxed{", "\\text{", "\\textbf{", "\\mathrm{", "\\mathbf{"] {
        while let Some(at) = out.find(command) {
            let from = at + command.len();
            let Some(length) = closing_brace(&out[from..]) else { break };
            out = format!("{}{}{}", &out[..at], &out[from..from + length], &out[from + length + 1..]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(reply: &str) -> Option<String> {
        Final::of(reply).map(|last| last.lines(1))
    }

    #[test]
    fn the_answer_follows_the_thinking_and_the_last_marker() {
        for (reply, answer) in [
            ("Paris", "Paris"),
            ("<think>London? the answer is London</think>\n\nTherefore, the answer is Paris.", "Paris."),
            ("London? the answer is London</think>Therefore, the answer is (Paris).", "(Paris)."),
            ("The answer is Rome. No: the answer is Paris", "Paris"),
            ("**Answer:** Paris", "Paris"),
            ("**Final Answer**: **Paris**\nBecause.", "Paris"),
            ("The answer is:\n\n  Paris\n\nLondon", "Paris"),
            ("So $\\boxed{\\text{New {York}}}$ it is", "New {York}"),
            ("因此，答案是：巴黎", "巴黎"),
            ("First line.\nLast line.\n", "Last line."),
            ("The answer is Paris. I am sure that this is what the answer is.", "Paris. I am sure that this is what the answer is."),
            ("The answerer is Bob", "The answerer is Bob"),
            ("The answer isn't known", "The answer isn't known"),
        ] {
            assert_eq!(said(reply).as_deref(), Some(answer), "{reply}");
        }
        for reply in ["", " \n", "<think>the answer is Paris", "<think>a</think>", "<think>a</think>b<think>the answer is Paris"] {
            assert_eq!(said(reply), None, "{reply}");
        }
        let copied = Final::of("Therefore, the answer is (insert answer here).").unwrap();
        assert!(!copied.stated);
    }
}
