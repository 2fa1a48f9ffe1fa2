//! The checks that ask a model: whether a question can be answered without its documents, with them alone, and among others.

use std::str::FromStr;

use agent::together;
use data::{ChatError, ChatModel, ChatReply, ChatRequest, Check, Message, Sampling, Transcript};
use reward::Rule;
use serde::Deserialize;

use crate::candidate::{Candidate, Reject};
use crate::checks::MODEL_CHECKS;
use crate::context::{Context, closed};

/// How often and how long a model may try.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrialSettings {
    /// Tries without any document; a question that one of them gets right is dropped. At least four, 0 leaves the check out.
    pub closed_book: usize,
    /// Tries with the documents that the answer follows from, and as many in each whole context (k of pass@k).
    pub tries: usize,
    /// Tokens of a reply.
    pub reply: usize,
}

impl Default for TrialSettings {
    fn default() -> Self {
        Self { closed_book: 4, tries: 4, reply: 512 }
    }
}

impl TrialSettings {
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), String> {
        match (self.closed_book, self.tries, self.reply) {
            (1..=3, ..) => Err("closed_book is 0 or at least 4: fewer tries miss what a model knows".into()),
            (_, 0, _) => Err("tries = 0: without one nothing is known".into()),
            (.., 0) => Err("reply = 0 leaves no room for an answer".into()),
            _ => Ok(()),
        }
    }
}

/// Why a candidate is no row.
#[derive(Clone, Debug, PartialEq)]
pub enum TrialError {
    /// It failed a check.
    Reject(Reject),
    /// The model gave no reply: down, over budget, or the prompt too long for its window.
    Model(ChatError),
}

/// A model that tries questions.
pub struct Trial<'a> {
    /// Asked through its cache, so that no call is made twice.
    pub model: &'a dyn ChatModel,
    /// How often.
    pub settings: &'a TrialSettings,
    /// The key of a call in the run's cache.
    pub key: &'a (dyn Fn(&ChatRequest) -> String + Sync),
    /// Told of every reply, with the check that it is for.
    pub on: &'a (dyn Fn(&'static str, &ChatRequest, &ChatReply) + Sync),
}

impl Trial<'_> {
    /// Tries a candidate, in this order; what fails ends it:
    ///
    /// - `closed_book`: the question alone. Dropped if any reply is right (§3.3: what a model knows trains no reading).
    /// - `with_evidence`: the documents it follows from and no others. Dropped if no reply is right.
    /// - `robust`: each whole context. Dropped if in one of them no reply is right: distractors made it another question.
    /// - `difficulty`: the share of right replies in whole contexts, recorded.
    ///
    /// Each leaves its record and its transcripts in the derivation. `evidence` has the gold documents alone, `contexts` the whole ones.
    pub async fn run(&self, candidate: &mut Candidate, evidence: &Context, contexts: &[&Context]) -> Result<(), TrialError> {
        let rule = Rule::from_str(&candidate.rule).map_err(|error| reject("format", error.to_string()))?;
        candidate.derivation.checks.retain(|check| !MODEL_CHECKS.contains(&check.name.as_str()));
        if self.settings.closed_book > 0 {
            let right = self.ask("closed_book", &closed(candidate), self.settings.closed_book, rule, candidate).await?;
            let said = format!("{right} of {} right", self.settings.closed_book);
            if right > 0 {
                return Err(reject("closed_book", format!("known without the documents: {said}")));
            }
            passed(candidate, "closed_book", said);
        } else {
            candidate.derivation.checks.push(Check { name: "closed_book".into(), passed: None, detail: "it was not asked for".into() });
        }
        let tries = self.settings.tries;
        let right = self.ask("with_evidence", &evidence.prompt, tries, rule, candidate).await?;
        if right == 0 {
            return Err(reject("with_evidence", format!("0 of {tries} right with its own documents")));
        }
        passed(candidate, "with_evidence", format!("{right} of {tries} right"));
        let mut all = 0;
        for context in contexts {
            let right = self.ask("robust", &context.prompt, tries, rule, candidate).await?;
            if right == 0 {
                return Err(reject("robust", format!("0 of {tries} right among other documents, {} tokens", context.tokens)));
            }
            all += right;
        }
        let lengths: Vec<String> = contexts.iter().map(|context| context.tokens.to_string()).collect();
        passed(candidate, "robust", format!("right at {} tokens", lengths.join(" and ")));
        let share = all as f64 / (tries * contexts.len()).max(1) as f64;
        passed(candidate, "difficulty", format!("{all} of {} right in whole contexts ({share:.2})", tries * contexts.len()));
        Ok(())
    }

    /// How many of so many replies are right. They are asked for at once: a prompt is computed once for all.
    async fn ask(
        &self,
        role: &'static str,
        prompt: &str,
        tries: usize,
        rule: Rule,
        candidate: &mut Candidate,
    ) -> Result<usize, TrialError> {
        let requests: Vec<ChatRequest> = (0..tries as u64).map(|seed| attempt(prompt, seed, self.settings.reply)).collect();
        let mut sinks: Vec<_> = requests.iter().map(|_| |_: &str| {}).collect();
        let calls = requests.iter().zip(&mut sinks).map(|(request, sink)| self.model.chat(request, sink)).collect();
        let mut right = 0;
        for (request, reply) in requests.iter().zip(together(calls).await) {
            let reply: ChatReply = reply.map_err(TrialError::Model)?;
            (self.on)(role, request, &reply);
            right += usize::from(is_right(rule, &reply.text, &candidate.answers));
            candidate.derivation.transcripts.push(Transcript { role: role.into(), call: (self.key)(request), reply: reply.text });
        }
        Ok(right)
    }
}

/// The call of one try: its number is its seed.
pub fn attempt(prompt: &str, number: u64, reply: usize) -> ChatRequest {
    ChatRequest::new(vec![Message::user(prompt)], Sampling { seed: number, ..Sampling::PAPER }, reply)
}

/// Whether a try's reply counts as right.
pub fn is_right(rule: Rule, reply: &str, answers: &[String]) -> bool {
    rule.score(reply, answers) > 0.5
}

fn reject(check: &'static str, reason: String) -> TrialError {
    TrialError::Reject(Reject { check, reason })
}

fn passed(candidate: &mut Candidate, name: &str, detail: String) {
    candidate.derivation.checks.push(Check { name: name.into(), passed: Some(true), detail });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::tests::{candidate, source};
    use crate::context::{Shelf, assemble, evidence};
    use data::{BoxFuture, OnToken, StopReason, Usage};
    use std::sync::Mutex;
    use tokenizer::Tokenizer;
    use world::Random;

    /// Answers rightly as often as it is told, for each kind of prompt: without documents, with few, with many.
    struct Script {
        right: [usize; 3],
        asked: Mutex<Vec<usize>>,
    }

    impl ChatModel for Script {
        fn name(&self) -> String {
            "script".into()
        }
        fn window(&self) -> usize {
            10_000
        }
        fn count_prompt(&self, _: &[Message]) -> Result<usize, ChatError> {
            Ok(0)
        }
        fn chat<'a>(&'a self, request: &'a ChatRequest, _: OnToken<'a>) -> BoxFuture<'a, Result<ChatReply, ChatError>> {
            Box::pin(async move {
                let kind = match request.messages[0].content.matches("\nDoc ").count() {
                    0 => 0,
                    1 | 2 => 1,
                    _ => 2,
                };
                self.asked.lock().unwrap().push(kind);
                if self.right[kind] == usize::MAX {
                    return Err(ChatError::Failed("it is down".into()));
                }
                let answer = if request.sampling.seed < self.right[kind] as u64 { "Santiago" } else { "Lima" };
                let text = format!("Therefore, the answer is ({answer}).");
                Ok(ChatReply { text, token_ids: Vec::new(), logprobs: Vec::new(), stop: StopReason::Eos, usage: Usage::default() })
            })
        }
    }

    fn tried(right: [usize; 3], settings: &TrialSettings) -> (Result<(), TrialError>, Vec<usize>, Candidate) {
        let sources: Vec<_> = (0..30).map(|at| source(&format!("d{at}"), &format!("T{at}"), &"a river ".repeat(20))).collect();
        let tokenizer = Tokenizer::approximate();
        let shelf = Shelf::new(&sources, &tokenizer).unwrap();
        let mut candidate = candidate(&["d3"], "What is the capital?", "Santiago");
        let whole = assemble(&candidate, &shelf, 600, &mut Random::new(&[1])).unwrap();
        let own = evidence(&candidate, &shelf).unwrap();
        assert!(own.parts.len() == 1 && own.parts[0].gold && own.prompt.contains("Doc 1: T3\n"));
        let script = Script { right, asked: Mutex::default() };
        let key = |request: &ChatRequest| format!("key {}", request.sampling.seed);
        let trial = Trial { model: &script, settings, key: &key, on: &|_, _, _| {} };
        let outcome = pollster::block_on(trial.run(&mut candidate, &own, &[&whole, &whole]));
        (outcome, script.asked.into_inner().unwrap(), candidate)
    }

    #[test]
    fn a_question_is_kept_only_if_documents_are_needed_and_enough() {
        let settings = TrialSettings::default();
        let rejected = |right, check: &str, calls: usize| {
            let (outcome, asked, _) = tried(right, &settings);
            let Err(TrialError::Reject(reject)) = outcome else { panic!("{outcome:?}") };
            assert_eq!((reject.check, asked.len()), (check, calls), "{}", reject.reason);
        };
        rejected([1, 4, 4], "closed_book", 4);
        rejected([0, 0, 4], "with_evidence", 8);
        rejected([0, 4, 0], "robust", 12);
        let (outcome, asked, candidate) = tried([0, 4, 2], &settings);
        outcome.unwrap();
        assert_eq!(asked, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2]);
        let derivation = &candidate.derivation;
        let said: Vec<_> = derivation.checks.iter().map(|check| (check.name.as_str(), check.passed, check.detail.as_str())).collect();
        assert_eq!(said[0], ("closed_book", Some(true), "0 of 4 right"));
        assert_eq!(said[1], ("with_evidence", Some(true), "4 of 4 right"));
        assert_eq!(said[3], ("difficulty", Some(true), "4 of 8 right in whole contexts (0.50)"));
        assert_eq!((derivation.transcripts.len(), derivation.transcripts[5].call.as_str()), (16, "key 1"));
        // Left out, it says so; a model that gives no reply ends it.
        let (outcome, asked, candidate) = tried([4, 1, 1], &TrialSettings { closed_book: 0, ..settings.clone() });
        assert!(outcome.is_ok() && asked.len() == 12 && candidate.derivation.checks[0].passed.is_none());
        assert_eq!(tried([usize::MAX, 1, 1], &settings).0, Err(TrialError::Model(ChatError::Failed("it is down".into()))));
    }

    #[test]
    fn too_few_tries_are_refused() {
        let settings = TrialSettings { closed_book: 4, tries: 2, reply: 100 };
        assert_eq!(settings.check(), Ok(()));
        assert!(TrialSettings { closed_book: 3, ..settings.clone() }.check().is_err());
        assert!(TrialSettings { tries: 0, ..settings }.check().is_err());
    }
}
