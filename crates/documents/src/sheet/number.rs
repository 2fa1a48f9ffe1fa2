//! Numbers as a sheet's format code shows them: decimals, thousands, percent, exponent, and the words around them.

/// `value` in the format `code`. A code with what is not known here (fractions, conditions) shows the plain number.
pub fn shown(value: f64, code: &str) -> String {
    if code.is_empty() || code.eq_ignore_ascii_case("general") || code == "@" {
        return general(value);
    }
    let sections = sections(code);
    let (section, value, signed) = match (&sections[..], value) {
        ([_, negative, ..], value) if value < 0.0 => (negative, -value, false),
        ([_, _, zero, ..], 0.0) => (zero, value, false),
        (all, value) => (&all[0], value, true),
    };
    spelled(value, section, signed).unwrap_or_else(|| general(if signed { value } else { -value }))
}

/// Fifteen significant digits, as a sheet keeps them.
pub fn general(value: f64) -> String {
    if !value.is_finite() {
        return value.to_string();
    }
    let rounded: f64 = format!("{value:.14e}").parse().unwrap_or(value);
    if rounded != 0.0 && (rounded.abs() >= 1e15 || rounded.abs() < 1e-9) { format!("{rounded:E}") } else { rounded.to_string() }
}

/// What a format code is made of.
enum Token {
    /// Words shown as they are.
    Literal(String),
    /// `0`, `#`, `?`, `.`, `,`, `%`, and `E+`.
    Sign(char),
    /// Anything else.
    Unknown,
}

fn sections(code: &str) -> Vec<Vec<Token>> {
    let mut sections = vec![Vec::new()];
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        let token = match c {
            ';' => {
                sections.push(Vec::new());
                continue;
            }
            '"' => Token::Literal(chars.by_ref().take_while(|c| *c != '"').collect()),
            '\\' => Token::Literal(chars.next().map(String::from).unwrap_or_default()),
            // Room for a character's width; a character repeated to fill the cell.
            '_' => {
                chars.next();
                continue;
            }
            '*' => {
                chars.next();
                continue;
            }
            '[' => {
                let inside: String = chars.by_ref().take_while(|c| *c != ']').collect();
                match inside.strip_prefix('$') {
                    Some(currency) => Token::Literal(currency.split('-').next().unwrap_or_default().to_string()),
                    None if inside.starts_with(['<', '>', '=']) => Token::Unknown,
                    // A colour.
                    None => continue,
                }
            }
            'E' | 'e' if matches!(chars.peek(), Some('+' | '-')) => {
                chars.next();
                Token::Sign('E')
            }
            '0' | '#' | '?' | '.' | ',' | '%' => Token::Sign(c),
            '$' | '€' | '£' | '¥' | '+' | '-' | '(' | ')' | ':' | ' ' | '\u{a0}' => Token::Literal(c.to_string()),
            _ => Token::Unknown,
        };
        if let Some(section) = sections.last_mut() {
            section.push(token);
        }
    }
    sections
}

fn spelled(mut value: f64, section: &[Token], signed: bool) -> Option<String> {
    let (mut before, mut after, mut seen) = (String::new(), String::new(), false);
    let (mut whole, mut decimals, mut optional, mut thousands, mut exponent) = (0usize, 0usize, 0usize, false, None::<usize>);
    let (mut in_decimals, mut commas) = (false, 0i32);
    for token in section {
        match token {
            Token::Unknown => return None,
            Token::Literal(words) => {
                // Words between digits (a phone number's dashes) are more than is known here.
                if seen { after.push_str(words) } else { before.push_str(words) }
            }
            Token::Sign('%') => {
                value *= 100.0;
                if seen { after.push('%') } else { before.push('%') }
            }
            Token::Sign('.') => (in_decimals, seen) = (true, true),
            Token::Sign(',') => commas += 1,
            Token::Sign('E') => exponent = Some(0),
            Token::Sign(digit) => {
                if !after.is_empty() && exponent.is_none() {
                    return None;
                }
                seen = true;
                if std::mem::take(&mut commas) > 0 {
                    thousands = true;
                }
                match &mut exponent {
                    Some(width) => *width += 1,
                    None if in_decimals => {
                        decimals += 1;
                        optional = if *digit == '0' { 0 } else { optional + 1 };
                    }
                    None => whole += usize::from(*digit == '0'),
                }
            }
        }
    }
    if !seen {
        return Some(before);
    }
    // Commas behind the last digit divide by a thousand each.
    value /= 1000f64.powi(commas);
    if decimals > 30 || whole > 30 {
        return None;
    }
    let mut digits = match exponent {
        Some(width) => {
            let text = format!("{:.decimals$e}", value.abs());
            let (mantissa, power) = text.split_once('e')?;
            let power: i32 = power.parse().ok()?;
            format!("{mantissa}E{}{:0width$}", if power < 0 { '-' } else { '+' }, power.abs())
        }
        None => rounded(value.abs(), decimals),
    };
    if exponent.is_none() {
        let (mut int, mut frac) = digits.split_once('.').map_or((digits.clone(), String::new()), |(i, f)| (i.to_string(), f.to_string()));
        for _ in 0..optional {
            if frac.ends_with('0') {
                frac.pop();
            }
        }
        if int == "0" && whole == 0 {
            int.clear();
        }
        let int = format!("{int:0>whole$}");
        let int = if thousands { grouped(&int) } else { int };
        digits = if decimals > 0 { format!("{int}.{frac}") } else { int };
    }
    let negative = signed && value < 0.0 && digits.contains(|c: char| c.is_ascii_digit() && c != '0');
    Some(format!("{}{before}{digits}{after}", if negative { "-" } else { "" }))
}

/// Halves away from zero, of the number's shortest decimal form, as sheets round.
fn rounded(value: f64, decimals: usize) -> String {
    let exact = general(value);
    let is_half = exact.split_once('.').is_some_and(|(_, frac)| frac.len() == decimals + 1 && frac.ends_with('5'));
    let value = if is_half { value + 10f64.powi(-(decimals as i32) - 3) } else { value };
    format!("{value:.decimals$}")
}

fn grouped(digits: &str) -> String {
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_look_as_the_sheet_shows_them() {
        for (value, code, said) in [
            (0.1 + 0.2, "General", "0.3"),
            (1234567.891, "#,##0.00", "1,234,567.89"),
            (0.256, "0%", "26%"),
            (0.2565, "0.00%", "25.65%"),
            (-5.0, "0.0", "-5.0"),
            (-1234.5, "#,##0_);(#,##0)", "(1,235)"),
            (1234.5, "\"$\"#,##0.00", "$1,234.50"),
            (99.0, "[$€-407] #,##0.00", "€ 99.00"),
            (0.0, "0;-0;\"none\"", "none"),
            (12345.0, "0.00E+00", "1.23E+04"),
            (7.0, "000", "007"),
            (2.5, "0.##", "2.5"),
            (0.125, "0.00", "0.13"),
            (1_500_000.0, "0.0,,\" M\"", "1.5 M"),
            (0.5, "# ?/?", "0.5"),
            (-0.001, "0.00", "0.00"),
        ] {
            assert_eq!(shown(value, code), said, "{value} as {code}");
        }
    }
}
