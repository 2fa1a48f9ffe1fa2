//! Questions in words: a reader who has only the documents can follow them.

use world::Random;

use crate::graph::picks::Which;
use crate::walk::{Cause, Compute, Factor};

/// One fact of a description.
#[derive(Clone, Debug, PartialEq)]
pub struct Said<'a> {
    pub relation: &'a str,
    /// As [`Form`](crate::describe) has it.
    pub text: &'a str,
    pub kind: &'a str,
    pub latest: bool,
}

/// What is asked at the chain's end. Places count along the chain from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum End<'a> {
    /// The last entity's value of a relation.
    Value { relation: &'a str, number: bool, latest: bool },
    /// What the last entity is called.
    Title,
    /// What caused the last entity, or what it caused.
    Cause(Cause),
    /// Something computed from the values of one or two (place, relation).
    Computed { compute: Compute, of: Vec<(usize, &'a str)>, latest: bool },
}

/// What a question is made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked<'a> {
    /// What is said of the first entity.
    pub start: Vec<Said<'a>>,
    /// The links in their order.
    pub steps: Vec<(Which, &'a str)>,
    /// What each entity is: one more than steps.
    pub nouns: Vec<&'a str>,
    pub end: End<'a>,
}

const LETTERS: [&str; 10] = ["A", "B", "C", "D", "E", "F", "G", "H", "J", "K"];
const ORDINALS: [&str; 10] = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"];

/// The question, in one of several wordings.
pub fn question(asked: &Asked, random: &mut Random) -> String {
    let start = format!("the {} {}", asked.nouns[0], described(&asked.start));
    let simple = !matches!(asked.end, End::Computed { .. });
    if asked.steps.is_empty() || simple && asked.steps.len() <= 2 && random.chance(0.34) {
        return nested(asked, &start, random);
    }
    let last = asked.steps.len();
    if random.chance(0.5) && last < LETTERS.len() {
        let mut text = format!("Let A be {start}.");
        for (at, (which, relation)) in asked.steps.iter().enumerate() {
            let step = step(*which, relation, asked.nouns[at + 1], "");
            text.push_str(&format!(" Let {} be {step} for {}.", LETTERS[at + 1], LETTERS[at]));
        }
        let name = |at: usize| LETTERS[at].to_string();
        return format!("{text} {}", ending(asked, &name, random));
    }
    let mut text = format!("Start from {start}.");
    for (at, (which, relation)) in asked.steps.iter().enumerate() {
        text.push_str(match (at, random.below(2)) {
            (0, _) => " Go to ",
            (_, 0) => ", from there to ",
            _ => ", then to ",
        });
        text.push_str(&step(*which, relation, asked.nouns[at + 1], " there"));
    }
    let name = |at: usize| match at {
        0 => format!("the {} at the start", asked.nouns[0]),
        at if at == last => format!("the {} at the end", asked.nouns[last]),
        at => format!("the {} {} on this way", ORDINALS.get(at).unwrap_or(&"next"), asked.nouns[at]),
    };
    format!("{text}. {}", ending(asked, &name, random))
}

/// All in one sentence.
fn nested(asked: &Asked, start: &str, random: &mut Random) -> String {
    let mut text = start.to_string();
    for (at, (which, relation)) in asked.steps.iter().enumerate() {
        text = format!("{} for {text}", step(*which, relation, asked.nouns[at + 1], ""));
    }
    ending(asked, &|_| text.clone(), random)
}

/// `whose "A" is …, whose "B" is … and whose "C" is …`
fn described(start: &[Said]) -> String {
    let clauses: Vec<String> = start
        .iter()
        .map(|said| {
            let Said { relation, text, .. } = said;
            match said.kind {
                "time" => format!("whose \"{relation}\" gives {text}"),
                _ if said.latest => format!("whose latest figure under \"{relation}\" is {text}"),
                _ => format!("whose \"{relation}\" is {text}"),
            }
        })
        .collect();
    match clauses.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// `there` is put where the place before is meant by nothing else.
fn step(which: Which, relation: &str, noun: &str, there: &str) -> String {
    match which {
        Which::Only => format!("the {noun} named{there} under \"{relation}\""),
        Which::First => format!("the {noun} named{there} first under \"{relation}\""),
        Which::Largest => format!("the {noun} listed{there} with the largest figure under \"{relation}\""),
        Which::Smallest => format!("the {noun} listed{there} with the smallest figure under \"{relation}\""),
    }
}

/// The question itself; `name` says which entity is meant.
fn ending(asked: &Asked, name: &dyn Fn(usize) -> String, random: &mut Random) -> String {
    let last = asked.steps.len();
    let noun = asked.nouns[last];
    let figure = |latest: bool| if latest { "latest figure" } else { "figure" };
    match &asked.end {
        End::Value { relation, number, latest } => {
            let what = name(last);
            match (number, random.below(2)) {
                (true, 0) => format!("What is the {} under \"{relation}\" for {what}?", figure(*latest)),
                (true, _) => format!("Under \"{relation}\", what is the {} for {what}?", figure(*latest)),
                (false, 0) => format!("What is given under \"{relation}\" for {what}?"),
                (false, _) => format!("What stands under \"{relation}\" for {what}?"),
            }
        }
        End::Title => match random.below(2) {
            0 => format!("Which {noun} is {}? {}", name(last), called(noun)),
            _ => format!("What is {} called? {}", name(last), called(noun)),
        },
        End::Cause(cause) => {
            let (what, short) = (name(last), "Answer with the words of the document, as short as can be.");
            match (cause, random.below(2)) {
                (Cause::Value, 0) => format!("What is said to have caused {what}? {short}"),
                (Cause::Value, _) => format!("What is given as the cause of {what}? {short}"),
                (Cause::Subject, 0) => format!("What is {what} said to have led to? {short}"),
                (Cause::Subject, _) => format!("What is said to have come of {what}? {short}"),
            }
        }
        End::Computed { compute, of, latest } => computed(*compute, of, figure(*latest), called(noun), name),
    }
}

/// How a name is to be given.
fn called(noun: &str) -> &'static str {
    if noun == "document" { "Answer with its title." } else { "Answer with its name." }
}

fn computed(compute: Compute, of: &[(usize, &str)], figure: &str, called: &str, name: &dyn Fn(usize) -> String) -> String {
    let (one, relation) = of.first().map_or((String::new(), ""), |(at, relation)| (name(*at), *relation));
    let Some((other_at, other_relation)) = of.get(1) else {
        let Compute::If(factor) = compute else { return String::new() };
        return format!("Suppose the {figure} under \"{relation}\" for {one} were {}. What would it be?", supposed(factor));
    };
    let other = name(*other_at);
    let suppose = |factor| {
        format!("Suppose the {figure} under \"{relation}\" for {one} were {}, and the one for {other} were as it is.", supposed(factor))
    };
    match compute {
        Compute::Earlier | Compute::Later => {
            let order = if compute == Compute::Earlier { "earlier" } else { "later" };
            format!("Which of the two has the {order} year under \"{relation}\": {one}, or {other}? {called}")
        }
        Compute::Years if of[0].0 == *other_at => {
            format!("For {one}, how many years lie between the year under \"{relation}\" and the year under \"{other_relation}\"?")
        }
        Compute::Years => format!("How many years lie between the year under \"{relation}\" for {one} and the same for {other}?"),
        Compute::LargerIf(factor) => format!("{} Which of the two would have the larger figure? {called}", suppose(factor)),
        Compute::DifferenceIf(factor) => format!("{} By how much would the two figures differ?", suppose(factor)),
        Compute::If(_) => String::new(),
    }
}

fn supposed(factor: Factor) -> &'static str {
    match factor {
        Factor::Twice => "twice what is stated",
        Factor::Half => "half of what is stated",
        Factor::TenthMore => "10 percent more than what is stated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wording_reads_as_english() {
        let said = |relation, text, kind| Said { relation, text, kind, latest: false };
        let start = vec![said("Area › total", "about 360 thousand sq km", "number"), said("Founded", "a year of the 1870s", "time")];
        let steps = vec![(Which::Largest, "Exports - partners"), (Which::Only, "Twin")];
        let end = End::Value { relation: "Capital", number: false, latest: false };
        let asked = Asked { start, steps, nouns: vec!["country"; 3], end };
        let all = |asked: &Asked| {
            let mut texts: Vec<String> = (0..60).map(|seed| question(asked, &mut Random::new(&[seed]))).collect();
            texts.sort();
            texts.dedup();
            texts
        };
        let texts = all(&asked);
        let described = "the country whose \"Area › total\" is about 360 thousand sq km and whose \"Founded\" gives a year of the 1870s";
        for wanted in [
            format!(
                "What is given under \"Capital\" for the country named under \"Twin\" for the country listed with the largest figure under \
                 \"Exports - partners\" for {described}?"
            ),
            format!(
                "Let A be {described}. Let B be the country listed with the largest figure under \"Exports - partners\" for A. Let C be the \
                 country named under \"Twin\" for B. What stands under \"Capital\" for C?"
            ),
            format!(
                "Start from {described}. Go to the country listed there with the largest figure under \"Exports - partners\", from there to \
                 the country named there under \"Twin\". What is given under \"Capital\" for the country at the end?"
            ),
        ] {
            assert!(texts.contains(&wanted), "{wanted}\n{texts:#?}");
        }
        let of = vec![(0, "Founded"), (2, "Founded")];
        let texts = all(&Asked { end: End::Computed { compute: Compute::Earlier, of, latest: false }, ..asked.clone() });
        assert_eq!(texts.len(), 3);
        assert!(texts[0].ends_with("Which of the two has the earlier year under \"Founded\": A, or C? Answer with its name."));
        let end = End::Computed { compute: Compute::If(Factor::Half), of: vec![(2, "Area › total")], latest: true };
        let texts = all(&Asked { end, ..asked });
        assert!(
            texts[0].ends_with("Suppose the latest figure under \"Area › total\" for C were half of what is stated. What would it be?")
        );
    }
}
