//! The CPU device: threads, SIMD levels, weights as stored.

pub mod dequant;
pub(crate) mod exact;
pub(crate) mod exp;
pub(crate) mod fast;
#[cfg(target_arch = "x86_64")]
mod fast_avx2;
#[cfg(target_arch = "x86_64")]
mod fast_many;
mod format;
pub(crate) mod gemm;
pub(crate) mod lanes;
pub(crate) mod parallel;
#[cfg(not(target_arch = "wasm32"))]
mod pool;
pub mod simd;
mod sixteen;
#[cfg(target_arch = "x86_64")]
mod vnni;

pub use dequant::CpuWeight;
pub use parallel::alone;

use crate::Precision;

/// The host's cores.
pub struct CpuDevice {
    precision: Precision,
    threads: usize,
    simd: simd::Level,
    #[cfg(not(target_arch = "wasm32"))]
    pool: pool::Pool,
}

impl CpuDevice {
    /// All cores.
    pub fn new(precision: Precision) -> Self {
        #[cfg(target_arch = "wasm32")]
        let threads = 1;
        #[cfg(not(target_arch = "wasm32"))]
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        Self::with_threads(precision, threads)
    }

    /// `threads` threads, the caller's included. The browser has one.
    pub fn with_threads(precision: Precision, threads: usize) -> Self {
        let threads = if cfg!(target_arch = "wasm32") { 1 } else { threads.max(1) };
        Self {
            precision,
            threads,
            simd: simd::level(),
            #[cfg(not(target_arch = "wasm32"))]
            pool: pool::Pool::new(threads),
        }
    }

    /// The same device held to `level` at most: the tests compare the levels' bits.
    pub fn with_simd(mut self, level: simd::Level) -> Self {
        self.simd = level.min(simd::level());
        self
    }

    /// Exact or fast.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Threads that share an op's work, the caller's included.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// The vector instructions that ops on this device may use.
    pub fn simd(&self) -> simd::Level {
        self.simd
    }

    /// Threads and SIMD level: `cpu (2 threads, avx512)`.
    pub fn describe(&self) -> String {
        let plural = if self.threads == 1 { "" } else { "s" };
        format!("cpu ({} thread{plural}, {})", self.threads, self.simd.name())
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn pool(&self) -> &pool::Pool {
        &self.pool
    }
}
