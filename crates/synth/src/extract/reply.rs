//! What a model's replies say: bytes that may be anything.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::cluster::relation_key;
use super::place::{Text, one_line, tight};
use crate::graph::names;

/// Longest relation and longest subject, in bytes.
const MAX_RELATION: usize = 60;
const MAX_SUBJECT: usize = 100;
/// Places at which a reply's JSON may begin.
const BEGINNINGS: usize = 8;
/// Words that stand for a name that only the sentences before tell.
const PRONOUNS: [&str; 19] = [
    "he", "she", "it", "they", "we", "i", "you", "him", "her", "them", "his", "its", "their", "this", "that", "these", "those", "who",
    "which",
];

/// Why what a reply says was not kept, and how often.
pub type Dropped = BTreeMap<&'static str, usize>;

/// A fact of a reply, in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Placed {
    /// Whom it is about; the title for what the document itself is about.
    pub subject: String,
    /// As [`relation`] spells it.
    pub relation: String,
    /// The value's bytes in the text.
    pub at: Range<usize>,
}

/// The first JSON object of a reply that has an entry of this name. What was thought before it, fences and words around it do not matter.
pub fn object(reply: &str, name: &str) -> Option<Map<String, Value>> {
    let said = reply.rsplit_once("</think>").map_or(reply, |(_, said)| said);
    let begins = said.match_indices('{').map(|(at, _)| at).take(BEGINNINGS);
    let read = |at: usize| serde_json::Deserializer::from_str(&said[at..]).into_iter::<Map<String, Value>>().next()?.ok();
    begins.filter_map(read).find(|object| object.contains_key(name))
}

/// The facts that a reply states of a document, and why others of it are none: `form` (no object with relation, value and quote),
/// `relation`, `subject` (a pronoun, or no name that stands in the document), `quote`, `value`, `lines`, `too_many`. `None` where the reply
/// is not the JSON that was asked for.
pub fn facts(reply: &str, text: &Text, title: &str, most: usize) -> Option<(Vec<Placed>, Dropped)> {
    let object = object(reply, "facts")?;
    let listed = object.get("facts")?.as_array()?;
    let (mut out, mut dropped) = (Vec::new(), Dropped::new());
    for fact in listed.iter().take(most) {
        match placed(fact, text, title) {
            Ok(fact) => out.push(fact),
            Err(why) => *dropped.entry(why).or_default() += 1,
        }
    }
    if listed.len() > most {
        dropped.insert("too_many", listed.len() - most);
    }
    Some((out, dropped))
}

fn placed(fact: &Value, text: &Text, title: &str) -> Result<Placed, &'static str> {
    let said = |name: &str| words(fact.get(name)?);
    let (Some(spelled), Some(value), Some(quote)) = (said("relation"), said("value"), said("quote")) else { return Err("form") };
    let relation = relation(&spelled).ok_or("relation")?;
    let subject = subject(fact.get("subject").and_then(words).as_deref().unwrap_or(""), text, title).ok_or("subject")?;
    // Words that are no quote may still say what the document says; those of another place than the value's do not speak of it.
    let at = text.place(&quote, &value).or_else(|why| text.alone(&value).filter(|_| why == "quote").ok_or(why))?;
    Ok(Placed { subject, relation, at })
}

/// Text or a number.
fn words(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A relation as it is kept: lower case, spaces for underscores, one line. `None` where it says nothing or would break a question's words.
pub fn relation(spelled: &str) -> Option<String> {
    let spelled = one_line(&spelled.replace('_', " ").to_lowercase());
    let relation = spelled.trim_matches(|c: char| c.is_whitespace() || matches!(c, '.' | ':' | ',' | ';' | '-' | '\''));
    let fine = relation.len() <= MAX_RELATION && relation.contains(char::is_alphabetic) && !relation.contains(['"', '“', '”', '›']);
    (fine && !relation.chars().any(char::is_control)).then(|| relation.to_string())
}

/// Whom a fact is about: the title where nothing else is named, or the title is in other words.
fn subject(spelled: &str, text: &Text, title: &str) -> Option<String> {
    let spelled = one_line(spelled);
    let (called, titled) = (names::keys(&spelled), names::keys(title));
    if spelled.is_empty() || called.iter().any(|key| titled.contains(key)) {
        return Some(title.to_string());
    }
    let name = !called.is_empty() && spelled.len() <= MAX_SUBJECT && !spelled.chars().any(char::is_control);
    (name && !PRONOUNS.contains(&spelled.to_lowercase().as_str()) && text.names(&spelled)).then_some(spelled)
}

/// A field of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// What it is called.
    pub name: String,
    /// `number`, `date` or `text`; empty where nobody said.
    pub kind: String,
}

/// The fields that a reply proposes, each once, at most so many; those without a usable name or type are left out.
pub fn schema(reply: &str, most: usize) -> Option<Vec<Field>> {
    let object = object(reply, "fields")?;
    let mut out: Vec<Field> = Vec::new();
    for field in object.get("fields")?.as_array()? {
        let said = |name: &str| field.get(name).and_then(Value::as_str).unwrap_or("");
        let (Some(name), kind) = (relation(said("name")), said("type").trim().to_lowercase()) else { continue };
        let known = ["number", "date", "text"].contains(&kind.as_str());
        if known && out.len() < most && out.iter().all(|other| relation_key(&other.name) != relation_key(&name)) {
            out.push(Field { name, kind });
        }
    }
    Some(out)
}

/// What a reply says of one field.
#[derive(Clone, Debug, PartialEq)]
pub struct Said {
    /// The value as it is compared with other replies': lower case, one line, numbers without spaces.
    pub vote: String,
    /// Its bytes in the text, or why it is no value: `quote`, `value`, `lines`, `type`.
    pub at: Result<Range<usize>, &'static str>,
}

/// What a reply says of each of these fields; `None` within where it says that the document does not state it. `None` where the reply is
/// not the JSON that was asked for.
pub fn values(reply: &str, text: &Text, fields: &[Field]) -> Option<Vec<Option<Said>>> {
    let object = object(reply, "values")?;
    let values = object.get("values")?.as_object()?;
    Some(fields.iter().map(|field| said(values.get(&field.name)?, text, &field.kind)).collect())
}

/// The values of all fields that a reply has, where they stand.
pub fn all_values(reply: &str, text: &Text) -> Vec<(String, Range<usize>)> {
    let object = object(reply, "values");
    let values = object.as_ref().and_then(|object| object.get("values")?.as_object()).into_iter().flatten();
    values.filter_map(|(name, value)| Some((name.clone(), said(value, text, "")?.at.ok()?))).collect()
}

fn said(field: &Value, text: &Text, kind: &str) -> Option<Said> {
    let value = words(field.get("value")?)?;
    let vote = tight(&one_line(&value)).to_lowercase();
    if vote.is_empty() || vote == "null" {
        return None;
    }
    let counts = kind == "text" || kind.is_empty() || value.contains(|c: char| c.is_ascii_digit());
    let quote = field.get("quote").and_then(words).unwrap_or_default();
    // Which value a field has is voted on: here it is only to be found.
    let place = || text.place(&quote, &value).or_else(|why| text.alone(&value).ok_or(why));
    Some(Said { vote, at: if counts { place() } else { Err("type") } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "Acme was founded by Ann Lee in 1985. It makes paper.";

    fn read(reply: &str) -> Option<(Vec<String>, Dropped)> {
        let (found, dropped) = facts(reply, &Text::new(TEXT), "Acme", 3)?;
        let line = |fact: &Placed| format!("{}; {} = {}", fact.subject, fact.relation, &TEXT[fact.at.clone()]);
        Some((found.iter().map(line).collect(), dropped))
    }

    #[test]
    fn facts_are_read_and_what_does_not_stand_there_is_none() {
        let reply = r#"<think>{"facts": []}</think>Here: ```json
            {"facts": [{"subject": null, "relation": "Founded_In", "value": 1985, "quote": "Ann Lee in 1985"},
                       {"subject": "the ACME", "relation": "makes:", "value": "paper", "quote": "It makes paper."},
                       {"subject": "Ann Lee", "relation": "founded", "value": "Acme", "quote": "Acme was founded"}, {}]}```"#;
        let (found, dropped) = read(reply).unwrap();
        assert_eq!(found, ["Acme; founded in = 1985", "Acme; makes = paper", "Ann Lee; founded = Acme"]);
        assert_eq!(dropped, Dropped::from([("too_many", 1)]));
        let why = |fact: &str| read(&format!("{{\"facts\": [{fact}]}}")).unwrap().1.into_keys().next().unwrap_or("kept");
        let fact = |subject: &str, relation: &str, value: &str, quote: &str| {
            why(&serde_json::json!({"subject": subject, "relation": relation, "value": value, "quote": quote}).to_string())
        };
        assert_eq!(fact("Bob", "founded in", "1985", "in 1985"), "subject");
        assert_eq!(fact("It", "makes", "paper", "It makes paper"), "subject");
        assert_eq!(fact("", "makes \"it\"", "paper", "It makes paper"), "relation");
        assert_eq!(fact("", "1985", "paper", "It makes paper"), "relation");
        assert_eq!(fact("", "makes", "pape", "It makes paper"), "value");
        assert_eq!(fact("", "makes", "pape", "It sells paper"), "quote");
        // The words are not the document's, but the value stands only once; another place's words do not speak of it.
        assert_eq!(fact("", "makes", "paper", "It sells paper"), "kept");
        assert_eq!(fact("", "makes", "paper", "in 1985"), "value");
        assert_eq!(fact("", "makes", "paper", "It makes paper"), "kept");
        for form in ["7", "{}", "{\"relation\": \"a\", \"value\": [1], \"quote\": \"b\"}", "[[]]"] {
            assert_eq!(why(form), "form");
        }
        for none in ["", "facts", "{", "[]", "{\"facts\": 3}", "{\"fact\": []}", "{\"facts\": [", "</think>"] {
            assert_eq!(read(none), None, "{none}");
        }
    }

    #[test]
    fn fields_and_values_are_read() {
        let reply = r#"{"fields": [{"name": "Founded_in", "type": "Date"}, {"name": "founded", "type": "date"}, {"name": "makes", "type": "text"},
            {"name": "size", "type": "big"}, {"name": 7}, {"name": "owner", "type": "text"}, {"name": "late", "type": "text"}]}"#;
        let fields = schema(reply, 3).unwrap();
        assert_eq!(fields.iter().map(|field| field.name.as_str()).collect::<Vec<_>>(), ["founded in", "makes", "owner"]);
        let reply = r#"{"values": {"founded in": {"value": "1985", "quote": "in 1985"}, "makes": {"value": " Paper", "quote": "makes paper"},
            "owner": {"value": null, "quote": null}, "more": {"value": "Acme", "quote": "Acme was"}}}"#;
        let text = Text::new(TEXT);
        let said = values(reply, &text, &fields).unwrap();
        assert_eq!(said[0], Some(Said { vote: "1985".into(), at: Ok(TEXT.find("1985").map(|at| at..at + 4).unwrap()) }));
        assert_eq!(said[1], Some(Said { vote: "paper".into(), at: Err("value") }));
        assert_eq!(said[2], None);
        assert_eq!(all_values(reply, &text).into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["founded in", "more"]);
        // Its words are of another place, but the value stands only once: which it is, is voted on.
        let elsewhere = r#"{"values": {"founded in": {"value": "1985", "quote": "Acme was"}}}"#;
        assert_eq!(values(elsewhere, &text, &fields[..1]).unwrap()[0].as_ref().unwrap().at, said[0].clone().unwrap().at);
        let word = r#"{"values": {"founded in": {"value": "Acme", "quote": "Acme was"}}}"#;
        assert_eq!(values(word, &text, &fields).unwrap()[0].as_ref().unwrap().at, Err("type"));
        assert_eq!(values("{\"values\": []}", &text, &fields), None);
    }

    proptest! {
        #[test]
        fn no_reply_breaks_it(reply in "(\\{\"(facts|values|fields)\": )?(\\{|\\}|\\[|\\]|\"facts\"|\"values\"|\"fields\"|\"value\"|\"quote\"|\"relation\"|\"name\"|: |, |\"a\"|\"é\\\\u00\"|1e999|null|</think>|\\PC){0,40}") {
            let text = Text::new(TEXT);
            facts(&reply, &text, "Acme", 3);
            schema(&reply, 3);
            values(&reply, &text, &[Field { name: "a".into(), kind: "date".into() }]);
            all_values(&reply, &text);
        }

        /// JSON of the right form with any words in it: whatever is kept stands where it says.
        #[test]
        fn what_is_kept_stands_in_the_text(said in prop::collection::vec(("(Acme|Ann Lee|it|é){0,2}", "\\PC{0,8}", "[A-Za-z0-9 .]{0,6}", "(Acme was founded by|1985|\\PC| ){0,3}"), 0..5)) {
            let listed: Vec<_> = said.iter().map(|(subject, relation, value, quote)| serde_json::json!({"subject": subject, "relation": relation, "value": value, "quote": quote})).collect();
            let text = Text::new(TEXT);
            let (found, dropped) = facts(&serde_json::json!({"facts": listed}).to_string(), &text, "Acme", 3).unwrap();
            prop_assert_eq!(found.len() + dropped.values().sum::<usize>(), said.len());
            prop_assert!(found.iter().all(|fact| TEXT.get(fact.at.clone()).is_some_and(|value| !value.is_empty())));
        }
    }
}
