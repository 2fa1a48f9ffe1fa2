//! The CPU device: threads, SIMD levels, weights as stored.

use crate::error::Result;
use crate::{Bytes, DType, Precision};

/// The host's cores.
pub struct CpuDevice {
    precision: Precision,
}

impl CpuDevice {
    /// All cores.
    pub fn new(precision: Precision) -> Self {
        Self { precision }
    }
    /// Exact or fast.
    pub fn precision(&self) -> Precision {
        self.precision
    }
    /// Threads and SIMD level.
    pub fn describe(&self) -> String {
        todo!()
    }
}

/// A weight on the CPU.
pub struct CpuWeight {}

impl CpuWeight {
    /// Keeps or repacks the bytes.
    pub fn new(_device: &CpuDevice, _rows: usize, _cols: usize, _dtype: DType, _bytes: Bytes) -> Result<Self> {
        todo!()
    }
}
