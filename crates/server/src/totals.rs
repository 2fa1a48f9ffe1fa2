//! What was spent, and whether more may be.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use data::{ChatError, Usage};
use serde::Serialize;

use crate::Budget;

/// What a client's calls took so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Calls that took tokens, those that broke off half-way included.
    pub calls: u64,
    /// Attempts after a call's first.
    pub retries: u64,
    /// Calls that ended with an error.
    pub failures: u64,
    /// Replies from the cache or from an identical call under way; they took nothing.
    pub cached: u64,
    /// Prompt tokens paid.
    pub prompt_tokens: u64,
    /// Completion tokens paid.
    pub completion_tokens: u64,
    /// Calls whose tokens the server did not tell: theirs are counted here instead.
    pub estimated: u64,
}

impl Totals {
    /// Prompt and completion tokens.
    pub fn tokens(&self) -> u64 {
        self.prompt_tokens + self.completion_tokens
    }
}

/// Keeps the totals within the budget.
pub(crate) struct Ledger {
    budget: Budget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    totals: Totals,
    /// Calls under way, and their prompts.
    open: u64,
    open_tokens: u64,
}

impl Ledger {
    pub fn new(budget: Budget) -> Arc<Self> {
        Arc::new(Self { budget, state: Mutex::default() })
    }

    pub fn totals(&self) -> Totals {
        self.lock().totals
    }

    pub fn update(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.lock().totals);
    }

    /// Opens a call with a prompt of about `prompt` tokens, if there is room for it.
    pub fn open(self: &Arc<Self>, prompt: usize) -> Result<Account, ChatError> {
        let prompt = prompt as u64;
        let mut state = self.lock();
        let spent = state.totals.tokens();
        if let Some(most) = self.budget.calls
            && state.totals.calls + state.open >= most
        {
            return Err(ChatError::Budget(format!("the budget of {most} calls is used up ({spent} tokens): raise it to go on")));
        }
        if let Some(most) = self.budget.tokens
            && spent + state.open_tokens + prompt > most
        {
            return Err(ChatError::Budget(format!(
                "the budget of {most} tokens has no room for a prompt of about {prompt} ({spent} are spent, {} under way): raise it to go on",
                state.open_tokens
            )));
        }
        state.open += 1;
        state.open_tokens += prompt;
        Ok(Account { ledger: self.clone(), prompt, answered: false, received: 0, settled: false })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call's place in the ledger. Dropped unsettled, it books what the call is likely to have taken.
pub(crate) struct Account {
    ledger: Arc<Ledger>,
    prompt: u64,
    /// The server has begun to answer, or kept silent for so long that it may have: the prompt counts as paid.
    pub answered: bool,
    /// Bytes of the reply.
    pub received: usize,
    settled: bool,
}

impl Account {
    /// About how many tokens of the reply have come.
    pub fn tokens(&self) -> usize {
        self.received.div_ceil(4)
    }

    /// Books a finished call. `told`: the server counted.
    pub fn settle(mut self, usage: Usage, told: bool) {
        self.settled = true;
        self.ledger.update(|totals| {
            totals.calls += 1;
            totals.prompt_tokens += usage.prompt_tokens as u64;
            totals.completion_tokens += usage.completion_tokens as u64;
            totals.estimated += u64::from(!told);
        });
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let mut state = self.ledger.lock();
        state.open -= 1;
        state.open_tokens -= self.prompt;
        if !self.settled && self.answered {
            state.totals.calls += 1;
            state.totals.prompt_tokens += self.prompt;
            state.totals.completion_tokens += self.tokens() as u64;
            state.totals.estimated += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_under_way_count() {
        let ledger = Ledger::new(Budget { tokens: Some(100), calls: None });
        let first = ledger.open(60).unwrap();
        assert!(matches!(ledger.open(41), Err(ChatError::Budget(_))));
        let second = ledger.open(40).unwrap();
        drop(second);
        first.settle(Usage { prompt_tokens: 50, completion_tokens: 20 }, true);
        assert_eq!(ledger.totals(), Totals { calls: 1, prompt_tokens: 50, completion_tokens: 20, ..Totals::default() });
        assert!(ledger.open(31).is_err() && ledger.open(30).is_ok());

        let ledger = Ledger::new(Budget { tokens: None, calls: Some(1) });
        let call = ledger.open(1).unwrap();
        assert!(ledger.open(1).is_err());
        // It was never answered, so it cost nothing.
        drop(call);
        let mut call = ledger.open(7).unwrap();
        (call.answered, call.received) = (true, 9);
        drop(call);
        assert_eq!(ledger.totals(), Totals { calls: 1, prompt_tokens: 7, completion_tokens: 3, estimated: 1, ..Totals::default() });
        assert!(matches!(ledger.open(1), Err(ChatError::Budget(_))));
    }
}
