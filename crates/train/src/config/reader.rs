//! TOML with lines: every refusal names file, line and key.

use std::ops::{Range, RangeInclusive};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::ConfigError;

/// Section names with their keys.
pub(super) type Keys = &'static [(&'static str, &'static [&'static str])];

/// A parsed file that holds no unknown key.
pub(super) struct Document<'a> {
    text: &'a str,
    file: &'a str,
    root: DeTable<'a>,
}

/// A key's value, with what its refusals need.
pub(super) struct Entry<'a> {
    document: &'a Document<'a>,
    key: String,
    value: &'a Spanned<DeValue<'a>>,
}

impl<'a> Document<'a> {
    pub fn parse(text: &'a str, file: &'a str, keys: Keys) -> Result<Self, ConfigError> {
        let root = DeTable::parse(text).map_err(|error| ConfigError::Toml {
            file: file.into(),
            line: error.span().map_or(1, |span| line(text, &span)),
            message: error.message().to_string(),
        })?;
        let document = Self { text, file, root: root.into_inner() };
        document.refuse_unknown(keys)?;
        Ok(document)
    }

    /// The first unknown key, in the file's order, is an error.
    fn refuse_unknown(&self, keys: Keys) -> Result<(), ConfigError> {
        let mut unknown: Vec<(Range<usize>, String, String)> = Vec::new();
        for (name, value) in &self.root {
            let section = keys.iter().find(|(section, _)| section == name.get_ref());
            match (section, value.get_ref()) {
                (Some((section, known)), DeValue::Table(table)) => {
                    for (key, _) in table {
                        if !known.contains(&key.get_ref().as_ref()) {
                            unknown.push((key.span(), format!("{section}.{}", key.get_ref()), hint(keys, Some(section), key.get_ref())));
                        }
                    }
                }
                (Some((section, known)), other) => {
                    return Err(ConfigError::Value {
                        file: self.file.into(),
                        line: line(self.text, &value.span()),
                        key: section.to_string(),
                        message: format!("is a section, [{section}] with {}; here it is {}", known.join(", "), shown(other)),
                    });
                }
                (None, DeValue::Table(_)) => {
                    let names: Vec<&str> = keys.iter().map(|(section, _)| *section).collect();
                    let said = match nearest(names.iter().copied(), name.get_ref()) {
                        Some(near) => format!("did you mean [{near}]?"),
                        None => format!("the sections are {}", names.join(", ")),
                    };
                    unknown.push((name.span(), format!("[{}]", name.get_ref()), said));
                }
                (None, _) => unknown.push((name.span(), name.get_ref().to_string(), hint(keys, None, name.get_ref()))),
            }
        }
        match unknown.into_iter().min_by_key(|(span, ..)| span.start) {
            Some((span, key, hint)) => Err(ConfigError::Unknown { file: self.file.into(), line: line(self.text, &span), key, hint }),
            None => Ok(()),
        }
    }

    /// Whether the section is written.
    pub fn has(&self, section: &str) -> bool {
        self.root.contains_key(section)
    }

    /// What is written at `section.key`.
    pub fn get(&'a self, section: &str, key: &str) -> Option<Entry<'a>> {
        let value = self.root.get(section)?.get_ref().as_table()?.get(key)?;
        Some(Entry { document: self, key: format!("{section}.{key}"), value })
    }

    /// The refusal of a file without `key`.
    pub fn missing(&self, key: &str, hint: &str) -> ConfigError {
        ConfigError::Missing { file: self.file.into(), key: key.into(), hint: hint.into() }
    }
}

impl Entry<'_> {
    /// The refusal of this value.
    pub fn refuse(&self, message: impl Into<String>) -> ConfigError {
        let document = self.document;
        let line = line(document.text, &self.value.span());
        ConfigError::Value { file: document.file.into(), line, key: self.key.clone(), message: message.into() }
    }

    /// The refusal of a value that is not `wanted`.
    pub fn not(&self, wanted: &str) -> ConfigError {
        self.refuse(format!("is {}; {wanted} is wanted", shown(self.value.get_ref())))
    }

    /// Text that is not empty.
    pub fn text(&self) -> Result<String, ConfigError> {
        match self.value.get_ref().as_str() {
            Some(text) if !text.trim().is_empty() => Ok(text.to_string()),
            _ => Err(self.not("a text in quotes")),
        }
    }

    /// Whether it is this text.
    pub fn is_text(&self, text: &str) -> bool {
        self.value.get_ref().as_str() == Some(text)
    }

    /// Whether it is written as a whole number.
    pub fn is_integer(&self) -> bool {
        self.value.get_ref().is_integer()
    }

    /// `true` or `false`.
    pub fn flag(&self) -> Result<bool, ConfigError> {
        self.value.get_ref().as_bool().ok_or_else(|| self.not("true or false"))
    }

    /// A whole number within `range`.
    pub fn integer(&self, range: RangeInclusive<u64>) -> Result<u64, ConfigError> {
        let wanted = || self.not(&format!("a whole number from {} to {}", range.start(), range.end()));
        let value = self.value.get_ref().as_integer().ok_or_else(wanted)?;
        u64::from_str_radix(value.as_str(), value.radix()).ok().filter(|value| range.contains(value)).ok_or_else(wanted)
    }

    /// The same, as a size.
    pub fn size(&self, range: RangeInclusive<u64>) -> Result<usize, ConfigError> {
        let value = self.integer(range)?;
        usize::try_from(value).map_err(|_| self.refuse(format!("is {value}, more than this machine can address")))
    }

    /// A number that is `ok`, which `wanted` describes. Whole numbers are numbers.
    pub fn number(&self, ok: impl Fn(f64) -> bool, wanted: &str) -> Result<f64, ConfigError> {
        let number = match self.value.get_ref() {
            DeValue::Float(value) => value.as_str().parse().ok(),
            DeValue::Integer(value) => i64::from_str_radix(value.as_str(), value.radix()).ok().map(|value| value as f64),
            _ => None,
        };
        number.filter(|&number| ok(number)).ok_or_else(|| self.not(wanted))
    }

    /// One of the named choices.
    pub fn choice<T: Copy>(&self, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let names: Vec<String> = choices.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let found = self.value.get_ref().as_str().and_then(|text| choices.iter().find(|(name, _)| *name == text));
        found.map(|&(_, value)| value).ok_or_else(|| self.not(&format!("one of {}", names.join(", "))))
    }

    /// The values of a list.
    pub fn list(&self, wanted: &str) -> Result<Vec<Entry<'_>>, ConfigError> {
        let items = self.value.get_ref().as_array().ok_or_else(|| self.not(wanted))?;
        Ok(items.iter().map(|value| Entry { document: self.document, key: self.key.clone(), value }).collect())
    }
}

/// From 1.
fn line(text: &str, span: &Range<usize>) -> usize {
    1 + text.as_bytes().iter().take(span.start).filter(|&&byte| byte == b'\n').count()
}

/// A value as a person reads it.
fn shown(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {:?}", text.chars().take(60).collect::<String>()),
        DeValue::Integer(value) => value.to_string(),
        DeValue::Float(value) => value.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(value) => format!("the date {value}"),
        DeValue::Array(items) => format!("a list of {}", items.len()),
        DeValue::Table(_) => "a table".into(),
    }
}

/// What to write instead of `key` in `section`.
fn hint(keys: Keys, section: Option<&str>, key: &str) -> String {
    let here = keys.iter().find(|(name, _)| Some(*name) == section);
    if let Some((name, known)) = here
        && let Some(near) = nearest(known.iter().copied(), key)
    {
        return format!("did you mean `{name}.{near}`?");
    }
    if let Some((name, _)) = keys.iter().find(|(_, known)| known.contains(&key)) {
        return format!("it belongs in [{name}]");
    }
    match here {
        Some((name, known)) => format!("[{name}] knows {}", known.join(", ")),
        None => format!("keys stand in sections: {}", keys.iter().map(|(name, _)| format!("[{name}]")).collect::<Vec<_>>().join(", ")),
    }
}

/// The nearest of `known`, where it is near: at most a third of the letters differ, one in any case.
fn nearest<'k>(known: impl Iterator<Item = &'k str>, key: &str) -> Option<&'k str> {
    let (distance, near) = known.map(|known| (distance(known, key), known)).min()?;
    let letters = key.chars().count().max(near.chars().count());
    (distance <= (letters / 3).max(1)).then_some(near)
}

/// Letters to insert, delete or change (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_letters() {
        for (a, b, want) in [("", "", 0), ("lr", "", 2), ("kitten", "sitting", 3), ("wramup", "warmup", 2), ("épochs", "epochs", 1)] {
            assert_eq!(distance(a, b), want, "{a} {b}");
            assert_eq!(distance(b, a), want, "{b} {a}");
        }
        assert_eq!(nearest(["steps", "epochs"].into_iter(), "epoch"), Some("epochs"));
        assert_eq!(nearest(["steps", "epochs"].into_iter(), "colour"), None);
    }
}
