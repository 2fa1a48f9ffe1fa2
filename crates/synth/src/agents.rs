//! Proposer, solver, verifier: the paper's third branch (§3.2), for what no graph and no table asks.
//!
//! ```text
//! cluster of documents, buffered questions ─► proposer ─► quotes stand in the documents? ─► k solvers, among other documents
//!            ▲                                                                                     │ the rule says no
//!            └──────────── solved as often as `band` says ◄── most of the solvers agree? ◄── verifier's votes
//! ```
//!
//! The paper names the roles and the history and gives no numbers; where it is silent this follows SPELL (arXiv 2509.23863), from which
//! it was made: n documents, and at each revisit those of the buffered questions and n new ones, with the buffered questions as examples
//! of what is to be outdone; a buffer of three; eight votes.

mod cluster;
mod cost;
mod prompt;
mod proposal;
mod settings;
mod solve;
mod stored;

use data::{ChatError, ChatRequest, Check, Message, Sampling, Transcript};
use tokenizer::Tokenizer;
use world::Random;

use crate::candidate::{Candidate, Reject};
use crate::choice::multiple_choice;
use crate::context::Shelf;
use crate::corpus::Source;
use crate::plan::drawn;
use cluster::{Cluster, Clusters};
pub(crate) use cost::visits;
use proposal::Proposal;
pub use settings::{AgentSettings, Choice, Task};
use solve::Tally;
pub(crate) use stored::derive;

/// Clusters that are visited side by side: their calls are made at once, and their prompts are in memory.
const AT_ONCE: usize = 16;
/// Seeds of a proposer are below this: servers take them as they take small numbers.
const SEEDS: usize = 1 << 31;

/// What a model said, and under which key the run keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The key of the call in the run's cache.
    pub call: String,
    /// The reply, thinking included.
    pub reply: String,
}

/// Makes calls of a model in a role (`propose`, `solve`, `verify`), all at once; one outcome for each, in their order.
pub type Call<'a> = dyn FnMut(&'static str, &[ChatRequest]) -> Vec<Result<Said, ChatError>> + 'a;

/// How a group's questions went from role to role: what a later estimate goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AgentCounts {
    /// Visits of clusters.
    pub visits: usize,
    /// Proposals, those that were asked for once more included.
    pub proposals: usize,
    /// Questions that went to the solvers.
    pub solved: usize,
    /// Their answers that went to the verifiers: those that the rule finds wrong, each once.
    pub doubtful: usize,
    /// Questions that most solvers answered as their proposers did.
    pub agreed: usize,
}

impl AgentCounts {
    /// Counts those of another round.
    pub fn add(&mut self, other: Self) {
        self.visits += other.visits;
        self.proposals += other.proposals;
        self.solved += other.solved;
        self.doubtful += other.doubtful;
        self.agreed += other.agreed;
    }
}

/// A question that was solved, for the proposer to outdo.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Solved {
    question: String,
    answer: String,
    /// The documents that it was asked over, by their place in the corpus.
    documents: Vec<usize>,
}

/// What came of visits, in their order.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// Questions that most solvers answered as their proposers did.
    pub kept: Vec<Candidate>,
    /// Questions that are not grounded, or that solvers answered otherwise.
    pub dropped: Vec<(Candidate, Reject)>,
    /// Visits and clusters that gave no question.
    pub tried: Vec<Reject>,
    /// How many went through which role.
    pub counts: AgentCounts,
}

/// The three roles over a corpus.
pub(crate) struct Agents<'a> {
    sources: &'a [Source],
    shelf: &'a Shelf<'a>,
    tokenizer: &'a Tokenizer,
    settings: &'a AgentSettings,
    /// The least and the greatest length of a context in tokens.
    lengths: (usize, usize),
    clusters: Clusters<'a>,
}

/// A question on its way through a wave.
struct Visit {
    cluster: usize,
    shown: Vec<usize>,
    transcripts: Vec<Transcript>,
    random: Random,
}

impl<'a> Agents<'a> {
    pub fn new(
        sources: &'a [Source],
        shelf: &'a Shelf<'a>,
        tokenizer: &'a Tokenizer,
        settings: &'a AgentSettings,
        lengths: (usize, usize),
    ) -> Self {
        Self { sources, shelf, tokenizer, settings, lengths, clusters: Clusters::new(sources, settings) }
    }

    /// Tokens that a visit's documents may have: half of the greatest length, so that there is room for others.
    fn room(&self) -> usize {
        self.lengths.1 / 2
    }

    /// Visits enough clusters for so many questions, each as often as `rounds` says.
    ///
    /// # Errors
    /// A model that gives no reply, other than to a prompt that is too long for it.
    pub fn propose(&self, count: usize, random: &mut Random, call: &mut Call) -> Result<Made, String> {
        let (mut clusters, tried) = self.clusters.open(count.div_ceil(self.settings.rounds), self.settings, random);
        let mut made = Made { tried, ..Made::default() };
        for clusters in clusters.chunks_mut(AT_ONCE) {
            for round in 0..self.settings.rounds {
                let visits = self.visits(clusters, random);
                if visits.is_empty() && round == 0 {
                    let reason = format!("no document has at most {} tokens, half of the greatest length", self.room());
                    made.tried.push(Reject { check: "cluster", reason });
                }
                self.wave(clusters, visits, call, &mut made)?;
            }
        }
        Ok(made)
    }

    fn visits(&self, clusters: &mut [Cluster], random: &mut Random) -> Vec<Visit> {
        let mut visits = Vec::new();
        for (at, cluster) in clusters.iter_mut().enumerate() {
            // Drawn for each, so that a cluster's end changes nothing of the others.
            let random = Random::new(&[random.next()]);
            if let Some(shown) = cluster.visit(self.settings, self.sources, self.room()) {
                visits.push(Visit { cluster: at, shown, transcripts: Vec::new(), random });
            }
        }
        visits
    }

    /// One question of each cluster: proposals, then all solvers, then all verifiers.
    fn wave(&self, clusters: &mut [Cluster], visits: Vec<Visit>, call: &mut Call, made: &mut Made) -> Result<(), String> {
        made.counts.visits += visits.len();
        let mut asked = Vec::new();
        for (visit, proposal) in self.proposals(clusters, visits, call, made)? {
            match self.candidate(&clusters[visit.cluster], &visit, &proposal) {
                (candidate, Err(reject)) => made.dropped.push((candidate, reject)),
                (candidate, Ok(())) => asked.push((visit, proposal, candidate)),
            }
        }
        // Among others, all documents that the proposer saw.
        let mut solving = Vec::new();
        for (mut visit, proposal, candidate) in asked {
            let seen =
                Candidate { gold: visit.shown.iter().map(|at| self.sources[*at].document.id.clone()).collect(), ..candidate.clone() };
            match drawn(&seen, self.shelf, self.lengths, &mut visit.random) {
                Ok(context) => solving.push((visit, proposal, candidate, context.prompt)),
                Err(reject) => made.dropped.push((candidate, reject)),
            }
        }
        made.counts.solved += solving.len();
        let requests = solving.iter().map(|(.., prompt)| self.solvers(prompt)).collect();
        let replies = asked_for("solve", requests, call)?;
        let mut verifying = Vec::new();
        for ((visit, proposal, mut candidate, _), said) in solving.into_iter().zip(replies) {
            candidate.derivation.transcripts = visit.transcripts.clone();
            if let Err(reject) = record(&mut candidate, "solve", said) {
                made.dropped.push((candidate, reject));
                continue;
            }
            let tally = Tally::new(&candidate.rule, &candidate.answers, &solve::replies(&candidate.derivation.transcripts, "solve"))?;
            verifying.push((visit, proposal, candidate, tally));
        }
        made.counts.doubtful += verifying.iter().map(|(.., tally)| tally.doubtful().len()).sum::<usize>();
        let requests = verifying.iter().map(|(_, proposal, _, tally)| self.verifiers(proposal, tally)).collect();
        let replies = asked_for("verify", requests, call)?;
        for ((visit, proposal, mut candidate, tally), said) in verifying.into_iter().zip(replies) {
            if let Err(reject) = record(&mut candidate, "verify", said) {
                made.dropped.push((candidate, reject));
                continue;
            }
            let verdicts = solve::replies(&candidate.derivation.transcripts, "verify");
            let (right, votes) = (tally.right(&verdicts)?, verdicts.len());
            let solved = Solved { question: candidate.question.clone(), answer: proposal.answer, documents: visit.shown };
            clusters[visit.cluster].keep(solved, right.0 as f64 / self.settings.tries as f64, self.settings);
            let (detail, most) = (tally.detail(right, votes), tally.most(right.0));
            if most {
                made.counts.agreed += 1;
                candidate.derivation.checks.push(Check { name: "verifier".into(), passed: Some(true), detail });
                made.kept.push(candidate);
            } else {
                made.dropped.push((candidate, Reject { check: "verifier", reason: detail }));
            }
        }
        Ok(())
    }

    /// Proposals of the right form, with what was said on the way. One of the wrong form is asked for once more, with another seed.
    fn proposals(
        &self,
        clusters: &[Cluster],
        mut visits: Vec<Visit>,
        call: &mut Call,
        made: &mut Made,
    ) -> Result<Vec<(Visit, Proposal)>, String> {
        let mut out: Vec<(Visit, Proposal)> = Vec::new();
        for last in [false, true] {
            let requests = visits.iter_mut().map(|visit| vec![self.proposer(&clusters[visit.cluster], visit)]).collect();
            made.counts.proposals += visits.len();
            let mut again = Vec::new();
            for (mut visit, said) in visits.into_iter().zip(asked_for("propose", requests, call)?) {
                let said = match said {
                    Ok(said) => said,
                    Err(reject) => {
                        made.tried.push(reject);
                        continue;
                    }
                };
                visit.transcripts.extend(said.into_iter().map(|said| transcript("propose", said)));
                let reply = visit.transcripts.last().map_or("", |transcript| transcript.reply.as_str());
                let task = clusters[visit.cluster].task;
                let read = Proposal::read(reply)
                    .and_then(|proposal| proposal.check(task, visit.shown.len(), self.settings, self.tokenizer).map(|()| proposal));
                match read {
                    Ok(proposal) => out.push((visit, proposal)),
                    Err(_) if !last => again.push(visit),
                    Err(reason) => made.tried.push(Reject { check: "format", reason }),
                }
            }
            visits = again;
        }
        out.sort_by_key(|(visit, _)| visit.cluster);
        Ok(out)
    }

    /// The candidate with its checks so far, and whether it is grounded and, of a choice, has options that look like each other.
    fn candidate(&self, cluster: &Cluster, visit: &Visit, proposal: &Proposal) -> (Candidate, Result<(), Reject>) {
        let shown: Vec<&Source> = visit.shown.iter().map(|at| &self.sources[*at]).collect();
        let (mut candidate, grounded) = proposal.candidate(cluster.task, &self.settings.kind, &shown);
        candidate.derivation.transcripts = visit.transcripts.clone();
        let detail = format!("after {} questions about the same documents", cluster.buffered().len());
        candidate.derivation.checks.push(Check { name: "history".into(), passed: Some(true), detail });
        if grounded.is_err() || cluster.task != Task::MultipleChoice {
            return (candidate, grounded);
        }
        match multiple_choice(&candidate, &proposal.options, &mut visit.random.clone()) {
            Ok(choice) => (choice, Ok(())),
            Err(reject) => (candidate, Err(reject)),
        }
    }

    fn proposer(&self, cluster: &Cluster, visit: &mut Visit) -> ChatRequest {
        let documents: Vec<&Source> = visit.shown.iter().map(|at| &self.sources[*at]).collect();
        prompt::propose(self.settings, cluster.task, &documents, &cluster.buffered(), visit.random.below(SEEDS) as u64)
    }

    fn solvers(&self, prompt: &str) -> Vec<ChatRequest> {
        let seeds = 0..self.settings.tries as u64;
        let one = |seed| ChatRequest::new(vec![Message::user(prompt)], Sampling { seed, ..Sampling::PAPER }, self.settings.reply);
        seeds.map(one).collect()
    }

    fn verifiers(&self, proposal: &Proposal, tally: &Tally) -> Vec<ChatRequest> {
        let votes = 0..self.settings.votes as u64;
        let one = |said: &str, seed| prompt::verify(self.settings, &proposal.question, said, &proposal.answer, seed);
        tally.doubtful().into_iter().flat_map(|said| votes.clone().map(move |seed| one(said, seed))).collect()
    }
}

fn transcript(role: &str, said: Said) -> Transcript {
    Transcript { role: role.into(), call: said.call, reply: said.reply }
}

/// Adds what was said in a role, unless a prompt was too long for the model.
fn record(candidate: &mut Candidate, role: &str, said: Result<Vec<Said>, Reject>) -> Result<(), Reject> {
    candidate.derivation.transcripts.extend(said?.into_iter().map(|said| transcript(role, said)));
    Ok(())
}

/// Makes the calls of several questions at once; what was said of each.
///
/// # Errors
/// Outside: a model that gives no reply. Inside: a prompt that is too long for it.
fn asked_for(role: &'static str, requests: Vec<Vec<ChatRequest>>, call: &mut Call) -> Result<Vec<Result<Vec<Said>, Reject>>, String> {
    let counts: Vec<usize> = requests.iter().map(Vec::len).collect();
    let requests: Vec<ChatRequest> = requests.into_iter().flatten().collect();
    let replies = if requests.is_empty() { Vec::new() } else { call(role, &requests) };
    if replies.len() != requests.len() {
        return Err(format!("{} replies came to {} calls", replies.len(), requests.len()));
    }
    let mut replies = replies.into_iter();
    let mut out = Vec::new();
    for count in counts {
        let mut said = Ok(Vec::with_capacity(count));
        for reply in replies.by_ref().take(count) {
            match (reply, &mut said) {
                (Ok(reply), Ok(all)) => all.push(reply),
                (Ok(_), Err(_)) => {}
                (Err(error @ ChatError::TooLong { .. }), _) => said = Err(Reject { check: "window", reason: error.to_string() }),
                (Err(error), _) => return Err(error.to_string()),
            }
        }
        out.push(said);
    }
    Ok(out)
}

#[cfg(test)]
#[path = "agents/tests.rs"]
mod tests;
