//! What relations are called in questions and in SQL.

use std::collections::{BTreeMap, BTreeSet};

/// Between the parts of a relation.
pub const PATH: &str = " › ";
/// Different second parts that make a first part a mere heading, which questions need not name.
const HEADING: usize = 4;

/// How questions name relations: the parts of their paths, without a first part that is a mere heading, as long as two are not named
/// alike.
pub fn labels(relations: BTreeSet<&str>) -> BTreeMap<&str, String> {
    let paths: Vec<(&str, Vec<&str>)> = relations.iter().map(|relation| (*relation, relation.split(PATH).collect())).collect();
    let mut under: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let mut named: BTreeMap<String, usize> = BTreeMap::new();
    for (_, parts) in &paths {
        under.entry(parts[0]).or_default().extend(parts.get(1));
        *named.entry(parts.join(": ")).or_default() += 1;
        if parts.len() > 1 {
            *named.entry(parts[1..].join(": ")).or_default() += 1;
        }
    }
    let label = |parts: &[&str]| {
        let short = parts[1..].join(": ");
        if parts.len() > 1 && under[parts[0]].len() >= HEADING && named[&short] == 1 { short } else { parts.join(": ") }
    };
    paths.iter().map(|(relation, parts)| (*relation, label(parts))).collect()
}

/// Lower-case letters and digits of the text, its words joined by `_`; at most 40 characters, and no digit first.
pub fn words(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        if out.len() + word.len() > 39 {
            break;
        }
        if !out.is_empty() || word.starts_with(|c: char| c.is_ascii_digit()) {
            out.push('_');
        }
        out += &word.to_ascii_lowercase();
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_are_left_out_where_nothing_else_is_called_so() {
        let relations = [
            "Economy › GDP",
            "Economy › Debt › total",
            "Economy › Area",
            "Economy › Tax",
            "Land › Area",
            "Land › Debt › total",
            "x › value",
        ];
        let labels = labels(relations.into_iter().collect());
        let said = relations.map(|relation| labels[relation].as_str());
        assert_eq!(said, ["GDP", "Economy: Debt: total", "Economy: Area", "Tax", "Land: Area", "Land: Debt: total", "x: value"]);
    }

    #[test]
    fn columns_are_named_by_ascii_words() {
        assert_eq!(words("GDP – per capita (PPP)"), "gdp_per_capita_ppp");
        assert_eq!(words("65 years"), "_65_years");
        assert_eq!(words("国内生产总值"), "");
        assert_eq!(words(&"word ".repeat(20)), ["word"; 8].join("_"));
    }
}
