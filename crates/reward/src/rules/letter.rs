//! The letter of a choice.

use super::answer::Final;

/// Words that may stand between "the answer is" and the letter.
const FILLERS: [&str; 8] = ["option", "choice", "letter", "answer", "statement", "the", "选项", "选"];
/// Words that may follow a bare letter that is also a word ("A because").
const REASONS: [&str; 6] = ["because", "since", "as", "with", "which", "for"];

/// Characters after "the answer is" that are looked at.
const LONGEST: usize = 200;

/// The letter a row's answer names: `B`, `(B)`, `B.`, `B) Paris`.
pub fn gold(text: &str) -> Option<char> {
    let text = text.trim();
    if text.len() == 1 {
        return text.chars().next().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase());
    }
    begins_with(text, true)
}

/// The letter that a reply settles on; `None` for none, and for two ("A or B").
pub fn letter(last: &Final) -> Option<char> {
    for said in last.statements() {
        let line: String = said.chars().take(LONGEST).collect();
        match stated(line.lines().find(|line| !line.trim().is_empty()).unwrap_or("")) {
            Found::Letter(letter) => return Some(letter),
            Found::Several => return None,
            Found::Nothing => {}
        }
    }
    if last.stated {
        return None;
    }
    let line = last.lines(1);
    let line = line.trim();
    let option = ["option ", "choice ", "Option ", "Choice ", "选项", "选"].iter().find_map(|word| line.strip_prefix(word));
    match stated(option.unwrap_or(line)) {
        // A last line may be any sentence; one letter and a reason is not enough.
        Found::Letter(letter) if option.is_some() || line.len() == 1 || begins_with(line, true).is_some() => Some(letter),
        _ => None,
    }
}

enum Found {
    Letter(char),
    Several,
    Nothing,
}

/// The letter at the beginning of what follows "the answer is".
fn stated(text: &str) -> Found {
    let text = text.replace("\\text", "").replace("\\mathrm", "").replace("\\boxed", "").replace(['$', '`', '{', '}', '"', '\''], "");
    let mut rest = text.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '：'));
    while let Some(word) = FILLERS.iter().find(|word| {
        rest.get(..word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word))
            && (!word.is_ascii() || rest[word.len()..].starts_with([' ', ':', '(']))
    }) {
        rest = rest[word.len()..].trim_start_matches([' ', ':']);
    }
    let Some(letter) = begins_with(rest, false) else { return Found::Nothing };
    let after = rest.trim_start_matches(['(', '[', '（']).get(1..).unwrap_or("").trim_start_matches([')', ']', '）', ' ']);
    // Another letter, after a word or sign that joins the two.
    let joined = ["and ", "or ", "& ", "&", "/", ", ", ",", "和", "或", "、"].iter().find_map(|word| after.strip_prefix(word));
    let second = joined.map(|rest| rest.trim_start_matches("or ").trim_start_matches("and ").trim_start());
    if second.is_some_and(|second| begins_with(second, false).is_some()) { Found::Several } else { Found::Letter(letter) }
}

/// The letter that `text` begins with, if it stands for itself. `closed`: a bracket, dot or colon has to follow.
fn begins_with(text: &str, closed: bool) -> Option<char> {
    let bracketed = text.starts_with(['(', '[', '（']);
    let inner = text.trim_start_matches(['(', '[', '（']);
    let letter = inner.chars().next().filter(char::is_ascii_alphabetic)?;
    let after = &inner[1..];
    let next = after.chars().next();
    let fits = match next {
        Some(')' | ']' | '）') => true,
        _ if bracketed => false,
        Some('.' | ':' | '：') => !after[1..].starts_with(|c: char| c.is_alphanumeric()),
        // A last line `A` is a letter; `A.` too.
        None => !closed,
        Some(_) if closed => false,
        Some(',' | ';' | '/' | '。' | '，' | '、' | '!' | '-' | '–' | '—' | '&' | '和' | '或') => true,
        Some(' ') => {
            letter.is_ascii_uppercase() && {
                let word: String = after[1..].chars().take_while(|c| c.is_alphabetic()).collect();
                // "A good question", "I think".
                !matches!(letter, 'A' | 'I') || word.is_empty() || REASONS.contains(&word.as_str()) || matches!(word.as_str(), "and" | "or")
            }
        }
        Some(_) => false,
    };
    fits.then(|| letter.to_ascii_uppercase())
}
