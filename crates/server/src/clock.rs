//! Waiting without blocking, on any executor.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use data::BoxFuture;

/// Time and chance as retries see them; a test brings its own.
pub trait Clock: Send + Sync {
    /// Goes forward only.
    fn now(&self) -> Instant;

    /// The date, which a `Retry-After` may be given in.
    fn date(&self) -> SystemTime;

    /// Ends after `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;

    /// Anything in [0, 1): spreads retries, so that calls that failed together do not come back together.
    fn jitter(&self) -> f64;
}

/// The machine's own.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn date(&self) -> SystemTime {
        SystemTime::now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        sleep(duration)
    }

    fn jitter(&self) -> f64 {
        // The standard library's hashers start from a random state.
        let random = RandomState::new().build_hasher().finish();
        (random >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Ends after `duration`; one thread keeps everybody's time.
pub(crate) fn sleep(duration: Duration) -> BoxFuture<'static, ()> {
    // Far enough never to come, near enough to add.
    let due = Instant::now() + duration.min(Duration::from_secs(100 * 365 * 86_400));
    let (done, waits) = async_channel::bounded::<()>(1);
    let sent = timer().is_some_and(|timer| timer.send(Alarm { due, done }).is_ok());
    Box::pin(async move {
        if sent {
            // Nothing is ever sent: the alarm closes the channel.
            let _ = waits.recv().await;
        } else {
            // No thread to be had. Blocking keeps the promise at the executor's cost.
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    })
}

/// Dropped when it is due.
struct Alarm {
    due: Instant,
    done: async_channel::Sender<()>,
}

impl PartialEq for Alarm {
    fn eq(&self, other: &Self) -> bool {
        self.due == other.due
    }
}

impl Eq for Alarm {}

impl PartialOrd for Alarm {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Alarm {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.due.cmp(&other.due)
    }
}

fn timer() -> Option<&'static mpsc::Sender<Alarm>> {
    static TIMER: OnceLock<Option<mpsc::Sender<Alarm>>> = OnceLock::new();
    let start = || {
        let (sender, alarms) = mpsc::channel();
        std::thread::Builder::new().name("timer".into()).spawn(move || keep_time(&alarms)).ok().map(|_| sender)
    };
    TIMER.get_or_init(start).as_ref()
}

fn keep_time(alarms: &mpsc::Receiver<Alarm>) {
    let mut heap = BinaryHeap::<Reverse<Alarm>>::new();
    loop {
        let now = Instant::now();
        // What nobody waits for any more goes as soon as it is on top.
        while heap.peek().is_some_and(|Reverse(alarm)| alarm.due <= now || alarm.done.is_closed()) {
            heap.pop();
        }
        let next = match heap.peek() {
            Some(Reverse(alarm)) => alarms.recv_timeout(alarm.due.saturating_duration_since(now)),
            None => alarms.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match next {
            Ok(alarm) => heap.push(Reverse(alarm)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// A moment after which waiting is given up; it can be moved.
pub(crate) struct Deadline {
    at: Instant,
    alarm: BoxFuture<'static, ()>,
}

impl Deadline {
    pub fn after(duration: Duration) -> Self {
        let now = Instant::now();
        Self { at: now.checked_add(duration).unwrap_or(now + Duration::from_secs(86_400)), alarm: sleep(duration) }
    }

    /// From now on `duration`. Costs nothing while the old alarm has not rung.
    pub fn put_off(&mut self, duration: Duration) {
        let now = Instant::now();
        let at = now.checked_add(duration).unwrap_or(now + Duration::from_secs(86_400));
        if at < self.at {
            self.alarm = sleep(duration);
        }
        self.at = at;
    }

    /// What `future` gives, or `None` if the moment comes first.
    pub async fn before<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let mut future = std::pin::pin!(future);
        std::future::poll_fn(|context| {
            if let std::task::Poll::Ready(value) = future.as_mut().poll(context) {
                return std::task::Poll::Ready(Some(value));
            }
            while self.alarm.as_mut().poll(context).is_ready() {
                let left = self.at.saturating_duration_since(Instant::now());
                if left.is_zero() {
                    // A finished future must not be polled again.
                    self.alarm = Box::pin(std::future::ready(()));
                    return std::task::Poll::Ready(None);
                }
                self.alarm = sleep(left);
            }
            std::task::Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_end_in_their_order() {
        let start = Instant::now();
        let long = sleep(Duration::from_millis(60));
        pollster::block_on(sleep(Duration::from_millis(20)));
        let short = start.elapsed();
        pollster::block_on(long);
        assert!(short >= Duration::from_millis(20) && start.elapsed() >= Duration::from_millis(60), "{short:?}");
    }

    #[test]
    fn a_deadline_can_be_put_off_and_comes() {
        let start = Instant::now();
        let mut deadline = Deadline::after(Duration::from_millis(20));
        deadline.put_off(Duration::from_millis(80));
        assert_eq!(pollster::block_on(deadline.before(std::future::pending::<()>())), None);
        assert!(start.elapsed() >= Duration::from_millis(80));
        assert_eq!(pollster::block_on(deadline.before(std::future::pending::<()>())), None);
        let mut near = Deadline::after(Duration::from_secs(60));
        near.put_off(Duration::from_millis(10));
        assert_eq!(pollster::block_on(near.before(std::future::pending::<()>())), None);
        assert_eq!(pollster::block_on(near.before(std::future::ready(7))), Some(7));
    }

    #[test]
    fn jitter_is_a_fraction() {
        let values: Vec<f64> = (0..64).map(|_| SystemClock.jitter()).collect();
        assert!(values.iter().all(|value| (0.0..1.0).contains(value)) && values.iter().any(|value| *value != values[0]));
    }
}
