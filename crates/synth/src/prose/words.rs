//! What a relation of prose is by its words: a verb, a noun, a role. What is not known for sure stays a label between quotation marks.

use super::lists::{ACTIVE, NOUNS, PASSIVE, PERSONS, PLAIN, PREPOSITIONS, PRESENT, PRONOUNS, SEVERAL, WHERE};
use crate::walk::answer::{self, answer};
use crate::walk::{Cause, cause};

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Year,
    Figure,
    Name,
    /// Anything else.
    Words,
}

/// A relation as it is put into a sentence. Each but the last takes what follows it in the document as its object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `was bought by`: a form of `to be`, what follows it, and a preposition if it ends with one.
    Be { be: String, rest: String, last: String },
    /// `founded`, `died in`, `lives in`: as it is, and how one asks for it.
    Did { aux: &'static str, base: &'static str, past: String, last: String },
    /// `director`, `number of inhabitants`; whether it is a person's.
    Noun { noun: String, person: bool },
    /// `capital of`, `member of`, with the article before it.
    Role { noun: String, article: &'static str },
    /// What caused what.
    Caused(Cause),
    /// Not known.
    Label,
}

const BE: [&str; 4] = ["was", "is", "were", "are"];

/// What a value is.
pub fn kind(value: &str) -> Value {
    match answer(bare(value)) {
        Some(answer) if answer.year => Value::Year,
        Some(answer) if answer.number => Value::Figure,
        Some(_) => Value::Name,
        None if answer::year(value).is_some() => Value::Year,
        None => Value::Words,
    }
}

/// Whether one value dates and the other does not, so that a question for either is none for the other: born in 1798, born in Leeds.
pub fn apart(one: &str, other: &str) -> bool {
    (kind(one) == Value::Year) != (kind(other) == Value::Year)
}

/// The name that a text is, without an article before it; none where it is no name.
pub fn named(text: &str) -> Option<&str> {
    let name = bare(text);
    let first = name.split_whitespace().next()?.to_lowercase();
    (kind(name) == Value::Name && !PRONOUNS.contains(&&*first)).then_some(name)
}

fn bare(text: &str) -> &str {
    let text = text.trim();
    ["the ", "The "].iter().find_map(|article| text.strip_prefix(article)).unwrap_or(text).trim()
}

/// A preposition that a value begins with belongs to the relation: `was apprenticed`, `to Ann Lee`.
pub fn moved<'a>(relation: &str, value: &'a str) -> (String, &'a str) {
    let value = value.trim();
    match value.split_once(' ') {
        Some((first, rest)) if PREPOSITIONS.contains(&first) && !ends_with_preposition(relation) && kind(rest) != Value::Words => {
            (format!("{relation} {first}"), rest.trim())
        }
        _ => (relation.to_string(), value),
    }
}

fn ends_with_preposition(relation: &str) -> bool {
    relation.split(' ').next_back().is_some_and(|last| PREPOSITIONS.contains(&last))
}

/// What a fact's value answers to a question for it, and what it is then.
pub fn answered(relation: &str, value: &str) -> Option<(String, Value)> {
    let value = moved(relation, value).1;
    let first = value.split_whitespace().next()?.to_lowercase();
    if PRONOUNS.contains(&&*first) {
        return None;
    }
    match kind(value) {
        Value::Words => answer::phrase(value).map(|text| (text, Value::Words)),
        kind => match answer(bare(value)) {
            Some(answer) => Some((answer.text, kind)),
            None => answer::year(value).map(|year| (year.to_string(), Value::Year)),
        },
    }
}

/// What the relation is before a value of this kind. `before`: the document has the relation's own words right before the value, and
/// between them no more than this preposition.
pub fn shape(relation: &str, value: Value, before: Option<&str>) -> Shape {
    if let Some(cause) = cause(relation).filter(|_| matches!(value, Value::Name | Value::Words)) {
        return Shape::Caused(cause);
    }
    let whole = match before {
        Some(preposition) if !preposition.is_empty() && !ends_with_preposition(relation) => format!("{relation} {preposition}"),
        _ => relation.to_string(),
    };
    let words: Vec<&str> = whole.split(' ').collect();
    let Some((&first, rest)) = words.split_first() else { return Shape::Label };
    let last = words[words.len() - 1];
    let last = if PREPOSITIONS.contains(&last) && words.len() > 1 { last } else { "" };
    let inner = |words: &[&str]| words[..words.len() - usize::from(!last.is_empty())].join(" ");
    if let (true, ["a" | "an" | "the" | "one", .., _] | [_, _] | [_], "of") = (BE.contains(&first), rest, last) {
        return Shape::Be { be: first.into(), rest: inner(rest), last: last.into() };
    }
    if BE.contains(&first) && !rest.is_empty() {
        let dated = value == Value::Year && last.is_empty() && participle(rest[rest.len() - 1]);
        return match (last, before) {
            ("", _) if dated => Shape::Be { be: first.into(), rest: rest.join(" "), last: "in".into() },
            // What stands there word for word can be said again.
            ("", Some(_)) => Shape::Be { be: first.into(), rest: rest.join(" "), last: String::new() },
            ("", None) => Shape::Label,
            _ if participle(rest[0]) => Shape::Be { be: first.into(), rest: inner(rest), last: last.into() },
            _ => Shape::Label,
        };
    }
    let verb = |list: &[(&'static str, &'static str)]| list.iter().find(|(past, _)| *past == first).map(|(_, base)| *base);
    let single = words.len() == 1 + usize::from(!last.is_empty());
    if single {
        let circumstance = ["in", "at", "on", "near", "by"].contains(&last);
        let dated = last.is_empty() && value == Value::Year;
        if let (Some(base), true) = (verb(&PLAIN), dated || !last.is_empty()) {
            return Shape::Did { aux: "did", base, past: first.into(), last: if dated { "in".into() } else { last.into() } };
        }
        if let Some((_, base, object)) = PRESENT.iter().find(|(present, ..)| *present == first)
            && (if *object { last.is_empty() && value == Value::Name } else { !last.is_empty() })
        {
            return Shape::Did { aux: "does", base, past: first.into(), last: last.into() };
        }
        if PASSIVE.contains(&first) && (dated || circumstance) {
            return Shape::Be { be: "was".into(), rest: first.into(), last: if dated { "in".into() } else { last.into() } };
        }
        // Who did what to whom a bare verb leaves open, but for the document's words, and for what goes both ways.
        if let (Some(base), true) = (verb(&ACTIVE), last.is_empty() && value == Value::Name && (before == Some("") || first == "married")) {
            return Shape::Did { aux: "did", base, past: first.into(), last: String::new() };
        }
    }
    nominal(&words, last)
}

fn participle(word: &str) -> bool {
    PASSIVE.contains(&word) || word.len() > 4 && word.ends_with("ed")
}

/// Nouns, alone or with what they are of.
fn nominal(words: &[&str], last: &str) -> Shape {
    let role = last == "of" && words.len() > 1;
    let inner = &words[..words.len() - usize::from(role)];
    let head_end = inner.iter().position(|word| *word == "of").unwrap_or(inner.len());
    let Some(head) = inner[..head_end].last() else { return Shape::Label };
    let noun = PERSONS.contains(head) || NOUNS.contains(head) || SEVERAL.contains(head);
    let odd = |word: &&str| {
        !word.chars().all(|c| c.is_alphabetic() || c == '-')
            || PREPOSITIONS.contains(word) && *word != "of"
            || BE.contains(word)
            || ["has", "have", "had", "a", "an"].contains(word)
            || word.ends_with("ed")
            || word.ends_with("ing")
    };
    // `inhabitants` are many where no number of them is meant.
    let plural = head.ends_with('s') && *head != "headquarters";
    if !noun || inner.iter().any(odd) || plural {
        return Shape::Label;
    }
    let noun = inner.iter().skip(usize::from(inner[0] == "the")).copied().collect::<Vec<_>>().join(" ");
    match role {
        true => Shape::Role { article: if SEVERAL.contains(head) { "a" } else { "the" }, noun },
        false => Shape::Noun { noun, person: PERSONS.contains(head) },
    }
}

/// Whether a relation counts or measures, so that four digits are no year.
pub fn counts(relation: &str) -> bool {
    const WORDS: [&str; 16] = [
        "number",
        "population",
        "inhabitants",
        "people",
        "employees",
        "count",
        "copies",
        "pages",
        "length",
        "height",
        "area",
        "price",
        "cost",
        "size",
        "distance",
        "members",
    ];
    relation.split(' ').any(|word| WORDS.contains(&word))
}

/// Whether one may ask where of a relation that ends in a preposition of place.
pub fn place(rest: &str, last: &str) -> bool {
    matches!(last, "in" | "at" | "near") && rest.split(' ').all(|word| WHERE.contains(&word))
}

/// Whether only a person has this relation.
pub fn of_person(relation: &str) -> bool {
    const WORDS: [&str; 18] = [
        "born",
        "married",
        "apprenticed",
        "studied",
        "educated",
        "graduated",
        "spouse",
        "wife",
        "husband",
        "occupation",
        "profession",
        "nationality",
        "father",
        "mother",
        "birthplace",
        "retired",
        "emigrated",
        "lives",
    ];
    relation.split(' ').any(|word| WORDS.contains(&word)) && !relation.ends_with(" of")
}

/// Whether only a person is its value.
pub fn is_person(relation: &str) -> bool {
    let words: Vec<&str> = relation.split(' ').collect();
    let noun = words.last().is_some_and(|last| PERSONS.contains(last) && *last != "owner" && *last != "founder" && *last != "designer");
    noun || relation.contains("married") || relation.ends_with("apprenticed to")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn values_are_names_dates_figures_or_words() {
        for (value, wanted) in [
            ("Ann Lee", Value::Name),
            ("the Orme Library", Value::Name),
            ("1831", Value::Year),
            ("12 May 1831", Value::Year),
            ("620 people", Value::Figure),
            ("paper mill", Value::Words),
            ("Ann Lee and Bob Ray", Value::Words),
        ] {
            assert_eq!(kind(value), wanted, "{value}");
        }
        assert_eq!(moved("was apprenticed", "to Thomas Garrick"), ("was apprenticed to".into(), "Thomas Garrick"));
        assert_eq!(moved("was apprenticed to", "to Ann"), ("was apprenticed to".into(), "to Ann"));
        assert_eq!(answered("born", "12 May 1831"), Some(("1831".into(), Value::Year)));
        assert_eq!(answered("left", "his fortune"), None);
        assert_eq!((named("The Orme Library"), named("His Library"), named("fire")), (Some("Orme Library"), None, None));
    }

    #[test]
    fn relations_are_what_their_words_say_for_sure() {
        let be = |rest: &str, last: &str| Shape::Be { be: "was".into(), rest: rest.into(), last: last.into() };
        let did = |base, past: &str, last: &str| Shape::Did { aux: "did", base, past: past.into(), last: last.into() };
        let noun = |noun: &str, person| Shape::Noun { noun: noun.into(), person };
        for (relation, value, before, wanted) in [
            ("was bought by", Value::Name, None, be("bought", "by")),
            ("founded in", Value::Year, None, be("founded", "in")),
            ("was founded", Value::Year, None, be("founded", "in")),
            ("dissolved", Value::Year, None, be("dissolved", "in")),
            ("was apprenticed to", Value::Name, None, be("apprenticed", "to")),
            ("founded", Value::Name, None, Shape::Label),
            ("founded", Value::Name, Some(""), did("found", "founded", "")),
            ("married", Value::Name, None, did("marry", "married", "")),
            ("died", Value::Name, None, Shape::Label),
            ("died", Value::Name, Some("in"), did("die", "died", "in")),
            ("died", Value::Year, None, did("die", "died", "in")),
            ("lives in", Value::Name, None, Shape::Did { aux: "does", base: "live", past: "lives".into(), last: "in".into() }),
            ("owns in", Value::Name, None, Shape::Label),
            ("director", Value::Name, None, noun("director", true)),
            ("number of inhabitants", Value::Figure, None, noun("number of inhabitants", false)),
            ("capital of", Value::Name, None, Shape::Role { noun: "capital".into(), article: "the" }),
            ("member of", Value::Name, None, Shape::Role { noun: "member".into(), article: "a" }),
            ("led to", Value::Words, None, Shape::Caused(Cause::Subject)),
            ("led to", Value::Year, None, Shape::Label),
            ("was caused by", Value::Words, None, Shape::Caused(Cause::Value)),
            ("railway station opened", Value::Year, None, Shape::Label),
            ("ended production in", Value::Year, None, Shape::Label),
            ("subsidiaries", Value::Name, None, Shape::Label),
            ("has population", Value::Figure, None, Shape::Label),
            ("was", Value::Name, None, Shape::Label),
            ("of", Value::Name, None, Shape::Label),
        ] {
            assert_eq!(shape(relation, value, before), wanted, "{relation}");
        }
    }

    proptest! {
        #[test]
        fn no_relation_breaks_it(relation in "(was|is|of|by|founded|capital|the|é|born|in| ){0,12}|\\PC{0,20}", value in "(to |the |The |Ann|1831|é| ){0,4}") {
            for value in [Value::Year, Value::Name, Value::Words] {
                shape(&relation, value, Some("in"));
            }
            answered(&relation, &value);
        }
    }
}
