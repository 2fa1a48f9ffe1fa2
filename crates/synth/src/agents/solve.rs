//! What solvers came to: by the reward's rule, and where that says no by the verifier's votes.

use std::str::FromStr;

use data::Transcript;
use reward::{Rule, final_answer, same_answer};

/// A question's solvers and verifiers, in the order in which they were asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    /// Whether each solver's reply is right by the rule.
    by_rule: Vec<bool>,
    /// The answer of each that is not, where it has one and a verifier may see what a rule does not.
    doubtful: Vec<Option<String>>,
}

impl Tally {
    /// `replies` are the solvers'.
    ///
    /// # Errors
    /// There is no such rule.
    pub fn new(rule: &str, answers: &[String], replies: &[&str]) -> Result<Self, String> {
        let rule = Rule::from_str(rule).map_err(|error| error.to_string())?;
        let by_rule: Vec<bool> = replies.iter().map(|reply| rule.score(reply, answers) > 0.5).collect();
        let doubtful = replies.iter().zip(&by_rule).map(|(reply, right)| {
            // A letter is the letter or is not.
            if *right || rule == Rule::Letter { None } else { final_answer(reply) }
        });
        Ok(Self { doubtful: doubtful.collect(), by_rule })
    }

    /// Answers that a verifier is to compare with the proposer's, each once.
    pub fn doubtful(&self) -> Vec<&str> {
        let mut out: Vec<&str> = Vec::new();
        for said in self.doubtful.iter().flatten() {
            if !out.contains(&said.as_str()) {
                out.push(said);
            }
        }
        out
    }

    /// Right replies in all and by the rule; `verdicts` are the replies of as many votes for each of [`doubtful`](Self::doubtful), one
    /// after the other. More than half of the votes make an answer the same: a tie does not, and a vote without a verdict is none for it.
    ///
    /// # Errors
    /// There are not as many votes for each.
    pub fn right(&self, verdicts: &[&str]) -> Result<(usize, usize), String> {
        let doubtful = self.doubtful();
        if doubtful.is_empty() != verdicts.is_empty() || !verdicts.is_empty() && verdicts.len() % doubtful.len() != 0 {
            return Err(format!("{} votes over {} answers", verdicts.len(), doubtful.len()));
        }
        let votes = (verdicts.len() / doubtful.len().max(1)).max(1);
        let same: Vec<&str> = (doubtful.into_iter().zip(verdicts.chunks(votes)))
            .filter(|(_, verdicts)| 2 * verdicts.iter().filter(|reply| same_answer(reply) == Some(true)).count() > votes)
            .map(|(said, _)| said)
            .collect();
        let by_rule = self.by_rule.iter().filter(|right| **right).count();
        let by_votes = self.doubtful.iter().flatten().filter(|said| same.contains(&said.as_str())).count();
        Ok((by_rule + by_votes, by_rule))
    }

    /// In words: what the check `verifier` says. `right` as [`right`](Self::right) counts it over so many votes.
    pub fn detail(&self, (right, by_rule): (usize, usize), votes: usize) -> String {
        let solvers = self.by_rule.len();
        format!("{right} of {solvers} solvers came to the proposer's answer, {by_rule} of them by the rule; {votes} votes were cast")
    }

    /// Whether so many are most of the solvers: more than half.
    pub fn most(&self, right: usize) -> bool {
        2 * right > self.by_rule.len()
    }
}

/// The replies of a role, in order.
pub fn replies<'a>(transcripts: &'a [Transcript], role: &str) -> Vec<&'a str> {
    transcripts.iter().filter(|transcript| transcript.role == role).map(|transcript| transcript.reply.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn votes_decide_where_the_rule_says_no() {
        let tally = |rule: &str, gold: &str, replies: &[&str]| Tally::new(rule, &[gold.to_string()], replies).unwrap();
        let (yes, no) = ("The same. [[YES]]", "[[NO]]");
        let solvers = [
            "The answer is Santiago.",
            "The answer is Santiago de Chile, its capital since long",
            "The answer is Lima",
            "The answer is Lima",
            "",
        ];
        let counted = tally("exact", "Santiago", &solvers);
        assert_eq!(counted.doubtful().len(), 2, "each once, and none of a reply without an answer");
        let right = |verdicts: &[&str]| counted.right(verdicts).unwrap();
        assert_eq!(right(&[yes, yes, no, no, no, no]), (2, 1));
        assert_eq!(right(&[yes, yes, yes, yes, yes, no]), (4, 1), "of two equal answers both are right");
        // A tie, and votes that say nothing or both.
        assert_eq!(right(&[yes, yes, no, no, no, no, no, no]), (1, 1));
        assert_eq!(right(&[yes, yes, "hm", "[[YES]] or [[NO]]", no, no, no, no]), (1, 1));
        assert!(counted.right(&[]).is_err() && counted.right(&[yes, yes, no]).is_err());
        assert_eq!(counted.detail((2, 1), 6), "2 of 5 solvers came to the proposer's answer, 1 of them by the rule; 6 votes were cast");
        assert!(counted.most(3) && !counted.most(2));
        // Letters are not voted on.
        let letters = tally("letter", "B", &["The correct answer is (B)", "The correct answer is (C)"]);
        assert_eq!((letters.doubtful().len(), letters.right(&[]), letters.most(1)), (0, Ok((1, 1)), false));
        assert!(letters.right(&[yes]).is_err() && Tally::new("best", &[], &[]).is_err());
        let numbers = tally("numeric", "1,000", &["The answer is 1001", "The answer is 1003"]);
        assert_eq!((numbers.doubtful(), numbers.right(&[no])), (vec!["1003"], Ok((1, 1))));
    }
}
