//! Answers follow from the text, from their evidence and from nothing else; no short cut finds them.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use world::{Detail, Facts, Flaw, Last, Question, Relation, Split, Story, Task, Value, World, WorldError, WorldSettings, read_facts};

fn world(settings: WorldSettings) -> World {
    World::new(settings).unwrap()
}

fn settings() -> impl Strategy<Value = WorldSettings> {
    let split = prop_oneof![Just(Split::Train), Just(Split::Held)];
    (any::<u64>(), split, 0usize..8, any::<bool>(), 8usize..=64, 0.0..1.0).prop_map(|(seed, split, distractors, short, names, facts)| {
        WorldSettings { seed, split, distractors, short, names, facts, words: [20, 1_500], ..WorldSettings::default() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn answers_follow_from_the_text_and_from_their_evidence(settings in settings(), index in 0u64..1_000) {
        let world = world(settings.clone());
        let (story, words) = world.item_story(index).unwrap();
        prop_assert_eq!(&story, &world.item_story(index).unwrap().0);
        prop_assert_ne!(&story.text, &world.item_story(index + 5).unwrap().0.text);
        Facts::read(&story.text).check(&story.questions).unwrap();
        let question = &story.questions[0];
        let (least, most) = question.task.hops();
        prop_assert!((least..=most).contains(&question.hops));
        let facts = read_facts(&story.text);
        let mut last_end = 0;
        let mut spans = question.evidence.clone();
        spans.sort_by_key(|span| span.start);
        for span in &spans {
            prop_assert_eq!(&span.doc, &story.id);
            prop_assert!(span.start >= last_end && span.end <= story.text.len());
            last_end = span.end;
            let sentence = &story.text[span.start..span.end];
            prop_assert!(sentence.ends_with('.') && facts.iter().any(|(_, at)| *at == (span.start..span.end)), "{}", sentence);
        }
        // Without one of them the question has no answer, or another.
        for span in &spans {
            let cut = [&story.text[..span.start], &story.text[span.end..]].concat();
            prop_assert!(Facts::read(&cut).check(&story.questions).is_err());
        }
        // The names on the way are not in the question.
        let fact = |span: &data::Span| facts.iter().find(|(_, at)| at.start == span.start).unwrap().0;
        for span in question.evidence.iter().take(question.form.steps.len()) {
            if let Value::Entity(bridge) = fact(span).value {
                prop_assert!(mentions(&question.question, &bridge.name()).is_empty(), "{} in {}", bridge.name(), question.question);
            }
        }
        let option = |letter: u8| question.options.get(usize::from(letter - b'A'));
        let answer = option(question.answers[0].as_bytes()[0].max(b'A')).unwrap_or(&question.answers[0]);
        // A price may by chance be a year of the question.
        if !answer.starts_with(|c: char| c.is_ascii_digit()) {
            prop_assert!(mentions(&question.question, answer).is_empty(), "{answer} in {}", question.question);
        }
        let needed: usize = spans.iter().map(|span| story.text[span.start..span.end].split(' ').count()).sum();
        let (long, asked) = (story.text.split_whitespace().count(), words.max(needed + 60));
        prop_assert!(long + 8 >= words && long <= asked + asked / 10 + 16, "{long} words for {words}");
    }

    #[test]
    fn several_questions_share_a_document(seed in any::<u64>(), words in 20usize..3_000) {
        let world = world(WorldSettings { seed, ..WorldSettings::default() });
        let asks: Vec<(Task, u8)> = Task::ALL.into_iter().flat_map(|task| (task.hops().0..=task.hops().1).map(move |hops| (task, hops))).collect();
        let story = world.story(0, words, &asks).unwrap();
        prop_assert!(story.questions.iter().map(|question| (question.task, question.hops)).eq(asks));
        Facts::read(&story.text).check(&story.questions).unwrap();
    }
}

fn stories(settings: &WorldSettings, count: u64) -> impl Iterator<Item = Story> {
    let world = world(settings.clone());
    (0..count).map(move |index| world.item_story(index).unwrap().0)
}

#[test]
fn a_planted_second_answer_is_found() {
    let mut planted = 0;
    for story in stories(&WorldSettings { words: [300, 600], ..WorldSettings::default() }, 100) {
        let question = &story.questions[0];
        let facts = read_facts(&story.text);
        for span in &question.evidence {
            // The same sentence again, with another value: what the template has in the value's place.
            let (fact, _) = facts.iter().find(|(_, at)| at.start == span.start).unwrap();
            let other = facts.iter().map(|(other, _)| other).find(|other| other.relation == fact.relation && other.value != fact.value);
            let Some(other) = other else { continue };
            // One more behind the n-th changes nothing.
            if matches!(question.form.last, Last::Quote { nth: 1.., .. }) && fact.relation == Relation::Said {
                continue;
            }
            let sentence = &story.text[span.start..span.end];
            let twin = sentence.replace(&fact.value.to_string(), &other.value.to_string());
            let text = format!("{} {twin}", story.text);
            let flaw = Facts::read(&text).check(&story.questions).expect_err(&twin);
            assert!(matches!(flaw, Flaw::Ambiguous(_, 2)), "{flaw} from {twin}");
            planted += 1;
        }
        // A wrong answer, and evidence that is not.
        let mut wrong = question.clone();
        wrong.answers = vec!["Z".into()];
        assert!(matches!(Facts::read(&story.text).check(&[wrong]), Err(Flaw::Answer { .. })));
        let mut wrong = question.clone();
        wrong.evidence.pop();
        assert_eq!(Facts::read(&story.text).check(&[wrong]), Err(Flaw::Evidence));
    }
    assert!(planted > 150, "{planted}");
}

#[test]
fn a_birth_or_a_firm_more_changes_the_count_or_the_sum() {
    let settings = WorldSettings { tasks: vec![Task::Numeric], words: [400, 800], ..WorldSettings::default() };
    let mut seen = 0;
    for story in stories(&settings, 150) {
        let question = &story.questions[0];
        let facts = read_facts(&story.text);
        let last = facts.iter().find(|(_, at)| at.start == question.evidence.last().unwrap().start).unwrap().0;
        let more = match (question.form.last, last.value) {
            (Last::Count, Value::Entity(place)) => {
                let born = |name: &str| facts.iter().any(|(fact, _)| fact.relation == Relation::Born && fact.subject.name() == name);
                let name = ["Rosa York", "Rosa Webb", "Rosa Wade", "Rosa Reed"].into_iter().find(|name| !born(name)).unwrap();
                format!("{name} was born in {}.", place.name())
            }
            (Last::Largest { from, .. }, _) => {
                let Some(year) = (from..from + 10)
                    .find(|year| !facts.iter().any(|(fact, _)| fact.subject == last.subject && fact.detail == Detail::Year(*year)))
                else {
                    continue;
                };
                format!("{} made 99999 crowns in {year}.", last.subject.name())
            }
            _ => continue,
        };
        let flaw = Facts::read(&format!("{} {more}", story.text)).check(&story.questions).unwrap_err();
        assert!(matches!(flaw, Flaw::Answer { .. }), "{flaw}");
        seen += 1;
    }
    assert!(seen > 40, "{seen}");
}

#[test]
fn evidence_stands_anywhere_with_equal_chance() {
    for settings in [WorldSettings { words: [1_500, 2_500], ..WorldSettings::default() }, WorldSettings::tiny(0, Split::Train)] {
        let mut bins = [0.0; 10];
        for story in stories(&settings, 1_000) {
            for span in &story.questions[0].evidence {
                // A sentence may stand in several tenths.
                let [from, to] = [span.start, span.end].map(|at| at as f64 * 10.0 / story.text.len() as f64);
                for (at, bin) in bins.iter_mut().enumerate() {
                    *bin += (to.min(at as f64 + 1.0) - from.max(at as f64)).max(0.0) / (to - from);
                }
            }
        }
        let mean = bins.iter().sum::<f64>() / 10.0;
        println!("{:.0} sentences, by tenth of the document: {bins:.0?}", mean * 10.0);
        // χ² of nine degrees of freedom: above 27.9 once in a thousand.
        let squares: f64 = bins.iter().map(|count| (count - mean) * (count - mean) / mean).sum();
        assert!(squares < 27.9, "{squares}");
    }
}

/// The names, numbers or quotes a question of this answer could have, in the order of the document.
fn candidates(story: &Story, question: &Question) -> Vec<String> {
    let Last::Value(step) = question.form.last else { return Vec::new() };
    let facts = read_facts(&story.text);
    let mut all = Vec::new();
    for (fact, _) in &facts {
        match (step.relation.value(), step.price) {
            (_, true) if fact.price > 0 => all.push(fact.price.to_string()),
            (Some(kind), false) => {
                // Every mention counts.
                if fact.subject.kind == kind {
                    all.push(fact.subject.name());
                }
                if let Value::Entity(entity) = fact.value
                    && entity.kind == kind
                {
                    all.push(entity.name());
                }
            }
            (None, false) if fact.relation == step.relation => all.push(fact.value.to_string()),
            _ => {}
        }
    }
    all
}

/// Where a text has these words.
fn mentions(text: &str, words: &str) -> Vec<usize> {
    let whole = |at: &usize| {
        !text[at + words.len()..].starts_with(|c: char| c.is_alphanumeric()) && !text[..*at].ends_with(|c: char| c.is_alphanumeric())
    };
    text.match_indices(words).map(|(at, _)| at).filter(whole).collect()
}

#[test]
fn position_and_frequency_find_few_answers() {
    let standard = WorldSettings { words: [1_500, 2_500], ..WorldSettings::default() };
    for (name, settings, bound) in [("standard", standard, 0.08), ("tiny", WorldSettings::tiny(0, Split::Train), 0.34)] {
        let mut asked = 0.0;
        let mut found: BTreeMap<&str, f64> = BTreeMap::new();
        let mut letters = [0; 4];
        // Of multiple choice: the option that is mentioned first, last, most often, least often.
        let mut choices = [0; 4];
        for story in stories(&settings, 1_000) {
            let question = &story.questions[0];
            if question.task == Task::MultipleChoice {
                let right = usize::from(question.answers[0].as_bytes()[0] - b'A');
                letters[right] += 1;
                let mentions = question.options.iter().map(|option| mentions(&story.text, option)).collect::<Vec<_>>();
                let best = |score: &dyn Fn(&Vec<usize>) -> usize| (0..4).max_by_key(|at| score(&mentions[*at])).unwrap() == right;
                choices[0] += u32::from(best(&|at| usize::MAX - at[0]));
                choices[1] += u32::from(best(&|at| at[at.len() - 1]));
                choices[2] += u32::from(best(&|at| at.len()));
                choices[3] += u32::from(best(&|at| usize::MAX - at.len()));
                continue;
            }
            let candidates = candidates(&story, question);
            let [Some(first), Some(last)] = [candidates.first(), candidates.last()] else { continue };
            let counts = candidates.iter().fold(HashMap::<&str, usize>::new(), |mut counts, name| {
                *counts.entry(name).or_default() += 1;
                counts
            });
            // The most frequent, and of several the first.
            let most = counts.values().max().unwrap();
            let frequent = candidates.iter().find(|name| counts[name.as_str()] == *most).unwrap();
            let mut distinct: Vec<&String> = candidates.iter().collect();
            distinct.sort();
            distinct.dedup();
            asked += 1.0;
            let answer = &question.answers[0];
            assert!(candidates.contains(answer), "{answer}");
            *found.entry("first").or_default() += f64::from(u8::from(first == answer));
            *found.entry("last").or_default() += f64::from(u8::from(last == answer));
            *found.entry("most frequent").or_default() += f64::from(u8::from(frequent == answer));
            *found.entry("at random").or_default() += 1.0 / distinct.len() as f64;
        }
        let shares: BTreeMap<&str, f64> = found.into_iter().map(|(way, count)| (way, count / asked)).collect();
        let all = letters.iter().sum::<i32>();
        let choices = choices.map(|count| f64::from(count) / f64::from(all));
        println!("{name}: {asked} questions, {shares:.3?}, {all} of multiple choice, letters {letters:?}, options {choices:.3?}");
        assert!(choices.iter().all(|share| (share - 0.25).abs() < 0.08), "{choices:?}");
        assert!(asked > 200.0 && shares.values().all(|share| *share < bound), "{shares:?}");
        let mean = all / 4;
        assert!(letters.iter().all(|count| (count - mean).abs() < mean / 3 + 12), "{letters:?}");
    }
}

/// The best score of an answer that is the same for every question.
#[test]
fn no_number_is_right_often() {
    for (name, settings, bound) in [("standard", WorldSettings::default(), 0.1), ("tiny", WorldSettings::tiny(0, Split::Train), 0.16)] {
        let settings = WorldSettings { tasks: vec![Task::Numeric], words: [40, 400], ..settings };
        let mut counts: HashMap<String, usize> = HashMap::new();
        stories(&settings, 1_000).for_each(|story| *counts.entry(story.questions[0].answers[0].clone()).or_default() += 1);
        let best = counts.iter().max_by_key(|(_, count)| **count).unwrap();
        println!("{name}: the most frequent of {} numbers is {} with {:.3}", counts.len(), best.0, *best.1 as f64 / 1_000.0);
        assert!((*best.1 as f64) < bound * 1_000.0);
    }
}

#[test]
fn options_are_four_of_one_kind_and_all_in_the_text() {
    let settings = WorldSettings { tasks: vec![Task::MultipleChoice], ..WorldSettings::tiny(1, Split::Held) };
    for story in stories(&settings, 300) {
        let options = &story.questions[0].options;
        assert_eq!(options.len(), 4);
        for (at, option) in options.iter().enumerate() {
            assert!(story.text.contains(option) && !options[..at].contains(option), "{option} of {options:?}");
        }
    }
}

#[test]
fn settings_that_fit_nothing_are_refused() {
    let error = |settings| World::new(settings).unwrap_err().to_string();
    let tiny = WorldSettings::tiny(0, Split::Train);
    assert!(error(WorldSettings { tasks: vec![], ..tiny.clone() }).contains("there is no task"));
    assert!(error(WorldSettings { hops: [1, 1], ..tiny.clone() }).contains("multi_hop has questions of 2 to 4 links"));
    assert!(error(WorldSettings { words: [10, 40], ..tiny.clone() }).contains("the least of words is 10: it goes from 20 to 40"));
    assert!(error(WorldSettings { names: 65, ..tiny.clone() }).contains("names is 65"));
    assert!(error(WorldSettings { facts: f64::NAN, ..tiny.clone() }).contains("facts is NaN"));
    let crowded = world(WorldSettings { names: 8, ..tiny.clone() }).story(0, 100, &[(Task::MultiHop, 4); 400]);
    assert_eq!(crowded.unwrap_err(), WorldError::Full { task: "multi_hop" });
    let odd = world(tiny).story(0, 100, &[(Task::Reading, 3)]);
    assert!(odd.unwrap_err().to_string().contains("reading has questions of 1 to 2 links"));
}

#[test]
fn ordered_facts_come_as_they_are_needed_and_anywhere() {
    let settings = |ordered| WorldSettings {
        seed: 5,
        ordered,
        tasks: vec![Task::MultiHop],
        hops: [2, 4],
        words: [300, 600],
        ..WorldSettings::default()
    };
    let in_order = |story: &Story| story.questions[0].evidence.is_sorted_by_key(|span| span.start);
    assert!(stories(&settings(true), 60).all(|story| in_order(&story)));
    assert!(stories(&settings(false), 60).filter(in_order).count() < 30, "chance alone puts them so");
    for story in stories(&settings(true), 60) {
        Facts::read(&story.text).check(&story.questions).unwrap();
    }
    // The first link is no longer anywhere, but all of them together are.
    let ordered = settings(true);
    let places = stories(&ordered, 200).flat_map(|story| {
        let length = story.text.len() as f64;
        story.questions[0].evidence.iter().map(|span| span.start as f64 / length).collect::<Vec<_>>()
    });
    let places: Vec<f64> = places.collect();
    let mean = places.iter().sum::<f64>() / places.len() as f64;
    assert!((mean - 0.5).abs() < 0.04, "{mean}");
}

#[test]
fn a_conversation_asks_of_one_document() {
    let tasks = vec![Task::MultiHop, Task::Reading];
    let world = world(WorldSettings { words: [60, 200], tasks, ..WorldSettings::tiny(3, Split::Train) });
    for index in 0..20 {
        let turns = world.conversation(index, 6).unwrap();
        assert!((2..=6).contains(&turns.len()));
        assert!(turns[0].0.starts_with("<text>") && turns[1..].iter().all(|(asked, _)| !asked.contains("<text>")));
        assert_eq!(turns, world.conversation(index, 6).unwrap());
        let document = turns[0].0.split("</text>").next().unwrap();
        for (asked, reply) in &turns {
            assert!(document.contains(reply.as_str()), "{asked} {reply}");
        }
    }
}

#[test]
fn a_link_is_stated_in_the_questions_words() {
    let world = World::new(WorldSettings {
        hops: [1, 4],
        stated: true,
        tasks: vec![Task::MultiHop, Task::Reading],
        ..WorldSettings::tiny(3, Split::Train)
    })
    .unwrap();
    for index in 0..60 {
        let item = world.item(index).unwrap();
        let stated: Vec<&str> = item.extra["stated"].as_array().unwrap().iter().map(|said| said.as_str().unwrap()).collect();
        assert_eq!(stated.len(), item.evidence.len());
        // Each link put in for what it describes leads from the question to its answer.
        let mut question = item.extra["question"].as_str().unwrap().to_string();
        for said in &stated {
            let (what, value) = said.strip_suffix('.').unwrap().rsplit_once(" is ").unwrap();
            assert!(question.contains(what), "{question}: {said}");
            question = question.replace(what, value);
        }
        assert!(question.ends_with(&format!(" is {}?", item.answers[0])), "{question}");
    }
}
