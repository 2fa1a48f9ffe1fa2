//! A stored row's transcripts read again: whether they lead to what the row says.

use data::Derivation;

use super::proposal::{Proposal, spaced};
use super::solve::{Tally, replies};

/// The proposer's answer in words, after the same readings as when the row was made: the proposal asks the row's question (`question`,
/// without options) and quotes its facts, and the solvers and votes come to what the check `verifier` says. Whether the answer is true of
/// the documents is no part of it.
///
/// # Errors
/// What the transcripts do not say.
pub fn derive(derivation: &Derivation, question: &str, rule: &str, answers: &[String]) -> Result<String, String> {
    let proposed = derivation.transcripts.iter().rfind(|transcript| transcript.role == "propose").ok_or("no proposal is kept")?;
    let proposal = Proposal::read(&proposed.reply)?;
    if proposal.question != question {
        return Err(format!("the proposal asks “{}”", proposal.question));
    }
    let quotes: Vec<String> = proposal.evidence.iter().map(|quote| spaced(&quote.quote)).collect();
    let values: Vec<String> = derivation.facts.iter().map(|fact| spaced(&fact.value)).collect();
    if let Some(value) = values.iter().find(|value| !quotes.contains(value)) {
        return Err(format!("the proposal does not quote “{value}”"));
    }
    if let Some(quote) = quotes.iter().find(|quote| !values.contains(quote)) {
        return Err(format!("no fact says what the proposal quotes, “{quote}”"));
    }
    let tally = Tally::new(rule, answers, &replies(&derivation.transcripts, "solve"))?;
    let verdicts = replies(&derivation.transcripts, "verify");
    let right = tally.right(&verdicts)?;
    let counted = tally.detail(right, verdicts.len());
    let said = derivation.checks.iter().find(|check| check.name == "verifier").map(|check| check.detail.as_str());
    if said != Some(counted.as_str()) {
        return Err(format!("{counted}, and the check says “{}”", said.unwrap_or_default()));
    }
    if !tally.most(right.0) {
        return Err(format!("{counted}, which is not most of them"));
    }
    Ok(proposal.answer)
}
