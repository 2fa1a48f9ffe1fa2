//! Documents of any length, in time linear in it.

use std::fmt;
use std::time::Instant;

use world::{Facts, Split, Task, World, WorldSettings, words};

const ASKS: [(Task, u8); 5] = [(Task::MultipleChoice, 2), (Task::MultiHop, 4), (Task::Reading, 1), (Task::Dialogue, 2), (Task::Numeric, 3)];

/// Counts what is written and keeps nothing.
struct Count(usize);

impl fmt::Write for Count {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0 += text.len();
        Ok(())
    }
}

#[test]
fn a_document_is_as_long_as_was_asked() {
    for split in [Split::Train, Split::Held] {
        let world = World::new(WorldSettings { split, ..WorldSettings::default() }).unwrap();
        for asked in [400, 1_000, 10_000, 60_000] {
            let story = world.story(0, asked, &ASKS).unwrap();
            let long = story.text.split_whitespace().count();
            assert!(long + 10 >= asked && long <= asked + asked / 20 + 20, "{long} words for {asked}");
            Facts::read(&story.text).check(&story.questions).unwrap();
        }
    }
}

#[test]
fn a_short_document_is_no_longer_than_its_facts() {
    let world = World::new(WorldSettings { words: [20, 20], distractors: 0, ..WorldSettings::tiny(0, Split::Train) }).unwrap();
    for index in 0..200 {
        let story = world.item_story(index).unwrap().0;
        let planned = 8 + 16 * story.questions[0].evidence.len().max(4);
        assert!((14..=planned).contains(&story.text.split_whitespace().count()), "{}", story.text);
    }
}

/// Tokens, seconds and bytes of a document that is not kept.
fn measure(words: usize) -> (f64, usize) {
    let world = World::new(WorldSettings::default()).unwrap();
    let start = Instant::now();
    let mut count = Count(0);
    let questions = world.write(0, words, &ASKS, &mut count).unwrap().unwrap();
    let last = questions.iter().flat_map(|question| &question.evidence).map(|span| span.end).max().unwrap();
    assert!(last <= count.0);
    (start.elapsed().as_secs_f64(), count.0)
}

#[test]
fn time_is_linear_in_length() {
    // Without optimisation; the test below is the whole length.
    let [small, large] = [30_000, 240_000].map(|words| (0..3).map(|_| measure(words).0).fold(f64::INFINITY, f64::min));
    println!("30,000 words: {small:.3} s, 240,000 words: {large:.3} s ({:.0} words/s)", 240_000.0 / large);
    assert!(large < 8.0 * small * 2.0, "{small} s, {large} s");
}

#[test]
#[ignore = "a measurement: cargo test --release -p longhand-world --test length -- --ignored --nocapture"]
fn four_million_tokens_in_seconds() {
    let (seconds, bytes) = measure(3_000_000);
    println!("3,000,000 words, {bytes} bytes, {seconds:.2} s");
    assert!(seconds < 5.0);
    let world = World::new(WorldSettings::default()).unwrap();
    let story = world.story(0, 3_000_000, &ASKS).unwrap();
    println!("{} tokens", words(&story.text).len());
    let start = Instant::now();
    Facts::read(&story.text).check(&story.questions).unwrap();
    println!("read back and checked in {:.2} s", start.elapsed().as_secs_f64());
}
