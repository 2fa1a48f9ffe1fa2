//! Rows as commands and servers read them, rewards as they write them.

use std::collections::{HashMap, VecDeque};
use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use crate::{By, Failure, Item, Scored};

/// One row: the item's fields, and the row's other columns beside them.
pub fn row(item: &Item<'_>) -> String {
    let mut row = Map::new();
    row.insert("id".into(), item.id.into());
    row.insert("task".into(), item.task.into());
    row.insert("prompt".into(), item.prompt.into());
    row.insert("reply".into(), item.reply.into());
    row.insert("answers".into(), item.answers.into());
    row.insert("rule".into(), json!(item.rule));
    row.insert("truncated".into(), item.truncated.into());
    for (key, value) in item.extra.into_iter().flatten() {
        if !row.contains_key(key) {
            row.insert(key.clone(), value.clone());
        }
    }
    Value::Object(row).to_string()
}

/// What was said of one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The row's id, where it was repeated.
    pub id: Option<String>,
    /// The number, or what stood in its place.
    pub reward: Result<f64, String>,
}

impl Entry {
    /// A line of a command: a number, or `{"reward": x}` with or without `"id"`.
    pub fn line(line: &str) -> Self {
        let line = line.trim();
        if line.starts_with('{') {
            return match parse(line) {
                Ok(value) => Self::value(&value),
                Err(_) => Self { id: None, reward: Err(short(line)) },
            };
        }
        match line.parse::<f64>() {
            Ok(number) if number.is_finite() => Self { id: None, reward: Ok(number) },
            _ => Self { id: None, reward: Err(short(line)) },
        }
    }

    /// An element of a server's list.
    pub fn value(value: &Value) -> Self {
        let (id, reward) = match value {
            Value::Object(map) => (map.get("id"), map.get("reward")),
            value => (None, Some(value)),
        };
        let id = id.and_then(|id| match id {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        });
        let number = reward.and_then(Value::as_f64).filter(|number| number.is_finite());
        Self { id, reward: number.ok_or_else(|| short(&reward.unwrap_or(value).to_string())) }
    }
}

/// JSON, and what Python's `json` writes for numbers that are none: `NaN` and `Infinity` become null.
pub fn parse(text: &str) -> Result<Value, serde_json::Error> {
    serde_json::from_str(text).or_else(|error| {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        let mut inside = false;
        while let Some(c) = rest.chars().next() {
            let bare = ["-Infinity", "Infinity", "NaN"].into_iter().find(|name| !inside && rest.starts_with(name));
            let taken = match (bare, c) {
                (Some(name), _) => {
                    out.push_str("null");
                    name.len()
                }
                (None, '\\') if inside => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
                (None, c) => {
                    inside ^= c == '"';
                    c.len_utf8()
                }
            };
            if bare.is_none() {
                out.push_str(&rest[..taken]);
            }
            rest = &rest[taken..];
        }
        serde_json::from_str(&out).map_err(|_| error)
    })
}

fn short(text: &str) -> String {
    let shown: String = text.chars().take(80).collect();
    if shown.len() < text.len() { format!("{shown}…") } else { shown }
}

/// Rewards for the rows with these ids, in order. By id where ids were repeated (the n-th of an id for the n-th row with it), otherwise
/// by position. A row without one has `rest`, or a mismatch where what came cannot be relied on.
pub fn assign(ids: &[String], entries: Vec<Entry>, range: &RangeInclusive<f64>, by: By, rest: &Failure) -> Vec<Result<Scored, Failure>> {
    let (found, mismatch) = match_rows(ids, entries);
    let rest = mismatch.map_or_else(|| rest.clone(), Failure::Mismatch);
    let scored = |id: &String, said: Option<Result<f64, String>>| match said {
        None => Err(rest.clone()),
        Some(Err(said)) => Err(Failure::NotANumber { id: id.clone(), said }),
        Some(Ok(value)) if !range.contains(&value) => {
            Err(Failure::OutOfRange { id: id.clone(), value, low: *range.start(), high: *range.end() })
        }
        Some(Ok(reward)) => Ok(Scored { reward, by }),
    };
    ids.iter().zip(found).map(|(id, said)| scored(id, said)).collect()
}

type Said = Option<Result<f64, String>>;

fn match_rows(ids: &[String], entries: Vec<Entry>) -> (Vec<Said>, Option<String>) {
    let nothing = || vec![None; ids.len()];
    if entries.iter().any(|entry| entry.id.is_some()) {
        let mut rows: HashMap<&str, VecDeque<usize>> = HashMap::new();
        for (at, id) in ids.iter().enumerate() {
            rows.entry(id).or_default().push_back(at);
        }
        let mut found = nothing();
        for entry in entries {
            let Some(id) = entry.id else {
                match entry.reward {
                    // Other text does no harm where each reward says whose it is.
                    Err(_) => continue,
                    Ok(_) => return (nothing(), Some("some have an id and some have none".into())),
                }
            };
            match rows.get_mut(id.as_str()).map(VecDeque::pop_front) {
                Some(Some(at)) => found[at] = Some(entry.reward),
                Some(None) => return (nothing(), Some(format!("there are more for the id `{}` than rows", short(&id)))),
                None => return (nothing(), Some(format!("no row has the id `{}`", short(&id)))),
            }
        }
        return (found, None);
    }
    let (count, rows) = (entries.len(), ids.len());
    if count > rows {
        let text = entries.iter().find_map(|entry| entry.reward.as_ref().err());
        let text = text.map_or(String::new(), |text| format!(", one of them `{text}`"));
        return (nothing(), Some(format!("{count} lines or numbers came for {rows} rows{text}")));
    }
    let mut found: Vec<Said> = entries.into_iter().map(|entry| Some(entry.reward)).collect();
    let mut mismatch = None;
    if count < rows
        && let Some(at) = found.iter().position(|said| matches!(said, Some(Err(_))))
    {
        // Whether that text stands for a row or only before one, nobody can say: what follows it may belong to another row.
        if let Some(Some(Err(text))) = &found.get(at) {
            mismatch = Some(format!("`{text}` came where a reward should be, and {count} lines or numbers for {rows} rows"));
        }
        found.truncate(at);
    }
    found.resize(rows, None);
    (found, mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(ids: &[&str], lines: &[&str]) -> Vec<Result<f64, &'static str>> {
        let ids: Vec<String> = ids.iter().map(|id| id.to_string()).collect();
        let entries = lines.iter().map(|line| Entry::line(line)).collect();
        let rest = Failure::Down(String::new());
        let results = assign(&ids, entries, &(0.0..=1.0), By::Command, &rest);
        results.into_iter().map(|result| result.map(|scored| scored.reward).map_err(|failure| failure.kind())).collect()
    }

    #[test]
    fn rewards_find_their_rows() {
        assert_eq!(numbers(&["a", "b"], &["1", " 0.25 "]), [Ok(1.0), Ok(0.25)]);
        assert_eq!(numbers(&["a", "b"], &[r#"{"id":"b","reward":1}"#, r#"{"id":"a","reward":0}"#]), [Ok(0.0), Ok(1.0)]);
        // Replies of one group have one id.
        let group = [r#"{"id":"q","reward":0.1}"#, r#"{"id":"r","reward":0.2}"#, r#"{"id":"q","reward":0.3}"#];
        assert_eq!(numbers(&["q", "q", "r"], &group), [Ok(0.1), Ok(0.3), Ok(0.2)]);
        assert_eq!(numbers(&["7"], &["loading", r#"{"id":7,"reward":1e0}"#]), [Ok(1.0)]);
        assert_eq!(numbers(&["a", "b"], &["1"]), [Ok(1.0), Err("down")]);
    }

    #[test]
    fn what_is_no_reward_is_the_rows_failure() {
        for line in
            ["NaN", "inf", "-Infinity", "high", "True", "\"1\"", "", r#"{"reward":NaN}"#, r#"{"reward":null}"#, r#"{"score":1}"#, "{"]
        {
            assert_eq!(numbers(&["a", "b"], &[line, "1"]), [Err("not a number"), Ok(1.0)], "{line}");
        }
        assert_eq!(numbers(&["a", "b"], &["-0.1", "1.5"]), [Err("out of range"); 2]);
        assert_eq!(numbers(&["a\"NaN", "b"], &[r#"{"id":"a\"NaN","reward":NaN}"#]), [Err("not a number"), Err("down")]);
    }

    #[test]
    fn rewards_are_never_given_to_another_row() {
        // A greeting before the rewards would move each down by one.
        assert_eq!(numbers(&["a", "b"], &["loading", "1", "0"]), [Err("mismatch"); 2]);
        assert_eq!(numbers(&["a", "b", "c"], &["1", "warning", "0"]), [Ok(1.0), Err("not a number"), Ok(0.0)]);
        assert_eq!(numbers(&["a", "b", "c"], &["1", "warning"]), [Ok(1.0), Err("mismatch"), Err("mismatch")]);
        assert_eq!(numbers(&["a"], &["1", "1"]), [Err("mismatch")]);
        assert_eq!(numbers(&["a", "b"], &[r#"{"id":"a","reward":1}"#, "1"]), [Err("mismatch"); 2]);
        assert_eq!(numbers(&["a"], &[r#"{"id":"x","reward":1}"#]), [Err("mismatch")]);
        assert_eq!(numbers(&["a"], &[r#"{"id":"a","reward":1}"#, r#"{"id":"a","reward":0}"#]), [Err("mismatch")]);
    }

    #[test]
    fn a_row_carries_its_other_columns_and_its_own_come_first() {
        let Value::Object(extra) = json!({"id": "other", "question": "Q", "n": 3}) else { unreachable!() };
        let answers = ["x".to_string()];
        let item =
            Item { id: "a", task: "t", prompt: "p", reply: "r\n", answers: &answers, rule: None, truncated: true, extra: Some(&extra) };
        let text = row(&item);
        assert!(!text.contains('\n'));
        let expected = json!({"id": "a", "task": "t", "prompt": "p", "reply": "r\n", "answers": ["x"], "rule": null, "truncated": true, "question": "Q", "n": 3});
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), expected);
    }
}
