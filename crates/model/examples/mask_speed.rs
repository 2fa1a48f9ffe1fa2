//! What a mask costs: `cargo run --release -p longhand-model --example mask_speed -- MODEL`, of which only the tokenizer is used.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use model::{Checkpoint, Constraint, TextParts, Vocabulary};
use serde_json::json;

/// The median and the longest of these milliseconds.
fn sorted(mut times: Vec<f64>) -> String {
    times.sort_by(f64::total_cmp);
    format!("median {:8.3} ms, longest {:8.3} ms, {} times", times[times.len() / 2], times[times.len() - 1], times.len())
}

fn main() {
    let path = std::env::args().nth(1).expect("a model's path");
    let checkpoint = Checkpoint::open(Path::new(&path)).unwrap();
    let tokenizer = TextParts::new(&checkpoint).unwrap().tokenizer;
    let width = checkpoint.config().vocab;
    let start = Instant::now();
    let vocabulary = Arc::new(Vocabulary::new(&tokenizer, width).unwrap());
    println!("V = {width}; the vocabulary takes {:.0} ms, once", start.elapsed().as_secs_f64() * 1e3);
    let fact = json!({"type": "object", "properties": {"subject": {"type": ["string", "null"]}, "kind": {"enum": ["number", "date", "text"]}, "count": {"type": "integer"}, "share": {"type": "number"}, "short": {"type": "string", "minLength": 2, "maxLength": 40}}, "required": ["subject", "kind", "count", "share", "short"], "additionalProperties": false});
    let schema =
        json!({"type": "object", "properties": {"facts": {"type": "array", "items": fact}, "rest": {}}, "required": ["facts", "rest"]});
    let text = r#"{"facts": [{"subject": "Ann \u00e9", "kind": "date", "count": -12, "share": 0.25, "short": "中文 and \"so\""}, {"subject": null, "kind": "text", "count": 0, "share": 1e5, "short": "on"}], "rest": {"a": [1, "b", {"c": true}]}}"#;
    let start = Instant::now();
    let constraint = Constraint::new(vocabulary.clone(), &schema).unwrap();
    println!("the schema takes {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    // A state at every character. The first time what tokens do within strings is found as well; then none is remembered but that; then
    // every state is. Of five times the shortest, so that what else the machine does does not count.
    for (name, kept, times) in [("first", false, 1), ("without what is kept", false, 5), ("again", true, 5)] {
        let (mut strings, mut bounded, mut others) = (Vec::new(), Vec::new(), Vec::new());
        let count = states(&constraint, text).len();
        let mut shortest = vec![f64::INFINITY; count];
        for _ in 0..times {
            let constraint = if kept { constraint.clone() } else { Constraint::new(vocabulary.clone(), &schema).unwrap() };
            if kept {
                states(&constraint, text).iter().for_each(|state| drop(state.1.mask(&[])));
            }
            for (shortest, (_, state)) in shortest.iter_mut().zip(states(&constraint, text)) {
                let start = Instant::now();
                std::hint::black_box(state.mask(&[]));
                *shortest = shortest.min(start.elapsed().as_secs_f64() * 1e3);
            }
        }
        for ((kind, _), time) in states(&constraint, text).iter().zip(shortest) {
            match kind {
                Kind::String => strings.push(time),
                Kind::Bounded => bounded.push(time),
                Kind::Other => others.push(time),
            }
        }
        println!(
            "{name}:\n  within strings  {}\n  within bounds   {}\n  elsewhere       {}",
            sorted(strings),
            sorted(bounded),
            sorted(others)
        );
    }
}

/// Where a reply is.
enum Kind {
    String,
    /// Within the string whose characters are counted.
    Bounded,
    Other,
}

/// How far a reply is after each character, and where that is.
fn states(constraint: &Constraint, text: &str) -> Vec<(Kind, Constraint)> {
    let mut inside = false;
    let mut states = Vec::new();
    for (at, _) in text.char_indices().skip(1) {
        let mut state = constraint.clone();
        state.begin(&text[..at]).unwrap();
        inside ^= text[..at].ends_with('"') && !text[..at].ends_with("\\\"");
        let bounded = text[..at].rfind("\"short\": \"").is_some_and(|from| text[..at].rfind("{\"subject").is_some_and(|last| last < from));
        states.push((
            if inside && bounded {
                Kind::Bounded
            } else if inside {
                Kind::String
            } else {
                Kind::Other
            },
            state,
        ));
    }
    states
}
