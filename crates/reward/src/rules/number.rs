//! Numbers as people write them.

use super::normalise::plain;

/// A number in a text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number {
    /// As written, scaled by a word.
    pub value: f64,
    /// Followed by `%`: it may be meant as written or as a hundredth.
    pub percent: bool,
    /// Another number follows as an alternative or as the end of a range ("5 or 6", "5-10").
    pub hedged: bool,
}

/// Currency names that may touch the digits.
const CURRENCIES: [&str; 14] = ["us", "usd", "eur", "gbp", "cny", "rmb", "jpy", "hk", "hkd", "rs", "inr", "chf", "cad", "aud"];
const SIGNS: [char; 9] = ['$', '€', '£', '¥', '₹', '₩', '₽', '￥', '₿'];
/// Words that multiply, as they follow the digits. Longer ones first.
const SCALES: [(&str, f64); 16] = [
    ("thousand", 1e3),
    ("millions", 1e6),
    ("million", 1e6),
    ("billions", 1e9),
    ("billion", 1e9),
    ("trillion", 1e12),
    ("mln", 1e6),
    ("mn", 1e6),
    ("bn", 1e9),
    ("千万", 1e7),
    ("百万", 1e6),
    ("万亿", 1e12),
    ("千", 1e3),
    ("万", 1e4),
    ("亿", 1e8),
    ("k", 1e3),
];

/// The numbers of a text, in order; right of its last `=` or `≈` where there is one.
pub fn numbers(text: &str) -> Vec<Number> {
    let text = tidy(text);
    let text = text.rsplit(['=', '≈']).next().unwrap_or("");
    let chars: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        match number(&chars, at) {
            Some((number, end)) => {
                out.extend(number);
                at = end;
            }
            None => at += 1,
        }
    }
    out
}

/// One spelling for what LaTeX and keyboards write in several.
fn tidy(text: &str) -> String {
    let mut text: String = text.chars().map(plain).collect();
    for (from, to) in [
        ("{,}", ","),
        ("\\,", ""),
        ("\\!", ""),
        ("\\%", "%"),
        ("\\$", "$"),
        ("\\times", "×"),
        ("\\cdot", "×"),
        ("\\approx", "≈"),
        ("\\text", ""),
        ("\\dfrac", "\\frac"),
    ] {
        text = text.replace(from, to);
    }
    while let Some(at) = text.find("\\frac{") {
        let inner = &text[at + 6..];
        let Some((top, bottom)) = inner.split_once("}{").and_then(|(top, rest)| Some((top, rest.split_once('}')?))) else { break };
        text = format!("{}{top}/{}{}", &text[..at], bottom.0, bottom.1);
    }
    text.replace(['{', '}'], "")
}

/// The number that begins at `at`, and where it ends. `Some((None, end))`: digits that are no number, to be passed over.
fn number(chars: &[char], at: usize) -> Option<(Option<Number>, usize)> {
    let digit = |at: usize| chars.get(at).is_some_and(char::is_ascii_digit);
    let get = |at: usize| chars.get(at).copied();
    if !(digit(at) || get(at) == Some('.') && digit(at + 1)) {
        return None;
    }
    if at > 0 && chars[at - 1].is_alphanumeric() && !currency_before(chars, at) && chars[at - 1].is_ascii() {
        // `Q3`, `x2`: part of a name.
        return Some((None, skip_word(chars, at)));
    }
    let mut digits = String::new();
    let mut end = at;
    while digit(end) {
        digits.push(chars[end]);
        end += 1;
    }
    match groups(chars, end, digits.len()) {
        Groups::Malformed(end) => return Some((None, end)),
        Groups::Of(more, to) => {
            digits.push_str(&more);
            end = to;
        }
    }
    if get(end) == Some('.') && digit(end + 1) {
        digits.push('.');
        end += 1;
        while digit(end) {
            digits.push(chars[end]);
            end += 1;
        }
        // `3.5.2`, `12.03.1999`: a version, a date.
        if get(end) == Some('.') && digit(end + 1) {
            return Some((None, skip_word(chars, end)));
        }
    }
    let signed = |at: usize| matches!(get(at), Some('-' | '+'));
    if matches!(get(end), Some('e' | 'E')) && (digit(end + 1) || signed(end + 1) && digit(end + 2)) {
        let from = end;
        end += 2;
        while digit(end) {
            end += 1;
        }
        digits.extend(&chars[from..end]);
    }
    let mut value: f64 = digits.parse().ok()?;
    (value, end) = power(chars, value, end);
    if get(end) == Some('/') && digit(end + 1) {
        // A fraction, unless it goes on like a date.
        let to = (end + 1..).find(|&at| !digit(at)).unwrap_or(chars.len());
        let below: f64 = chars[end + 1..to].iter().collect::<String>().parse().ok()?;
        if below == 0.0 || get(to) == Some('/') {
            return Some((None, skip_word(chars, to)));
        }
        (value, end) = (value / below, to);
    }
    let (factor, mut end) = scale(chars, end, currency_before(chars, at));
    value *= factor;
    let unit: String = chars[end..].iter().skip_while(|c| c.is_whitespace()).take(8).collect();
    let percent = unit.starts_with('%')
        || unit.to_lowercase().starts_with("percent") && !unit.to_lowercase().starts_with("percenti")
        || unit.starts_with("per cent");
    if percent && unit.starts_with('%') {
        end = (end..).find(|&at| get(at) == Some('%')).map_or(end, |at| at + 1);
    }
    if negative(chars, at) {
        value = -value;
    }
    let number = value.is_finite().then(|| Number { value, percent, hedged: hedged(chars, end) });
    Some((number, end.max(at + 1)))
}

enum Groups {
    /// Further digits, and where they end.
    Of(String, usize),
    /// Commas that separate no thousands ("1,5").
    Malformed(usize),
}

/// Groups of thousands after the first `count` digits: `,` `'` or a space between, three digits each (two in India but for the last).
fn groups(chars: &[char], from: usize, count: usize) -> Groups {
    let digits = |at: usize| chars[at.min(chars.len())..].iter().take_while(|c| c.is_ascii_digit()).count();
    let Some(&separator) = chars.get(from).filter(|c| matches!(c, ',' | '\'' | '’' | ' ')) else {
        return Groups::Of(String::new(), from);
    };
    let (mut out, mut end, mut last) = (String::new(), from, count);
    while chars.get(end) == Some(&separator) && digits(end + 1) > 0 {
        let size = digits(end + 1);
        if separator == ' ' && (size != 3 || count > 3) {
            break;
        }
        out.extend(&chars[end + 1..end + 1 + size]);
        last = size;
        end += 1 + size;
        if !(2..=3).contains(&size) {
            break;
        }
    }
    if out.is_empty() {
        Groups::Of(out, from)
    } else if last == 3 && count <= 3 {
        Groups::Of(out, end)
    } else {
        Groups::Malformed(end)
    }
}

/// `× 10^6` after a number.
fn power(chars: &[char], value: f64, end: usize) -> (f64, usize) {
    let rest: String = chars[end..].iter().take(16).collect();
    let trimmed = rest.trim_start();
    let Some(power) = trimmed.strip_prefix(['×', 'x', '*']).and_then(|rest| rest.trim_start().strip_prefix("10^")) else {
        return (value, end);
    };
    let power: String =
        power.chars().enumerate().take_while(|&(at, c)| c.is_ascii_digit() || at == 0 && c == '-').map(|(_, c)| c).collect();
    let Ok(exponent) = power.parse::<i32>() else { return (value, end) };
    let caret = (end..).find(|&at| chars.get(at) == Some(&'^')).unwrap_or(end);
    (value * 10f64.powi(exponent), caret + 1 + power.chars().count())
}

/// What a following word multiplies by, and where it ends. A single `M` or `B` counts as a capital, or after a currency.
fn scale(chars: &[char], end: usize, money: bool) -> (f64, usize) {
    let from = end + chars[end..].iter().take_while(|c| c.is_whitespace()).count();
    let word: String = chars[from..].iter().take_while(|c| c.is_alphabetic()).take(12).collect();
    let touching = from == end;
    match word.as_str() {
        "M" | "m" if touching && (money || word == "M") => return (1e6, end + 1),
        "B" | "b" if touching && (money || word == "B") => return (1e9, end + 1),
        "T" if touching && money => return (1e12, end + 1),
        _ => {}
    }
    let lower = word.to_lowercase();
    for (name, factor) in SCALES {
        let fits = if name.is_ascii() { lower == name && (touching || name != "k") } else { lower.starts_with(name) };
        if fits {
            return (factor, from + name.chars().count());
        }
    }
    (1.0, end)
}

/// Whether a currency stands right before the digits.
fn currency_before(chars: &[char], at: usize) -> bool {
    let before = chars[..at].iter().rposition(|&c| c != ' ').map_or(0, |last| last + 1);
    if before > 0 && SIGNS.contains(&chars[before - 1]) {
        return true;
    }
    let word: String = chars[..before].iter().rev().take_while(|c| c.is_alphabetic()).collect();
    CURRENCIES.contains(&word.chars().rev().collect::<String>().to_lowercase().as_str())
}

/// Whether a minus, or the word, belongs to the number at `at`.
fn negative(chars: &[char], at: usize) -> bool {
    let mut before = at;
    while before > 0
        && (SIGNS.contains(&chars[before - 1]) || chars[before - 1].is_ascii_alphabetic() && currency_before(chars, before + 1))
    {
        before -= 1;
    }
    if before > 0 && chars[before - 1] == '-' {
        return before == 1 || !chars[before - 2].is_alphanumeric() && chars[before - 2] != '%';
    }
    let text: String = chars[before.saturating_sub(12)..before].iter().collect::<String>().to_lowercase();
    let text = text.trim_end();
    ["minus", "negative", "负"].iter().any(|word| text.ends_with(word))
}

/// Whether another number follows as an alternative, a range or a further item.
fn hedged(chars: &[char], end: usize) -> bool {
    let rest: String = chars[end..].iter().take(40).collect::<String>().to_lowercase();
    let rest = rest.trim_start();
    let joined =
        ["-", "—", "~", "to ", "or ", "and ", "/", ";", ",", "、", "或", "至", "到"].iter().find_map(|word| rest.strip_prefix(word));
    joined.is_some_and(|rest| {
        let rest = rest.trim_start().trim_start_matches("or ").trim_start_matches("and ");
        let rest = rest.trim_start_matches(|c: char| c == ' ' || c == '-' || SIGNS.contains(&c));
        rest.starts_with(|c: char| c.is_ascii_digit())
    })
}

/// The end of the letters, digits and dots that begin at `at`.
fn skip_word(chars: &[char], at: usize) -> usize {
    let inner =
        |at: usize| chars[at].is_alphanumeric() || matches!(chars[at], '.' | '/') && chars.get(at + 1).is_some_and(|c| c.is_alphanumeric());
    (at..chars.len()).find(|&at| !inner(at)).unwrap_or(chars.len()).max(at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<f64> {
        numbers(text).into_iter().next().filter(|number| !number.hedged).map(|number| number.value)
    }

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, value) in [
            ("42", 42.0),
            ("-3.5", -3.5),
            ("−3.5", -3.5),
            ("1,234,567.89", 1_234_567.89),
            ("12,34,567", 1_234_567.0),
            ("1'234'567", 1_234_567.0),
            ("1 234 567", 1_234_567.0),
            ("$3.5 million", 3.5e6),
            ("US$3.5M", 3.5e6),
            ("-$5", -5.0),
            ("$-5", -5.0),
            ("USD 12bn", 12e9),
            ("5k", 5e3),
            ("5 km", 5.0),
            ("5m", 5.0),
            ("12.5%", 12.5),
            ("3.2万", 32_000.0),
            ("人民币1.5亿元", 1.5e8),
            ("3/4", 0.75),
            ("$\\frac{3}{4}$", 0.75),
            ("1{,}234", 1234.0),
            ("1.5 × 10^6", 1.5e6),
            ("1.5 \\times 10^{-3}", 1.5e-3),
            ("2e3", 2000.0),
            (".5", 0.5),
            ("minus 7 degrees", -7.0),
            ("50 - 8 = 42", 42.0),
            ("approximately 42 (up from 40)", 42.0),
            ("in Q3, 17 units", 17.0),
            ("42nd", 42.0),
            ("１２３", 123.0),
        ] {
            let found = read(text).unwrap_or_else(|| panic!("{text}"));
            assert!((found - value).abs() <= 1e-12 * value.abs(), "{text}: {found}");
        }
        for text in ["", "none", "1,5", "5-10", "5 or 6", "5, 6, 7", "5 to 10", "between 5 and 10", "12.03.1999", "3/4/2020", "1e999", "Q3"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
