//! The calls: documents in groups that are asked at once, malformed replies once more.

use std::collections::BTreeMap;

use agent::together;
use data::{ChatError, ChatReply, ChatRequest};

use super::place::Text;
use super::prompt::{self, Prompt};
use super::reply::{self, Dropped, Field, Said};
use super::settle::{Raw, settle};
use super::{Extracted, Extractor, MAX_FIELDS};
use crate::corpus::Source;
use crate::estimate::{Load, Size};

/// Documents that are asked at once.
const AT_ONCE: usize = 16;
/// Documents whose beginnings a schema is proposed from, and tokens of each.
const SAMPLE: usize = 6;
const BEGINNING: usize = 2_000;
/// A table needs that many documents.
const LEAST: usize = 3;

/// A document's place among the sources, and the number of the group that it makes a table with, if it does.
type Asked = (usize, Option<usize>);

/// One call that is to be made.
struct Call<'a> {
    document: usize,
    what: What<'a>,
    prompt: Prompt,
    /// The first and the second seed.
    seeds: (u64, u64),
}

#[derive(Clone, Copy)]
enum What<'a> {
    Facts,
    /// A try at these fields.
    Fields(&'a [Field]),
}

impl What<'_> {
    fn role(&self) -> &'static str {
        match self {
            Self::Facts => "facts",
            Self::Fields(_) => "fields",
        }
    }
}

/// A call's key, and what its reply says of each field.
type Try = (String, Vec<Option<Said>>);

/// The fields of a group's table; none where there is no table.
fn of_table(tables: &BTreeMap<usize, Vec<Field>>, group: Option<usize>) -> &[Field] {
    group.and_then(|group| tables.get(&group)).map(Vec::as_slice).unwrap_or_default()
}

/// What is collected on the way.
#[derive(Default)]
struct Found {
    raw: BTreeMap<usize, Vec<Raw>>,
    /// By document: the tries at its fields, each with its call.
    tries: BTreeMap<usize, Vec<Try>>,
    out: Extracted,
}

impl Found {
    fn drop(&mut self, why: &'static str, count: usize) {
        *self.out.report.dropped.entry(why).or_default() += count;
    }

    fn drop_all(&mut self, dropped: Dropped) {
        dropped.into_iter().for_each(|(why, count)| self.drop(why, count));
    }
}

impl Extractor<'_> {
    /// Asks these documents, each given by its place among the sources and the number of the group that it makes a table with, if any.
    /// `on` is told how many documents are done. The same replies give the same facts, in whatever order they come.
    ///
    /// # Errors
    /// A call that gets no reply; what was asked before is in the cache.
    pub async fn run(&self, sources: &[Source], asked: &[Asked], on: &mut dyn FnMut(usize)) -> Result<Extracted, ChatError> {
        let mut found = Found::default();
        let tables = self.tables(sources, asked, &mut found).await?;
        found.out.report.tables =
            tables.iter().map(|(group, fields)| (*group, fields.iter().map(|field| field.name.clone()).collect())).collect();
        let mut done = 0;
        for some in asked.chunks(AT_ONCE) {
            let mut calls = Vec::new();
            for (document, group) in some {
                let Some(source) = sources.get(*document) else { continue };
                let fields = of_table(&tables, *group);
                let (mut own, fits) = (self.calls(source, *document, fields), |call: &Call| self.fits(source, &call.prompt));
                if own.iter().map(fits).collect::<Result<Vec<_>, _>>()?.contains(&false) {
                    found.out.report.too_long += 1;
                    continue;
                }
                found.out.report.documents += 1;
                calls.append(&mut own);
            }
            self.round(sources, calls, &mut found).await?;
            done += some.len();
            on(done);
        }
        for (document, tries) in std::mem::take(&mut found.tries) {
            let group = asked.iter().find(|(other, _)| *other == document).and_then(|(_, group)| *group);
            self.vote(document, sources[document].subject(), of_table(&tables, group), &tries, &mut found);
        }
        let (facts, repeated) = settle(sources, std::mem::take(&mut found.raw));
        if repeated > 0 {
            found.drop("repeated", repeated);
        }
        let mut out = found.out;
        out.report.facts = facts.values().map(Vec::len).sum();
        out.facts = facts;
        Ok(out)
    }

    /// What it takes if no reply is malformed, by what it is for, from the prompts themselves. `known` are the names of groups' fields where
    /// the settings give none but an earlier run does; of a table without either as if it had as many as it may. No call is made: of the
    /// model only its window counts.
    ///
    /// # Errors
    /// A tokenizer that cannot read a title.
    pub fn cost(
        &self,
        sources: &[Source],
        asked: &[Asked],
        known: &BTreeMap<usize, Vec<String>>,
    ) -> Result<BTreeMap<&'static str, Load>, ChatError> {
        let mut cost: BTreeMap<&'static str, Load> = BTreeMap::new();
        let mut add = |role: &'static str, size: Size| cost.entry(role).or_default().add(1.0, size);
        let mut tables = BTreeMap::new();
        for (group, members) in self.groups(asked) {
            let fields = match self.given() {
                Some(fields) => fields,
                None => {
                    let (sample, prompt) = self.sample(sources, &members);
                    let ask = prompt.size(self.tokenizer).map_err(|error| ChatError::Invalid(error.to_string()))?;
                    add("schema", Size { bytes: sample.len() + ask.bytes, tokens: self.count(&sample)? + ask.tokens });
                    let most = || (0..MAX_FIELDS).map(|at| format!("the name of field {at}")).collect();
                    let names = known.get(&group).cloned().unwrap_or_else(most);
                    names.into_iter().map(|name| Field { name, kind: "number".into() }).collect()
                }
            };
            tables.insert(group, fields);
        }
        for (document, group) in asked {
            let Some(source) = sources.get(*document) else { continue };
            let fields = of_table(&tables, *group);
            let calls = self.calls(source, *document, fields);
            let sizes = calls.iter().map(|call| Ok((call.what.role(), self.size(source, &call.prompt)?)));
            let sizes = sizes.collect::<Result<Vec<_>, ChatError>>()?;
            if sizes.iter().all(|(_, size)| size.tokens.saturating_add(self.settings.reply) <= self.model.window()) {
                sizes.into_iter().for_each(|(role, size)| add(role, size));
            }
        }
        Ok(cost)
    }

    /// The fields of each group's table.
    async fn tables(&self, sources: &[Source], asked: &[Asked], found: &mut Found) -> Result<BTreeMap<usize, Vec<Field>>, ChatError> {
        let mut tables = BTreeMap::new();
        for (group, members) in self.groups(asked) {
            if let Some(fields) = self.given() {
                tables.insert(group, fields);
                continue;
            }
            let (sample, prompt) = self.sample(sources, &members);
            let mut fields = None;
            for seed in 0..2 {
                let request = prompt.request(&sample, seed, self.settings.reply, self.schema);
                found.out.report.calls += 1;
                let reply = self.model.chat(&request, &mut |_: &str| {}).await?;
                (self.on)("schema", &request, &reply);
                fields = reply::schema(&reply.text, MAX_FIELDS);
                if fields.is_some() {
                    break;
                }
                found.out.report.malformed += 1;
            }
            if fields.is_none() {
                found.drop("no_reply", 1);
            }
            tables.insert(group, fields.unwrap_or_default());
        }
        Ok(tables)
    }

    /// The documents of each group that may have a table.
    fn groups(&self, asked: &[Asked]) -> BTreeMap<usize, Vec<usize>> {
        let mut groups: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (document, group) in asked.iter().filter(|_| self.settings.table) {
            group.map(|group| groups.entry(group).or_default().push(*document));
        }
        groups.retain(|_, members| members.len() >= LEAST);
        groups
    }

    /// The fields that the settings name.
    fn given(&self) -> Option<Vec<Field>> {
        let field = |name: &String| Field { name: super::place::one_line(name), kind: String::new() };
        (!self.settings.fields.is_empty()).then(|| self.settings.fields.iter().map(field).collect())
    }

    /// Beginnings of documents from all over a group, and what is asked of them.
    fn sample(&self, sources: &[Source], members: &[usize]) -> (String, Prompt) {
        let count = members.len().min(SAMPLE);
        let prompt = Prompt::schema(count, MAX_FIELDS);
        // Room for the reply, for what is asked and for titles.
        let room = self.model.window().saturating_sub(self.settings.reply + 1_000) / count.max(1);
        let chosen = (0..count).filter_map(|at| sources.get(members[at * members.len() / count]));
        let beginnings: Vec<String> = chosen.map(|source| prompt::beginning(source, room.min(BEGINNING))).collect();
        (beginnings.join("\n\n---\n\n"), prompt)
    }

    /// All calls about a document.
    fn calls<'a>(&self, source: &Source, document: usize, fields: &'a [Field]) -> Vec<Call<'a>> {
        let (title, mut calls) = (source.subject(), Vec::new());
        if self.settings.facts {
            calls.push(Call { document, what: What::Facts, prompt: Prompt::facts(title, self.settings), seeds: (0, 1) });
        }
        for seed in (0..self.settings.tries as u64).filter(|_| !fields.is_empty()) {
            let seeds = (seed, seed + self.settings.tries as u64);
            calls.push(Call { document, what: What::Fields(fields), prompt: Prompt::fields(title, fields), seeds });
        }
        calls
    }

    fn count(&self, text: &str) -> Result<usize, ChatError> {
        self.tokenizer.count(text).map_err(|error| ChatError::Invalid(error.to_string()))
    }

    /// A prompt about a document.
    fn size(&self, source: &Source, prompt: &Prompt) -> Result<Size, ChatError> {
        let ask = prompt.size(self.tokenizer).map_err(|error| ChatError::Invalid(error.to_string()))?;
        let head = prompt::head(&source.title);
        let bytes = source.document.text.len() + head.len() + ask.bytes;
        Ok(Size { bytes, tokens: source.tokens + self.count(&head)? + ask.tokens })
    }

    fn fits(&self, source: &Source, prompt: &Prompt) -> Result<bool, ChatError> {
        Ok(self.size(source, prompt)?.tokens.saturating_add(self.settings.reply) <= self.model.window())
    }

    /// Makes calls at once, and those again whose replies are malformed.
    async fn round(&self, sources: &[Source], mut calls: Vec<Call<'_>>, found: &mut Found) -> Result<(), ChatError> {
        for again in [false, true] {
            let request = |call: &Call| {
                let seed = if again { call.seeds.1 } else { call.seeds.0 };
                call.prompt.request(&prompt::document(&sources[call.document]), seed, self.settings.reply, self.schema)
            };
            let requests: Vec<ChatRequest> = calls.iter().map(request).collect();
            let mut sinks: Vec<_> = requests.iter().map(|_| |_: &str| {}).collect();
            let replies = together(requests.iter().zip(&mut sinks).map(|(request, sink)| self.model.chat(request, sink)).collect()).await;
            found.out.report.calls += requests.len();
            let mut left = Vec::new();
            for ((call, request), reply) in calls.into_iter().zip(&requests).zip(replies) {
                let reply: ChatReply = reply?;
                (self.on)(call.what.role(), request, &reply);
                if !self.take(&call, (self.key)(request), &reply.text, &sources[call.document], found) {
                    left.push(call);
                }
            }
            found.out.report.malformed += left.len();
            calls = left;
            if calls.is_empty() {
                return Ok(());
            }
        }
        found.drop("no_reply", calls.len());
        Ok(())
    }

    /// Whether a reply is what was asked for; what it says is found then.
    fn take(&self, call: &Call, key: String, reply: &str, source: &Source, found: &mut Found) -> bool {
        let text = Text::new(&source.document.text);
        match call.what {
            What::Facts => {
                let Some((facts, dropped)) = reply::facts(reply, &text, source.subject(), self.settings.max_facts) else { return false };
                found.drop_all(dropped);
                let raw = facts.into_iter().map(|fact| Raw {
                    subject: fact.subject,
                    relation: fact.relation,
                    at: fact.at,
                    call: key.clone(),
                    field: false,
                });
                found.raw.entry(call.document).or_default().extend(raw);
            }
            What::Fields(fields) => {
                let Some(values) = reply::values(reply, &text, fields) else { return false };
                found.tries.entry(call.document).or_default().push((key, values));
            }
        }
        true
    }

    /// The fields of a document that more than half of the tries agree on. Where one of them has no majority the document has none; a
    /// majority that says that the document does not state a field leaves that field out. A value counts where it stands in the document
    /// by the quote of one that gave it.
    fn vote(&self, document: usize, subject: &str, fields: &[Field], tries: &[Try], found: &mut Found) {
        let mut raw = Vec::new();
        for (at, field) in fields.iter().enumerate() {
            let votes: Vec<(&String, Option<&Said>)> =
                tries.iter().map(|(key, values)| (key, values.get(at).and_then(Option::as_ref))).collect();
            let same = |vote: Option<&Said>| {
                let count = votes.iter().filter(|(_, other)| other.map(|said| &said.vote) == vote.map(|said| &said.vote)).count();
                count * 2 > self.settings.tries
            };
            let Some((_, winner)) = votes.iter().find(|(_, vote)| same(*vote)) else {
                found.out.report.left_out += 1;
                return;
            };
            let Some(winner) = winner else { continue };
            let of_it = || votes.iter().filter_map(|(key, vote)| Some((*key, (*vote)?))).filter(|(_, said)| said.vote == winner.vote);
            match of_it().find_map(|(key, said)| Some((key, said.at.clone().ok()?))) {
                Some((call, at)) => {
                    raw.push(Raw { subject: subject.into(), relation: field.name.clone(), at, call: call.clone(), field: true })
                }
                None => found.drop(of_it().find_map(|(_, said)| said.at.clone().err()).unwrap_or("value"), 1),
            }
        }
        found.out.report.fields += raw.len();
        found.raw.entry(document).or_default().extend(raw);
    }
}
