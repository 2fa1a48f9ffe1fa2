//! Spellings that are one relation or one entity (§3.2.1: entity and relation clustering).

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::names;

/// Words that tell no two relations apart. `by`, `to` and `from` do: they say which way round a relation goes. So does `of` at the end:
/// Rome is the `capital of` Italy, whose `capital` it is.
const EMPTY: [&str; 19] =
    ["a", "an", "the", "is", "are", "was", "were", "be", "been", "being", "has", "have", "had", "its", "their", "of", "in", "at", "on"];
/// Words of entities' names that tell no two apart: articles and what says that a firm is one.
const FIRMS: [&str; 15] =
    ["a", "an", "the", "inc", "incorporated", "ltd", "limited", "llc", "corp", "corporation", "co", "plc", "gmbh", "ag", "sa"];

/// What the spellings of one relation have in common: its words, singular and in the order of the alphabet, without those that say nothing.
pub fn relation_key(relation: &str) -> String {
    let key = names::key(relation);
    let words: Vec<&str> = key.split(' ').collect();
    let last = words.len() - 1;
    let says = |(at, word): &(usize, &&str)| !EMPTY.contains(*word) || *at == last && last > 0 && **word == "of";
    let kept: BTreeSet<String> = words.iter().enumerate().filter(says).map(|(_, word)| singular(word)).collect();
    if kept.is_empty() { key } else { kept.into_iter().collect::<Vec<_>>().join(" ") }
}

fn singular(word: &str) -> String {
    let plural = word.len() > 3 && word.is_ascii();
    let end = |ending: &str| word.strip_suffix(ending).filter(|_| plural);
    if let Some(stem) = end("ies") {
        return format!("{stem}y");
    }
    if let Some(stem) = ["ches", "shes", "sses", "xes"].iter().find_map(|ending| end(ending).map(|stem| (stem, ending))) {
        return format!("{}{}", stem.0, &stem.1[..stem.1.len() - 2]);
    }
    let kept = ["ss", "us", "is"].iter().any(|ending| word.ends_with(ending));
    end("s").filter(|_| !kept).unwrap_or(word).to_string()
}

/// What the spellings of one entity have in common, beyond [`names::key`]: turned round at its one comma (`Smith, John`), without a
/// possessive, articles and what says that a firm is one. The order of words stays: York University is not the University of York.
pub fn entity_key(name: &str) -> String {
    let name = name.trim();
    let bare = ["'s", "’s"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(name);
    let firm = |words: &str| names::key(words).split(' ').all(|word| FIRMS.contains(&word));
    let turned = match bare.split_once(',') {
        Some((head, tail)) if !tail.contains(',') && !firm(tail) && (1..=3).contains(&tail.split_whitespace().count()) => {
            format!("{} {head}", tail.trim())
        }
        _ => bare.to_string(),
    };
    let key = names::key(&turned);
    let kept: Vec<&str> = key.split(' ').filter(|word| !FIRMS.contains(word)).collect();
    if kept.is_empty() { key } else { kept.join(" ") }
}

/// The one name of each key: that of `fixed` if there is one with this key, else the commonest spelling, of several the first in the order
/// of the alphabet. A key that two of `fixed` have keeps all spellings as they are: it is not in the result.
pub fn one_name<'a>(
    spellings: impl IntoIterator<Item = &'a str>,
    fixed: impl IntoIterator<Item = &'a str>,
    key: fn(&str) -> String,
) -> BTreeMap<String, String> {
    let mut names: BTreeMap<String, Option<String>> = BTreeMap::new();
    for name in fixed.into_iter().collect::<BTreeSet<_>>() {
        names.entry(key(name)).and_modify(|other| *other = None).or_insert_with(|| Some(name.to_string()));
    }
    let mut counts: BTreeMap<String, BTreeMap<&str, usize>> = BTreeMap::new();
    for spelling in spellings {
        *counts.entry(key(spelling)).or_default().entry(spelling).or_default() += 1;
    }
    for (key, spellings) in counts {
        // Of equal counts the last of the reversed order, the first of the alphabet.
        let commonest = spellings.into_iter().rev().max_by_key(|(_, count)| *count).map(|(spelling, _)| spelling.to_string());
        names.entry(key).or_insert(commonest);
    }
    names.into_iter().filter_map(|(key, name)| Some((key, name?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn spellings_of_one_relation_are_one() {
        for (one, other) in [
            ("date of birth", "birth date"),
            ("located in", "is located"),
            ("has subsidiaries", "subsidiary"),
            ("Head-quarters", "the head quarters"),
            ("branches", "branch"),
        ] {
            assert_eq!(relation_key(one), relation_key(other), "{one}");
        }
        for (one, other) in [
            ("capital", "capital of"),
            ("led", "led by"),
            ("exports to", "exports from"),
            ("is", "has"),
            ("status", "statu"),
            ("led", "led to"),
        ] {
            assert_ne!(relation_key(one), relation_key(other), "{one}");
        }
    }

    #[test]
    fn spellings_of_one_entity_are_one() {
        for (one, other) in [("Smith, John", "John Smith"), ("The Acme Co.", "Acme, Inc."), ("Acme's", "Acme"), ("ACME Ltd", "acme")] {
            assert_eq!(entity_key(one), entity_key(other), "{one}");
        }
        for (one, other) in [
            ("University of York", "York University"),
            ("Congo (A)", "Congo (B)"),
            ("Roberts", "Robert"),
            ("Robert James", "James Robert"),
            ("The Co", "Inc"),
        ] {
            assert_ne!(entity_key(one), entity_key(other), "{one}");
        }
    }

    #[test]
    fn the_commonest_spelling_is_the_name() {
        let names = one_name(["born in", "was born in", "born in", "b", "a b", "Acme"], ["acme"], relation_key);
        assert_eq!(names[&relation_key("was born")], "born in");
        assert_eq!(names[&relation_key("b")], "a b");
        assert_eq!(names[&relation_key("Acme")], "acme");
        // Two documents' titles are two, whatever they have in common.
        assert!(!one_name(["Acme"], ["Acme Inc", "Acme Ltd"], entity_key).contains_key("acme"));
    }

    proptest! {
        #[test]
        fn no_name_breaks_it(name in "\\PC{0,20}|(the |of |is |s|'s|, |a){0,6}") {
            prop_assert!(!relation_key(&name).contains("  ") && !entity_key(&name).contains("  "));
        }

        #[test]
        fn the_order_of_words_does_not_matter(words in prop::collection::vec("[b-z]{4,6}s?", 1..5)) {
            let turned: Vec<&str> = words.iter().rev().map(String::as_str).collect();
            prop_assert_eq!(relation_key(&words.join(" ")), relation_key(&turned.join("_")));
        }
    }
}
