//! Stored bytes to `f32`, to the bit as the formats define it. The oracle of every other unpacking.

mod round;

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::CpuDevice;
use super::format::{Format, f16_to_f32, with_format};
use super::parallel::{SharedMut, for_each_range};
use super::simd::Level;
use crate::error::{KernelError, Result};
use crate::stored::StoredRows;
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

/// A weight on the CPU: the bytes as stored, often mapped from a file and so of any alignment. Rows follow each other within a part
/// and nowhere else: what reads on from one row into the next asks [`CpuWeight::is_one_piece`] first.
pub struct CpuWeight {
    pub(crate) rows: usize,
    pub(crate) cols: usize,
    pub(crate) dtype: DType,
    row_bytes: usize,
    stored: Stored,
    first_use: Option<FirstUse>,
}

/// Where the rows lie.
enum Stored {
    /// All in one piece.
    Together(Bytes),
    /// `unit_rows` of them in each part.
    Apart { unit_rows: usize, parts: Box<[Bytes]> },
}

/// Experts that have been looked at.
struct FirstUse {
    seen: Box<[AtomicBool]>,
    inspect: Inspect,
}

impl CpuWeight {
    /// Keeps `stored` [rows, cols], not copied where it lies in memory.
    pub(crate) fn new(rows: usize, cols: usize, dtype: DType, stored: &StoredRows) -> Result<Self> {
        let (parts, unit_rows) = stored.load()?;
        let place = match <[Bytes; 1]>::try_from(parts) {
            Ok([bytes]) => Stored::Together(bytes),
            Err(parts) => Stored::Apart { unit_rows, parts: parts.into() },
        };
        Ok(Self { rows, cols, dtype, row_bytes: stored.row_bytes(), stored: place, first_use: None })
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
        let Some((bytes, span)) = self.span(&rows) else {
            return Err(KernelError::shape(op, format!("rows {rows:?} of expert {unit} do not lie in one part")));
        };
        if let Some(message) = (first_use.inspect)(unit, &bytes.as_slice()[span]) {
            return Err(KernelError::Value { op, message });
        }
        first_use.seen[unit].store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Looks at those of `units`, of `unit_rows` each, that nobody has looked at. All threads do: it is what waits for the disk.
    pub(crate) fn inspect_units(
        &self,
        device: &CpuDevice,
        op: &'static str,
        units: impl Iterator<Item = usize>,
        unit_rows: usize,
    ) -> Result<()> {
        let unseen: Vec<usize> = units.filter(|&unit| self.is_unseen(unit)).collect();
        let mut results: Vec<Result<()>> = unseen.iter().map(|_| Ok(())).collect();
        let shared = SharedMut::new(&mut results);
        for_each_range(device, unseen.len(), 1, |range| {
            for i in range {
                let unit = unseen[i];
                // SAFETY: each unit is one item.
                let result = unsafe { shared.slice(i..i + 1) };
                result[0] = self.inspect(op, unit, unit * unit_rows..(unit + 1) * unit_rows);
            }
        });
        results.into_iter().collect()
    }

    /// Overwrites all weights with `values` [rows, cols] rounded to F32, F16 or BF16. Bytes that are this weight's alone are written;
    /// mapped or shared ones are left, and the weight gets memory of its own.
    ///
    /// Errors when the format has blocks, or there is no memory.
    pub(crate) fn store(&mut self, device: &CpuDevice, values: &[f32]) -> Result<()> {
        if !matches!(self.dtype, DType::F32 | DType::F16 | DType::BF16) {
            let message = format!("a {} weight cannot be stored to; train one in f32, f16 or bf16", self.dtype.name());
            return Err(KernelError::Value { op: "weight store", message });
        }
        if values.len() != self.rows * self.cols {
            return Err(KernelError::shape("weight store", format!("{} values for [{}, {}]", values.len(), self.rows, self.cols)));
        }
        let own = match &mut self.stored {
            Stored::Together(bytes) => bytes.get_mut().is_some(),
            Stored::Apart { .. } => false,
        };
        if !own {
            let len = self.rows * self.row_bytes;
            let mut memory = Vec::new();
            memory.try_reserve_exact(len).map_err(|_| KernelError::OutOfMemory { device: "cpu".into(), needed: len as u64 })?;
            memory.resize(len, 0u8);
            self.stored = Stored::Together(memory.into());
        }
        let writable = match &mut self.stored {
            Stored::Together(bytes) => bytes.get_mut(),
            Stored::Apart { .. } => None,
        };
        let Some(bytes) = writable else {
            return Err(KernelError::Value { op: "weight store", message: "the holder of the bytes took them back".into() });
        };
        // What the bytes were does not matter any more.
        self.first_use = None;
        let (size, out) = (self.dtype.block_bytes(), SharedMut::new(bytes));
        for_each_range(device, values.len(), 1 << 16, |range| {
            // SAFETY: ranges are disjoint.
            let out = unsafe { out.slice(range.start * size..range.end * size) };
            round::round(device.simd(), self.dtype, &values[range], out);
        });
        Ok(())
    }

    /// Fills `out` [rows, cols] with all weights as f32, those of experts that nobody has looked at after a look.
    pub(crate) fn load(&self, device: &CpuDevice, unit_rows: usize, out: &mut [f32]) -> Result<()> {
        const OP: &str = "weight load";
        if out.len() != self.rows * self.cols {
            return Err(KernelError::shape(OP, format!("{} values for [{}, {}]", out.len(), self.rows, self.cols)));
        }
        self.inspect_units(device, OP, 0..self.rows.checked_div(unit_rows).unwrap_or(0), unit_rows)?;
        let (cols, out) = (self.cols, SharedMut::new(out));
        for_each_range(device, self.rows, (1usize << 16).div_ceil(cols.max(1)), |rows| {
            for row in rows {
                // SAFETY: each row is one item.
                dequantize_at(device.simd(), self.dtype, self.row(row), unsafe { out.slice(row * cols..(row + 1) * cols) });
            }
        });
        Ok(())
    }

    /// Expert `unit`, whose rows are `rows`, is read next. Advice on what is in memory already costs about 30 µs an expert of 1 MB,
    /// so it is given where there is something to fetch: before the first use, or each time if memory cannot hold the file.
    pub(crate) fn will_read(&self, unit: usize, rows: Range<usize>) {
        let used = self.first_use.as_ref().is_some_and(|first_use| first_use.seen[unit].load(Ordering::Relaxed));
        if let Some((bytes, span)) = self.span(&rows).filter(|(bytes, _)| !used || !bytes.stay()) {
            bytes.will_read(span);
        }
    }

    /// Whether `rows` follow each other in memory.
    pub(crate) fn is_one_piece(&self, rows: &Range<usize>) -> bool {
        self.span(rows).is_some()
    }

    /// The part that holds all of `rows` and their bytes' place in it; `None` if they lie in several.
    fn span(&self, rows: &Range<usize>) -> Option<(&Bytes, Range<usize>)> {
        let (bytes, first) = match &self.stored {
            Stored::Together(bytes) => (bytes, 0),
            Stored::Apart { unit_rows, parts } => {
                let part = rows.start / unit_rows;
                let bytes = parts.get(part).filter(|_| rows.end <= (part + 1) * unit_rows)?;
                (bytes, part * unit_rows)
            }
        };
        Some((bytes, (rows.start - first) * self.row_bytes..(rows.end - first) * self.row_bytes))
    }

    /// The stored bytes of `row`. Only rows that lie apart need a division.
    pub(crate) fn row(&self, row: usize) -> &[u8] {
        let (bytes, row) = match &self.stored {
            Stored::Together(bytes) => (bytes, row),
            Stored::Apart { unit_rows, parts } => (&parts[row / unit_rows], row % unit_rows),
        };
        &bytes.as_slice()[row * self.row_bytes..(row + 1) * self.row_bytes]
    }

    /// The stored bytes of columns `from..to` of `row`, both at a block's border.
    pub(crate) fn part(&self, row: usize, from: usize, to: usize) -> &[u8] {
        let (len, bytes) = (self.dtype.block_len(), self.dtype.block_bytes());
        &self.row(row)[from / len * bytes..to / len * bytes]
    }
}
