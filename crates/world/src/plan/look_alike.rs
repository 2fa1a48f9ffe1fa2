//! What could be taken for a question's facts: the same links from a name nearly the same, the same entity in another respect, the same
//! respect of a stranger; and the options of multiple choice.

use super::{Plan, TRIES, words_of};
use crate::fact::{Detail, Fact, Relation, Value};
use crate::language;
use crate::names::Entity;
use crate::question::{Form, Last, Task};
use crate::settings::WorldError;

impl Plan<'_> {
    /// Places what could be taken for a question's facts.
    pub(super) fn look_alike(&mut self, question: usize) {
        let form = self.questions[question].form.clone();
        let avoid = self.entities(&form);
        for _ in 0..8 {
            let mut other = form.clone();
            // The same entity in another respect, or another of nearly the same name.
            let first = match (other.steps.first_mut(), &mut other.last) {
                (Some(step), _) | (None, Last::Value(step)) => Some(step),
                _ => None,
            };
            match first {
                Some(step) if step.detail != Detail::None && self.random.chance(0.5) => step.detail = self.detail(step.relation),
                _ => other.start = self.names.look_alike(form.start, &mut self.random),
            }
            if other == form || (other.start != form.start && avoid.contains(&other.start)) {
                continue;
            }
            if let Some(facts) = self.facts(&other, false, &avoid) {
                self.add(facts);
                break;
            }
        }
        if self.random.chance(0.5) {
            self.sibling(&form, &avoid);
        }
        if !form.steps.is_empty() {
            // Few people speak, so that a topic alone leads to its few sentences.
            let strangers = if matches!(form.last, Last::Quote { .. }) && !self.settings.short { 2 } else { 1 };
            (0..strangers).for_each(|_| self.crowd(&form, &avoid));
        }
    }

    /// The last link of a stranger, in the same respect: else the one sentence about a wagon in 1883 would be found without the way there.
    fn crowd(&mut self, form: &Form, avoid: &[Entity]) {
        let stranger = self.names.draw(form.last.subject(), &mut self.random);
        let other = Form { start: stranger, steps: Vec::new(), last: form.last };
        if avoid.contains(&stranger) {
            return;
        }
        if let Some(facts) = self.facts(&other, false, avoid) {
            self.add(facts);
        }
    }

    /// Another fact of the entity that a question asks about.
    fn sibling(&mut self, form: &Form, avoid: &[Entity]) {
        let subject = avoid[form.steps.len()];
        let relation = match form.last {
            Last::Value(step) => match step.relation {
                Relation::Born => Relation::Lives,
                Relation::Lives => Relation::Born,
                relation => relation,
            },
            Last::Quote { .. } => Relation::Said,
            Last::Sum { .. } | Last::Difference { .. } | Last::Largest { .. } => Relation::Profit,
            Last::Count | Last::Firms { .. } => Relation::Owner,
        };
        let detail = self.detail(relation);
        let fact = self.fact(relation, subject, detail, avoid);
        if self.free(&fact) {
            self.add(vec![fact]);
        }
    }

    /// Places look-alikes, if there is room for all of them.
    fn add(&mut self, facts: Vec<Fact>) {
        if self.words + facts.iter().map(words_of).sum::<usize>() <= self.limit {
            self.commit(facts);
        }
    }

    /// The entities of a placed chain from the start on, and the answer where that is one.
    fn entities(&self, form: &Form) -> Vec<Entity> {
        let mut at = form.start;
        let mut out = vec![at];
        let last = if let Last::Value(step) = form.last { Some(step) } else { None };
        for step in form.steps.iter().copied().chain(last) {
            let key = (step.relation, at, step.detail);
            let found = self.placed.iter().find(|fact| fact.key() == key).map(|fact| fact.value);
            let Some(Value::Entity(next)) = found else { break };
            out.push(next);
            at = next;
        }
        out
    }

    /// Four options that the document names in the same role, the answer among them.
    pub(super) fn options(&mut self, question: usize) -> Result<(), WorldError> {
        let form = self.questions[question].form.clone();
        let Last::Value(step) = form.last else { return Ok(()) };
        let avoid = self.entities(&form);
        let subject = avoid[form.steps.len()];
        let said = |fact: &Fact| if step.price { fact.price.to_string() } else { fact.value.to_string() };
        let key = (step.relation, subject, step.detail);
        let Some(answer) = self.placed.iter().find(|fact| fact.key() == key).map(said) else { return Ok(()) };
        let mut others = Vec::new();
        for _ in 0..TRIES {
            others = self.placed.iter().filter(|fact| fact.relation == step.relation).map(said).collect();
            others.sort_unstable();
            others.dedup();
            others.retain(|other| *other != answer);
            if others.len() >= language::LETTERS.len() - 1 {
                break;
            }
            let other = self.names.draw(step.relation.subject(), &mut self.random);
            let fact = self.fact(step.relation, other, step.detail, &avoid);
            if self.free(&fact) && !avoid.contains(&other) {
                self.commit(vec![fact]);
            }
        }
        if others.len() < language::LETTERS.len() - 1 {
            return Err(WorldError::Full { task: Task::MultipleChoice.name() });
        }
        self.random.shuffle(&mut others);
        others.truncate(language::LETTERS.len() - 1);
        others.insert(self.random.below(language::LETTERS.len()), answer);
        self.questions[question].options = others;
        Ok(())
    }
}
