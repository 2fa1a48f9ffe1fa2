//! From a walk to a candidate, and the checks on the way.

use std::collections::{BTreeMap, BTreeSet};

use data::{Derivation, Edge, Engine, Obfuscation};
use reward::Rule;
use world::Random;

use super::answer::{answer, figure, phrase, stands_in};
use super::ending::{Ending, Endings};
use super::paths::{Path, random_walk, shortcut, towards};
use super::{WalkSettings, cause, derive};
use crate::ask::{Asked, End, Said, question};
use crate::candidate::{Candidate, Reject};
use crate::describe::{Describer, Description};
use crate::graph::{View, edge_id, names};
use crate::overlap::normal;

/// One answer, and one start, may come once in so many questions; one end once in `ENDS`.
const SAME: usize = 50;
const ENDS: usize = 33;
/// One relation may be asked for once in so many questions, in those of the task `reading` more often: fewer have words for answers.
const ASKED: usize = 10;
const ASKED_READING: usize = 4;
/// How often what an end caused, or what caused it, is asked for where that is known.
const CAUSAL: f64 = 0.5;

/// Makes candidates one at a time, and remembers what there was.
pub struct Maker<'a> {
    view: &'a View<'a>,
    settings: &'a WalkSettings,
    describer: Describer<'a>,
    endings: Endings<'a>,
    starts: Vec<usize>,
    targets: Vec<usize>,
    answers: BTreeMap<String, usize>,
    used_starts: BTreeMap<usize, usize>,
    used_ends: BTreeMap<usize, usize>,
    used_relations: BTreeMap<usize, usize>,
    asked: BTreeSet<(Vec<usize>, String)>,
    /// What nodes go by.
    names: BTreeMap<usize, Vec<String>>,
    /// Documents' texts in lower case.
    lower: BTreeMap<usize, String>,
}

fn reject<T>(check: &'static str, reason: impl Into<String>) -> Result<T, Reject> {
    Err(Reject { check, reason: reason.into() })
}

impl<'a> Maker<'a> {
    pub fn new(view: &'a View<'a>, settings: &'a WalkSettings) -> Self {
        let nodes = 0..view.nodes.len();
        Self {
            view,
            settings,
            describer: Describer::new(view),
            endings: Endings::new(view),
            starts: nodes.clone().filter(|node| settings.hops == 0 || !view.out[*node].is_empty()).collect(),
            targets: nodes.filter(|node| !view.into[*node].is_empty()).collect(),
            answers: BTreeMap::new(),
            used_starts: BTreeMap::new(),
            used_ends: BTreeMap::new(),
            used_relations: BTreeMap::new(),
            asked: BTreeSet::new(),
            names: BTreeMap::new(),
            lower: BTreeMap::new(),
        }
    }

    /// One walk, and the question about it if it passes.
    pub fn attempt(&mut self, random: &mut Random) -> Result<Candidate, Reject> {
        let (view, hops) = (self.view, usize::from(self.settings.hops));
        let path = self.path(random)?;
        let (start, end) = (path.nodes[0], path.nodes[hops]);
        let most = |share: usize, least: usize| (self.settings.count / share).max(least);
        if self.used_ends.get(&end).is_some_and(|used| *used >= most(ENDS, 2)) {
            return reject("cap", format!("enough questions end at {}", view.nodes[end].title));
        }
        if self.used_starts.get(&start).is_some_and(|used| *used >= most(SAME, 2)) {
            return reject("cap", format!("enough questions start at {}", view.nodes[start].title));
        }
        let mut named: Vec<usize> = path.links.iter().map(|link| view.links[*link].relation).collect();
        let causal = self.endings.causal(&path) && random.chance(CAUSAL);
        let paradigm = match random.unit() {
            _ if causal => "causal",
            draw if hops < 2 || draw < 0.6 => "multi_fact",
            draw if draw < 0.8 => "temporal",
            _ => "hypothetical",
        };
        let Some(ending) = self.endings.choose(paradigm, &path, &named, hops < 2, random) else {
            return reject("ending", format!("{} has nothing that can be asked as {paradigm}", view.nodes[end].title));
        };
        let asked_facts: Vec<usize> = match &ending {
            Ending::Value { fact } => vec![*fact],
            Ending::Title => Vec::new(),
            Ending::Computed { of, .. } => of.iter().map(|(_, fact)| *fact).collect(),
        };
        let asked: Vec<usize> = asked_facts.iter().map(|fact| view.graph.relation_of(*fact)).collect();
        let share = if hops < 2 { ASKED_READING } else { ASKED };
        if let Some(relation) = asked.iter().find(|relation| self.used_relations.get(relation).is_some_and(|used| *used >= most(share, 2)))
        {
            return reject("cap", format!("enough questions ask for {}", view.relation(*relation)));
        }
        named.extend(asked);
        if let Some(links) = shortcut(view, &path, &named) {
            return reject("shortcut", format!("{links} links lead from {} to {}", view.nodes[start].title, view.nodes[end].title));
        }
        // Where a year is asked for, another one would come near to it.
        let year = |fact: &usize| answer(&view.graph.facts[*fact].value).is_some_and(|answer| answer.year);
        let undated = paradigm == "temporal" || asked_facts.iter().any(year);
        let Some(description) = self.describer.describe(start, &named, undated, random) else {
            return reject("unique", format!("no description of up to three facts fits {} alone", view.nodes[start].title));
        };
        let (derivation, answers, number) = self.derivation(paradigm, &path, &ending, &description)?;
        self.finish(path, ending, description, derivation, answers, number, &asked_facts, random)
    }

    /// By turns at random from a start and towards a target.
    fn path(&self, random: &mut Random) -> Result<Path, Reject> {
        let hops = usize::from(self.settings.hops);
        let from = |nodes: &[usize], random: &mut Random| nodes[random.below(nodes.len())];
        let found = match (random.chance(0.5) || hops == 0, self.starts.is_empty() || self.targets.is_empty() && hops > 0) {
            (_, true) => None,
            (true, _) => random_walk(self.view, from(&self.starts, random), hops, random),
            (false, _) => towards(self.view, from(&self.targets, random), hops, random),
        };
        found.map_or_else(|| reject("path", format!("no walk of {hops} links from or to where one was tried")), Ok)
    }

    /// Facts in the order of the chain, edges and the walk; the right answers, and whether they are numbers.
    fn derivation(
        &self,
        paradigm: &str,
        path: &Path,
        ending: &Ending,
        description: &Description,
    ) -> Result<(Derivation, Vec<String>, bool), Reject> {
        let view = self.view;
        let mut facts: Vec<usize> = description.clauses.iter().map(|clause| clause.fact).collect();
        let mut edges: Vec<Edge> = Vec::new();
        for link in path.links.iter().map(|link| &view.links[*link]) {
            facts.extend(&link.facts);
            edges.push(view.edge(link));
        }
        let end = path.nodes[path.nodes.len() - 1];
        let mut number = false;
        let answers = match ending {
            Ending::Title => view.names(end),
            Ending::Value { fact } => {
                facts.push(*fact);
                let value = view.graph.facts[*fact].value.as_str();
                let none = || Reject { check: "ending", reason: "no short answer".into() };
                if paradigm == "causal" {
                    vec![phrase(value).ok_or_else(none)?]
                } else {
                    let answer = answer(value).ok_or_else(none)?;
                    number = answer.number;
                    vec![answer.text]
                }
            }
            Ending::Computed { compute, of } => {
                facts.extend(of.iter().map(|(_, fact)| *fact));
                let said: Vec<_> = of.iter().map(|(_, fact)| view.fact(*fact)).collect();
                let Some(answer) = compute.answer(&said.iter().collect::<Vec<_>>()) else {
                    return reject("ending", format!("{compute}: the facts are not comparable, or too close"));
                };
                number = compute.number();
                let title = |place: usize| view.nodes[path.nodes[place]].title.clone();
                let relations: BTreeSet<&str> = of.iter().map(|(_, fact)| view.relation(view.graph.relation_of(*fact))).collect();
                let mut edge = Edge {
                    id: String::new(),
                    from: title(of[0].0),
                    relation: relations.into_iter().collect::<Vec<_>>().join("; "),
                    which: compute.to_string(),
                    to: title(of[of.len() - 1].0),
                    facts: said.iter().map(|fact| fact.id.clone()).collect(),
                };
                edge.id = edge_id(&edge);
                edges.push(edge);
                let winner = of.iter().map(|(place, _)| path.nodes[*place]).find(|node| !number && view.nodes[*node].title == answer);
                winner.map_or_else(|| vec![answer], |node| view.names(node))
            }
        };
        let mut seen = BTreeSet::new();
        facts.retain(|fact| seen.insert(*fact));
        let vague = description.clauses.iter().map(|clause| {
            let fact = &view.graph.facts[clause.fact];
            Obfuscation { fact: fact.id.clone(), kind: clause.form.kind.into(), from: fact.value.clone(), to: clause.form.text.clone() }
        });
        let derivation = Derivation {
            version: 1,
            engine: Engine::Graph,
            paradigm: paradigm.into(),
            facts: facts.iter().map(|fact| view.fact(*fact)).collect(),
            walk: edges.iter().map(|edge| edge.id.clone()).collect(),
            edges,
            obfuscation: vague.collect(),
            table: None,
            sql: None,
            result: None,
            checks: Vec::new(),
            transcripts: Vec::new(),
        };
        Ok((derivation, answers, number))
    }

    /// Checks and words.
    fn finish(
        &mut self,
        path: Path,
        ending: Ending,
        description: Description,
        derivation: Derivation,
        mut answers: Vec<String>,
        number: bool,
        asked_facts: &[usize],
        random: &mut Random,
    ) -> Result<Candidate, Reject> {
        let (view, hops) = (self.view, usize::from(self.settings.hops));
        let title = |place: usize| view.nodes[path.nodes[place]].title.as_str();
        // Documents along the chain, and those that the start's facts stand in.
        let mut gold: Vec<usize> = description.clauses.iter().map(|clause| view.document_of(clause.fact)).collect();
        gold.extend(path.links.iter().flat_map(|link| &view.links[*link].facts).map(|fact| view.document_of(*fact)));
        gold.extend(asked_facts.iter().map(|fact| view.document_of(*fact)));
        let begins: BTreeSet<usize> = gold[..description.clauses.len()].iter().copied().chain([view.nodes[path.nodes[0]].home]).collect();
        if asked_facts.is_empty() {
            gold.push(view.nodes[path.nodes[hops]].home);
        }
        let mut seen = BTreeSet::new();
        gold.retain(|document| seen.insert(*document));
        if gold.len() <= hops {
            return reject("documents", format!("{hops} links over {} documents", gold.len()));
        }
        let unread = |node: &usize| view.nodes[*node].facts.values().map(|fact| view.document_of(*fact)).chain([view.nodes[*node].home]);
        // Other names count where a reader can see them.
        if answers.len() > 1 {
            let texts: Vec<String> = gold.iter().map(|document| normal(view.graph.text(*document))).collect();
            let first = answers.remove(0);
            answers.retain(|other| texts.iter().any(|text| text.contains(&normal(other))));
            answers.insert(0, first);
        }
        let never: BTreeSet<usize> = description.unread.iter().flat_map(unread).collect();
        if never.iter().any(|document| seen.contains(document)) {
            return reject("unique", format!("a document of the chain may fit the description of {}", title(0)));
        }
        let computed = matches!(ending, Ending::Computed { .. });
        // What is computed stands nowhere; of two that are compared the start may be the one.
        for document in begins.iter().filter(|_| hops > 0 && !computed) {
            let text = self.lower.entry(*document).or_insert_with(|| view.graph.text(*document).to_lowercase());
            if let Some(answer) = answers.iter().find(|answer| stands_in(text, answer)) {
                return reject("leak", format!("`{answer}` stands in the first document, {}", title(0)));
            }
        }
        let called: Vec<String> =
            path.nodes.iter().flat_map(|node| self.names.entry(*node).or_insert_with(|| view.names(*node)).clone()).collect();
        if matches!(ending, Ending::Value { .. }) && called.iter().any(|name| names::key(name) == names::key(&answers[0])) {
            return reject("ending", format!("`{}` is the name of an entity of the chain", answers[0]));
        }
        let rule = if number { "numeric" } else { "contain" };
        let scored: Rule = rule.parse().map_err(|_| Reject { check: "rule", reason: format!("there is no rule {rule}") })?;
        if scored.check(&answers).is_err() || scored.score(&format!("Therefore, the answer is ({}).", answers[0]), &answers) < 1.0 {
            return reject("rule", format!("`{}` does not score by {rule}", answers[0]));
        }
        let same = answers[0].to_lowercase();
        if self.answers.get(&same).copied().unwrap_or(0) >= (self.settings.count / SAME).max(1) {
            return reject("cap", format!("enough answers are `{}`", answers[0]));
        }
        match derive(&derivation) {
            Ok(derived) if derived == answers[0] => {}
            Ok(derived) => return reject("derivation", format!("`{derived}` follows, not `{}`", answers[0])),
            Err(flaw) => return reject("derivation", flaw.to_string()),
        }
        let text = self.question(&path, &ending, &description, derivation.paradigm == "causal", random);
        let key = names::key(&text);
        let told = |name: &str| {
            if name.len() > 6 || name.contains(char::is_lowercase) { names::has(&key, &names::key(name)) } else { text.contains(name) }
        };
        if let Some(name) = called.iter().find(|name| told(name)) {
            return reject("named", format!("the question has `{name}` in it"));
        }
        if !self.asked.insert((path.nodes.clone(), text.clone())) {
            return reject("cap", "the same question twice");
        }
        *self.answers.entry(same).or_default() += 1;
        for relation in asked_facts.iter().map(|fact| view.graph.relation_of(*fact)).collect::<BTreeSet<_>>() {
            *self.used_relations.entry(relation).or_default() += 1;
        }
        *self.used_starts.entry(path.nodes[0]).or_default() += 1;
        *self.used_ends.entry(path.nodes[hops]).or_default() += 1;
        let id = |document: &usize| view.graph.id(*document).to_string();
        Ok(Candidate {
            task: if hops < 2 { "reading" } else { "multi_hop" }.into(),
            question: text,
            answers,
            rule: rule.into(),
            hops: self.settings.hops,
            gold: gold.iter().map(id).collect(),
            never: never.iter().map(id).collect(),
            own: String::new(),
            derivation,
        })
    }

    fn question(&self, path: &Path, ending: &Ending, description: &Description, causal: bool, random: &mut Random) -> String {
        let view = self.view;
        let relation = |fact: usize| view.relation(view.graph.relation_of(fact));
        let value = |fact: usize| view.graph.facts[fact].value.as_str();
        let said = description.clauses.iter().map(|clause| Said {
            relation: view.relation(clause.relation),
            text: &clause.form.text,
            kind: clause.form.kind,
            latest: clause.latest,
        });
        let end = match ending {
            Ending::Title => End::Title,
            Ending::Value { fact } => match cause(relation(*fact)).filter(|_| causal) {
                Some(cause) => End::Cause(cause),
                None => {
                    let (number, latest) = answer(value(*fact)).map_or((false, false), |answer| (answer.number, answer.latest));
                    End::Value { relation: relation(*fact), number, latest }
                }
            },
            Ending::Computed { compute, of } => End::Computed {
                compute: *compute,
                of: of.iter().map(|(place, fact)| (*place, relation(*fact))).collect(),
                latest: of.iter().any(|(_, fact)| figure(value(*fact)).is_some_and(|figure| figure.latest)),
            },
        };
        let made = |node: &usize| view.nodes[*node].facts.values().any(|fact| view.graph.facts[*fact].call.is_some());
        let noun = |node: &usize| match view.nodes[*node].whole {
            true => self.settings.noun.as_str(),
            false if made(node) => "subject",
            false => "entry",
        };
        question(
            &Asked {
                start: said.collect(),
                steps: path.links.iter().map(|link| (view.links[*link].which, view.relation(view.links[*link].relation))).collect(),
                nouns: path.nodes.iter().map(noun).collect(),
                end,
            },
            random,
        )
    }
}
