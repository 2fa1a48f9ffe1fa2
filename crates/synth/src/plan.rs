//! What a dataset is to hold, and how it is made: every engine in turn, every candidate through its context and the checks.

mod group;

use std::collections::BTreeMap;

use data::{ChatError, Fact, Item};
use serde_json::{Value, json};
use tokenizer::Tokenizer;
use world::Random;

use crate::agents::{AgentCounts, Agents, Call, Made};
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
pub use group::{Group, Maker};

/// Rounds of candidates for a group; each makes as many as the one before leaves to be wished for.
pub(crate) const ROUNDS: u64 = 6;
/// Candidates that a round makes for each row that is wanted: a third or so is dropped.
pub(crate) const SPARE: f64 = 1.6;

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
    /// How [`Maker::Agents`]' questions went from role to role.
    pub agents: Option<AgentCounts>,
}

impl Outcome {
    /// For programs.
    pub fn json(&self) -> Value {
        let mut out =
            json!({"name": self.name, "wanted": self.wanted, "kept": self.kept, "short": self.short, "waterfall": self.waterfall.json()});
        if let Some(AgentCounts { visits, proposals, solved, doubtful, agreed }) = self.agents {
            out["agents"] = json!({"visits": visits, "proposals": proposals, "solved": solved, "doubtful": doubtful, "agreed": agreed});
        }
        out
    }
}

/// A candidate that passed all checks but those that ask a model.
#[derive(Debug)]
pub struct Tried<'a> {
    /// The number of its group.
    pub group: usize,
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
/// `ask` tries every candidate that is left on a model; without it the checks that need one are recorded as not run. `call` makes the
/// calls of [`Maker::Agents`]; without it such a group has no row, and says so. `searchable` in [0, 1] is the greatest share of rows whose
/// answer a search for the question's words finds. `on` is told of every row and every candidate that was dropped, in an order that depends
/// on nothing but the arguments and the replies; where it says `false` the making stops.
///
/// # Errors
/// A group that [`Group::check`] refuses, a tokenizer that cannot read a title, a model that gives no reply.
pub fn make(
    groups: &[Group],
    ground: &Ground,
    searchable: f64,
    seed: u64,
    mut ask: Option<&mut Ask>,
    mut call: Option<&mut Call>,
    on: &mut dyn FnMut(usize, Event) -> bool,
) -> Result<Vec<Outcome>, String> {
    groups.iter().try_for_each(Group::check)?;
    let shelf = Shelf::new(&ground.corpus.sources, ground.tokenizer).map_err(|error| error.to_string())?;
    let mut checks = Checks::new(&ground.corpus.sources, ground.facts, ground.benchmarks, searchable);
    let mut outcomes = Vec::new();
    for (number, group) in groups.iter().enumerate() {
        let mut job = Job { group, number, ground, shelf: &shelf, checks: &mut checks, seed, agents: None, outcome: Outcome::default() };
        let go_on = job.run(ask.as_deref_mut(), call.as_deref_mut(), on)?;
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
    /// Made when they are first asked: they may index the corpus.
    agents: Option<Agents<'a>>,
    outcome: Outcome,
}

impl Job<'_, '_> {
    fn run(
        &mut self,
        mut ask: Option<&mut Ask>,
        mut call: Option<&mut Call>,
        on: &mut dyn FnMut(usize, Event) -> bool,
    ) -> Result<bool, String> {
        (self.outcome.name, self.outcome.wanted) = (self.group.name(), self.group.count);
        let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
        for round in 0..ROUNDS {
            let missing = self.group.count - self.outcome.kept;
            if missing == 0 {
                break;
            }
            let mut random = Random::new(&[self.seed, self.number as u64, round]);
            let Made { kept: made, dropped, tried: rejects, counts } =
                self.candidates((missing as f64 * SPARE).ceil() as usize, &mut random, call.as_deref_mut())?;
            if self.group.engine == Maker::Agents {
                self.outcome.agents.get_or_insert_default().add(counts);
            }
            for (candidate, reject) in &dropped {
                *reasons.entry(reject.check.to_string()).or_default() += 1;
                self.outcome.waterfall.dropped(reject);
                if !on(self.number, Event::Dropped(candidate, reject)) {
                    return Ok(false);
                }
            }
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

    /// Candidates for so many rows.
    ///
    /// # Errors
    /// A model that gives no reply.
    fn candidates(&mut self, count: usize, random: &mut Random, call: Option<&mut Call>) -> Result<Made, String> {
        let (group, ground) = (self.group, self.ground);
        let walks = WalkSettings { hops: group.hops, count, noun: group.noun.clone() };
        let (kept, tried) = match group.engine {
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
            Maker::Agents => {
                let Some(call) = call else {
                    return Ok(Made { tried: vec![Reject { check: "model", reason: "no model was given".into() }], ..Made::default() });
                };
                let sources = &ground.corpus.sources;
                let new = || Agents::new(sources, self.shelf, ground.tokenizer, &group.agents, group.lengths);
                return self.agents.get_or_insert_with(new).propose(count, random, call);
            }
        };
        Ok(Made { kept, tried, ..Made::default() })
    }

    /// The candidate in a context of some length, if it passes.
    ///
    /// # Errors
    /// Outside: a model that gives no reply. Inside: why it is no row.
    fn row(&mut self, candidate: &mut Candidate, random: &mut Random, ask: Option<&mut Ask>) -> Result<Result<Item, Reject>, String> {
        let mut random = Random::new(&[random.next()]);
        let (context, passed) = match drawn(candidate, self.shelf, self.group.lengths, &mut random)
            .and_then(|context| self.checks.run(candidate, &context).map(|passed| (context, passed)))
        {
            Ok(passed) => passed,
            Err(reject) => return Ok(Err(reject)),
        };
        if let Some(ask) = ask {
            let other = self.other(candidate, context.tokens, &mut random);
            let contexts: Vec<&Context> = [&context].into_iter().chain(&other).collect();
            let evidence = match evidence(candidate, self.shelf) {
                Ok(evidence) => evidence,
                Err(reject) => return Ok(Err(reject)),
            };
            match ask(Tried { group: self.number, candidate, evidence: &evidence, contexts: &contexts }) {
                Ok(()) => {}
                Err(TrialError::Reject(reject)) => return Ok(Err(reject)),
                Err(TrialError::Model(error @ ChatError::TooLong { .. })) => {
                    return Ok(Err(Reject { check: "window", reason: error.to_string() }));
                }
                Err(TrialError::Model(error)) => return Err(error.to_string()),
            }
        }
        self.checks.keep(passed);
        Ok(Ok(item(candidate, &context, row_id(candidate, &context))))
    }

    /// A context of another length, where the bounds and the documents allow one.
    fn other(&self, candidate: &Candidate, tokens: usize, random: &mut Random) -> Option<Context> {
        other_lengths(tokens, self.group.lengths).find_map(|length| assemble(candidate, self.shelf, length, random).ok())
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

/// The lengths of a second context, best first: half or twice that of the first, else the bound that is further off. One that is within a
/// quarter shows nothing that the first does not.
pub(crate) fn other_lengths(tokens: usize, (least, most): (usize, usize)) -> impl Iterator<Item = usize> {
    let further = if tokens.saturating_mul(tokens) > least.saturating_mul(most) { least } else { most };
    let apart = move |length: &usize| (least..=most).contains(length) && tokens.abs_diff(*length) >= tokens / 4;
    [tokens / 2, tokens.saturating_mul(2), further].into_iter().filter(apart)
}

/// A context of a length that is drawn; where its own documents do not fit, as long as they need, or longer.
pub(crate) fn drawn(candidate: &Candidate, shelf: &Shelf, (least, most): (usize, usize), random: &mut Random) -> Result<Context, Reject> {
    let draw = |least: usize, random: &mut Random| (least as f64 * (most as f64 / least as f64).powf(random.unit())).round() as usize;
    let tokens = draw(least, random);
    match assemble(candidate, shelf, tokens, random) {
        Err(reject) if reject.check == "length" && tokens < most => {
            let need = shelf.need(candidate)?;
            if need > most {
                return Err(reject);
            }
            assemble(candidate, shelf, draw(need.max(least), random), random)
        }
        other => other,
    }
}

#[cfg(test)]
#[path = "plan/tests.rs"]
mod tests;
