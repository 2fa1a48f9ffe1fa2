//! The prompts of a group's visits, before a model is asked.

use data::{ChatRequest, Engine};
use world::Random;

use super::{Agents, Solved, Task, prompt};
use crate::candidate::{Candidate, empty};
use crate::context::{Shelf, closed, evidence};
use crate::estimate::{Load, Row, Size};
use crate::plan::{Ground, Group, SPARE, drawn};

/// What stands in a question's place as long as there is none: as long as they usually are.
const QUESTION: &str = "Of the two firms that the founder of the mill on the northern river set up before it was flooded for the second time, how much more rent than the other did the one pay that was later sold to the owner of the bridge?";

/// The prompts of a group's first round of visits: those of the run, except that what a model would say is replaced by texts of the usual
/// length.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Visits {
    /// Visits.
    pub visits: usize,
    /// All of their proposals, each asked for once.
    pub propose: Load,
    /// One solver of each.
    pub solve: Load,
    /// One vote on one answer of each that can be voted on.
    pub verify: Load,
    /// What tries one row of each would be.
    pub rows: Vec<Row>,
}

/// The visits of the first round of the group of this number.
///
/// # Errors
/// A tokenizer that cannot read a title or a prompt.
pub(crate) fn visits(group: &Group, number: usize, ground: &Ground, seed: u64) -> Result<Visits, String> {
    let settings = &group.agents;
    let sources = &ground.corpus.sources;
    let shelf = Shelf::new(sources, ground.tokenizer).map_err(|error| error.to_string())?;
    let agents = Agents::new(sources, &shelf, ground.tokenizer, settings, group.lengths);
    let count = |text: &str| ground.tokenizer.count(text).map_err(|error| error.to_string());
    let size = |request: &ChatRequest| -> Result<Size, String> {
        let texts = || request.messages.iter().map(|message| message.content.as_str());
        Ok(Size { bytes: texts().map(str::len).sum(), tokens: texts().map(count).sum::<Result<_, _>>()? })
    };
    let mut random = Random::new(&[seed, number as u64, 0]);
    let wanted = (group.count as f64 * SPARE).ceil() as usize;
    let (mut clusters, _) = agents.clusters.open(wanted.div_ceil(settings.rounds), settings, &mut random);
    let (least, most) = group.lengths;
    let mut out = Visits::default();
    for _ in 0..settings.rounds {
        for mut visit in agents.visits(&mut clusters, &mut random) {
            let cluster = &mut clusters[visit.cluster];
            out.visits += 1;
            out.propose.add(1.0, size(&agents.proposer(cluster, &mut visit))?);
            let candidate = unasked(visit.shown.iter().map(|at| sources[*at].document.id.clone()).collect());
            if let Ok(context) = drawn(&candidate, &shelf, group.lengths, &mut visit.random) {
                out.solve.add(1.0, Size::of(&context));
                if cluster.task != Task::MultipleChoice {
                    out.verify.add(1.0, size(&prompt::verify(settings, QUESTION, QUESTION, QUESTION, 0))?);
                }
                let alone = evidence(&candidate, &shelf).map_err(|reject| reject.reason)?;
                let closed = closed(&candidate);
                let whole = Size::of(&context);
                let other = [context.tokens / 2, context.tokens * 2].into_iter().find(|other| (least..=most).contains(other));
                let other = other.map(|tokens| whole.scaled(tokens as f64 / context.tokens.max(1) as f64));
                out.rows.push(Row {
                    closed: Size { bytes: closed.len(), tokens: count(&closed)? },
                    evidence: Size::of(&alone),
                    contexts: [whole].into_iter().chain(other).collect(),
                });
            }
            let solved = Solved { question: QUESTION.into(), answer: "an answer of a few words".into(), documents: visit.shown };
            cluster.keep(solved, settings.band.1, settings);
        }
    }
    Ok(out)
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
