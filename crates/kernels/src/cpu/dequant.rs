//! Stored bytes to `f32`, to the bit as the formats define it. The oracle of every other unpacking.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::format::{Format, f16_to_f32, with_format};
use super::simd::Level;
use crate::error::{KernelError, Result};
use crate::{Bytes, DType, Inspect};

/// Fills `out` from `bytes`, which must be exactly as many weights: row-major, GGUF's blocks or little-endian.
pub fn dequantize(dtype: DType, bytes: &[u8], out: &mut [f32]) -> Result<()> {
    if dtype == DType::U32 || dtype.row_bytes(out.len()) != Some(bytes.len()) {
        return Err(KernelError::shape("dequantize", format!("{} bytes are not {} {} weights", bytes.len(), out.len(), dtype.name())));
    }
    dequantize_at(super::simd::level(), dtype, bytes, out);
    Ok(())
}

/// As [`dequantize`], sizes checked by the caller, for the given SIMD level. All levels give the same bits.
pub(crate) fn dequantize_at(level: Level, dtype: DType, bytes: &[u8], out: &mut [f32]) {
    match level {
        // SAFETY: a level is only ever one that the host has (`CpuDevice::with_simd`, `simd::level`).
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { avx512(dtype, bytes, out) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above.
        Level::Avx2 => unsafe { avx2(dtype, bytes, out) },
        _ => any(dtype, bytes, out),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")]
fn avx512(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    with_format!(dtype, F => {
        // SAFETY: this function has the instructions; callers checked that `out` fits `bytes`.
        let units = unsafe { super::vnni::dequantize::<F>(bytes, out) };
        let per_unit = <F as super::vnni::Unit>::GROUPS * 64;
        blocks::<F>(&bytes[units * <F as super::vnni::Unit>::UNIT..], &mut out[units * per_unit..]);
    }, _ => any(dtype, bytes, out));
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    any(dtype, bytes, out);
}

#[inline(always)]
fn any(dtype: DType, bytes: &[u8], out: &mut [f32]) {
    with_format!(dtype, F => blocks::<F>(bytes, out), _ => match dtype {
        DType::F32 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<4>().0) {
                *out = f32::from_le_bytes(*bytes);
            }
        }
        DType::BF16 => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *out = f32::from_bits(u32::from(u16::from_le_bytes(*bytes)) << 16);
            }
        }
        _ => {
            for (out, bytes) in out.iter_mut().zip(bytes.as_chunks::<2>().0) {
                *out = f16_to_f32(u16::from_le_bytes(*bytes));
            }
        }
    });
}

#[inline(always)]
fn blocks<F: Format>(bytes: &[u8], out: &mut [f32]) {
    let (mut q, mut scale, mut shift) = ([0u8; 256], [0f32; 16], [0f32; 16]);
    for (block, out) in bytes.chunks_exact(F::BYTES).zip(out.chunks_exact_mut(F::LEN)) {
        F::unpack(block, &mut q, &mut scale, &mut shift);
        for sub in 0..F::LEN / F::SUB {
            let (scale, shift) = (scale[sub], shift[sub]);
            for i in sub * F::SUB..(sub + 1) * F::SUB {
                let product = scale * (i32::from(q[i]) - F::OFFSET) as f32;
                out[i] = if F::AFFINE { product + shift } else { product };
            }
        }
    }
}

/// A weight on the CPU: the bytes as stored, often mapped from a file and so of any alignment.
pub struct CpuWeight {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) dtype: DType,
    row_bytes: usize,
    bytes: Bytes,
    first_use: Option<FirstUse>,
}

/// Experts that have been looked at.
struct FirstUse {
    seen: Box<[AtomicBool]>,
    inspect: Inspect,
}

impl CpuWeight {
    /// Keeps `bytes` without copying.
    pub fn new(_device: &super::CpuDevice, rows: usize, cols: usize, dtype: DType, bytes: Bytes) -> Result<Self> {
        if dtype == DType::U32 {
            return Err(KernelError::shape("weight", "u32 is no weight format"));
        }
        let row_bytes = dtype.row_bytes(cols).unwrap_or(0);
        if rows.checked_mul(row_bytes) != Some(bytes.as_slice().len()) || (row_bytes == 0 && cols > 0) {
            return Err(KernelError::shape(
                "weight",
                format!("{} bytes are not [{rows}, {cols}] {}", bytes.as_slice().len(), dtype.name()),
            ));
        }
        Ok(Self { rows, cols, dtype, row_bytes, bytes, first_use: None })
    }

    pub(crate) fn inspect_on_use(&mut self, unit_rows: usize, inspect: Inspect) {
        let units = self.rows.checked_div(unit_rows).unwrap_or(0);
        self.first_use = Some(FirstUse { seen: (0..units).map(|_| AtomicBool::new(false)).collect(), inspect });
    }

    /// Whether expert `unit` is to be looked at before its use.
    pub(crate) fn is_unseen(&self, unit: usize) -> bool {
        self.first_use.as_ref().is_some_and(|first_use| !first_use.seen[unit].load(Ordering::Relaxed))
    }

    /// Looks at expert `unit`, whose rows are `rows`; errors with what is wrong with it.
    pub(crate) fn inspect(&self, op: &'static str, unit: usize, rows: Range<usize>) -> Result<()> {
        let Some(first_use) = &self.first_use else { return Ok(()) };
        if let Some(message) = (first_use.inspect)(unit, &self.bytes.as_slice()[self.span(rows)]) {
            return Err(KernelError::Value { op, message });
        }
        first_use.seen[unit].store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Expert `unit`, whose rows are `rows`, is read next. Advice on what is in memory already costs about 30 µs an expert of 1 MB,
    /// so it is given where there is something to fetch: before the first use, or each time if memory cannot hold the file.
    pub(crate) fn will_read(&self, unit: usize, rows: Range<usize>) {
        let used = self.first_use.as_ref().is_some_and(|first_use| first_use.seen[unit].load(Ordering::Relaxed));
        if !used || !self.bytes.stay() {
            self.bytes.will_read(self.span(rows));
        }
    }

    fn span(&self, rows: Range<usize>) -> Range<usize> {
        rows.start * self.row_bytes..rows.end * self.row_bytes
    }

    /// The stored bytes of `row`.
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        &self.bytes.as_slice()[row * self.row_bytes..(row + 1) * self.row_bytes]
    }

    /// The stored bytes of columns `from..to` of `row`, both at a block's border.
    pub(crate) fn part(&self, row: usize, from: usize, to: usize) -> &[u8] {
        let (len, bytes) = (self.dtype.block_len(), self.dtype.block_bytes());
        &self.row(row)[from / len * bytes..to / len * bytes]
    }
}
