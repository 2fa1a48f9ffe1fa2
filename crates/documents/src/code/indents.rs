//! Languages whose items are told by a word at the line's beginning and their indentation.

/// What a language's items begin with.
pub struct Language {
    /// First words of items.
    items: &'static [&'static str],
    /// Those whose body holds items.
    containers: &'static [&'static str],
    /// What begins a comment up to the line's end.
    comment: &'static str,
    /// Strings over several lines.
    long_strings: &'static [&'static str],
    /// What begins a line that goes with the item below it.
    above: &'static [&'static str],
}

pub const PYTHON: Language =
    Language { items: &["def", "class"], containers: &["class"], comment: "#", long_strings: &["\"\"\"", "'''"], above: &["@", "#"] };
pub const RUBY: Language =
    Language { items: &["def", "class", "module"], containers: &["class", "module"], comment: "#", long_strings: &[], above: &["#"] };
pub const LUA: Language = Language { items: &["function"], containers: &[], comment: "--", long_strings: &[], above: &["--"] };
pub const ELIXIR: Language = Language {
    items: &["def", "defp", "defmodule", "defmacro", "defimpl", "defprotocol"],
    containers: &["defmodule", "defimpl", "defprotocol"],
    comment: "#",
    long_strings: &["\"\"\""],
    above: &["@", "#"],
};
pub const JULIA: Language = Language {
    items: &["function", "struct", "module", "macro", "mutable", "abstract"],
    containers: &["module"],
    comment: "#",
    long_strings: &["\"\"\""],
    above: &["@", "#"],
};

pub fn cuts(text: &str, language: &Language) -> Vec<usize> {
    let mut cuts = Vec::new();
    // Indentation of each open item, and whether it holds items.
    let mut open: Vec<(usize, bool)> = Vec::new();
    // Where the lines that go with the next item begin.
    let mut above: Option<usize> = None;
    let mut state = State::default();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let (start, goes_on) = (at, state.goes_on());
        at += line.len();
        state.read(line, language);
        let words = line.trim();
        if goes_on {
            continue;
        }
        if words.is_empty() {
            above = None;
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        let mut parts = words.split(|c: char| !c.is_alphanumeric() && c != '_');
        let mut first = parts.next().unwrap_or_default();
        if matches!(first, "async" | "local") {
            first = parts.next().unwrap_or_default();
        }
        let is_item = language.items.contains(&first);
        let goes_with_next = language.above.iter().any(|mark| words.starts_with(mark));
        let is_comment = words.starts_with(language.comment);
        // `end` and closing brackets belong to the item they end; a comment may stand anywhere in it.
        let closes = first == "end" || words.starts_with([')', ']', '}']);
        let mut ended = false;
        while !is_comment && open.last().is_some_and(|(there, _)| *there >= indent) && !closes {
            open.pop();
            ended = true;
        }
        let holds = open.iter().all(|(_, container)| *container);
        if is_item && holds {
            cuts.push(above.take().unwrap_or(start));
            open.push((indent, language.containers.contains(&first)));
        } else if goes_with_next {
            above.get_or_insert(start);
        } else {
            if ended && holds {
                cuts.push(above.unwrap_or(start));
            }
            above = None;
        }
    }
    cuts
}

/// What is open at a line's end.
#[derive(Default)]
struct State {
    long: Option<&'static str>,
    brackets: usize,
    joined: bool,
}

impl State {
    fn goes_on(&self) -> bool {
        self.long.is_some() || self.brackets > 0 || self.joined
    }

    fn read(&mut self, line: &str, language: &Language) {
        let mut rest = line.trim_end_matches(['\n', '\r']);
        self.joined = rest.ends_with('\\');
        while let Some(c) = rest.chars().next() {
            if let Some(mark) = self.long {
                let Some(end) = rest.find(mark) else { return };
                let escaped = rest[..end].ends_with('\\');
                if !escaped {
                    self.long = None;
                }
                rest = &rest[end + if escaped { 1 } else { mark.len() }..];
                continue;
            }
            if rest.starts_with(language.comment) {
                self.joined = false;
                return;
            }
            if let Some(mark) = language.long_strings.iter().find(|mark| rest.starts_with(**mark)) {
                self.long = Some(mark);
                rest = &rest[mark.len()..];
                continue;
            }
            match c {
                '"' | '\'' => {
                    rest = after_string(rest, c);
                    continue;
                }
                '(' | '[' | '{' => self.brackets += 1,
                ')' | ']' | '}' => self.brackets = self.brackets.saturating_sub(1),
                _ => {}
            }
            rest = &rest[c.len_utf8()..];
        }
    }
}

/// What follows the string that `text` begins with; the line's end ends it at the latest.
fn after_string(text: &str, quote: char) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return &text[at + 1..],
            _ => {}
        }
    }
    ""
}
