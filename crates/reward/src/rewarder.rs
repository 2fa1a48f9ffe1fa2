use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use data::ChatModel;

use crate::judge::{self, Verdict};
use crate::{By, Failure, Item, Rule, Scored, Source};

/// Bounds of a [`Rewarder`].
#[derive(Clone, Debug)]
pub struct RewardSettings {
    /// Longest that one process, or one request with its retries, may take. 60 s.
    pub time_limit: Duration,
    /// Rows that one process or request is given. 256.
    pub rows: usize,
    /// Rewards that a command or a server may give. [0, 1].
    pub range: RangeInclusive<f64>,
    /// What the prompt began of the reply: `<think>\n` for a template that ends so, so that a reply which never leaves its thinking
    /// has no answer. Empty.
    pub begun: String,
    /// Times a request to a server is tried again. 3.
    pub retries: u32,
    /// Questions to the judge at a time. 8.
    pub judge_at_once: usize,
    /// Longest reply of the judge, its thinking included. 1024.
    pub judge_tokens: usize,
}

impl Default for RewardSettings {
    fn default() -> Self {
        Self {
            time_limit: Duration::from_secs(60),
            rows: 256,
            range: 0.0..=1.0,
            begun: String::new(),
            retries: 3,
            judge_at_once: 8,
            judge_tokens: 1024,
        }
    }
}

/// What a [`Rewarder`] did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RewardCounts {
    /// Items scored, failures included.
    pub items: u64,
    /// Processes started and requests sent (retries not counted).
    pub calls: u64,
    /// Processes started after one that died or hung, and requests tried again.
    pub restarts: u64,
    /// Questions to the judge.
    pub judge_asked: u64,
    /// Of these, answered with yes.
    pub judge_agreed: u64,
    /// Of these, not answered, or without a verdict: the rule's score stands.
    pub judge_failed: u64,
    /// Failures by [`Failure::kind`].
    pub failures: BTreeMap<&'static str, u64>,
}

/// Scores replies.
pub struct Rewarder {
    source: Source,
    settings: RewardSettings,
    judge: Option<Arc<dyn ChatModel>>,
    counts: RewardCounts,
    /// Whether the last process died or hung.
    #[cfg_attr(target_arch = "wasm32", allow(dead_code))]
    failed: bool,
}

impl Rewarder {
    /// Rewards from `source`, without a judge.
    pub fn new(source: Source, settings: RewardSettings) -> Self {
        Self { source, settings, judge: None, counts: RewardCounts::default(), failed: false }
    }

    /// The same with a judge, asked where a rule gives less than 1; the larger of both is the reward (§4.2). It is not asked for letters,
    /// forms and MRCR, nor where rewards come from a command or a server. A judge that fails changes nothing and is counted.
    pub fn with_judge(self, judge: Arc<dyn ChatModel>) -> Self {
        Self { judge: Some(judge), ..self }
    }

    /// What was done so far.
    pub fn counts(&self) -> RewardCounts {
        self.counts.clone()
    }

    /// One result for each item, in their order.
    pub async fn score(&mut self, items: &[Item<'_>]) -> Vec<Result<Scored, Failure>> {
        let results = match self.source.clone() {
            Source::Own => self.by_rule(items, None).await,
            Source::Rule(rule) => self.by_rule(items, Some(rule)).await,
            #[cfg(not(target_arch = "wasm32"))]
            Source::Command(command) => self.outside(items, By::Command, &command).await,
            #[cfg(not(target_arch = "wasm32"))]
            Source::Server(url) => self.outside(items, By::Server, &url).await,
            #[cfg(target_arch = "wasm32")]
            Source::Command(_) | Source::Server(_) => items.iter().map(|_| Err(Failure::Browser)).collect(),
        };
        self.counts.items += items.len() as u64;
        for failure in results.iter().filter_map(|result| result.as_ref().err()) {
            *self.counts.failures.entry(failure.kind()).or_default() += 1;
        }
        results
    }

    async fn by_rule(&mut self, items: &[Item<'_>], all: Option<Rule>) -> Vec<Result<Scored, Failure>> {
        let mut results = Vec::with_capacity(items.len());
        let (mut asked, mut prompts) = (Vec::new(), Vec::new());
        for (at, item) in items.iter().enumerate() {
            let rule = all.map_or_else(|| own_rule(item), Ok);
            let score = rule.and_then(|rule| Ok((rule, rule.score_item(item, &self.settings.begun)?)));
            if self.judge.is_some()
                && let Ok((rule, reward)) = score
                && reward < 1.0
                && rule.judged()
                && let Some(prompt) = judge::prompt(item, &self.settings.begun)
            {
                asked.push(at);
                prompts.push(prompt);
            }
            results.push(score.map(|(_, reward)| Scored { reward, by: By::Rule }));
        }
        let Some(model) = self.judge.clone().filter(|_| !asked.is_empty()) else { return results };
        let verdicts = judge::ask(&*model, prompts, &self.settings).await;
        self.counts.judge_asked += asked.len() as u64;
        for (at, verdict) in asked.into_iter().zip(verdicts) {
            match verdict {
                Verdict::Same => {
                    self.counts.judge_agreed += 1;
                    results[at] = Ok(Scored { reward: 1.0, by: By::Judge });
                }
                Verdict::Different => {}
                Verdict::Unclear | Verdict::Failed => self.counts.judge_failed += 1,
            }
        }
        results
    }
}

fn own_rule(item: &Item<'_>) -> Result<Rule, Failure> {
    let name = item.rule.ok_or(Failure::NoRule)?;
    name.parse().map_err(|error: crate::UnknownRule| Failure::UnknownRule(error.to_string()))
}

#[cfg(not(target_arch = "wasm32"))]
mod outside {
    use super::*;
    use crate::exec::{self, End, Ran};
    use crate::http::{self, Trouble};
    use crate::wire::{self, Entry};

    /// Bytes after which a process or a request gets no further row.
    const MOST_BYTES: usize = 64 << 20;
    /// Processes in a row without a single reward, after which the rest of a call's rows are not tried.
    const GIVE_UP: usize = 3;

    impl Rewarder {
        /// Rewards of a command or a server; `target` is the one or the other's address.
        pub(super) async fn outside(&mut self, items: &[Item<'_>], by: By, target: &str) -> Vec<Result<Scored, Failure>> {
            let mut results = Vec::with_capacity(items.len());
            let mut in_vain = 0;
            while results.len() < items.len() {
                let (ids, rows) = self.batch(&items[results.len()..]);
                self.counts.calls += 1;
                let found = match by {
                    By::Server => self.post(target.into(), &ids, rows).await,
                    _ => self.run(target.into(), &ids, rows).await,
                };
                in_vain = if found.iter().any(Result::is_ok) { 0 } else { in_vain + 1 };
                let last = found.last().and_then(|result| result.as_ref().err()).cloned();
                results.extend(found);
                // A server has been tried several times already.
                let down = matches!(last, Some(Failure::Down(_) | Failure::NotStarted(_)));
                if let Some(failure) = last.filter(|_| in_vain == GIVE_UP || in_vain > 0 && down) {
                    results.resize(items.len(), Err(failure));
                }
            }
            results
        }

        /// Ids and rows of the next process or request; at least one.
        fn batch(&self, items: &[Item<'_>]) -> (Vec<String>, Vec<String>) {
            let (mut ids, mut rows, mut bytes) = (Vec::new(), Vec::new(), 0);
            for item in items.iter().take(self.settings.rows.max(1)) {
                let row = wire::row(item);
                bytes += row.len();
                if bytes > MOST_BYTES && !rows.is_empty() {
                    break;
                }
                ids.push(item.id.to_string());
                rows.push(row);
            }
            (ids, rows)
        }

        async fn run(&mut self, command: String, ids: &[String], rows: Vec<String>) -> Vec<Result<Scored, Failure>> {
            self.counts.restarts += u64::from(self.failed);
            let limit = self.settings.time_limit;
            let ran = on_thread(move |cancelled| exec::run(&command, rows, limit, cancelled)).await;
            let Ran { lines, end, stderr } =
                ran.unwrap_or_else(|why| Ran { lines: vec![], end: End::NotStarted(why), stderr: String::new() });
            self.failed = end != End::Well;
            let entries: Vec<Entry> = lines.iter().map(|line| Entry::line(line)).collect();
            let rest = match end {
                End::Well => Failure::Missing { answered: entries.len(), rows: ids.len(), stderr },
                End::Badly(status) => Failure::Died { status, stderr },
                End::Hung => Failure::Hung { limit, stderr },
                End::Flooded => {
                    Failure::Mismatch(format!("the command wrote without end, {} lines and more for {} rows", lines.len(), ids.len()))
                }
                End::NotStarted(why) => Failure::NotStarted(why),
                End::Cancelled => Failure::NotStarted("it was cancelled".into()),
            };
            wire::assign(ids, entries, &self.settings.range, By::Command, &rest)
        }

        async fn post(&mut self, url: String, ids: &[String], rows: Vec<String>) -> Vec<Result<Scored, Failure>> {
            let (limit, retries) = (self.settings.time_limit, self.settings.retries);
            let posted = on_thread(move |cancelled| http::post(&url, &rows, limit, retries, cancelled)).await;
            let (outcome, tries) = posted.unwrap_or_else(|why| (Err(Trouble::Down(why)), 0));
            self.counts.restarts += u64::from(tries);
            let (entries, rest) = match outcome {
                Ok(entries) => {
                    let answered = entries.len();
                    (entries, Failure::Missing { answered, rows: ids.len(), stderr: String::new() })
                }
                Err(Trouble::Hung) => (vec![], Failure::Hung { limit, stderr: String::new() }),
                Err(Trouble::Down(why)) => (vec![], Failure::Down(why)),
                Err(Trouble::Cancelled) => (vec![], Failure::Down("it was cancelled".into())),
            };
            wire::assign(ids, entries, &self.settings.range, By::Server, &rest)
        }
    }

    /// Blocking work on a thread of its own. Dropped, the future tells it to stop.
    async fn on_thread<T: Send + 'static>(work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static) -> Result<T, String> {
        let (sender, receiver) = async_channel::bounded(1);
        let thread = std::thread::Builder::new().name("reward".into()).spawn(move || {
            let done = work(&|| sender.is_closed());
            let _ = sender.send_blocking(done);
        });
        thread.map_err(|error| format!("no thread could be started: {error}"))?;
        receiver.recv().await.map_err(|_| "its thread ended early".into())
    }
}
