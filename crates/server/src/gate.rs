//! How many calls run at a time. The server's answers set it: one more after a success that needed the room, half after a sign of
//! too much (additive increase, multiplicative decrease: the rule TCP shares a line by).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::Concurrency;

/// Lets calls in, first come first served; those that come back for another attempt go first.
pub(crate) struct Gate {
    bounds: Concurrency,
    state: Mutex<State>,
}

struct State {
    limit: usize,
    active: usize,
    /// Counts the halvings. Calls let in before one say nothing new when they fail.
    epoch: u64,
    /// The server asked to be left alone until then.
    closed_until: Option<Instant>,
    again: VecDeque<async_channel::Sender<Slot>>,
    fresh: VecDeque<async_channel::Sender<Slot>>,
}

/// The right to have one attempt under way; dropped, it goes to the next in line.
pub(crate) struct Slot {
    gate: Arc<Gate>,
    epoch: u64,
}

impl Gate {
    pub fn new(bounds: Concurrency) -> Arc<Self> {
        let min = bounds.min.max(1);
        let bounds = Concurrency { start: bounds.start, min, max: bounds.max.max(min) };
        let state = State {
            limit: bounds.start.clamp(bounds.min, bounds.max),
            active: 0,
            epoch: 0,
            closed_until: None,
            again: VecDeque::new(),
            fresh: VecDeque::new(),
        };
        Arc::new(Self { bounds, state: Mutex::new(state) })
    }

    /// Waits for a slot. `again`: it is not the call's first attempt.
    pub async fn enter(self: &Arc<Self>, again: bool) -> Slot {
        loop {
            // A slot is sent, not promised: if the call goes away before it takes it, the channel drops the slot and it moves on.
            let (sender, receiver) = async_channel::bounded(1);
            {
                let mut state = self.lock();
                if again { &mut state.again } else { &mut state.fresh }.push_back(sender);
            }
            self.admit();
            if let Ok(slot) = receiver.recv().await {
                return slot;
            }
        }
    }

    /// How long the server still wants to be left alone.
    pub fn closed_for(&self, now: Instant) -> Option<Duration> {
        self.lock().closed_until.and_then(|until| until.checked_duration_since(now)).filter(|left| !left.is_zero())
    }

    /// Calls at a time, now.
    pub fn limit(&self) -> usize {
        self.lock().limit
    }

    fn admit(self: &Arc<Self>) {
        loop {
            let (sender, slot) = {
                let mut state = self.lock();
                if state.active >= state.limit {
                    return;
                }
                let Some(sender) = state.again.pop_front().or_else(|| state.fresh.pop_front()) else { return };
                if sender.is_closed() {
                    continue;
                }
                state.active += 1;
                (sender, Slot { gate: self.clone(), epoch: state.epoch })
            };
            // Outside the lock: a slot that nobody takes is dropped here, and drops come back to this gate. They recurse no deeper
            // than calls were given up between the check above and now.
            let _ = sender.try_send(slot);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics half-way, so what is behind a poisoned lock is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The attempt succeeded.
    pub fn succeeded(self) {
        let mut state = self.gate.lock();
        // Room that nobody needed says nothing about what the server can bear.
        if state.active >= state.limit {
            state.limit = (state.limit + 1).min(self.gate.bounds.max);
        }
    }

    /// The server has too much; `until` it wants no calls at all.
    pub fn congested(self, until: Option<Instant>) {
        let mut state = self.gate.lock();
        if state.epoch == self.epoch {
            state.epoch += 1;
            state.limit = (state.limit / 2).max(self.gate.bounds.min);
        }
        state.closed_until = state.closed_until.max(until);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gate.lock().active -= 1;
        self.gate.admit();
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn try_enter(gate: &Arc<Gate>) -> Option<Slot> {
        match std::pin::pin!(gate.enter(false)).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => Some(slot),
            Poll::Pending => None,
        }
    }

    #[test]
    fn grows_by_one_and_halves_once_per_wave() {
        let gate = Gate::new(Concurrency { start: 2, min: 1, max: 8 });
        for expected in [3, 4, 5, 6, 7, 8, 8] {
            let mut slots: Vec<Slot> = std::iter::from_fn(|| try_enter(&gate)).collect();
            assert_eq!(slots.len(), gate.limit());
            slots.remove(0).succeeded();
            assert_eq!(gate.limit(), expected);
        }
        // Eight fail together: that is one sign, not eight.
        let slots: Vec<Slot> = std::iter::from_fn(|| try_enter(&gate)).collect();
        assert_eq!(slots.len(), 8);
        slots.into_iter().for_each(|slot| slot.congested(None));
        assert_eq!(gate.limit(), 4);
        for expected in [2, 1, 1] {
            try_enter(&gate).unwrap().congested(None);
            assert_eq!(gate.limit(), expected);
        }
        // A lone call in a wide gate does not widen it.
        let gate = Gate::new(Concurrency { start: 4, min: 1, max: 8 });
        try_enter(&gate).unwrap().succeeded();
        assert_eq!(gate.limit(), 4);
    }

    #[test]
    fn a_slot_goes_to_the_next_in_line_even_past_calls_that_left() {
        let gate = Gate::new(Concurrency { start: 1, min: 1, max: 1 });
        let held = try_enter(&gate).unwrap();
        let mut context = Context::from_waker(Waker::noop());
        let (mut first, mut second, mut third) = (Box::pin(gate.enter(false)), Box::pin(gate.enter(false)), Box::pin(gate.enter(true)));
        for future in [&mut first, &mut second, &mut third] {
            assert!(future.as_mut().poll(&mut context).is_pending());
        }
        drop(held);
        let Poll::Ready(again) = third.as_mut().poll(&mut context) else { panic!("the call that comes back is first") };
        assert!(first.as_mut().poll(&mut context).is_pending());
        drop(again);
        // The slot is on its way to `first`, which leaves without taking it.
        drop(first);
        assert!(second.as_mut().poll(&mut context).is_ready());
    }

    #[test]
    fn closing_lasts_as_long_as_the_longest_wish() {
        let gate = Gate::new(Concurrency::default());
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let (a, b) = (try_enter(&gate).unwrap(), try_enter(&gate).unwrap());
        a.congested(Some(at(9)));
        b.congested(Some(at(4)));
        assert_eq!(gate.closed_for(now), Some(Duration::from_secs(9)));
        assert_eq!(gate.closed_for(at(9)), None);
    }
}
