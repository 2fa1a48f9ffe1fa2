//! Work split over the device's threads, and disjoint writes into one slice.

use std::cell::Cell;
use std::marker::PhantomData;
use std::ops::Range;

use super::CpuDevice;

thread_local! {
    static ALONE: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work` with all its ops on this thread, whatever the device's number: for callers that have other threads do the same beside it.
pub fn alone<T>(work: impl FnOnce() -> T) -> T {
    struct Back(bool);
    impl Drop for Back {
        fn drop(&mut self) {
            ALONE.set(self.0);
        }
    }
    let _back = Back(ALONE.replace(true));
    work()
}

/// Calls `f` with disjoint ranges that cover `0..items`, on all threads of `device`; returns when all are done.
///
/// No range but the last is shorter than `min_per_task`. The split may vary between calls: results must not depend on it.
/// Nested and concurrent calls are safe; one that finds the threads busy runs on its own thread. A panic of `f` is passed on.
pub(crate) fn for_each_range(device: &CpuDevice, items: usize, min_per_task: usize, f: impl Fn(Range<usize>) + Sync) {
    if items == 0 {
        return;
    }
    let min = min_per_task.max(1);
    if device.threads() < 2 || items <= min || ALONE.get() {
        return f(0..items);
    }
    #[cfg(target_arch = "wasm32")]
    f(0..items);
    #[cfg(not(target_arch = "wasm32"))]
    {
        // Several tasks a thread, so that a thread the system delays does not hold up the others for long.
        let size = min.max(items.div_ceil(device.threads() * 4));
        let tasks = items.div_ceil(size);
        device.pool().run(tasks, &|task| f(task * size..((task + 1) * size).min(items)));
    }
}

/// A mutable slice that several threads write, each its own elements.
pub(crate) struct SharedMut<'a, T> {
    start: *mut T,
    len: usize,
    life: PhantomData<&'a mut [T]>,
}

// SAFETY: the only access is `slice`, whose contract forbids overlapping use; the elements move between threads as `T: Send`.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// Shares `slice` until the borrow ends.
    pub(crate) fn new(slice: &'a mut [T]) -> Self {
        Self { start: slice.as_mut_ptr(), len: slice.len(), life: PhantomData }
    }

    /// The elements of `range`. Panics if it reaches past the end.
    ///
    /// # Safety
    /// While the returned slice lives, no other slice of this value may overlap it.
    #[allow(clippy::mut_from_ref)]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: in bounds by the assertion, unique by the caller's promise.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Precision;

    fn sum_of_squares(device: &CpuDevice, items: usize, min: usize) -> usize {
        let mut out = vec![0usize; items];
        let shared = SharedMut::new(&mut out);
        for_each_range(device, items, min, |range| {
            // SAFETY: ranges are disjoint.
            let part = unsafe { shared.slice(range.clone()) };
            for (slot, i) in part.iter_mut().zip(range) {
                *slot += i * i;
            }
        });
        out.iter().sum()
    }

    #[test]
    fn every_item_once() {
        for threads in [1, 2, 5] {
            let device = CpuDevice::with_threads(Precision::Exact, threads);
            for items in [0usize, 1, 2, 7, 64, 1000] {
                for min in [0, 1, 3, 100] {
                    let expected: usize = (0..items).map(|i| i * i).sum();
                    assert_eq!(sum_of_squares(&device, items, min), expected);
                }
            }
        }
    }

    #[test]
    fn nested_and_concurrent_calls() {
        let device = CpuDevice::with_threads(Precision::Exact, 3);
        let total = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        for_each_range(&device, 10, 1, |outer| {
                            for_each_range(&device, 10, 1, |inner| {
                                total.fetch_add(outer.len() * inner.len(), Ordering::Relaxed);
                            });
                        });
                    }
                });
            }
        });
        assert_eq!(total.into_inner(), 4 * 50 * 100);
    }

    #[test]
    fn alone_a_thread_does_all_of_it() {
        let device = CpuDevice::with_threads(Precision::Exact, 3);
        let parts = |work: &dyn Fn(&dyn Fn())| {
            let parts = AtomicUsize::new(0);
            work(&|| {
                for_each_range(&device, 100, 1, |_| {
                    parts.fetch_add(1, Ordering::Relaxed);
                })
            });
            parts.into_inner()
        };
        assert_eq!(parts(&|call| alone(call)), 1);
        // Nested, and over again: what comes after it has all threads.
        let nested = |call: &dyn Fn()| {
            alone(|| {
                alone(|| ());
                call();
            });
        };
        assert_eq!(parts(&nested), 1);
        assert_eq!(parts(&|call| call()), 12);
    }

    #[test]
    fn wakes_after_sleeping() {
        let device = CpuDevice::with_threads(Precision::Exact, 4);
        for _ in 0..20 {
            std::thread::sleep(std::time::Duration::from_millis(2));
            assert_eq!(sum_of_squares(&device, 100, 1), 328350);
        }
    }

    #[test]
    fn a_panic_is_passed_on_and_the_pool_survives() {
        let device = CpuDevice::with_threads(Precision::Exact, 2);
        for bad in [0, 99] {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for_each_range(&device, 100, 1, |range| assert!(!range.contains(&bad), "planted"));
            }));
            assert!(caught.is_err());
            assert_eq!(sum_of_squares(&device, 100, 1), 328350);
        }
    }
}
