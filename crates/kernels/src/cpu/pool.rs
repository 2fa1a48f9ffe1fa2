//! A small pool of threads for many short jobs: a decode step is hundreds of matmuls of some 50 µs each, so workers spin
//! briefly for the next job before they park, and a caller never waits for a worker that has not begun.

use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::*};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

/// Rounds of spinning (some 30 ns each) before a worker parks: about the longest serial gap within a decode step.
const SPINS: usize = 3000;
/// `Shared::state`: job number in the high half, this bit while the job may be joined, workers inside in the low bits.
const OPEN: u64 = 1 << 31;

type Task<'a> = dyn Fn(usize) + Sync + 'a;

struct Shared {
    state: AtomicU64,
    /// Written only by the holder of `Pool::owner` while the job is closed and no worker is inside.
    job: UnsafeCell<Option<(*const Task<'static>, usize)>>,
    /// The next task nobody has taken.
    next: AtomicUsize,
    sleepers: AtomicUsize,
    stop: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
}

// SAFETY: `job` is the only part that is not `Sync`; the protocol of `state` orders its writes before its reads (see `run`).
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

/// Threads that run one job at a time together with the caller.
pub(super) struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    owner: Mutex<()>,
}

impl Pool {
    /// `threads` counts the caller. If the system refuses a thread the pool is smaller.
    pub(super) fn new(threads: usize) -> Self {
        let shared = Arc::new(Shared {
            state: AtomicU64::new(0),
            job: UnsafeCell::new(None),
            next: AtomicUsize::new(0),
            sleepers: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            panic: Mutex::new(None),
        });
        let spawn = |i: usize| {
            let shared = shared.clone();
            thread::Builder::new().name(format!("longhand-{i}")).spawn(move || shared.work()).ok()
        };
        let workers = (1..threads).map_while(spawn).collect();
        Self { shared, workers, owner: Mutex::new(()) }
    }

    /// Runs `task(0)`, …, `task(tasks - 1)`, each once, and returns when all have returned.
    pub(super) fn run(&self, tasks: usize, task: &Task<'_>) {
        // A poisoned lock only says that a task panicked; the state below was put in order all the same.
        let owner = match self.owner.try_lock() {
            Ok(guard) => guard,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // A nested call, or another thread's job is running.
            Err(std::sync::TryLockError::WouldBlock) => return (0..tasks).for_each(task),
        };
        let shared = &*self.shared;
        // SAFETY: only the lifetime is erased. No worker calls `task` after this function returns: it closes the job and then
        // waits until nobody is inside, also when a task panics, since panics are caught until then.
        let erased = unsafe { std::mem::transmute::<*const Task<'_>, *const Task<'static>>(task) };
        // SAFETY: we hold `owner`, and the previous job was closed and left by all before its `run` gave `owner` back.
        unsafe { *shared.job.get() = Some((erased, tasks)) };
        shared.next.store(0, Relaxed);
        let number = (shared.state.load(Relaxed) >> 32).wrapping_add(1);
        shared.state.store(number << 32 | OPEN, SeqCst);
        if shared.sleepers.load(SeqCst) > 0 {
            self.workers.iter().for_each(|worker| worker.thread().unpark());
        }
        shared.take_tasks(task, tasks);
        shared.state.fetch_and(!OPEN, AcqRel);
        let mut spins = 0;
        while shared.state.load(Acquire) & (OPEN - 1) != 0 {
            spins += 1;
            if spins < SPINS { spin_loop() } else { thread::yield_now() }
        }
        let panic = shared.panic.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(owner);
        if let Some(panic) = panic {
            resume_unwind(panic);
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, SeqCst);
        for worker in self.workers.drain(..) {
            worker.thread().unpark();
            // A worker catches its tasks' panics and has nothing else that can fail.
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn take_tasks(&self, task: &Task<'_>, tasks: usize) {
        let result = catch_unwind(AssertUnwindSafe(|| {
            loop {
                let i = self.next.fetch_add(1, Relaxed);
                if i >= tasks {
                    break;
                }
                task(i);
            }
        }));
        if let Err(panic) = result {
            self.next.store(tasks, Relaxed); // the others need not go on
            *self.panic.lock().unwrap_or_else(PoisonError::into_inner) = Some(panic);
        }
    }

    fn work(&self) {
        let mut done = 0; // number of the last job seen
        let mut spins = 0;
        while !self.stop.load(SeqCst) {
            let state = self.state.load(Acquire);
            let number = state >> 32;
            if state & OPEN != 0 && number != done {
                // Joining is a change of `state` itself, so it fails once the job is closed or replaced.
                if self.state.compare_exchange_weak(state, state + 1, AcqRel, Relaxed).is_ok() {
                    // SAFETY: the job was published before `state` opened, and stays until we leave below.
                    if let Some((task, tasks)) = unsafe { *self.job.get() } {
                        // SAFETY: `run` waits for us before the closure behind `task` goes.
                        self.take_tasks(unsafe { &*task }, tasks);
                    }
                    self.state.fetch_sub(1, AcqRel);
                    done = number;
                    spins = 0;
                }
            } else if spins < SPINS {
                spins += 1;
                spin_loop();
            } else {
                // Announce first, look again, then park: a caller either sees the announcement or we see its job.
                self.sleepers.fetch_add(1, SeqCst);
                let state = self.state.load(SeqCst);
                if !self.stop.load(SeqCst) && (state & OPEN == 0 || state >> 32 == done) {
                    thread::park();
                }
                self.sleepers.fetch_sub(1, SeqCst);
                spins = 0;
            }
        }
    }
}
