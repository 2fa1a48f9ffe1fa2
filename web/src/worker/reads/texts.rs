//! Documents of the generated world, and how much is in a document.

use std::collections::HashSet;

use data::Document;

use crate::protocol::{Problem, ProblemKind};

/// Bytes whose tokens are counted; the rest is taken to be like them.
const COUNTED: usize = 256 * 1024;
/// The share of words that a text of the generated world has of the world's.
const GENERATED: f64 = 0.98;

/// A document of the generated world, its question and its answer. The question is about names: of years and amounts the demonstration model
/// knows too little (EXPERIMENTS.md).
pub fn sample(seed: u64, words: usize) -> Result<(Document, String, String), Problem> {
    let failed = |problem: String| Problem { kind: ProblemKind::Other, message: problem };
    let settings = world::WorldSettings { hops: [1, 2], ..world::WorldSettings::told_apart(seed, words) };
    let world = world::World::new(settings).map_err(|problem| failed(problem.to_string()))?;
    let digits = |text: &str| text.contains(|c: char| c.is_ascii_digit());
    let mut found = None;
    for index in 0..64 {
        let (story, _) = world.item_story(index).map_err(|problem| failed(problem.to_string()))?;
        let Some(question) = story.questions.first() else { continue };
        let (ask, answer) = (world.ask(question), world.reply(question));
        let fits = !digits(&ask) && !digits(&answer);
        if fits || found.is_none() {
            found = Some((story.text, ask, answer));
        }
        if fits {
            break;
        }
    }
    let (text, ask, answer) = found.ok_or_else(|| failed("the world has no such document".into()))?;
    Ok((Document::plain("sample.txt", "sample.txt", text), ask, answer))
}

/// Tokens of the documents, about.
pub fn tokens(documents: &[Document]) -> usize {
    let counts = tokenizer::Tokenizer::approximate();
    let mut total = 0.0;
    for document in documents {
        let text = &*document.text;
        let end = (0..=text.len().min(COUNTED)).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        total += counts.count(&text[..end]).unwrap_or(0) as f64 * text.len() as f64 / end.max(1) as f64;
    }
    total as usize
}

/// Whether these are documents of the generated world.
pub fn generated(documents: &[Document]) -> bool {
    let vocabulary: HashSet<&str> = world::vocabulary().iter().copied().collect();
    documents.iter().all(|document| {
        let end = (0..=document.text.len().min(COUNTED)).rev().find(|&end| document.text.is_char_boundary(end)).unwrap_or(0);
        let words = world::words(&document.text[..end]);
        let known = words.iter().filter(|word| vocabulary.contains(*word)).count();
        !words.is_empty() && known as f64 >= GENERATED * words.len() as f64
    })
}
