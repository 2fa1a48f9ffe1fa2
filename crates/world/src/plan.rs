//! The facts a document must state so that its questions have one answer, and look-alikes of them.
//!
//! Every relation holds once for its subject (`taken`), and what is counted or searched for the largest is closed: the rest of the
//! document states nothing more of it. So answers are unique by construction, whatever stands between.

mod look_alike;

use std::collections::HashSet;

use crate::derive::derive;
use crate::fact::{Detail, Fact, Key, Quote, Relation, Value};
use crate::language;
use crate::names::{Entity, Kind, Names, draw_decade, draw_year};
use crate::question::{Form, Last, Step, Task};
use crate::random::Random;
use crate::settings::{WorldError, WorldSettings};

/// Tries at a question before its document counts as full.
const TRIES: usize = 200;
/// The share of a document that planned facts may take, the questions' own aside.
const PLANNED: f64 = 0.75;

/// A question before its document is written.
pub(crate) struct Planned {
    pub task: Task,
    pub form: Form,
    pub options: Vec<String>,
    pub code: String,
}

pub(crate) struct Plan<'a> {
    settings: &'a WorldSettings,
    names: Names,
    pub random: Random,
    /// Planned facts, in the order in which they will stand.
    pub placed: Vec<Fact>,
    pub questions: Vec<Planned>,
    words: usize,
    /// Words that look-alikes may fill up.
    limit: usize,
    taken: HashSet<Key>,
    /// No more people are born, no more firms based in these.
    closed: HashSet<(Relation, Entity)>,
    /// No more profits of these firms in these years.
    windows: Vec<(Entity, u16, u16)>,
    /// In a [distinct](WorldSettings::distinct) world, whom the questions lead through.
    pub apart: Vec<Entity>,
}

impl<'a> Plan<'a> {
    pub fn new(settings: &'a WorldSettings, random: Random, words: usize, asks: &[(Task, u8)]) -> Result<Self, WorldError> {
        let names = Names { split: settings.split, count: settings.names };
        let (taken, closed) = (HashSet::new(), HashSet::new());
        let (placed, questions, windows) = (Vec::new(), Vec::new(), Vec::new());
        let limit = (PLANNED * words as f64) as usize;
        let mut plan = Self { settings, names, random, placed, questions, words: 0, limit, taken, closed, windows, apart: vec![] };
        for (task, hops) in asks {
            plan.ask(*task, *hops)?;
        }
        if settings.distinct {
            plan.apart = plan.placed.iter().flat_map(Fact::entities).collect();
        }
        for _ in 0..settings.distractors {
            for at in 0..plan.questions.len() {
                plan.look_alike(at);
            }
        }
        for at in 0..plan.questions.len() {
            if plan.questions[at].task == Task::MultipleChoice {
                plan.options(at)?;
            }
        }
        plan.random.shuffle(&mut plan.placed);
        if settings.ordered {
            plan.order();
        }
        Ok(plan)
    }

    /// Puts each question's facts in the order of its links, in the places that they have together.
    fn order(&mut self) {
        for at in 0..self.questions.len() {
            let (_, chain) = derive(&self.placed, &self.questions[at].form).expect("planned facts give one answer");
            let mut places = chain.clone();
            places.sort_unstable();
            let facts: Vec<Fact> = chain.iter().map(|place| self.placed[*place]).collect();
            places.into_iter().zip(facts).for_each(|(place, fact)| self.placed[place] = fact);
        }
    }

    /// A fact that contradicts nothing and closes no question's set, or none.
    pub fn background(&mut self) -> Option<Fact> {
        (0..6).find_map(|_| {
            let relation = self.random.pick(&Relation::ALL);
            let subject = self.names.draw(relation.subject(), &mut self.random);
            let detail = self.detail(relation);
            let fact = self.fact(relation, subject, detail, &[]);
            let apart = fact.entities().all(|entity| self.apart.iter().all(|other| !entity.shares_word(*other)));
            (apart && self.free(&fact) && self.taken.insert(fact.key())).then_some(fact)
        })
    }

    fn ask(&mut self, task: Task, hops: u8) -> Result<(), WorldError> {
        for _ in 0..TRIES {
            let last = self.last(task, hops);
            let steps = self.steps(last, hops - last.links());
            let kind = steps.first().map_or(last.subject(), |step| step.relation.subject());
            let form = Form { start: self.names.draw(kind, &mut self.random), steps, last };
            let Some(facts) = self.facts(&form, true, &[]) else { continue };
            if self.disturbs(&form, &facts) {
                continue;
            }
            self.close(&form, &facts);
            self.commit(facts);
            let digits = if self.settings.short { 3 } else { 10 };
            let code = match last {
                Last::Quote { .. } => (0..digits).map(|_| char::from(b'0' + self.random.below(10) as u8)).collect(),
                _ => String::new(),
            };
            self.questions.push(Planned { task, form, options: Vec::new(), code });
            return Ok(());
        }
        Err(WorldError::Full { task: task.name() })
    }

    fn last(&mut self, task: Task, hops: u8) -> Last {
        use Relation::*;
        let year = draw_decade(self.settings.split, &mut self.random);
        let value = |plan: &mut Self, relations: &[Relation], prices: bool| {
            let relation = plan.random.pick(relations);
            let price = relation == Sold && prices && plan.random.chance(0.5);
            Last::Value(Step { relation, detail: plan.detail(relation), price })
        };
        match task {
            Task::MultiHop => value(self, &[Born, Lives, Works, Teacher, Base, Founder, Owner, Sold], false),
            Task::Reading | Task::MultipleChoice => {
                value(self, &[Born, Lives, Works, Teacher, Base, Founder, Founded, Owner, Sold, Sold, Profit], true)
            }
            Task::Dialogue => {
                let most = if self.settings.short { 3 } else { language::ORDINALS.len() };
                let nth = if self.random.chance(0.5) { self.random.between(1, most) } else { 0 };
                Last::Quote { topic: self.random.below(language::TOPICS.len()) as u8, nth }
            }
            Task::Numeric => match self.random.below(if hops > 1 { 5 } else { 4 }) {
                0 => {
                    let length = self.random.between(2, if self.settings.short { 2 } else { 4 });
                    let from = year + self.random.below(11 - length) as u16;
                    Last::Sum { from, to: from + length as u16 - 1 }
                }
                1 => {
                    let more = self.random.below(10) as u16;
                    let less = (more + 1 + self.random.below(9) as u16) % 10;
                    Last::Difference { more: year + more, less: year + less }
                }
                2 => Last::Largest { from: year, to: year + 9 },
                3 => Last::Count,
                _ => Last::Firms { year: year + self.random.below(10) as u16 },
            },
        }
    }

    /// So many links to an entity that `last` can ask about, the one from the start first; never the same one twice in a row, and none
    /// that the last link turns round: who is born in somebody's birthplace includes them.
    fn steps(&mut self, last: Last, count: u8) -> Vec<Step> {
        let mut to = last.subject();
        let mut after = match last {
            Last::Count => Some(Relation::Born),
            Last::Firms { .. } => Some(Relation::Base),
            _ => None,
        };
        let mut steps: Vec<Step> = Vec::new();
        for _ in 0..count {
            let fitting: Vec<Relation> =
                Relation::ALL.into_iter().filter(|relation| relation.value() == Some(to) && Some(*relation) != after).collect();
            // Every kind is the value of two relations at least, save that firms are only employers, which no step to a person is.
            let Some(relation) = (!fitting.is_empty()).then(|| self.random.pick(&fitting)) else { break };
            steps.push(Step { relation, detail: self.detail(relation), price: false });
            to = relation.subject();
            after = Some(relation);
        }
        steps.reverse();
        steps
    }

    fn detail(&mut self, relation: Relation) -> Detail {
        let random = &mut self.random;
        match relation {
            Relation::Owner => Detail::Building(random.below(language::BUILDINGS.len()) as u8),
            Relation::Sold => Detail::Thing(random.below(language::THINGS.len()) as u8, draw_year(self.settings.split, random)),
            Relation::Profit => Detail::Year(draw_year(self.settings.split, random)),
            Relation::Said => Detail::Topic(random.below(language::TOPICS.len()) as u8),
            _ => Detail::None,
        }
    }

    fn amount(&mut self) -> u32 {
        self.random.between((self.settings.amounts / 100).max(1) as usize, self.settings.amounts as usize) as u32
    }

    /// A fact with a value that is none of these.
    fn fact(&mut self, relation: Relation, subject: Entity, detail: Detail, avoid: &[Entity]) -> Fact {
        let value = match (relation, relation.value()) {
            (_, Some(kind)) => loop {
                let entity = if self.settings.distinct {
                    let from: Vec<Entity> = avoid.iter().copied().chain([subject]).collect();
                    self.names.draw_apart(kind, &from, &mut self.random)
                } else {
                    self.names.draw(kind, &mut self.random)
                };
                if entity != subject && !avoid.contains(&entity) {
                    break Value::Entity(entity);
                }
            },
            (Relation::Founded, _) => Value::Number(u32::from(draw_year(self.settings.split, &mut self.random))),
            (Relation::Profit, _) => Value::Number(self.amount()),
            _ => Value::Quote(self.quote()),
        };
        let price = if relation == Relation::Sold { self.amount() } else { 0 };
        Fact { relation, subject, detail, value, price }
    }

    fn quote(&mut self) -> Quote {
        let random = &mut self.random;
        let [who, does] = [language::WHO.len(), language::DOES.len()];
        let first = [random.below(who) as u8, random.below(does) as u8];
        let rest = [language::JOINS.len(), who, does, language::TIMES.len()];
        let second = (!self.settings.short).then(|| rest.map(|count| random.below(count) as u8));
        Quote { first, second }
    }

    /// Whether the document may still say this.
    fn free(&self, fact: &Fact) -> bool {
        let closed = matches!(fact.value, Value::Entity(value) if self.closed.contains(&(fact.relation, value)));
        let year = if let Detail::Year(year) = fact.detail { year } else { 0 };
        let inside = self.windows.iter().any(|(firm, from, to)| *firm == fact.subject && (*from..=*to).contains(&year));
        !closed && !inside && !self.taken.contains(&fact.key())
    }

    /// The facts of a chain: `None` where one could not be said any more. `whole`: all that the last link needs; otherwise just enough
    /// to look like it.
    fn facts(&mut self, form: &Form, whole: bool, avoid: &[Entity]) -> Option<Vec<Fact>> {
        let mut met = avoid.to_vec();
        met.push(form.start);
        let mut at = form.start;
        let mut facts = Vec::new();
        for step in &form.steps {
            let fact = self.fact(step.relation, at, step.detail, &met);
            let Value::Entity(next) = fact.value else { return None };
            facts.push(fact);
            met.push(next);
            at = next;
        }
        self.last_facts(form.last, at, whole, &met, &mut facts)?;
        let mut keys = HashSet::new();
        let quotes = matches!(form.last, Last::Quote { .. });
        let distinct = facts.iter().all(|fact| keys.insert(fact.key()) || (quotes && fact.relation == Relation::Said));
        (distinct && facts.iter().all(|fact| self.free(fact))).then_some(facts)
    }

    fn last_facts(&mut self, last: Last, at: Entity, whole: bool, met: &[Entity], facts: &mut Vec<Fact>) -> Option<()> {
        let short = self.settings.short;
        let mut profit = |plan: &mut Self, firm, year| {
            let fact = plan.fact(Relation::Profit, firm, Detail::Year(year), &[]);
            facts.push(fact);
            fact
        };
        match last {
            Last::Value(step) => facts.push(self.fact(step.relation, at, step.detail, met)),
            Last::Quote { topic, nth } => {
                let count = match (nth, whole) {
                    (0, _) | (_, false) => 1,
                    _ => self.random.between(nth.max(2), if short { 3 } else { 4 }),
                };
                let said: Vec<Fact> = (0..count).map(|_| self.fact(Relation::Said, at, Detail::Topic(topic), &[])).collect();
                if (1..count).any(|at| said[..at].iter().any(|fact| fact.value == said[at].value)) {
                    return None;
                }
                facts.extend(said);
            }
            Last::Sum { from, to } => {
                for year in from..=to {
                    profit(self, at, year);
                }
            }
            Last::Difference { more, less } => {
                let (more, less) = (profit(self, at, more), profit(self, at, less));
                let (Value::Number(more), Value::Number(less)) = (more.value, less.value) else { return None };
                if more <= less {
                    return None;
                }
            }
            Last::Largest { from, .. } => {
                let mut years: Vec<u16> = (from..from + 10).collect();
                self.random.shuffle(&mut years);
                let count = if short { self.random.between(2, 3) } else { self.random.between(3, 5) };
                let mut amounts: Vec<Value> = years[..count].iter().map(|year| profit(self, at, *year).value).collect();
                amounts.sort_by_key(|amount| if let Value::Number(amount) = amount { *amount } else { 0 });
                if amounts[count - 1] == amounts[count - 2] {
                    return None;
                }
            }
            Last::Count => {
                let count = if whole { self.random.between(1, if short { 4 } else { 6 }) } else { self.random.between(1, 2) };
                for _ in 0..count {
                    let person = self.names.draw(Kind::Person, &mut self.random);
                    if met.contains(&person) {
                        return None;
                    }
                    facts.push(Fact { value: Value::Entity(at), ..self.fact(Relation::Born, person, Detail::None, &[]) });
                }
            }
            Last::Firms { year } => {
                let count = if whole { self.random.between(2, if short { 2 } else { 3 }) } else { 1 };
                let firms: Vec<Entity> = (0..count).map(|_| self.names.draw(Kind::Firm, &mut self.random)).collect();
                for firm in &firms {
                    profit(self, *firm, year);
                }
                if firms.iter().any(|firm| met.contains(firm)) {
                    return None;
                }
                for firm in firms {
                    facts.push(Fact { value: Value::Entity(at), ..self.fact(Relation::Base, firm, Detail::None, &[]) });
                }
            }
        }
        Some(())
    }

    /// Whether what was placed before would change the answer.
    fn disturbs(&self, form: &Form, facts: &[Fact]) -> bool {
        let end = facts.last();
        let placed = || self.placed.iter();
        match (form.last, end) {
            (Last::Count, Some(end)) => placed().any(|fact| fact.relation == Relation::Born && fact.value == end.value),
            (Last::Firms { .. }, Some(end)) => placed().any(|fact| fact.relation == Relation::Base && fact.value == end.value),
            (Last::Largest { from, to }, Some(end)) => placed().any(|fact| {
                fact.relation == Relation::Profit
                    && fact.subject == end.subject
                    && matches!(fact.detail, Detail::Year(year) if (from..=to).contains(&year))
            }),
            _ => false,
        }
    }

    fn close(&mut self, form: &Form, facts: &[Fact]) {
        match (form.last, facts.last()) {
            (Last::Count | Last::Firms { .. }, Some(Fact { relation, value: Value::Entity(place), .. })) => {
                self.closed.insert((*relation, *place));
            }
            (Last::Largest { from, to }, Some(fact)) => self.windows.push((fact.subject, from, to)),
            _ => {}
        }
    }

    fn commit(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            self.words += words_of(&fact);
            self.taken.insert(fact.key());
            self.placed.push(fact);
        }
    }
}

/// About how many words a sentence takes.
fn words_of(fact: &Fact) -> usize {
    match fact.relation {
        Relation::Sold => 14,
        Relation::Profit => 10,
        Relation::Said => 6 + fact.value.to_string().split(' ').count(),
        Relation::Owner => 10,
        _ => 8,
    }
}
