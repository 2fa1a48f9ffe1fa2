//! Lessons in reading with notes: what an ideal reader keeps, checked against the evidence and by the agent's own turns.

use agent::Trail;
use data::Item;
use reward::{RewardSettings, Rewarder, Source};
use tokenizer::{ChatTemplate, Tokenizer};
use train::notes::{Lesson, Unteachable, lessons, thin};
use train::rl::environment::Environment;
use train::rl::items::{Form, Items};
use train::rl::memory::{Memory, parts};
use train::rl::recipe::PromptTemplate;
use train::rl::rollout::Rollout;
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

/// A section with a fact, whose note the model gets wrong at first: it is asked again about the sentence that names what is known, and only
/// that one; the next section sees the note of the second look. Where nothing that leads on stands, nobody looks again.
#[test]
fn a_refused_note_is_looked_for_once_more() {
    let tokenizer = Tokenizer::from_json(include_bytes!("../../../models/tiny/tokenizer.json")).unwrap();
    let vocab = tokenizer.vocab_size();
    let chat = ChatFormat::from_parts(tokenizer, ChatTemplate::new(world::CHAT_TEMPLATE, None, None).unwrap(), vec![2], vocab);
    let fact = "Clara Hart works for Miller Boats. ";
    let other = "Esther Lane works for Kemp Steel. ";
    let third = "Peter Bell works for Pierce Cables. ";
    let document = [other.repeat(5), [fact, other].concat(), third.repeat(6)].concat();
    let question = "Who is the employer of Clara Hart?";
    let item: Item = serde_json::from_value(serde_json::json!({
        "id": "one", "task": "reading", "prompt": question, "answers": ["Miller Boats"], "rule": "contain", "hops": 1,
        "document": document, "ask": question,
    }))
    .unwrap();
    let proven = Memory { quotes: true, ..MEMORY };
    let form = Form { template: PromptTemplate::Chat, most: 1000, memory: Some((24, proven)) };
    let rewarder = Rewarder::new(Source::Own, RewardSettings::default());
    let items = Items::new(vec![item], &chat, form, rewarder).unwrap();
    let prompt = items.prompt(0, 0);
    let mut course = items.course(&prompt).unwrap();
    let sections = items.sections();
    assert!(sections >= 2, "{sections}");
    let text = |ids: &[u32]| chat.text(ids);
    // Each turn's prompt, from the first on; `same` unless the section has the fact.
    let (mut ids, mut prompts) = (prompt.ids.clone(), vec![text(&prompt.ids)]);
    let mut looks = 0;
    loop {
        let shown = text(&ids);
        let reply = match (shown.contains("Clara Hart works"), looks) {
            (true, 0) => "the employer of Clara Hart is Kemp Steel.",
            (true, _) => "the employer of Clara Hart is Miller Boats.",
            // Made up, and nothing in this section names whom it is about.
            _ if shown.contains("Peter Bell") => "the employer of Clara Hart is Pierce Cables.",
            _ => "same",
        };
        looks += usize::from(shown.contains("Clara Hart works"));
        let mut all = ids.clone();
        all.extend(chat.plain(reply).unwrap());
        let rollout = Rollout { prompt: ids.len(), truncated: true, ids: all, ..Rollout::default() };
        let Some(turn) = course.next(&rollout).unwrap().turn else { break };
        ids = turn.ids;
        prompts.push(text(&ids));
    }
    assert_eq!(prompts.len(), sections + 2, "a turn more than sections and the answer: {prompts:#?}");
    let again: Vec<&String> = prompts.iter().filter(|prompt| prompt.contains(fact.trim())).collect();
    assert_eq!(again.len(), 2);
    assert!(again[0].contains(other.trim()) && !again[1].contains(other.trim()), "{again:#?}");
    let last = prompts.last().unwrap();
    assert!(last.contains("the employer of Clara Hart is Miller Boats.") && !last.contains("Kemp") && !last.contains("Pierce"), "{last}");
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
