//! What questions cost, before a model is asked.

use data::{ChatRequest, Engine};
use world::Random;

use super::{Agents, Solved, Task, prompt};
use crate::candidate::{Candidate, empty};
use crate::context::Shelf;
use crate::plan::{Ground, Group, SPARE, drawn};

/// What stands in a question's place as long as there is none: as long as they usually are.
const QUESTION: &str = "Of the two firms that the founder of the mill on the northern river set up before it was flooded for the second time, how much more rent than the other did the one pay that was later sold to the owner of the bridge?";

/// Calls and tokens of a group's first round at most: as if every proposal were asked for twice, the rule found every solver's reply wrong,
/// and each reply were as long as may be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentCost {
    /// Calls of all roles.
    pub calls: usize,
    /// Tokens of their prompts.
    pub prompts: usize,
    /// Tokens of their replies, at most.
    pub replies: usize,
    /// Of each row that is wanted: tokens of its question, of the prompt with its own documents alone, and of its contexts.
    pub rows: Vec<(usize, usize, Vec<usize>)>,
}

impl AgentCost {
    fn add(&mut self, calls: usize, prompt: usize, reply: usize) {
        self.calls += calls;
        self.prompts += calls * prompt;
        self.replies += calls * reply;
    }
}

/// What the group of this number costs, from the real prompts: the clusters are those of the run, and what a model would say is replaced by
/// texts of the usual length.
///
/// # Errors
/// A tokenizer that cannot read a title or a prompt.
pub fn agent_cost(group: &Group, number: usize, ground: &Ground, seed: u64) -> Result<AgentCost, String> {
    let settings = &group.agents;
    let sources = &ground.corpus.sources;
    let shelf = Shelf::new(sources, ground.tokenizer).map_err(|error| error.to_string())?;
    let agents = Agents::new(sources, &shelf, ground.tokenizer, settings, group.lengths);
    let count = |text: &str| ground.tokenizer.count(text).map_err(|error| error.to_string());
    let tokens = |request: &ChatRequest| request.messages.iter().map(|message| count(&message.content)).sum::<Result<usize, String>>();
    let mut random = Random::new(&[seed, number as u64, 0]);
    let visits = (group.count as f64 * SPARE).ceil() as usize;
    let (mut clusters, _) = agents.clusters.open(visits.div_ceil(settings.rounds), settings, &mut random);
    let (least, most) = group.lengths;
    let mut cost = AgentCost::default();
    let question = count(QUESTION)?;
    for _ in 0..settings.rounds {
        for mut visit in agents.visits(&mut clusters, &mut random) {
            let cluster = &mut clusters[visit.cluster];
            let proposal = agents.proposer(cluster, &mut visit);
            cost.add(2, tokens(&proposal)?, settings.reply);
            let candidate = unasked(visit.shown.iter().map(|at| sources[*at].document.id.clone()).collect());
            if let Ok(context) = drawn(&candidate, &shelf, group.lengths, &mut visit.random) {
                cost.add(settings.tries, context.tokens, settings.reply);
                if cluster.task != Task::MultipleChoice {
                    let vote = tokens(&prompt::verify(settings, QUESTION, QUESTION, QUESTION, 0))?;
                    cost.add(settings.tries * settings.votes, vote, settings.verdict);
                }
                if cost.rows.len() < group.count {
                    let own = shelf.need(&candidate).map_err(|reject| reject.reason)?;
                    let other = [context.tokens / 2, context.tokens * 2].into_iter().find(|other| (least..=most).contains(other));
                    cost.rows.push((question, own, [context.tokens].into_iter().chain(other).collect()));
                }
            }
            let solved = Solved { question: QUESTION.into(), answer: "an answer of a few words".into(), documents: visit.shown };
            cluster.keep(solved, settings.band.1, settings);
        }
    }
    Ok(cost)
}

/// A question over these documents that nobody has asked yet, to measure contexts with.
fn unasked(gold: Vec<String>) -> Candidate {
    Candidate {
        task: "multi_hop".into(),
        question: QUESTION.into(),
        answers: Vec::new(),
        rule: "contain".into(),
        hops: 1,
        gold,
        never: Vec::new(),
        own: String::new(),
        derivation: empty(Engine::Agents, String::new()),
    }
}
