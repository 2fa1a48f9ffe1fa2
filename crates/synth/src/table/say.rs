//! Numbers, units and lists in words.

/// What stands before a number instead of after it.
const SIGNS: [char; 7] = ['$', '€', '£', '¥', '₹', '₩', '₽'];

/// To four significant digits, halves away from zero, with `million`, `billion` or `trillion` from a million on: what answers are given in.
pub fn four(value: f64) -> String {
    scaled(four_digits(value), "")
}

/// The same number without words.
pub fn plain(value: f64) -> String {
    format!("{}", four_digits(value))
}

/// Values have at most twelve digits, so that a half, and nothing else, becomes more than one.
fn four_digits(value: f64) -> f64 {
    crate::sql::rounded(value * (1.0 + 1e-13), 4)
}

/// A number with its unit, digits as they are: `$5 billion`, `5%`, `12,000 sq km`.
pub fn amount(value: f64, unit: &str) -> String {
    let number = |value: f64| scaled(value, ",");
    if unit.starts_with('%') {
        return format!("{}{unit}", number(value));
    }
    match unit.chars().last().filter(|sign| SIGNS.contains(sign)) {
        Some(_) => format!("{}{unit}{}", if value < 0.0 { "-" } else { "" }, number(value.abs())),
        None => format!("{} {unit}", number(value)).trim_end().to_string(),
    }
}

fn scaled(value: f64, thousands: &str) -> String {
    let scales = [(1e12, " trillion"), (1e9, " billion"), (1e6, " million")];
    match scales.into_iter().find(|(scale, _)| value.abs() >= *scale) {
        Some((scale, word)) => format!("{}{word}", crate::sql::rounded(value / scale, 12)),
        None => grouped(&format!("{value}"), thousands),
    }
}

fn grouped(number: &str, separator: &str) -> String {
    let (whole, rest) = number.split_at(number.find('.').unwrap_or(number.len()));
    let digits = whole.trim_start_matches('-').len();
    let mut out = whole[..whole.len() - digits].to_string();
    for (at, digit) in whole[whole.len() - digits..].chars().enumerate() {
        if at > 0 && (digits - at) % 3 == 0 {
            out += separator;
        }
        out.push(digit);
    }
    out + rest
}

/// `A, B and C`; with semicolons where the names have commas or an `and` of their own.
pub fn list(names: &[String]) -> String {
    let inner = names.iter().any(|name| name.contains(',') || name.contains(" and "));
    let (between, last) = if inner { ("; ", "; and ") } else { (", ", " and ") };
    match names {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., end] => format!("{}{last}{end}", first.join(between)),
    }
}

/// `highest`, `second highest`, `third highest`…
pub fn place(place: usize, most: &str) -> String {
    match place {
        1 => most.to_string(),
        2 => format!("second {most}"),
        3 => format!("third {most}"),
        4 => format!("fourth {most}"),
        5 => format!("fifth {most}"),
        other => format!("{other}th {most}"),
    }
}

/// `two`, `three`, `four`…
pub fn count(number: usize) -> String {
    let words = ["none", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];
    words.get(number).map_or_else(|| number.to_string(), |word| (*word).to_string())
}

/// The template with `{a}` replaced by the text named `a`, and so on. What is put in is not looked at again.
pub fn fill(template: &str, slots: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        out += before;
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        out += slots.iter().find(|(slot, _)| *slot == name).map_or("", |(_, text)| text);
        rest = after;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        for (value, text) in [
            (1234567.0, "1.235 million"),
            (-2.5e9, "-2.5 billion"),
            (1.0545e10, "10.55 billion"),
            (-0.123_45, "-0.1235"),
            (999_960.0, "1 million"),
            (43_678.0, "43680"),
            (0.012_345_6, "0.01235"),
            (7.0, "7"),
            (-0.0, "0"),
        ] {
            assert_eq!(four(value), text);
        }
        for (value, unit, text) in [
            (5e9, "$", "$5 billion"),
            (-1200.0, "US$", "-US$1,200"),
            (7.5, "% of GDP", "7.5% of GDP"),
            (12_000.0, "sq km", "12,000 sq km"),
            (0.5, "", "0.5"),
        ] {
            assert_eq!(amount(value, unit), text);
        }
        let names = |names: &[&str]| list(&names.iter().map(|name| (*name).to_string()).collect::<Vec<_>>());
        assert_eq!(names(&["A", "B", "C"]), "A, B and C");
        assert_eq!(names(&["A", "B and C", "D"]), "A; B and C; and D");
        assert_eq!(fill("{a} of {b}{c}.", &[("a", "{b}"), ("b", "x")]), "{b} of x.");
    }
}
