//! What a dataset is to hold, and how it is made: every engine in turn, every candidate through its context and the checks.

use std::collections::BTreeMap;

use data::{ChatError, Fact, Item};
use serde::Deserialize;
use serde_json::{Value, json};
use tokenizer::Tokenizer;
use world::Random;

use crate::candidate::{Candidate, Reject};
use crate::checks::{Checks, Waterfall};
use crate::choice::{multiple_choice, others};
use crate::context::{Context, Shelf, assemble, evidence};
use crate::corpus::Corpus;
use crate::dialogue::{DialogueSettings, dialogues};
use crate::graph::Graph;
use crate::overlap::Benchmarks;
use crate::row::{item, row_id};
use crate::trial::TrialError;
use crate::walk::{WalkSettings, chains};

/// Rounds of candidates for a group; each makes as many as the one before leaves to be wished for.
const ROUNDS: u64 = 6;
/// Candidates that a round makes for each row that is wanted: a third or so is dropped.
const SPARE: f64 = 1.6;

/// Questions of one kind.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// What makes them.
    pub engine: Maker,
    /// How many rows.
    pub count: usize,
    /// The least and the greatest length of a context in tokens. Lengths between are drawn so that each factor of two is as likely as
    /// another; a question whose own documents need more gets more.
    #[serde(default = "lengths")]
    pub lengths: (usize, usize),
    /// `graph`, `choice`: links between documents. With one the task is `reading`, from two on `multi_hop`.
    #[serde(default = "two")]
    pub hops: u8,
    /// `graph`, `choice`: what the documents are about, as a question calls it: `country`.
    #[serde(default = "document")]
    pub noun: String,
    /// `table`: the least and the most documents that a question compares.
    #[serde(default = "rows")]
    pub rows: (usize, usize),
    /// `dialogue`: the least and the greatest length of a conversation in tokens.
    #[serde(default = "talk")]
    pub talk: (usize, usize),
}

fn lengths() -> (usize, usize) {
    (4_096, 122_880)
}
fn two() -> u8 {
    2
}
fn document() -> String {
    "document".into()
}
fn rows() -> (usize, usize) {
    (3, 8)
}
fn talk() -> (usize, usize) {
    (1_500, 4_000)
}

/// What makes a group's questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Maker {
    /// Walks over a graph of facts.
    Graph,
    /// The same with four options.
    Choice,
    /// SQL over a table of many documents' numbers.
    Table,
    /// A conversation to be quoted from.
    Dialogue,
}

impl Group {
    /// In a few words: `graph, 3 links`.
    pub fn name(&self) -> String {
        match self.engine {
            Maker::Graph if self.hops == 1 => "graph, 1 link".into(),
            Maker::Graph => format!("graph, {} links", self.hops),
            Maker::Choice => format!("choice, {} links", self.hops),
            Maker::Table => "table".into(),
            Maker::Dialogue => "dialogue".into(),
        }
    }

    /// What is wrong with it, before anything is made.
    pub fn check(&self) -> Result<(), String> {
        let name = self.name();
        let order = |what: &str, (least, most): (usize, usize), from: usize| match least < from || most < least {
            true => Err(format!("{name}: {what} = [{least}, {most}] is no range from {from} on")),
            false => Ok(()),
        };
        if self.count == 0 {
            return Err(format!("{name}: count = 0 asks for nothing"));
        }
        order("lengths", self.lengths, 256)?;
        match self.engine {
            Maker::Graph | Maker::Choice if self.hops == 0 || self.hops > 9 => Err(format!("{name}: hops is 1 to 9")),
            Maker::Graph | Maker::Choice if self.noun.trim().is_empty() => Err(format!("{name}: noun is empty")),
            Maker::Table if !cfg!(feature = "sql") => Err(format!("{name}: this program was built without SQLite")),
            Maker::Table => order("rows", self.rows, 2),
            Maker::Dialogue => order("talk", self.talk, 200),
            _ => Ok(()),
        }
    }
}

/// What a dataset is made from.
pub struct Ground<'a> {
    /// The documents.
    pub corpus: &'a Corpus,
    /// What each of them says: `facts[i]` are those of `corpus.sources[i]`.
    pub facts: &'a [Vec<Fact>],
    /// Their links.
    pub graph: &'a Graph,
    /// What rows must not have words of.
    pub benchmarks: &'a Benchmarks,
    /// What lengths are measured with: the one the corpus was measured with.
    pub tokenizer: &'a Tokenizer,
}

/// What happens while a dataset is made.
#[derive(Debug)]
pub enum Event<'a> {
    /// A row passed every check.
    Row(&'a Item),
    /// A candidate was dropped.
    Dropped(&'a Candidate, &'a Reject),
    /// An engine tried to make a candidate and could not.
    Tried(&'a Reject),
}

/// How a group came out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// [`Group::name`].
    pub name: String,
    /// Rows that were wanted.
    pub wanted: usize,
    /// Rows there are: as many as this corpus gives where they are fewer.
    pub kept: usize,
    /// What became of every candidate.
    pub waterfall: Waterfall,
    /// Why there are not as many as wanted; empty where there are.
    pub short: String,
}

impl Outcome {
    /// For programs.
    pub fn json(&self) -> Value {
        json!({"name": self.name, "wanted": self.wanted, "kept": self.kept, "short": self.short, "waterfall": self.waterfall.json()})
    }
}

/// A candidate that passed all checks but those that ask a model.
#[derive(Debug)]
pub struct Tried<'a> {
    /// It; the checks and what was said go into its derivation.
    pub candidate: &'a mut Candidate,
    /// It with its own documents alone.
    pub evidence: &'a Context,
    /// It among others: the row's context, and one of another length where there can be one.
    pub contexts: &'a [&'a Context],
}

/// Asks a model about a candidate.
pub type Ask<'a> = dyn FnMut(Tried) -> Result<(), TrialError> + 'a;

/// Makes all groups, in order. Each has random numbers of its own: another group before it changes none of its candidates.
///
/// `ask` tries every candidate that is left on a model; without it the checks that need one are recorded as not run. `searchable` in [0, 1] is the greatest share of rows whose answer a search for the question's words finds. `on` is told of every row
/// and every candidate that was dropped, in an order that depends on nothing but the arguments; where it says `false` the making stops.
///
/// # Errors
/// A group that [`Group::check`] refuses, a tokenizer that cannot read a title, a model that gives no reply.
pub fn make(
    groups: &[Group],
    ground: &Ground,
    searchable: f64,
    seed: u64,
    mut ask: Option<&mut Ask>,
    on: &mut dyn FnMut(usize, Event) -> bool,
) -> Result<Vec<Outcome>, String> {
    groups.iter().try_for_each(Group::check)?;
    let shelf = Shelf::new(&ground.corpus.sources, ground.tokenizer).map_err(|error| error.to_string())?;
    let mut checks = Checks::new(&ground.corpus.sources, ground.facts, ground.benchmarks, searchable);
    let mut outcomes = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let mut job = Job { group, number, ground, shelf: &shelf, checks: &mut checks, seed, outcome: Outcome::default() };
        let go_on = job.run(ask.as_deref_mut(), on)?;
        outcomes.push(job.outcome);
        if !go_on {
            break;
        }
    }
    Ok(outcomes)
}

struct Job<'a, 'b> {
    group: &'a Group,
    number: usize,
    ground: &'a Ground<'a>,
    shelf: &'a Shelf<'a>,
    checks: &'b mut Checks<'a>,
    seed: u64,
    outcome: Outcome,
}

impl Job<'_, '_> {
    fn run(&mut self, mut ask: Option<&mut Ask>, on: &mut dyn FnMut(usize, Event) -> bool) -> Result<bool, String> {
        (self.outcome.name, self.outcome.wanted) = (self.group.name(), self.group.count);
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for round in 0..ROUNDS {
            let missing = self.group.count - self.outcome.kept;
            if missing == 0 {
                break;
            }
            let mut random = Random::new(&[self.seed, self.number as u64, round]);
            let (made, rejects) = self.candidates((missing as f64 * SPARE).ceil() as usize, &mut random);
            for reject in &rejects {
                self.outcome.waterfall.tried(reject);
                if !on(self.number, Event::Tried(reject)) {
                    return Ok(false);
                }
            }
            let none = made.is_empty();
            for mut candidate in made {
                if self.outcome.kept == self.group.count {
                    break;
                }
                let event = match self.row(&mut candidate, &mut random, ask.as_deref_mut())? {
                    Ok(row) => {
                        self.outcome.kept += 1;
                        self.outcome.waterfall.kept(&candidate.derivation.checks);
                        on(self.number, Event::Row(&row))
                    }
                    Err(reject) => {
                        *reasons.entry(reject.check.to_string()).or_default() += 1;
                        self.outcome.waterfall.dropped(&reject);
                        on(self.number, Event::Dropped(&candidate, &reject))
                    }
                };
                if !event {
                    return Ok(false);
                }
            }
            // Another seed draws from the same documents: where nothing came it will not either.
            if none {
                rejects.iter().for_each(|reject| *reasons.entry(format!("{}: {}", reject.check, reject.reason)).or_default() += 1);
                break;
            }
        }
        if self.outcome.kept < self.outcome.wanted {
            self.outcome.short = self.short(&reasons);
        }
        Ok(true)
    }

    fn candidates(&self, count: usize, random: &mut Random) -> (Vec<Candidate>, Vec<Reject>) {
        let (group, ground) = (self.group, self.ground);
        let walks = WalkSettings { hops: group.hops, count, noun: group.noun.clone() };
        match group.engine {
            Maker::Graph => chains(ground.graph, &walks, random),
            Maker::Choice => {
                let (made, mut rejects) = chains(ground.graph, &walks, random);
                let mut chosen = Vec::new();
                for candidate in made {
                    match multiple_choice(&candidate, &others(&candidate, ground.graph), random) {
                        Ok(candidate) => chosen.push(candidate),
                        Err(reject) => rejects.push(reject),
                    }
                }
                (chosen, rejects)
            }
            #[cfg(feature = "sql")]
            Maker::Table => {
                // Half of the greatest length, so that there is room for others.
                let settings = crate::table::TableSettings { rows: group.rows, count, tokens: group.lengths.1 / 2 };
                crate::table::numeric(&ground.corpus.sources, ground.facts, &settings, random)
            }
            #[cfg(not(feature = "sql"))]
            Maker::Table => (Vec::new(), Vec::new()),
            Maker::Dialogue => {
                let settings = DialogueSettings { count, tokens: group.talk };
                dialogues(&ground.corpus.sources, ground.facts, &settings, ground.tokenizer, random)
            }
        }
    }

    /// The candidate in a context of some length, if it passes.
    ///
    /// # Errors
    /// Outside: a model that gives no reply. Inside: why it is no row.
    fn row(&mut self, candidate: &mut Candidate, random: &mut Random, ask: Option<&mut Ask>) -> Result<Result<Item, Reject>, String> {
        let mut random = Random::new(&[random.next()]);
        let context = match self.context(candidate, &mut random).and_then(|context| self.checks.run(candidate, &context).map(|()| context))
        {
            Ok(context) => context,
            Err(reject) => return Ok(Err(reject)),
        };
        if let Some(ask) = ask {
            let other = self.other(candidate, context.tokens, &mut random);
            let contexts: Vec<&Context> = [&context].into_iter().chain(&other).collect();
            let evidence = match evidence(candidate, self.shelf) {
                Ok(evidence) => evidence,
                Err(reject) => return Ok(Err(reject)),
            };
            match ask(Tried { candidate, evidence: &evidence, contexts: &contexts }) {
                Ok(()) => {}
                Err(TrialError::Reject(reject)) => return Ok(Err(reject)),
                Err(TrialError::Model(error @ ChatError::TooLong { .. })) => {
                    return Ok(Err(Reject { check: "window", reason: error.to_string() }));
                }
                Err(TrialError::Model(error)) => return Err(error.to_string()),
            }
        }
        Ok(Ok(item(candidate, &context, row_id(candidate, &context))))
    }

    /// A context of a length that is drawn; where its own documents do not fit, as long as they need, or longer.
    fn context(&self, candidate: &Candidate, random: &mut Random) -> Result<Context, Reject> {
        let (least, most) = self.group.lengths;
        let draw = |least: usize, random: &mut Random| (least as f64 * (most as f64 / least as f64).powf(random.unit())).round() as usize;
        let tokens = draw(least, random);
        match assemble(candidate, self.shelf, tokens, random) {
            Err(reject) if reject.check == "length" && tokens < most => {
                let need = self.shelf.need(candidate)?;
                if need > most {
                    return Err(reject);
                }
                assemble(candidate, self.shelf, draw(need.max(least), random), random)
            }
            other => other,
        }
    }

    /// A context of half or twice the length, where the bounds and the documents allow one.
    fn other(&self, candidate: &Candidate, tokens: usize, random: &mut Random) -> Option<Context> {
        let (least, most) = self.group.lengths;
        let fits = |length: &usize| (least..=most).contains(length);
        [tokens / 2, tokens * 2].into_iter().filter(fits).find_map(|length| assemble(candidate, self.shelf, length, random).ok())
    }

    /// Why there are not enough, what stood in the way most often, and the most that would have been possible.
    fn short(&self, reasons: &BTreeMap<String, usize>) -> String {
        let mut often: Vec<(&String, &usize)> = reasons.iter().collect();
        often.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
        let why: Vec<String> = often.iter().take(3).map(|(reason, count)| format!("{reason} ({count} times)")).collect();
        let why = if why.is_empty() { "nothing could be tried".into() } else { why.join(", ") };
        format!(
            "{} of {} rows: {why}. The largest plan for these documents is count = {}",
            self.outcome.kept, self.outcome.wanted, self.outcome.kept
        )
    }
}
