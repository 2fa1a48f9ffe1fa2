//! Byte-level vocabularies' splitting rules by hand: what their regular expressions match, in one pass and without backtracking.
//! A property test holds each rule to its expression.

use std::sync::LazyLock;

use tokenizers::utils::SysRegex;

/// `'s`, words, digits and signs with a space before them, and white space: GPT-2's own pattern.
pub(crate) const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// [`GPT2`] with digits in twos. Only the library splits by it.
pub(crate) const PAIRS: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}{1,2}| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
/// As Qwen2's tokenizer.json has it: digits one by one.
pub(crate) const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// As Llama 3's tokenizer.json has it: digits in threes.
pub(crate) const LLAMA3: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Qwen 3.5's: marks belong to the words they are on. Only the library splits by it.
pub(crate) const QWEN35: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Every digit a piece.
pub(crate) const DIGIT: &str = r"\p{N}";

/// A rule this module knows by heart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// [`GPT2`], after [`DIGIT`] if `digits`.
    Gpt2 { digits: bool },
    /// [`QWEN2`] (`digits` 1) and [`LLAMA3`] (3).
    Words { digits: usize },
}

impl Rule {
    /// The rule that splits as these expressions do, each applied to the pieces of the one before.
    pub fn of(patterns: &[&str]) -> Option<Self> {
        match patterns {
            [GPT2] => Some(Self::Gpt2 { digits: false }),
            [DIGIT, GPT2] => Some(Self::Gpt2 { digits: true }),
            [QWEN2] => Some(Self::Words { digits: 1 }),
            [LLAMA3] => Some(Self::Words { digits: 3 }),
            _ => None,
        }
    }

    /// The length of the piece `text` starts with; `text` is not empty.
    pub fn first(self, text: &str) -> usize {
        match self {
            Self::Gpt2 { digits } => gpt2(text, digits),
            Self::Words { digits } => words(text, digits),
        }
    }
}

/// What the expressions ask of a character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Other,
    Letter,
    Number,
    Space,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        '0'..='9' => Class::Number,
        '\t'..='\r' | ' ' => Class::Space,
        '\0'..='\x7f' => Class::Other,
        _ => {
            let code = c as usize;
            match CLASSES[code / 4] >> (code % 4 * 2) & 3 {
                1 => Class::Letter,
                2 => Class::Number,
                3 => Class::Space,
                _ => Class::Other,
            }
        }
    }
}

/// Two bits a character. The library's own regular expressions fill the table, so both know the same version of Unicode.
static CLASSES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let all: String = ('\0'..=char::MAX).collect();
    let mut classes = vec![0u8; 0x11_0000 / 4];
    for (bits, pattern) in [(1, r"\p{L}+"), (2, r"\p{N}+"), (3, r"\s+")] {
        let Ok(regex) = SysRegex::new(pattern) else { unreachable!("{pattern} is an expression") };
        for (start, end) in regex.find_iter(&all) {
            for c in all[start..end].chars() {
                classes[c as usize / 4] |= bits << (c as usize % 4 * 2);
            }
        }
    }
    classes
});

/// The length of the run of characters of one class at the front.
fn run(text: &str, of: Class) -> usize {
    text.char_indices().find(|&(_, c)| class(c) != of).map_or(text.len(), |(at, _)| at)
}

/// `(?:'s|'t|'re|'ve|'m|'ll|'d)`, in any case if `fold`.
fn contraction(text: &str, fold: bool) -> Option<usize> {
    let mut rest = text.strip_prefix('\'')?.chars().map(|c| match c {
        // Unicode folds the long s to s.
        'ſ' if fold => 's',
        c if fold => c.to_ascii_lowercase(),
        c => c,
    });
    let letters = match (rest.next()?, rest.next()) {
        ('s' | 't' | 'm' | 'd', _) => 1,
        ('r' | 'v', Some('e')) | ('l', Some('l')) => 2,
        _ => return None,
    };
    Some(text.char_indices().nth(1 + letters).map_or(text.len(), |(at, _)| at))
}

/// `\s+(?!\S)|\s+`: white space up to the last, which goes with what follows it.
fn space(text: &str) -> usize {
    let len = run(text, Class::Space);
    let last = text[..len].chars().next_back().map_or(0, char::len_utf8);
    if len == text.len() || len == last { len } else { len - last }
}

fn gpt2(text: &str, digits: bool) -> usize {
    let gap = if digits {
        let gap = text.char_indices().find(|&(_, c)| class(c) == Class::Number);
        match gap {
            Some((0, c)) => return c.len_utf8(),
            // Only this far is visible: looking ahead at a digit is looking at the end.
            Some((at, _)) => &text[..at],
            None => text,
        }
    } else {
        text
    };
    if let Some(len) = contraction(gap, false) {
        return len;
    }
    let skip = usize::from(gap.starts_with(' '));
    match gap[skip..].chars().next().map(class) {
        Some(Class::Space) | None => space(gap),
        Some(of) => skip + run(&gap[skip..], of),
    }
}

fn words(text: &str, digits: usize) -> usize {
    if let Some(len) = contraction(text, true) {
        return len;
    }
    let mut chars = text.chars();
    let Some(c) = chars.next() else { return 0 };
    let (kind, next) = (class(c), chars.next().map(class));
    let skip = c.len_utf8();
    if kind == Class::Letter {
        return run(text, Class::Letter);
    }
    if kind == Class::Number {
        let more = text.char_indices().take(digits).take_while(|&(_, c)| class(c) == Class::Number);
        return more.map(|(at, c)| at + c.len_utf8()).last().unwrap_or(skip);
    }
    if next == Some(Class::Letter) && !matches!(c, '\r' | '\n') {
        return skip + run(&text[skip..], Class::Letter);
    }
    if kind == Class::Other || (c == ' ' && next == Some(Class::Other)) {
        let start = if kind == Class::Other { 0 } else { skip };
        let signs = start + run(&text[start..], Class::Other);
        let newlines = text[signs..].find(|c| !matches!(c, '\r' | '\n')).unwrap_or(text.len() - signs);
        return signs + newlines;
    }
    let white = run(text, Class::Space);
    match text[..white].rfind(['\r', '\n']) {
        Some(last) => last + 1,
        None => space(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces by regular expressions; text between matches is a piece too.
    fn by_regex(regexes: &[SysRegex], text: &str) -> Vec<String> {
        let mut pieces = vec![text.to_owned()];
        for regex in regexes {
            let mut next = Vec::new();
            for piece in &pieces {
                let mut from = 0;
                for (start, end) in regex.find_iter(piece) {
                    next.extend([&piece[from..start], &piece[start..end]].map(str::to_owned));
                    from = end;
                }
                next.push(piece[from..].to_owned());
            }
            pieces = next.into_iter().filter(|piece| !piece.is_empty()).collect();
        }
        pieces
    }

    fn by_hand(rule: Rule, mut text: &str) -> Vec<String> {
        let mut pieces = Vec::new();
        while !text.is_empty() {
            let (piece, rest) = text.split_at(rule.first(text));
            assert!(!piece.is_empty());
            pieces.push(piece.to_owned());
            text = rest;
        }
        pieces
    }

    const RULES: [&[&str]; 4] = [&[GPT2], &[DIGIT, GPT2], &[QWEN2], &[LLAMA3]];

    fn check(text: &str) {
        static REGEXES: LazyLock<Vec<Vec<SysRegex>>> = LazyLock::new(|| {
            RULES.iter().map(|patterns| patterns.iter().map(|pattern| SysRegex::new(pattern).unwrap()).collect()).collect()
        });
        for (patterns, regexes) in RULES.iter().zip(REGEXES.iter()) {
            assert_eq!(by_hand(Rule::of(patterns).unwrap(), text), by_regex(regexes, text), "{patterns:?}");
        }
    }

    #[test]
    fn every_character_is_split_as_its_expression_would() {
        // Each character between letters, digits, spaces and newlines, in lots of a few hundred.
        let chars: Vec<char> = ('\0'..=char::MAX).filter(|&c| (c as u32) < 0x2100 || (c as u32).is_multiple_of(97)).collect();
        for lot in chars.chunks(400) {
            check(&lot.iter().flat_map(|&c| ['a', c, ' ', c, '1', c, '\n', ' ', c]).collect::<String>());
        }
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(500))]
        #[test]
        fn any_text_is_split_as_its_expression_would(text in "\\PC{0,40}") {
            check(&text);
        }

        #[test]
        fn white_space_and_contractions_are_split_as_their_expression_would(
            text in "(?:[ \t\r\n]|\u{a0}|\u{3000}|'[sStTſrReEvVmlLdD]?|[a-cé中]|[0-9٣½]|[.,!~]|\u{301}){0,30}"
        ) {
            check(&text);
        }
    }
}
