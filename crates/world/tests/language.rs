//! The vocabulary covers every text, the tokenizer gives every text back, and the splits share words but no name, year or template.

use std::collections::HashSet;

use data::Message;
use proptest::prelude::*;
use tokenizer::{ChatTemplate, TemplateOptions, Tokenizer};
use world::{
    CHAT_TEMPLATE, Detail, Fact, IM_END, IM_START, PAD, Relation, Split, Task, Value, World, WorldSettings, join, read_facts,
    tokenizer_json, vocabulary, words,
};

const SPLITS: [Split; 2] = [Split::Train, Split::Held];

fn worlds(seed: u64) -> Vec<World> {
    let settings = SPLITS.into_iter().flat_map(|split| {
        let full = WorldSettings { seed, split, words: [20, 1_500], ..WorldSettings::default() };
        [full, WorldSettings::tiny(seed, split)]
    });
    settings.map(|settings| World::new(settings).unwrap()).collect()
}

/// Every text that goes with an item.
fn texts(world: &World, index: u64) -> Vec<String> {
    let (story, words) = world.item_story(index).unwrap();
    let mut texts = vec![world.row(&story, 0, words).prompt, story.text];
    for question in &story.questions {
        texts.push(world.reply(question));
        texts.push(question.question.clone());
        texts.extend(question.answers.iter().chain(&question.options).cloned());
    }
    texts
}

fn tokenizer() -> Tokenizer {
    Tokenizer::from_json(tokenizer_json().as_bytes()).unwrap()
}

#[test]
fn every_text_is_words_of_the_vocabulary_and_comes_back() {
    let known: HashSet<&str> = vocabulary().iter().copied().collect();
    assert_eq!(known.len(), vocabulary().len(), "a token twice");
    assert!(known.len() <= 1_000, "{} tokens", known.len());
    println!("{} tokens", known.len());
    let tokenizer = tokenizer();
    let mut used: HashSet<String> = HashSet::new();
    for seed in 0..6 {
        for world in worlds(seed) {
            for text in (0..15).flat_map(|index| texts(&world, index)) {
                let split = words(&text);
                if let Some(word) = split.iter().find(|word| !known.contains(**word)) {
                    panic!("`{word}` in: {text}");
                }
                assert_eq!(join(&split), text);
                let ids = tokenizer.encode(&text).unwrap();
                assert!(ids.iter().map(|id| vocabulary()[*id as usize]).eq(split.iter().copied()), "{text}");
                assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
                used.extend(split.into_iter().map(str::to_string));
            }
        }
    }
    let specials = [PAD, IM_START, IM_END, "system", "user", "assistant"];
    let unused: Vec<&str> = vocabulary().iter().copied().filter(|word| !used.contains(*word) && !specials.contains(word)).collect();
    assert!(unused.is_empty(), "in the vocabulary and in no text: {unused:?}");
}

#[test]
fn a_word_of_no_text_is_refused() {
    for text in ["Anna met a zebra.", "<|im_end|>"] {
        assert!(tokenizer().encode(text).is_err(), "{text}");
    }
}

#[test]
fn a_chat_becomes_ids_and_comes_back_as_it_streams() {
    let tokenizer = tokenizer();
    let options = TemplateOptions { add_generation_prompt: true, ..TemplateOptions::default() };
    let template = ChatTemplate::new(CHAT_TEMPLATE, None, Some(IM_END)).unwrap();
    for world in worlds(3) {
        for index in 0..5 {
            let (story, _) = world.item_story(index).unwrap();
            let (prompt, reply) = (world.prompt(&story.questions[0], &story.text), world.reply(&story.questions[0]));
            let asked = [Message::user(&prompt)];
            let ids = template.encode(&tokenizer, &asked, &options).unwrap();
            let whole = format!("{IM_START}user\n{prompt}{IM_END}\n{IM_START}assistant\n");
            assert_eq!(tokenizer.decode(&ids, false).unwrap(), whole);
            assert_eq!(tokenizer.encode_with_specials(&whole).unwrap(), ids);
            // The reply's ids are the same alone and behind the prompt.
            let both = [ids.clone(), tokenizer.encode(&reply).unwrap(), vec![tokenizer.id(IM_END).unwrap()]].concat();
            assert_eq!(tokenizer.encode_with_specials(&format!("{whole}{reply}{IM_END}")).unwrap(), both);
            let mut decoder = tokenizer.decoder();
            let streamed: String = both[ids.len()..].iter().map(|id| decoder.push(*id).unwrap()).collect();
            assert_eq!(streamed + &decoder.finish().unwrap(), reply);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a model writes in these tokens is read as the same tokens.
    #[test]
    fn any_tokens_survive_their_text(ids in proptest::collection::vec(3..vocabulary().len() as u32, 0..40)) {
        let tokenizer = tokenizer();
        let text = tokenizer.decode(&ids, true).unwrap();
        prop_assert_eq!(tokenizer.encode(&text).unwrap(), ids.clone());
        let spelled: Vec<&str> = ids.iter().map(|id| vocabulary()[*id as usize]).collect();
        prop_assert_eq!(join(&spelled), text);
    }
}

/// What a document of a split says: facts and all words.
fn said(split: Split) -> (Vec<Fact>, HashSet<String>) {
    let world = World::new(WorldSettings { split, facts: 0.6, ..WorldSettings::default() }).unwrap();
    let text = world.story(0, 120_000, &[(Task::Reading, 1)]).unwrap().text;
    let facts = read_facts(&text).into_iter().map(|(fact, _)| fact).collect();
    (facts, words(&text).into_iter().map(str::to_string).collect())
}

#[test]
fn splits_share_no_name_and_no_year_but_every_word() {
    let [(train, train_words), (held, held_words)] = SPLITS.map(said);
    let names = |facts: &[Fact]| -> HashSet<String> {
        let values = facts.iter().filter_map(|fact| if let Value::Entity(entity) = fact.value { Some(entity.name()) } else { None });
        facts.iter().map(|fact| fact.subject.name()).chain(values).collect()
    };
    let (train_names, held_names) = (names(&train), names(&held));
    assert!(train_names.len() > 2_000 && held_names.len() > 800, "{} {}", train_names.len(), held_names.len());
    assert!(train_names.is_disjoint(&held_names));
    let years = |facts: &[Fact]| -> HashSet<String> {
        let year = |fact: &Fact| match (fact.relation, fact.value, fact.detail) {
            (Relation::Founded, year, _) => Some(year.to_string()),
            (_, _, Detail::Year(year) | Detail::Thing(_, year)) => Some(year.to_string()),
            _ => None,
        };
        facts.iter().filter_map(year).collect()
    };
    let (train_years, held_years) = (years(&train), years(&held));
    assert_eq!((train_years.len(), held_years.len()), (150, 50));
    assert!(train_years.is_disjoint(&held_years));
    let only: Vec<&String> = held_words.difference(&train_words).collect();
    assert!(only.is_empty(), "words that only held-out documents have: {only:?}");
}
