//! What is said in a conversation, and how to find it again.

use std::collections::BTreeSet;
use std::ops::Range;

use world::Random;

pub const USER: &str = "User: ";
pub const ASSISTANT: &str = "Assistant: ";
/// Between two turns. No turn has a line break in itself.
const BETWEEN: &str = "\n\n";
/// Between the keys of a relation.
const STEP: &str = " › ";

const REQUESTS: [&str; 6] = [
    "What do the documents say about {list}? I mean the part on {topic}.",
    "{topic}: what is there on {list}?",
    "I am reading about {list}. Tell me something from the part on {topic}.",
    "Could you pick out something on {topic} for {list}?",
    "Let us turn to {list}. What can you find under {topic}?",
    "Give me another detail on {list}, from {topic} please.",
];
const OPENINGS: [&str; 6] = ["", "Certainly. ", "Here is one thing. ", "Gladly. ", "As far as I can see: ", "This is what I found. "];
/// A sentence about what one relation has for the first subject, for each further one, and its end.
const SENTENCES: [[&str; 3]; 4] = [
    ["Under “{label}” the document on {subject} has “{value}”", ", and that on {subject} has “{value}”", "."],
    ["{label}: for {subject} it is “{value}”", "; for {subject} it is “{value}”", "."],
    ["For {subject} the entry “{label}” reads “{value}”", ", and for {subject} “{value}”", "."],
    ["{subject}: “{value}”", "; {subject}: “{value}”", ". That stands under “{label}”."],
];

/// What a user asks about: something of these subjects, and of no others, from one topic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    pub subjects: BTreeSet<String>,
    pub topic: String,
}

impl Request {
    /// In one of its wordings, the subjects in some order.
    pub fn said(&self, random: &mut Random) -> String {
        let mut subjects: Vec<&str> = self.subjects.iter().map(String::as_str).collect();
        random.shuffle(&mut subjects);
        self.worded(random.pick(&REQUESTS), &subjects)
    }

    /// Everything that [`said`](Self::said) can say.
    pub fn sayings(&self) -> BTreeSet<String> {
        let subjects: Vec<&str> = self.subjects.iter().map(String::as_str).collect();
        let orders = orders(&subjects);
        REQUESTS.iter().flat_map(|template| orders.iter().map(|order| self.worded(template, order))).collect()
    }

    fn worded(&self, template: &str, subjects: &[&str]) -> String {
        filled(template, &[("topic", &self.topic), ("list", &list(subjects))])
    }
}

/// A reply: for each relation a sentence with its value for each subject.
pub fn reply(relations: &[(&str, Vec<(&str, &str)>)], random: &mut Random) -> String {
    let mut out = random.pick(&OPENINGS).to_string();
    for (number, (relation, values)) in relations.iter().enumerate() {
        let [first, next, end] = random.pick(&SENTENCES);
        let label = label(relation);
        if number > 0 {
            out.push(' ');
        }
        for (at, (subject, value)) in values.iter().enumerate() {
            out += &filled(if at == 0 { first } else { next }, &[("label", &label), ("subject", subject), ("value", value)]);
        }
        out += &filled(end, &[("label", &label)]);
    }
    out
}

/// A turn as it stands in the conversation.
pub fn turn(user: &str, assistant: &str) -> String {
    format!("{USER}{user}\n{ASSISTANT}{assistant}")
}

/// Turns one after the other.
pub fn conversation(turns: &[String]) -> String {
    turns.join(BETWEEN)
}

/// The bytes of (what the user says, what the assistant replies) of each turn. None where a text is no conversation.
pub fn turns(text: &str) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let mut at = 0;
    let mut out = Vec::new();
    for turn in text.split(BETWEEN) {
        let (user, assistant) = turn.strip_prefix(USER)?.split_once('\n')?;
        let said = at + USER.len()..at + USER.len() + user.len();
        let replied = said.end + 1 + ASSISTANT.len()..at + turn.len();
        let assistant = assistant.strip_prefix(ASSISTANT)?;
        if assistant.contains('\n') {
            return None;
        }
        out.push((said, replied));
        at += turn.len() + BETWEEN.len();
    }
    Some(out)
}

/// The outermost key of a relation.
pub fn topic(relation: &str) -> &str {
    relation.split_once(STEP).map_or(relation, |(topic, _)| topic)
}

/// A relation within its topic.
fn label(relation: &str) -> String {
    relation.split_once(STEP).map_or(relation, |(_, rest)| rest).replace(STEP, ", ")
}

/// `a`, `a and b`, `a, b and c`.
pub fn list(items: &[&str]) -> String {
    match items {
        [] => String::new(),
        [one] => one.to_string(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn orders<'a>(items: &[&'a str]) -> Vec<Vec<&'a str>> {
    if items.len() < 2 {
        return vec![items.to_vec()];
    }
    let mut out = Vec::new();
    for at in 0..items.len() {
        let rest: Vec<&str> = items.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, item)| *item).collect();
        out.extend(orders(&rest).into_iter().map(|order| [vec![items[at]], order].concat()));
    }
    out
}

/// Fills `{name}` marks in one pass, so that marks inside values stay as they are.
pub fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        rest = &rest[open + 1..];
        let found = values.iter().find_map(|(name, value)| Some((*value, rest.strip_prefix(name)?.strip_prefix('}')?)));
        match found {
            Some((value, after)) => {
                out.push_str(value);
                rest = after;
            }
            None => out.push('{'),
        }
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_said_is_among_the_sayings_and_of_no_other_request() {
        let request =
            |subjects: &[&str], topic: &str| Request { subjects: subjects.iter().map(|s| s.to_string()).collect(), topic: topic.into() };
        let all = [
            request(&["Niger"], "Land"),
            request(&["Nigeria"], "Land"),
            request(&["Niger", "Nigeria"], "Land"),
            request(&["Niger"], "People"),
            request(&["Niger", "Mali", "Chad"], "Land"),
        ];
        let mut random = Random::new(&[4]);
        for one in &all {
            for _ in 0..50 {
                let said = one.said(&mut random);
                assert_eq!(all.iter().filter(|other| other.sayings().contains(&said)).collect::<Vec<_>>(), [one], "{said}");
            }
        }
        assert_eq!(all[4].sayings().len(), 36);
    }

    #[test]
    fn a_reply_names_relation_subjects_and_values() {
        let values = vec![("Mali", "Bamako"), ("Chad", "{label}")];
        let said = reply(&[("Government › Capital › name", values), ("Colour", vec![("Mali", "red")])], &mut Random::new(&[5]));
        for word in ["Capital, name", "Mali", "“Bamako”", "“{label}”", "Colour", "“red”"] {
            assert!(said.contains(word), "{said}");
        }
    }

    proptest! {
        #[test]
        fn turns_are_read_back(said in prop::collection::vec(("[^\n]{0,20}", "[^\n]{0,20}"), 1..6)) {
            let text = conversation(&said.iter().map(|(user, assistant)| turn(user, assistant)).collect::<Vec<_>>());
            let found = turns(&text).unwrap();
            let back: Vec<(String, String)> = found.into_iter().map(|(user, assistant)| (text[user].into(), text[assistant].into())).collect();
            prop_assert_eq!(back, said);
        }

        #[test]
        fn any_text_is_turns_or_none(text in "(User: |Assistant: |\n|é| ){0,12}") {
            for (user, assistant) in turns(&text).unwrap_or_default() {
                prop_assert!(text.get(user).is_some() && text.get(assistant).is_some());
            }
        }
    }
}
