//! A fact of prose in words: said of either of its ends, or asked for.

use data::Fact;

use super::lists::PREPOSITIONS;
use super::web::End;
use super::words::{self, Shape, Value, moved, place};
use crate::walk::Cause;

/// A fact as it can be put into a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// As it is labelled.
    relation: String,
    shape: Shape,
    pub value: Value,
    /// The document says the opposite: `has housed the Museum` is no `was housed in`.
    pub turned: bool,
}

impl Spoken {
    /// `text`: the document's, whose words before the value say whether the relation stands there as it is.
    pub fn new(fact: &Fact, text: &str) -> Self {
        let (relation, value) = moved(&fact.relation, &fact.value);
        let kind = read(&relation, value);
        let before = text.get(..fact.span.start).and_then(|before| joined(before, &fact.relation, &relation));
        let shape = words::shape(&relation, kind, before.as_deref());
        let bare = text.get(..fact.span.start).map(without_article).unwrap_or_default();
        let turned = match &shape {
            Shape::Be { rest, last, .. } if !last.is_empty() && kind == Value::Name => {
                rest.split(' ').next_back().is_some_and(|verb| ends(bare, verb).is_some())
            }
            _ => false,
        };
        Self { shape, relation, value: kind, turned }
    }

    /// Every way in which a fact may be spoken of, whatever its document says.
    fn all(fact: &Fact) -> Vec<Self> {
        let (relation, value) = moved(&fact.relation, &fact.value);
        let kind = read(&relation, value);
        let before = [None, Some("")].into_iter().chain(PREPOSITIONS.into_iter().map(Some));
        let spoken = |before| Self { shape: words::shape(&relation, kind, before), relation: relation.clone(), value: kind, turned: false };
        before.map(spoken).collect()
    }

    /// What an entity is, by the other end of the fact: what follows `the person` or `the entity`.
    pub fn describe(&self, end: End, person: bool, other: &str) -> String {
        let (who, whom) = if person { ("who", "whom") } else { ("that", "which") };
        let after = |last: &str| if last.is_empty() { String::new() } else { format!(" {last}") };
        match (&self.shape, end) {
            (Shape::Be { be, rest, last }, End::Subject) => format!("{who} {be} {rest}{} {other}", after(last)),
            (Shape::Be { be, rest, last }, End::Value) if !last.is_empty() => format!("{last} {whom} {other} {be} {rest}"),
            (Shape::Did { past, last, .. }, End::Subject) => format!("{who} {past}{} {other}", after(last)),
            (Shape::Did { past, last, .. }, End::Value) if last.is_empty() => format!("{whom} {other} {past}"),
            (Shape::Did { past, last, .. }, End::Value) => format!("{last} {whom} {other} {past}"),
            (Shape::Noun { noun, .. }, End::Subject) => format!("whose {noun} is {other}"),
            (Shape::Noun { noun, .. }, End::Value) => format!("{who} is the {noun} of {other}"),
            (Shape::Role { noun, article }, End::Subject) => format!("{who} is {article} {noun} of {other}"),
            (Shape::Role { noun, article }, End::Value) => format!("of {whom} {other} is {article} {noun}"),
            (Shape::Caused(Cause::Value), End::Subject) => format!("{who} is said to have been caused by {other}"),
            (Shape::Caused(Cause::Value), End::Value) => format!("{who} is said to have caused {other}"),
            (Shape::Caused(Cause::Subject), End::Subject) => format!("{who} is said to have led to {other}"),
            (Shape::Caused(Cause::Subject), End::Value) => format!("to {whom} {other} is said to have led"),
            (_, End::Subject) => format!("whose \"{}\" is {other}", self.relation),
            (_, End::Value) => format!("given under \"{}\" for {other}", self.relation),
        }
    }

    /// The same by a year or a figure that is told vaguely.
    pub fn vaguely(&self, person: bool, said: &str) -> String {
        match (&self.shape, self.value) {
            (Shape::Label, Value::Year) => format!("whose \"{}\" gives {said}", self.relation),
            (Shape::Noun { noun, .. }, Value::Year) => format!("whose {noun} gives {said}"),
            _ => self.describe(End::Subject, person, said),
        }
    }

    /// The same by a name of which no more is told than its letters.
    pub fn labelled(&self, said: &str) -> String {
        match &self.shape {
            Shape::Noun { noun, .. } => format!("whose {noun} has {said}"),
            _ => format!("whose \"{}\" is {said}", self.relation),
        }
    }

    /// The question for the fact's value.
    pub fn ask(&self, of: &str) -> String {
        let dated = |last: &str| self.value == Value::Year && matches!(last, "in" | "on" | "at");
        let who = |last: &str| if self.value == Value::Name && !matches!(last, "in" | "at" | "on") { "Who or what" } else { "What" };
        match &self.shape {
            Shape::Be { be, rest, last } if dated(last) => format!("In which year {be} {of} {rest}?"),
            Shape::Be { be, rest, last } if self.value == Value::Name && place(rest, last) => format!("Where {be} {of} {rest}?"),
            Shape::Be { be, rest, last } if !last.is_empty() => format!("{} {be} {of} {rest} {last}?", who(last)),
            Shape::Did { aux, base, last, .. } if dated(last) => format!("In which year {aux} {of} {base}?"),
            Shape::Did { aux, base, past, last } if self.value == Value::Name && place(past, last) => format!("Where {aux} {of} {base}?"),
            Shape::Did { aux, base, last, .. } if last.is_empty() => format!("{} {aux} {of} {base}?", who(last)),
            Shape::Did { aux, base, last, .. } => format!("{} {aux} {of} {base} {last}?", who(last)),
            Shape::Noun { noun, person: true } if self.value == Value::Name => format!("Who is the {noun} of {of}?"),
            Shape::Noun { noun, .. } => format!("What is the {noun} of {of}?"),
            Shape::Role { noun, article } => format!("What is {of} {article} {noun} of?"),
            Shape::Caused(Cause::Value) => format!("What is said to have caused {of}?"),
            Shape::Caused(Cause::Subject) => format!("What is {of} said to have led to?"),
            _ => match self.value {
                Value::Year => format!("Which year is given under \"{}\" for {of}?", self.relation),
                Value::Figure => format!("Which figure is given under \"{}\" for {of}?", self.relation),
                _ => format!("What is given under \"{}\" for {of}?", self.relation),
            },
        }
    }

    /// The question for whom the fact is about.
    pub fn ask_whom(&self, person: bool, other: &str) -> String {
        let who = if person { "Who" } else { "Who or what" };
        let after = |last: &str| if last.is_empty() { String::new() } else { format!(" {last}") };
        match &self.shape {
            Shape::Be { be, rest, last } => format!("{who} {be} {rest}{} {other}?", after(last)),
            Shape::Did { past, last, .. } => format!("{who} {past}{} {other}?", after(last)),
            Shape::Noun { noun, .. } => format!("Whose {noun} is {other}?"),
            Shape::Role { noun, article } => format!("{who} is {article} {noun} of {other}?"),
            Shape::Caused(Cause::Value) => format!("What is said to have been caused by {other}?"),
            Shape::Caused(Cause::Subject) => format!("What is said to have led to {other}?"),
            Shape::Label => format!("Of whom or what is {other} given under \"{}\"?", self.relation),
        }
    }

    /// The year that the fact tells, as a part of a sentence.
    pub fn year(&self, of: &str) -> String {
        match &self.shape {
            Shape::Be { be, rest, .. } => format!("the year in which {of} {be} {rest}"),
            Shape::Did { past, .. } => format!("the year in which {of} {past}"),
            Shape::Noun { noun, .. } => format!("the year given as the {noun} of {of}"),
            _ => format!("the year given under \"{}\" for {of}", self.relation),
        }
    }

    /// Whether the entity stands last when it is told by its other end, so that this can be told of in turn.
    pub fn ends(&self, end: End) -> bool {
        end == End::Subject || matches!(self.shape, Shape::Noun { .. } | Shape::Label)
    }
}

/// What a value is under its relation.
fn read(relation: &str, value: &str) -> Value {
    match words::kind(value) {
        Value::Year if words::counts(relation) => Value::Figure,
        kind => kind,
    }
}

/// How the document says it: the preposition between the relation's last word and the value; empty where there is none. `None` where
/// other words stand there. An article does not count.
fn joined(before: &str, relation: &str, whole: &str) -> Option<String> {
    let before = without_article(before);
    // The relation's preposition stands in the value.
    if relation != whole && ends(before, relation).is_some() || ends(before, whole).is_some() {
        return Some(String::new());
    }
    PREPOSITIONS.iter().find(|last| ends(before, last).is_some_and(|before| ends(before, relation).is_some())).map(|last| last.to_string())
}

fn without_article(before: &str) -> &str {
    let before = before.trim_end();
    ["the", "a", "an"].iter().find_map(|article| ends(before, article)).unwrap_or(before)
}

/// The text before these words at its end.
fn ends<'a>(text: &'a str, words: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(words.len())?;
    let (before, last) = (text.get(..at)?, text.get(at..)?);
    let apart = before.chars().next_back().is_none_or(char::is_whitespace);
    (apart && last.eq_ignore_ascii_case(words)).then(|| before.trim_end())
}

/// Whether these words of a question describe one end of a fact, `hidden`, by the other.
pub fn describes(fact: &Fact, hidden: &str, said: &str) -> bool {
    let value = moved(&fact.relation, &fact.value).1;
    let mut ends = Vec::new();
    if hidden == fact.subject {
        ends.push((End::Subject, value));
    }
    if hidden == fact.value {
        ends.push((End::Value, fact.subject.as_str()));
    }
    ends.into_iter().any(|(end, other)| {
        let spoken = Spoken::all(fact);
        let mut others = vec![other.to_string(), format!("the {other}")];
        others.extend(words::named(other).map(str::to_string));
        spoken
            .iter()
            .any(|spoken| others.iter().any(|other| [true, false].iter().any(|person| spoken.describe(end, *person, other) == said)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use data::Span;

    fn fact(relation: &str, value: &str, text: &str) -> (Fact, Spoken) {
        let start = text.find(value).unwrap();
        let span = Span { doc: "d".into(), start, end: start + value.len() };
        let fact = Fact {
            id: "f".into(),
            subject: "Ely Mill".into(),
            relation: relation.into(),
            value: value.into(),
            span,
            call: Some("c".into()),
        };
        let spoken = Spoken::new(&fact, text);
        (fact, spoken)
    }

    #[test]
    fn facts_are_said_and_asked_in_english() {
        let of = |relation: &str, value: &str, text: &str| {
            let (fact, spoken) = fact(relation, value, text);
            let said = [spoken.describe(End::Subject, false, value), spoken.describe(End::Value, true, "Ely Mill")];
            assert!(describes(&fact, "Ely Mill", &said[0]), "{said:?}");
            assert!(describes(&fact, value, &spoken.describe(End::Value, true, "Ely Mill")), "{said:?}");
            assert!(!describes(&Fact { value: "Other".into(), ..fact.clone() }, "Ely Mill", &said[0]));
            assert!(!describes(&fact, "Elsewhere", &said[0]));
            [said[0].clone(), said[1].clone(), spoken.ask("A"), spoken.ask_whom(false, "A")]
        };
        assert_eq!(
            of("was bought by", "Acme", "In 1902 the mill was bought by the Acme firm."),
            ["that was bought by Acme", "by whom Ely Mill was bought", "Who or what was A bought by?", "Who or what was bought by A?"]
        );
        assert_eq!(
            of("founded", "Acme", "It founded Acme."),
            ["that founded Acme", "whom Ely Mill founded", "Who or what did A found?", "Who or what founded A?"]
        );
        // Who founded whom is not to be seen from here.
        assert_eq!(
            of("founded", "Acme", "Acme is its founder."),
            [
                "whose \"founded\" is Acme",
                "given under \"founded\" for Ely Mill",
                "What is given under \"founded\" for A?",
                "Of whom or what is A given under \"founded\"?"
            ]
        );
        assert_eq!(
            of("died", "Acme", "He died in Acme."),
            ["that died in Acme", "in whom Ely Mill died", "Where did A die?", "Who or what died in A?"]
        );
        assert_eq!(
            of("director", "Ann Lee", "Its director is Ann Lee."),
            ["whose director is Ann Lee", "who is the director of Ely Mill", "Who is the director of A?", "Whose director is A?"]
        );
        assert_eq!(
            of("capital of", "Mali", "It is the capital of Mali."),
            [
                "that is the capital of Mali",
                "of whom Ely Mill is the capital",
                "What is A the capital of?",
                "Who or what is the capital of A?"
            ]
        );
        assert_eq!(
            of("led to", "riots", "It led to riots."),
            [
                "that is said to have led to riots",
                "to whom Ely Mill is said to have led",
                "What is A said to have led to?",
                "What is said to have led to A?"
            ]
        );
        let turned = |relation: &str, text: &str| fact(relation, "Acme", text).1.turned;
        assert!(turned("was housed in", "It has housed the Acme since 1984.") && turned("owned by", "It owned Acme."));
        assert!(!turned("was housed in", "It was housed in the Acme hall.") && !turned("founded", "It founded Acme."));
        let (_, spoken) = fact("ended production in", "1967", "It ended production in 1967.");
        assert_eq!(spoken.ask("A"), "Which year is given under \"ended production in\" for A?");
        assert_eq!(spoken.vaguely(false, "a year of the 1960s"), "whose \"ended production in\" gives a year of the 1960s");
        let (_, spoken) = fact("founded", "1967", "Founded 1967.");
        assert_eq!(
            (spoken.ask("A").as_str(), spoken.year("A").as_str()),
            ("In which year was A founded?", "the year in which A was founded")
        );
        assert_eq!(spoken.vaguely(true, "a year of the 1960s"), "who was founded in a year of the 1960s");
    }
}
