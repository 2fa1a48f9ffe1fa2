//! Tables and questions, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use data::{Cell, Check, Column, Derivation, Engine, Fact, Table};
use world::Random;

use super::fields::{self, Field, Kind, Pick};
use super::templates::{Answer, Draft, Need, TEMPLATES, Template};
use super::view::{Asked, View, reject};
use super::{TableSettings, answer, derive, mutated, number_cell, say};
use crate::candidate::{Candidate, Reject};
use crate::corpus::Source;
use crate::sql::run;

/// Tries for each question that is asked for.
pub const TRIES: usize = 30;
/// Numbers of one table are at most this many times smaller or larger than one of them: what is added up should matter.
const SPREAD: f64 = 8.0;
/// How often a further column is one of the same heading.
const RELATED: f64 = 0.6;
/// What a cell is multiplied by, or divided by, to see whether the answer depends on it.
const FACTOR: f64 = 3.0;
/// The share of questions that may have the same answer.
const SAME: usize = 25;

pub struct Maker<'a> {
    sources: &'a [Source],
    facts: &'a [Vec<Fact>],
    settings: &'a TableSettings,
    fields: Vec<Field>,
    /// (field, later year, earlier year).
    years: Vec<(usize, i32, i32)>,
    questions: BTreeSet<String>,
    answers: BTreeMap<String, usize>,
}

/// A column that was drawn: the field, and which figure of it.
type Drawn = (usize, Pick);

impl<'a> Maker<'a> {
    pub fn new(sources: &'a [Source], facts: &'a [Vec<Fact>], settings: &'a TableSettings) -> Result<Self, Reject> {
        let least = settings.rows.0.max(3);
        let fields = fields::find(sources, facts, least);
        if fields.is_empty() {
            let documents = facts.iter().filter(|facts| !facts.is_empty()).count();
            return Err(reject(
                "fields",
                format!("no relation is a single number in at least {least} documents, of {documents} with facts"),
            ));
        }
        let mut years = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            let mut pairs: BTreeMap<(i32, i32), usize> = BTreeMap::new();
            for (_, figures) in field.values.values() {
                let dated: Vec<i32> = figures.iter().filter_map(|figure| figure.year).collect();
                for (later, year) in dated.iter().enumerate() {
                    dated[later + 1..].iter().for_each(|earlier| *pairs.entry((*year, *earlier)).or_default() += 1);
                }
            }
            years.extend(pairs.into_iter().filter(|(_, count)| *count >= least).map(|((later, earlier), _)| (at, later, earlier)));
        }
        Ok(Self { sources, facts, settings, fields, years, questions: BTreeSet::new(), answers: BTreeMap::new() })
    }

    /// One question, if this draw gives one.
    pub fn one(&mut self, random: &mut Random) -> Result<Candidate, Reject> {
        let mut ticket = random.below(TEMPLATES.iter().map(|template| template.weight).sum());
        let template = TEMPLATES.iter().find(|template| {
            let found = ticket < template.weight;
            ticket = ticket.saturating_sub(template.weight);
            found
        });
        let template = template.ok_or_else(|| reject("rows", "there is no template".into()))?;
        let columns = self.columns(template, random)?;
        let documents = self.documents(template, &columns, random)?;
        let table = self.table(&columns, &documents);
        let fields = columns.iter().enumerate().map(|(at, drawn)| self.asked(*drawn, &table, at + 1)).collect();
        let mut view = View { names: documents.iter().map(|at| self.sources[*at].subject().to_string()).collect(), fields, random };
        let draft = (template.write)(&mut view)?;
        let (intro, names) = (view.random.below(3), say::list(&view.names));
        self.finish(template, draft, table, &columns, &documents, intro, &names)
    }

    /// Different fields as the template needs them.
    fn columns(&self, template: &Template, random: &mut Random) -> Result<Vec<Drawn>, Reject> {
        let mut drawn: Vec<Drawn> = Vec::new();
        for need in template.needs {
            let choices: Vec<Vec<Drawn>> = match need {
                Need::Years | Need::YearsAmount => {
                    let fits = |field: &Field| field.kind == Kind::Amount || *need == Need::Years;
                    let years = self.years.iter().filter(|(at, ..)| fits(&self.fields[*at]));
                    years.map(|(at, later, earlier)| vec![(*at, Pick::Year(*later)), (*at, Pick::Year(*earlier))]).collect()
                }
                need => {
                    let fits = |field: &Field| match need {
                        Need::Amount => field.kind == Kind::Amount,
                        Need::When => field.kind == Kind::When,
                        _ => field.kind != Kind::When,
                    };
                    (0..self.fields.len()).filter(|at| fits(&self.fields[*at])).map(|at| vec![(at, Pick::Newest)]).collect()
                }
            };
            if choices.is_empty() {
                return Err(reject("fields", format!("no column for `{}`", template.name)));
            }
            // Mostly of the same part of the documents as the first: what has to do with it.
            let heading = |at: usize| self.fields[at].heading();
            let same = |choice: &&Vec<Drawn>| drawn.first().is_some_and(|first| heading(first.0) == heading(choice[0].0));
            let related: Vec<&Vec<Drawn>> = choices.iter().filter(same).collect();
            let choice = if related.len() > 2 && random.chance(RELATED) {
                related[random.below(related.len())]
            } else {
                &choices[random.below(choices.len())]
            };
            drawn.extend(choice);
        }
        let names: BTreeSet<String> = drawn.iter().map(|(at, pick)| self.fields[*at].column(*pick)).collect();
        if names.len() < drawn.len() { Err(reject("columns", "two columns are the same".into())) } else { Ok(drawn) }
    }

    /// Documents that have all the columns, with numbers of the first column that are not too far apart.
    fn documents(&self, template: &Template, columns: &[Drawn], random: &mut Random) -> Result<Vec<usize>, Reject> {
        let (least, most) = match template.rows {
            (least, Some(most)) => (least, most),
            (least, None) => (least.max(self.settings.rows.0), self.settings.rows.1),
        };
        let many = random.between(least, most.max(least));
        let complete = |document: &usize| columns.iter().all(|(at, pick)| self.fields[*at].figure(*document, *pick).is_some());
        let (first, pick) = columns[0];
        let mut rest: Vec<usize> = self.fields[first].values.keys().copied().filter(complete).collect();
        random.shuffle(&mut rest);
        let number = |document: usize| self.fields[first].figure(document, pick).map_or(0.0, |(_, number)| number);
        let Some(middle) = rest.first().map(|document| number(*document)) else {
            return Err(reject("few_documents", "no document has all the columns".into()));
        };
        let near = |document: &usize| middle <= 0.0 || (middle / SPREAD..=middle * SPREAD).contains(&number(*document));
        let (mut chosen, mut tokens): (Vec<usize>, usize) = (Vec::new(), 0);
        for document in rest.into_iter().filter(near) {
            if chosen.len() == many {
                break;
            }
            let source = &self.sources[document];
            let fits = self.settings.tokens == 0 || tokens.saturating_add(source.tokens) <= self.settings.tokens;
            // One title inside another makes an answer that looks right and is not.
            let told_apart = chosen.iter().all(|other| !alike(self.sources[*other].subject(), source.subject()));
            if fits && told_apart {
                tokens += source.tokens;
                chosen.push(document);
            }
        }
        if chosen.len() < least {
            return Err(reject(
                "few_documents",
                format!("{} documents have the columns, fit in and can be told apart, and {least} are needed", chosen.len()),
            ));
        }
        Ok(chosen)
    }

    fn table(&self, columns: &[Drawn], documents: &[usize]) -> Table {
        let title = Column { name: "name".into(), relation: String::new(), unit: String::new() };
        let others = columns.iter().map(|(at, pick)| {
            let field = &self.fields[*at];
            Column { name: field.column(*pick), relation: field.relation.clone(), unit: field.unit.clone() }
        });
        let row = |document: usize| {
            let name = Cell { value: self.sources[document].subject().into(), fact: String::new() };
            let cells = columns.iter().map(move |(at, pick)| match self.fields[*at].figure(document, *pick) {
                Some((fact, number)) => Cell { value: number_cell(number), fact: self.facts[document][fact].id.clone() },
                None => Cell { value: serde_json::Value::Null, fact: String::new() },
            });
            std::iter::once(name).chain(cells).collect()
        };
        Table { columns: std::iter::once(title).chain(others).collect(), rows: documents.iter().map(|document| row(*document)).collect() }
    }

    fn asked(&self, (at, pick): Drawn, table: &Table, column: usize) -> Asked {
        let field = &self.fields[at];
        let label = match pick {
            Pick::Newest => format!("“{}”", field.label),
            Pick::Year(year) => format!("“{}” for {year}", field.label),
        };
        let values = table.rows.iter().map(|row| row[column].value.as_f64().unwrap_or(0.0)).collect();
        Asked { column: table.columns[column].name.clone(), label, unit: field.unit.clone(), kind: field.kind, values }
    }

    fn finish(
        &mut self,
        template: &Template,
        draft: Draft,
        table: Table,
        columns: &[Drawn],
        documents: &[usize],
        intro: usize,
        names: &str,
    ) -> Result<Candidate, Reject> {
        let failed = |error: crate::sql::SqlError| reject("sql", error.to_string());
        let result = run(&table, &draft.sql).map_err(failed)?;
        let said = answer(&result).map_err(failed)?;
        if said == "0" {
            return Err(reject("trivial", "the answer is 0".into()));
        }
        for (row, field) in &draft.support {
            let changes = |factor: f64| derive(&mutated(&table, *row, field + 1, factor), &draft.sql).is_ok_and(|other| other != said);
            if !changes(FACTOR) && !changes(1.0 / FACTOR) {
                return Err(reject("insensitive", format!("`{}` stays {said} whatever one of its numbers is", template.name)));
            }
        }
        let allowed = (self.settings.count / SAME).max(1);
        if self.answers.get(&said).is_some_and(|count| *count >= allowed) {
            return Err(reject("common_answer", format!("{said} is the answer of {allowed} others")));
        }
        let several = columns
            .iter()
            .any(|(at, pick)| *pick == Pick::Newest && documents.iter().any(|document| self.fields[*at].values[document].1.len() > 1));
        let question = question(&draft, intro, names, several);
        if !self.questions.insert(question.clone()) {
            return Err(reject("repeated", "the question was asked before".into()));
        }
        *self.answers.entry(said.clone()).or_default() += 1;
        let level = format!("template {}, {}; each of {} cells changes the answer", template.name, template.level, draft.support.len());
        let derivation = Derivation {
            version: 1,
            engine: Engine::Table,
            paradigm: template.paradigm.into(),
            facts: self.used(&draft, &table, documents),
            edges: Vec::new(),
            walk: Vec::new(),
            obfuscation: Vec::new(),
            table: Some(table),
            sql: Some(draft.sql),
            result: Some(result),
            checks: vec![Check { name: "sensitive".into(), passed: Some(true), detail: level }],
            transcripts: Vec::new(),
        };
        let (rule, answers) = scored(&draft.answer, said, &derivation);
        Ok(Candidate {
            task: "numeric".into(),
            question,
            answers,
            rule: rule.into(),
            hops: documents.len().min(4) as u8,
            gold: documents.iter().map(|document| self.sources[*document].document.id.clone()).collect(),
            never: Vec::new(),
            own: String::new(),
            derivation,
        })
    }

    /// The facts of all cells, each once; first those of the cells that the answer is computed from.
    fn used(&self, draft: &Draft, table: &Table, documents: &[usize]) -> Vec<Fact> {
        let all = (0..table.rows.len()).flat_map(|row| (1..table.columns.len()).map(move |column| (row, column)));
        let cells = draft.support.iter().map(|(row, field)| (*row, field + 1)).chain(all);
        let mut seen = BTreeSet::new();
        cells
            .filter_map(|(row, column)| {
                let id = &table.rows[row][column].fact;
                seen.insert(id.clone()).then(|| self.facts[documents[row]].iter().find(|fact| fact.id == *id).cloned())?
            })
            .collect()
    }
}

/// The whole question: which documents, what, and in which form.
fn question(draft: &Draft, intro: usize, names: &str, several: bool) -> String {
    let intro = match intro {
        0 => format!("Consider only the documents titled {names}."),
        1 => format!("Look only at these documents: {names}."),
        _ => format!("Use only these documents and no others: {names}."),
    };
    let newest = if several { " Where a document gives figures for several years, take the latest." } else { "" };
    let form = match &draft.answer {
        Answer::Number(unit) if unit.is_empty() => "Answer with a number, to four significant digits.".to_string(),
        Answer::Number(unit) => format!("Answer in {unit}, to four significant digits."),
        Answer::Count => "Answer with a whole number.".to_string(),
        Answer::Years => "Answer with the number of years.".to_string(),
        Answer::Name => "Answer with the title of the document.".to_string(),
        Answer::Names => "Answer with their titles in this order, separated by commas.".to_string(),
    };
    format!("{intro} {}{newest} {form}", draft.ask)
}

/// The reward's rule, and all spellings of the answer.
fn scored(answer: &Answer, said: String, derivation: &Derivation) -> (&'static str, Vec<String>) {
    let first = derivation.result.iter().flatten().flatten().next().cloned().unwrap_or_default();
    let mut answers = vec![said];
    let rule = match answer {
        Answer::Number(_) => {
            answers.extend(first.as_f64().map(say::plain));
            "numeric"
        }
        Answer::Count | Answer::Years => "numeric:abs:0",
        Answer::Name => "contain",
        Answer::Names => {
            let names: Vec<&str> = derivation.result.iter().flatten().flatten().filter_map(|name| name.as_str()).collect();
            match names.as_slice() {
                [] => answers.push("[]".into()),
                [_] => {}
                [first @ .., last] => answers.push(format!("{} and {last}", first.join(", "))),
            }
            "contain"
        }
    };
    answers.dedup();
    (rule, answers)
}

/// Whether the words of one title stand in the other.
fn alike(one: &str, other: &str) -> bool {
    let words =
        |text: &str| text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).map(str::to_lowercase).collect::<Vec<_>>();
    let (one, other) = (words(one), words(other));
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    short.is_empty() || long.windows(short.len()).any(|window| window == short)
}
