//! The small world: seeded documents of any length in plain English over a small vocabulary, and questions about them whose answers
//! and evidence are known.
//!
//! A document tells of people, firms and places: who was born where, owns what, sold what to whom, said what, and what firms made in
//! which year. Each fact is one sentence among others, at a place uniform over the document. A question leads from a name over one to
//! four links to its answer ("Who is the owner of the mill in the birthplace of Anna Reed?"), and the names in between are not in it.
//!
//! ```
//! use world::{Split, Task, World, WorldSettings};
//!
//! let world = World::new(WorldSettings::tiny(7, Split::Train))?;
//! let item = world.item(0)?; // a document and a question, as a training row
//! let story = world.story(1, 2_000, &[(Task::MultiHop, 3), (Task::Numeric, 2)])?; // one document, two questions
//! assert_eq!(story.questions.len(), 2);
//! # Ok::<(), world::WorldError>(())
//! ```
//!
//! - [`World::item`] is a row of training or evaluation; [`World::story`] one document with several questions; [`World::write`] the same
//!   for a document that need not be in memory.
//! - [`Facts`] reads the facts back out of a text and checks questions against them; [`derive`] answers a question from facts.
//! - [`vocabulary`], [`words`] and [`tokenizer_json`] are the word-level language; [`CHAT_TEMPLATE`] its ChatML.
//!
//! Nothing here opens a file, starts a thread or reads a clock.

mod check;
mod derive;
mod fact;
mod finding;
mod language;
mod names;
mod plan;
mod planted;
mod question;
mod random;
mod settings;
mod story;
mod template;
mod words;

use std::fmt;

use data::{Item, Span};

pub use check::{Facts, read_facts, sentences};
pub use derive::{Flaw, derive};
pub use fact::{Detail, Fact, Quote, Relation, Value};
pub use names::{Entity, Kind, Split, split_of_year};
pub use planted::{Planted, plant};
pub use question::{Form, Last, Question, Step, Task};
pub use random::Random;
pub use settings::{WorldError, WorldSettings};
pub use words::{CHAT_TEMPLATE, IM_END, IM_START, PAD, join, tokenizer_json, vocabulary, words};

use plan::{Plan, Planned};

/// A maker of documents and questions.
#[derive(Clone, Debug)]
pub struct World {
    settings: WorldSettings,
}

/// A document and questions about it.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// What the questions' evidence calls it.
    pub id: String,
    /// The document.
    pub text: String,
    /// In the order they were asked for.
    pub questions: Vec<Question>,
}

impl World {
    /// Errors where settings are out of range or no question fits them.
    pub fn new(settings: WorldSettings) -> Result<Self, WorldError> {
        settings.check()?;
        Ok(Self { settings })
    }

    /// What it was made by.
    pub fn settings(&self) -> &WorldSettings {
        &self.settings
    }

    /// The row of this number: a document of a length within the settings, and one question. Tasks take turns by number.
    pub fn item(&self, index: u64) -> Result<Item, WorldError> {
        let (story, words) = self.item_story(index)?;
        Ok(self.row(&story, 0, words))
    }

    /// The document and question of [`item`](Self::item).
    pub fn item_story(&self, index: u64) -> Result<(Story, usize), WorldError> {
        let mut random = self.random(&[index]);
        let task = self.settings.tasks[(index % self.settings.tasks.len() as u64) as usize];
        let words = self.draw_words(&mut random);
        let (least, most) = self.settings.hops_of(task);
        let hops = random.between(least.into(), most.into()) as u8;
        Ok((self.story(index, words, &[(task, hops)])?, words))
    }

    /// A document and several questions about it as one conversation: what is asked and what is replied, the document in the first. Fewer
    /// questions where no more fit. More of a document is learnt from than by one question.
    pub fn conversation(&self, index: u64, questions: usize) -> Result<Vec<(String, String)>, WorldError> {
        let mut random = self.random(&[index, 1]);
        let words = self.draw_words(&mut random);
        let mut ask = |number: u64| {
            let task = self.settings.tasks[((index + number) % self.settings.tasks.len() as u64) as usize];
            let (least, most) = self.settings.hops_of(task);
            (task, random.between(least.into(), most.into()) as u8)
        };
        let mut asks: Vec<(Task, u8)> = (0..questions.max(1) as u64).map(&mut ask).collect();
        let story = loop {
            match self.story(index, words, &asks) {
                Err(WorldError::Full { .. }) if asks.len() > 1 => drop(asks.pop()),
                made => break made?,
            }
        };
        let turn = |(number, question)| {
            let asked = if number == 0 { self.prompt(question, &story.text) } else { self.ask(question) };
            (asked, self.reply(question))
        };
        Ok(story.questions.iter().enumerate().map(turn).collect())
    }

    /// A question of a story as a row. `words`: how many its document was to have.
    pub fn row(&self, story: &Story, question: usize, words: usize) -> Item {
        let question = &story.questions[question];
        let mut item = self.asked(question.task, &question.question, &question.options, &story.text, words);
        if !question.code.is_empty() {
            item.extra.insert("random_string_to_prepend".into(), question.code.clone().into());
        }
        if self.settings.stated {
            item.extra.insert("stated".into(), question.stated.clone().into());
        }
        let (answers, rule, evidence) = (question.answers.clone(), question.rule.into(), question.evidence.clone());
        Item { id: story.id.clone(), answers, rule, hops: question.hops, evidence, ..item }
    }

    /// A row without what its answer is.
    fn asked(&self, task: Task, question: &str, options: &[String], document: &str, words: usize) -> Item {
        let (before, after) = self.around(task, question, options);
        let mut extra = serde_json::Map::new();
        extra.insert("question".into(), question.into());
        extra.insert("split".into(), self.settings.split.name().into());
        extra.insert("words".into(), words.into());
        // Where the document stands in the prompt, and what is asked: for who reads in chunks.
        extra.insert("document".into(), vec![before.len(), before.len() + document.len()].into());
        extra.insert("ask".into(), bare(&after).into());
        Item {
            id: String::new(),
            task: task.name().into(),
            prompt: [&before, document, &after].concat(),
            answers: vec![],
            rule: String::new(),
            hops: 0,
            evidence: vec![],
            extra,
        }
    }

    fn draw_words(&self, random: &mut Random) -> usize {
        let [least, most] = self.settings.words.map(|words| words as f64);
        (least * power(most / least, random.unit())).round() as usize
    }

    /// A document of about `words` words with these questions, by task and number of links. It is longer where the facts that the
    /// questions need take more. Documents of one number but different questions or lengths have nothing in common.
    pub fn story(&self, index: u64, words: usize, asks: &[(Task, u8)]) -> Result<Story, WorldError> {
        let mut text = String::with_capacity(words * 6);
        let written = self.write(index, words, asks, &mut text)?;
        Ok(Story { id: self.id(index), text, questions: written.unwrap_or_default() })
    }

    /// [`story`](Self::story) written as it is made: time is linear in `words`, and memory a few bytes for each fact. `out`'s own error is
    /// the inner one.
    pub fn write<W: fmt::Write>(
        &self,
        index: u64,
        words: usize,
        asks: &[(Task, u8)],
        out: &mut W,
    ) -> Result<Result<Vec<Question>, fmt::Error>, WorldError> {
        for (task, hops) in asks {
            let (least, most) = task.hops();
            if !(least..=most).contains(hops) {
                return Err(WorldError::Hops { task: task.name(), least, most, hops: [*hops; 2] });
            }
        }
        let mut names = vec![index, words as u64];
        names.extend(asks.iter().map(|(task, hops)| 1 + 8 * *task as u64 + u64::from(*hops)));
        let mut plan = Plan::new(&self.settings, self.random(&names), words, asks)?;
        let Ok(spans) = story::write(&self.settings, &mut plan, words, out) else { return Ok(Err(fmt::Error)) };
        let id = self.id(index);
        let questions = std::mem::take(&mut plan.questions);
        let finish = |planned: Planned| {
            let facts = derive::Index::new(&plan.placed);
            let (answer, evidence) = facts.derive(&planned.form).expect("planned facts give one answer");
            let mut stated = facts.stated(&planned.form).expect("what an answer follows from can be said");
            stated.resize(evidence.len(), String::new());
            let evidence = evidence.into_iter().map(|at| Span { doc: id.clone(), start: spans[at].start, end: spans[at].end });
            finished(planned, answer, evidence.collect(), stated)
        };
        Ok(Ok(questions.into_iter().map(finish).collect()))
    }

    /// What a model is asked: the document in `<text>` tags, the question, and how the answer must end; in a
    /// [short](WorldSettings::short) world only document and question.
    pub fn prompt(&self, question: &Question, document: &str) -> String {
        let (before, after) = self.around(question.task, &question.question, &question.options);
        [&before, document, &after].concat()
    }

    /// What is asked of a document that somebody reads otherwise: a prompt without its document.
    pub fn ask(&self, question: &Question) -> String {
        bare(&self.around(question.task, &question.question, &question.options).1)
    }

    /// A prompt before and after its document.
    fn around(&self, task: Task, question: &str, options: &[String]) -> (String, String) {
        let template = match task {
            _ if self.settings.short => language::PROMPT_SHORT,
            Task::MultipleChoice => language::PROMPT_CHOICE,
            Task::Dialogue => language::PROMPT_REPEAT,
            _ => language::PROMPT,
        };
        let options = options.iter().zip(language::LETTERS).map(|(option, letter)| format!("({letter}) {option}"));
        let options = options.collect::<Vec<_>>().join("\n");
        let (before, after) = template.trim_end().split_once("{document}").unwrap_or((template, ""));
        let after = after.replace("{question}", question).replace("{options}", &options).trim_end().to_string();
        // Who knows what is asked can tell what matters as it comes.
        let first = if self.settings.question_first { bare(&after) + "\n" } else { String::new() };
        (first + before, after)
    }

    /// The reply that a prompt asks for: to begin with supervised training, or to show what a right one is.
    pub fn reply(&self, question: &Question) -> String {
        let answer = question.answers.first().map_or("", String::as_str);
        match question.task {
            Task::Dialogue => answer.to_string(),
            _ if self.settings.short => answer.to_string(),
            Task::MultipleChoice => template::filled(language::REPLY_CHOICE, &[("x", answer)]),
            _ => template::filled(language::REPLY, &[("x", answer)]),
        }
    }

    fn id(&self, index: u64) -> String {
        format!("{}-{}-{index}", self.settings.split.name(), self.settings.seed)
    }

    fn random(&self, names: &[u64]) -> Random {
        Random::new(&[&[self.settings.seed, self.settings.split as u64], names].concat())
    }
}

/// What is asked after a document, by itself.
fn bare(after: &str) -> String {
    after.trim_start().trim_start_matches("</text>").trim_start().to_string()
}

/// base^exponent for an exponent in [0, 1), by square roots: they are rounded alike on every machine, which `exp` and `ln` are not.
fn power(base: f64, mut exponent: f64) -> f64 {
    let (mut root, mut product) = (base, 1.0);
    for _ in 0..32 {
        (root, exponent) = (root.sqrt(), exponent * 2.0);
        if exponent >= 1.0 {
            (product, exponent) = (product * root, exponent - 1.0);
        }
    }
    product
}

fn finished(planned: Planned, derived: String, evidence: Vec<Span>, stated: Vec<String>) -> Question {
    let Planned { task, form, options, code } = planned;
    let number = derived.bytes().all(|byte| byte.is_ascii_digit());
    let (answer, rule) = match task {
        Task::MultipleChoice => {
            let at = options.iter().position(|option| *option == derived).unwrap_or_default();
            (language::LETTERS[at].to_string(), "letter")
        }
        Task::Dialogue => (format!("{code} {derived}"), "mrcr"),
        _ if number => (derived, "numeric"),
        _ => (derived, "contain"),
    };
    let (question, hops) = (form.text(&code), form.hops());
    Question { task, question, answers: vec![answer], options, rule, code, hops, evidence, stated, form }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_can_stand_on_both_sides_of_its_document() {
        let world = |question_first| World::new(WorldSettings { question_first, ..WorldSettings::tiny(1, Split::Train) }).unwrap();
        let (first, usual) = (world(true).item(3).unwrap(), world(false).item(3).unwrap());
        let ask = first.extra["ask"].as_str().unwrap();
        assert_eq!(usual.extra["ask"], ask);
        assert_eq!(first.prompt, format!("{ask}\n{}", usual.prompt));
        let text = |item: &Item| {
            let place: Vec<usize> = item.extra["document"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap() as usize).collect();
            item.prompt[place[0]..place[1]].to_string()
        };
        assert_eq!(text(&first), text(&usual));
    }

    #[test]
    fn in_a_distinct_world_one_word_tells_who_is_meant() {
        let named = |distinct| {
            let settings = WorldSettings {
                names: 64,
                words: [200, 200],
                hops: [1, 4],
                tasks: vec![Task::MultiHop, Task::Reading],
                distractors: 0,
                distinct,
                ..WorldSettings::tiny(5, Split::Held)
            };
            let world = World::new(settings).unwrap();
            (0..60).filter(|index| world.item_story(*index).is_ok_and(|(story, _)| other_names(&story))).count()
        };
        // Whether a sentence that is no evidence has a word of a name that is in the evidence.
        fn other_names(story: &Story) -> bool {
            let question = &story.questions[0];
            let evidence: Vec<&str> = question.evidence.iter().map(|span| &story.text[span.start..span.end]).collect();
            let lists = [&names::FIRST[..], &names::FAMILY, &names::ROOT];
            let name = |word: &&str| lists.iter().any(|list| list.contains(word));
            let known: Vec<&str> = evidence.iter().flat_map(|sentence| words(sentence)).filter(name).collect();
            assert!(!known.is_empty());
            sentences(&story.text).into_iter().any(|span| {
                let sentence = &story.text[span];
                !evidence.contains(&sentence) && words(sentence).iter().any(|word| known.contains(word))
            })
        }
        assert_eq!(named(true), 0);
        assert!(named(false) > 15, "{}", named(false));
    }

    #[test]
    fn held_out_names_stand_in_known_sentences_if_asked_for() {
        let story = |templates| {
            let world = World::new(WorldSettings { templates, ..WorldSettings::tiny(2, Split::Held) }).unwrap();
            world.item_story(1).unwrap().0
        };
        let (own, known) = (story(None), story(Some(Split::Train)));
        assert_eq!(own, story(Some(Split::Held)));
        assert_eq!((&own.questions[0].question, &own.questions[0].answers), (&known.questions[0].question, &known.questions[0].answers));
        assert_ne!(own.text, known.text);
    }

    #[test]
    fn lengths_are_drawn_by_powers() {
        for (base, exponent) in [(4_000.0f64, 0.0), (4_000.0, 0.5), (4_000.0, 0.999), (1.0, 0.3), (1.5, 0.123)] {
            assert!((power(base, exponent) / base.powf(exponent) - 1.0).abs() < 1e-7);
        }
        let world = World::new(WorldSettings { words: [20, 2_000], ..WorldSettings::default() }).unwrap();
        let short = (0..400).filter(|index| world.item_story(*index).unwrap().1 < 200).count();
        assert!((150..250).contains(&short), "{short} of 400 below the middle");
    }
}
