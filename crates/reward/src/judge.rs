//! The second opinion: a model is shown the reply's answer and the gold answer and says whether they are the same (§4.2).

use std::future::poll_fn;
use std::task::Poll;

use data::{BoxFuture, ChatModel, ChatRequest, MaybeSend, Message, Sampling};

use crate::rules::{Final, LINES, after_thinking};
use crate::{Item, RewardSettings};

const PROMPT: &str = include_str!("judge.txt");
/// Characters of the problem that are shown: its beginning and, as the question follows the document, its end.
const PROBLEM: (usize, usize) = (1000, 3000);
/// Characters of each answer that are shown.
const ANSWER: usize = 1000;

/// What the judge said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    Different,
    /// A reply without a verdict, or with both.
    Unclear,
    /// No reply.
    Failed,
}

/// The question about one item; `None` where there is no answer to compare.
pub(crate) fn prompt(item: &Item<'_>, begun: &str) -> Option<String> {
    let whole = format!("{begun}{}", item.reply);
    let last = Final::of(&whole).filter(|last| last.stated || !item.truncated)?;
    let said = shorten(&last.lines(LINES), ANSWER, 0);
    let question = item.extra.and_then(|extra| extra.get("question")?.as_str());
    let problem = shorten(question.unwrap_or(item.prompt).trim(), PROBLEM.0, PROBLEM.1);
    let golds: Vec<String> = item.answers.iter().map(|gold| shorten(gold.trim(), ANSWER, 0)).collect();
    let gold = match &golds[..] {
        [one] => one.clone(),
        several => format!("(any one of these)\n{}", several.iter().map(|gold| format!("- {gold}")).collect::<Vec<_>>().join("\n")),
    };
    Some(fill(&[("problem", &problem), ("said", &said), ("gold", &gold)]))
}

/// Asks about all at once, at most [`judge_at_once`](RewardSettings::judge_at_once) at a time.
pub(crate) async fn ask(model: &dyn ChatModel, prompts: Vec<String>, settings: &RewardSettings) -> Vec<Verdict> {
    let one = |prompt: String| -> BoxFuture<'_, Verdict> {
        let sampling = Sampling { seed: 42, ..Sampling::GREEDY };
        let request = ChatRequest::new(vec![Message::user(prompt)], sampling, settings.judge_tokens);
        Box::pin(async move {
            match model.chat(&request, &mut |_| {}).await {
                Ok(reply) => verdict(&reply.text),
                Err(_) => Verdict::Failed,
            }
        })
    };
    at_most(settings.judge_at_once.max(1), prompts.into_iter().map(one).collect()).await
}

/// What a reply to “are these the same answer?” decides, where it decides anything: `[[YES]]` or `[[NO]]`, and not both.
pub fn same_answer(reply: &str) -> Option<bool> {
    match verdict(reply) {
        Verdict::Same => Some(true),
        Verdict::Different => Some(false),
        Verdict::Unclear | Verdict::Failed => None,
    }
}

/// `[[YES]]` without `[[NO]]` is yes, and the other way round; spaces, case and single brackets do not matter.
pub(crate) fn verdict(text: &str) -> Verdict {
    let said: String =
        after_thinking(text).unwrap_or("").chars().filter(|c| !c.is_whitespace() && *c != '*').collect::<String>().to_uppercase();
    let has = |double: &str, single: &str| said.contains(double) || said.contains(single);
    match (has("[[YES]]", "[YES]"), has("[[NO]]", "[NO]")) {
        (true, false) => Verdict::Same,
        (false, true) => Verdict::Different,
        _ => Verdict::Unclear,
    }
}

/// The prompt with its blanks filled in. What is filled in ends no tag and gives no verdict.
fn fill(blanks: &[(&str, &str)]) -> String {
    let mut out = String::new();
    let mut rest = PROMPT;
    while let Some((before, after)) = rest.split_once('{') {
        out.push_str(before);
        let (name, after) = after.split_once('}').unwrap_or((after, ""));
        let text = blanks.iter().find(|(blank, _)| *blank == name).map_or("", |(_, text)| text);
        out.push_str(&text.replace("[[", "[").replace("]]", "]").replace("[YES]", "YES").replace("[NO]", "NO").replace('<', "‹"));
        rest = after;
    }
    out + rest
}

/// The first `head` and the last `tail` characters.
fn shorten(text: &str, head: usize, tail: usize) -> String {
    let count = text.chars().count();
    if count <= head + tail {
        return text.to_string();
    }
    let end: String = text.chars().skip(count - tail).collect();
    format!("{} […] {end}", text.chars().take(head).collect::<String>()).trim_end().to_string()
}

/// Runs all futures to their ends, `limit` at a time; results in their order.
async fn at_most<T: MaybeSend>(limit: usize, futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    let mut waiting = futures.into_iter().enumerate();
    let mut running: Vec<(usize, BoxFuture<'_, T>)> = waiting.by_ref().take(limit).collect();
    poll_fn(|context| {
        let mut at = 0;
        while at < running.len() {
            let (index, future) = &mut running[at];
            match future.as_mut().poll(context) {
                Poll::Pending => at += 1,
                Poll::Ready(value) => {
                    done[*index] = Some(value);
                    // The next one takes its place, and is polled in this round.
                    match waiting.next() {
                        Some(next) => running[at] = next,
                        None => drop(running.swap_remove(at)),
                    }
                }
            }
        }
        if running.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}
