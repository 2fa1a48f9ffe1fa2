//! Lessons in reading with notes: what an ideal reader keeps, checked against the evidence and by the agent's own turns.

use agent::Trail;
use data::Item;
use tokenizer::{ChatTemplate, Tokenizer};
use train::notes::{Lesson, Unteachable, lessons, thin};
use train::rl::memory::{Memory, parts};
use train::sft::ChatFormat;
use world::{Split, World, WorldSettings};

const MEMORY: Memory = Memory { chunk: 64, memory: 96, plan: 0, short: true, quotes: false };

fn chat() -> ChatFormat {
    let tokenizer = Tokenizer::from_json(world::tokenizer_json().as_bytes()).unwrap();
    let template = ChatTemplate::new(world::CHAT_TEMPLATE, None, None).unwrap();
    ChatFormat::from_parts(tokenizer, template, vec![2], world::vocabulary().len())
}

fn items() -> Vec<Item> {
    let settings = WorldSettings { words: [200, 400], ordered: true, ..WorldSettings::tiny(11, Split::Train) };
    let world = World::new(settings).unwrap();
    (0..40).map(|index| world.item(index).unwrap()).collect()
}

#[test]
fn notes_are_the_evidence_that_was_passed() {
    let chat = chat();
    let mut taught = 0;
    for item in items() {
        let Ok(all) = lessons(&item, &MEMORY, &chat) else { continue };
        taught += 1;
        let (document, ask) = parts(&item).unwrap();
        let chunks = tokenizer::chunks(chat.tokenizer(), document, MEMORY.chunk).unwrap();
        assert_eq!(all.len(), chunks.len() + 1);
        let mut trail = Trail::new(&ask, MEMORY.settings(96), chat.tokenizer());
        for (lesson, chunk) in all.iter().zip(&chunks) {
            let section = &document[chunk.start..chunk.end];
            assert_eq!(lesson.prompt, trail.ask(section).0, "the lesson asks as the agent does");
            trail.take(section, &lesson.answer, false).unwrap();
            let mut passed: Vec<_> = item.evidence.iter().filter(|span| span.end <= chunk.end).map(|span| (span.start, span.end)).collect();
            passed.sort_unstable();
            let ideal: Vec<&str> = passed.iter().map(|&(start, end)| &document[start..end]).collect();
            assert_eq!(trail.memory(), ideal.join(" "), "no more and no less than what was passed");
            let brings = passed.iter().any(|&(start, _)| start >= chunk.start);
            assert_eq!((lesson.brings, lesson.answer == "same"), (brings, !brings));
        }
        let last = &all[chunks.len()];
        assert_eq!((&last.answer, &last.prompt), (&item.answers[0], &trail.conclude()));
    }
    assert!(taught > 25, "{taught} of 40");
}

#[test]
fn notes_in_the_questions_words_are_what_the_row_states() {
    let chat = chat();
    let settings = WorldSettings { words: [200, 400], ordered: true, stated: true, ..WorldSettings::tiny(11, Split::Train) };
    let world = World::new(settings).unwrap();
    let (mut chains, mut quotes) = (0, 0);
    for item in (0..40).map(|index| world.item(index).unwrap()) {
        let Ok(all) = lessons(&item, &Memory { memory: 200, ..MEMORY }, &chat) else { continue };
        let notes = &all.iter().rev().skip(1).find(|lesson| lesson.brings).unwrap().answer;
        let (document, _) = parts(&item).unwrap();
        let stated = item.extra["stated"].as_array().unwrap();
        for (said, span) in stated.iter().zip(&item.evidence) {
            let said = said.as_str().unwrap();
            let (noted, other) =
                if said.is_empty() { (&document[span.start..span.end], None) } else { (said, Some(&document[span.start..span.end])) };
            assert!(notes.contains(noted) && other.is_none_or(|other| !notes.contains(other)), "{notes}: {noted}");
        }
        chains += usize::from(stated.len() > 1);
        quotes += usize::from(stated.last().unwrap() == "");
        let mut broken = item.clone();
        broken.extra.insert("stated".into(), serde_json::json!([1]));
        assert!(matches!(lessons(&broken, &MEMORY, &chat), Err(Unteachable::Row(why)) if why.contains("stated")));
    }
    assert!(chains > 5 && quotes > 5, "{chains} {quotes}");
}

#[test]
fn what_cannot_be_taught_says_why() {
    let chat = chat();
    let item = items().remove(0);
    let without = Item { evidence: vec![], ..item.clone() };
    assert_eq!(lessons(&without, &MEMORY, &chat), Err(Unteachable::NoEvidence));
    let small = Memory { memory: 16, ..MEMORY };
    assert!(items().iter().any(|item| lessons(item, &small, &chat) == Err(Unteachable::Long(16))));
    let mut past = item.clone();
    past.evidence[0].end = 1 << 40;
    assert!(matches!(lessons(&past, &MEMORY, &chat), Err(Unteachable::Row(why)) if why.contains("not in its document")));
    let long = Memory { short: false, ..MEMORY };
    assert!(matches!(lessons(&item, &long, &chat), Err(Unteachable::Row(_))));
    let mut bare = item;
    bare.extra.remove("document");
    assert!(matches!(lessons(&bare, &MEMORY, &chat), Err(Unteachable::Row(why)) if why.contains("document")));
}

#[test]
fn turns_that_keep_the_notes_are_thinned_to_a_share() {
    let lesson = |turn: usize| {
        let brings = turn.is_multiple_of(10);
        Lesson { prompt: turn.to_string(), answer: String::new(), id: (turn / 100).to_string(), turn, brings }
    };
    let all: Vec<Lesson> = (0..10_000).map(lesson).collect();
    let half = thin(all.clone(), 0.5, 1);
    assert_eq!(half.iter().filter(|lesson| lesson.brings).count(), 1_000);
    assert!((half.len() as f64 - 2_000.0).abs() < 150.0, "{}", half.len());
    assert_eq!(half, thin(all.clone(), 0.5, 1));
    assert_ne!(half, thin(all.clone(), 0.5, 2));
    assert_eq!(thin(all.clone(), 1.0, 1).len(), all.len());
    assert_eq!(thin(all, 0.0, 1).len(), 1_000);
}
