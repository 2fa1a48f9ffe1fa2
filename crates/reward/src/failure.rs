use std::time::Duration;

/// Why a reply has no reward, and what to do about it. It is not a reward of zero: a policy that is taught by failures learns them.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// NaN, infinite, or a text.
    #[error("row {id}: `{said}` is no reward: answer with one finite number a row (print other text on standard error)")]
    NotANumber {
        /// The row.
        id: String,
        /// What came in the number's place.
        said: String,
    },
    /// Finite, but not in [`range`](crate::RewardSettings::range).
    #[error("row {id}: the reward {value} is not between {low} and {high}: scale it, or set the range of rewards")]
    OutOfRange {
        /// The row.
        id: String,
        /// The reward.
        value: f64,
        /// Smallest allowed.
        low: f64,
        /// Largest allowed.
        high: f64,
    },
    /// The command ended with an error before it answered this row.
    #[error("the reward command ended with {status} before it answered this row{}", said(stderr))]
    Died {
        /// `exit code 3`, `signal 9`.
        status: String,
        /// The last lines of its standard error.
        stderr: String,
    },
    /// The time limit came first.
    #[error(
        "no reward within {} s, and what was asked was ended: raise the time limit, send fewer rows at once, or make it faster{}",
        limit.as_secs_f64(), said(stderr)
    )]
    Hung {
        /// The limit of the call.
        limit: Duration,
        /// The last lines of a command's standard error.
        stderr: String,
    },
    /// It ended well and left this row out.
    #[error(
        "there is no reward for this row: {answered} of {rows} rows were answered; give one reward a row, in order or with its id{}",
        said(stderr)
    )]
    Missing {
        /// Rewards that came.
        answered: usize,
        /// Rows that were sent.
        rows: usize,
        /// The last lines of a command's standard error.
        stderr: String,
    },
    /// What came cannot be matched to the rows.
    #[error("the rewards cannot be matched to the rows: {0}; give exactly one reward a row, and print other text on standard error")]
    Mismatch(String),
    /// The server does not answer, or answers with an error.
    #[error("the reward server gave no rewards: {0}")]
    Down(String),
    /// The command could not be started.
    #[error("the reward command could not be started: {0}")]
    NotStarted(String),
    /// The row names a rule that is not there.
    #[error("{0}")]
    UnknownRule(String),
    /// Rewards come from each row's rule, and this row has none.
    #[error("the row names no rule: give it one (a column `rule`), or choose one rule for all rows")]
    NoRule,
    /// The rule cannot score anything against this row's answers.
    #[error("the rule `{rule}` cannot be used with this row's answers: {why}")]
    Gold {
        /// The rule.
        rule: String,
        /// What is wrong with them.
        why: String,
    },
    /// Commands and servers do not run in a browser.
    #[error("commands and servers give no rewards in a browser: use a rule")]
    Browser,
}

impl Failure {
    /// One word, to count by.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotANumber { .. } => "not a number",
            Self::OutOfRange { .. } => "out of range",
            Self::Died { .. } => "died",
            Self::Hung { .. } => "hung",
            Self::Missing { .. } => "missing",
            Self::Mismatch(_) => "mismatch",
            Self::Down(_) => "down",
            Self::NotStarted(_) => "not started",
            Self::UnknownRule(_) => "unknown rule",
            Self::NoRule => "no rule",
            Self::Gold { .. } => "unusable answers",
            Self::Browser => "browser",
        }
    }
}

/// A command's last words, where there are any.
fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it said: {stderr}") }
}
