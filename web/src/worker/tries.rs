//! Rows of a dataset, tried on the model that is ready.

use std::str::FromStr;

use data::Item;
use reward::Rule;
use synth::{attempt, is_right, prompts};

use super::mind::{Mind, of_model};
use super::reads::Say;
use crate::protocol::{Event, Problem, ProblemKind, Way};

fn of_document(message: String) -> Problem {
    Problem { kind: ProblemKind::Document, message }
}

/// Tries a row, one reply after the other: prompts, seeds and rule are those of the native checks.
pub async fn try_row(mind: &Mind, line: &[u8], way: Way, tries: u64, reply: usize, say: &Say) -> Result<(), Problem> {
    let item: Item = serde_json::from_slice(line).map_err(|problem| of_document(format!("The row cannot be read: {problem}.")))?;
    let prompts = prompts(&item).map_err(|problem| of_document(format!("The row cannot be tried: {problem}.")))?;
    let rule = Rule::from_str(&item.rule).map_err(|problem| of_document(format!("Its replies cannot be scored here: {problem}.")))?;
    let prompt = match way {
        Way::ClosedBook => prompts.closed_book,
        Way::WithEvidence => prompts.with_evidence,
        Way::Robust => prompts.robust,
    };
    for number in 0..tries {
        let begun = js_sys::Date::now();
        let on_text = say.clone();
        let said = mind
            .model
            .chat(&attempt(&prompt, number, reply), &mut |text| on_text(Event::Text { text: text.into() }))
            .await
            .map_err(of_model)?;
        let mut decoder = mind.tokenizer().decoder();
        let tokens = said.token_ids.iter().zip(&said.logprobs).map(|(id, logprob)| (decoder.push(*id).unwrap_or_default(), *logprob));
        say(Event::Tried {
            number,
            tokens: tokens.collect(),
            right: is_right(rule, &said.text, &item.answers),
            usage: (said.usage.prompt_tokens, said.usage.completion_tokens),
            text: said.text,
            seconds: (js_sys::Date::now() - begun) / 1000.0,
        });
    }
    Ok(())
}
