//! Long work in a worker that still hears messages: a future that lets the event loop turn now and then, and that can be stopped.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::store;

/// Milliseconds of work between two turns of the event loop.
const STRETCH: f64 = 40.0;

/// Set when the page asks for an end.
#[derive(Clone, Default)]
pub struct Stop {
    asked: Rc<Cell<bool>>,
    waker: Rc<RefCell<Option<Waker>>>,
}

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.asked.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The work was stopped.
pub struct Stopped;

/// Runs `work`, which wakes itself after each small step, until it ends or a stop is asked for; then it is dropped. A future that wakes itself
/// is polled again before any message comes in: here its turns are handed back to the event loop instead.
pub async fn until<T>(stop: &Stop, work: impl Future<Output = T>) -> Result<T, Stopped> {
    Until { stop, work: Box::pin(work), breath: None, since: js_sys::Date::now() }.await
}

struct Until<'a, F> {
    stop: &'a Stop,
    work: Pin<Box<F>>,
    breath: Option<Pin<Box<dyn Future<Output = ()>>>>,
    since: f64,
}

/// Remembers that the work woke itself while it was polled.
struct Flag {
    woken: AtomicBool,
    outer: Waker,
    polling: AtomicBool,
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.woken.store(true, Ordering::Relaxed);
        // From outside (a buffer was mapped, bytes came in) it wakes us at once.
        if !self.polling.load(Ordering::Relaxed) {
            self.outer.wake_by_ref();
        }
    }
}

impl<F: Future> Future for Until<'_, F> {
    type Output = Result<F::Output, Stopped>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            if self.stop.asked.get() {
                return Poll::Ready(Err(Stopped));
            }
            *self.stop.waker.borrow_mut() = Some(context.waker().clone());
            if let Some(breath) = &mut self.breath {
                if breath.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                self.breath = None;
                self.since = js_sys::Date::now();
            }
            let flag = Arc::new(Flag { woken: false.into(), outer: context.waker().clone(), polling: true.into() });
            let polled = self.work.as_mut().poll(&mut Context::from_waker(&Waker::from(flag.clone())));
            flag.polling.store(false, Ordering::Relaxed);
            if let Poll::Ready(value) = polled {
                return Poll::Ready(Ok(value));
            }
            if !flag.woken.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
            if js_sys::Date::now() - self.since > STRETCH {
                self.breath = Some(Box::pin(store::breathe()));
            }
        }
    }
}
