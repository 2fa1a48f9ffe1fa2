//! Amounts in words.

/// (from, power of ten, word).
const MAGNITUDES: [(f64, f64, &str); 4] =
    [(1e12, 1e12, " trillion"), (1e9, 1e9, " billion"), (1e6, 1e6, " million"), (1e3, 1e3, " thousand")];

/// A round number with its unit: `360 thousand sq km`, `$3 trillion`, `70%`.
pub fn round(value: f64, unit: &str) -> String {
    let size = value.abs();
    let (scale, word) =
        MAGNITUDES.iter().find(|(from, ..)| size >= *from * (1.0 - 1e-9)).map_or((1.0, ""), |(_, scale, word)| (*scale, *word));
    with_unit(&format!("{}{word}", plain(value / scale, 9)), unit)
}

/// A computed number with its unit, to six digits or more: `$4.246 trillion`, `1,234,567 sq km`.
pub fn exact(value: f64, unit: &str) -> String {
    let size = value.abs();
    for (from, scale, word) in &MAGNITUDES[..3] {
        // Five decimals before the word, where nothing is lost by them.
        let short = (value / scale * 1e5).round() / 1e5;
        if size >= *from && (short * scale - value).abs() <= 1e-9 * size {
            return with_unit(&format!("{}{word}", plain(short, 9)), unit);
        }
    }
    let text = plain(value, 9);
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), ""), |(whole, rest)| (whole, rest));
    let whole = grouped(whole);
    with_unit(&if rest.is_empty() { whole } else { format!("{whole}.{rest}") }, unit)
}

/// At most so many digits that count, no zeros behind the point.
fn plain(value: f64, digits: i32) -> String {
    if value == 0.0 || !value.is_finite() {
        return "0".into();
    }
    let before = value.abs().log10().floor() as i32 + 1;
    let decimals = (digits - before).clamp(0, 12) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_string() } else { text }
}

/// `1234567` as `1,234,567`.
fn grouped(whole: &str) -> String {
    let (sign, digits) = whole.strip_prefix('-').map_or(("", whole), |digits| ("-", digits));
    let mut out = String::new();
    for (at, c) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            out.push(',');
        }
        out.push(c);
    }
    format!("{sign}{out}")
}

/// Currencies stand before a number, percent touches it, words follow it.
fn with_unit(number: &str, unit: &str) -> String {
    let (sign, bare) = number.strip_prefix('-').map_or(("", number), |bare| ("-", bare));
    let code = unit.len() == 3 && unit.bytes().all(|b| b.is_ascii_uppercase());
    match unit.chars().next_back() {
        None => number.to_string(),
        Some('%' | '‰') => format!("{number}{unit}"),
        Some('$' | '€' | '£' | '¥' | '₹' | '₩' | '₽' | '￥' | '₿') => format!("{sign}{unit}{bare}"),
        Some(_) if code => format!("{unit} {number}"),
        Some(_) => format!("{number} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_as_people_do() {
        assert_eq!(round(300_000.0, "sq km"), "300 thousand sq km");
        assert_eq!(round(1e6, ""), "1 million");
        assert_eq!(round(3e12, "$"), "$3 trillion");
        assert_eq!(round(70.0, "%"), "70%");
        assert_eq!(round(0.4, "km"), "0.4 km");
        assert_eq!(exact(3.86e12 * 1.1, "$"), "$4.246 trillion");
        assert_eq!(exact(8_621e6 / 2.0, "$"), "$4.3105 billion");
        assert_eq!(exact(1_234_567.0, "sq km"), "1,234,567 sq km");
        assert_eq!(exact(-1_234.5, "$"), "-$1,234.5");
        assert_eq!(exact(0.1 * 3.0, "%"), "0.3%");
        assert_eq!(exact(12.0, "EUR"), "EUR 12");
    }
}
