//! A tensor as a file holds it, and as the engine asks for it.

use half::{bf16, f16};
use kernels::{Bytes, DType, Extent};

use crate::error::Result;

/// A tensor of a checkpoint file.
#[derive(Clone)]
pub struct TensorInfo {
    /// Name in the file.
    pub name: String,
    /// Storage format.
    pub dtype: DType,
    /// Row-major, outermost first.
    pub shape: Vec<usize>,
    /// Its bytes, shared with the file or read from it.
    pub bytes: Extent,
    /// File it lies in.
    pub file: String,
    /// Byte in that file where it begins.
    pub offset: u64,
}

impl TensorInfo {
    /// All elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// A tensor for a role: a matrix, a vector (one row), or stacked experts.
#[derive(Clone)]
pub struct TensorData {
    /// N; 1 for a vector; E · N for stacked experts.
    pub rows: usize,
    /// K.
    pub cols: usize,
    /// Storage format.
    pub dtype: DType,
    /// Row-major; GGUF's layout for block formats, little-endian otherwise.
    pub bytes: Bytes,
}

/// As [`TensorData`], its rows not always in one piece, as stacked experts that lie here and there in their files, and not always in memory.
#[derive(Clone)]
pub struct TensorParts {
    /// As in [`TensorData`].
    pub rows: usize,
    /// K.
    pub cols: usize,
    /// Storage format.
    pub dtype: DType,
    /// All rows in one, or those of one expert in each, in order.
    pub parts: Vec<Extent>,
}

impl TensorParts {
    /// In memory and in one piece: read, or copied together if there are several.
    pub fn joined(self) -> Result<TensorData> {
        let Self { rows, cols, dtype, parts } = self;
        let bytes = match parts.as_slice() {
            [whole] => whole.load()?,
            parts => Extent::join(parts)?,
        };
        Ok(TensorData { rows, cols, dtype, bytes })
    }
}

impl From<TensorData> for TensorParts {
    fn from(data: TensorData) -> Self {
        Self { rows: data.rows, cols: data.cols, dtype: data.dtype, parts: vec![data.bytes.into()] }
    }
}

impl TensorData {
    /// Values of a plain float format; `None` for block formats.
    pub fn to_f32(&self) -> Option<Vec<f32>> {
        floats(self.dtype, self.bytes.as_slice())
    }
}

/// Little-endian floats as f32.
pub(crate) fn floats(dtype: DType, bytes: &[u8]) -> Option<Vec<f32>> {
    Some(match dtype {
        DType::F32 => bytes.as_chunks().0.iter().map(|&four| f32::from_le_bytes(four)).collect(),
        DType::F16 => bytes.as_chunks().0.iter().map(|&two| f16::from_le_bytes(two).to_f32()).collect(),
        DType::BF16 => bytes.as_chunks().0.iter().map(|&two| bf16::from_le_bytes(two).to_f32()).collect(),
        _ => return None,
    })
}

/// First element that is NaN or infinite; for block formats the first element of the first block whose scale or minimum is.
/// Integers inside blocks cannot be anything but finite.
pub fn first_non_finite(dtype: DType, bytes: &[u8]) -> Option<usize> {
    // Exponent bits all set: NaN or infinity. Tested as integers, so the loops vectorise.
    const F32: u32 = 0x7f80_0000;
    const F16: u16 = 0x7c00;
    const BF16: u16 = 0x7f80;
    let half_at = |mask: u16| first_in_runs::<2>(bytes, move |&two| u16::from_le_bytes(two) & mask == mask);
    let scales: &[usize] = match dtype {
        DType::F32 => return first_in_runs::<4>(bytes, |&four| u32::from_le_bytes(four) & F32 == F32),
        DType::F16 => return half_at(F16),
        DType::BF16 => return half_at(BF16),
        DType::U32 => return None,
        DType::Q8_0 | DType::Q4_0 | DType::Q5_0 => &[0],
        DType::Q4_1 | DType::Q5_1 | DType::Q4_K | DType::Q5_K => &[0, 2],
        DType::Q6_K => &[208],
    };
    let infinite = |block: &[u8]| scales.iter().any(|&at| u16::from_le_bytes([block[at], block[at + 1]]) & F16 == F16);
    bytes.chunks_exact(dtype.block_bytes()).position(infinite).map(|block| block * dtype.block_len())
}

/// First element for which `bad` holds. Runs of 1024 are tested without a branch per element.
fn first_in_runs<const N: usize>(bytes: &[u8], bad: impl Fn(&[u8; N]) -> bool) -> Option<usize> {
    let elements = bytes.as_chunks::<N>().0;
    let run = elements.chunks(1024).position(|run| run.iter().fold(false, |any, element| any | bad(element)))?;
    elements[run * 1024..].iter().position(bad).map(|at| run * 1024 + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_first_bad_element_of_every_format() {
        for dtype in DType::WEIGHTS {
            let clean = vec![0u8; 4096 / dtype.block_len() * dtype.block_bytes()];
            assert_eq!(first_non_finite(dtype, &clean), None);
            let (block, scale) = match dtype {
                DType::Q6_K => (7, 208),
                _ => (7, 0),
            };
            let mut bad = clean.clone();
            let at = block * dtype.block_bytes() + scale;
            match dtype {
                DType::F32 => bad[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes()),
                DType::BF16 => bad[at..at + 2].copy_from_slice(&bf16::INFINITY.to_le_bytes()),
                _ => bad[at..at + 2].copy_from_slice(&f16::NEG_INFINITY.to_le_bytes()),
            }
            assert_eq!(first_non_finite(dtype, &bad), Some(block * dtype.block_len()), "{}", dtype.name());
        }
    }

    #[test]
    fn the_minimum_of_a_block_counts_too() {
        for dtype in [DType::Q4_1, DType::Q5_1, DType::Q4_K, DType::Q5_K] {
            let mut bytes = vec![0u8; 3 * dtype.block_bytes()];
            let at = 2 * dtype.block_bytes() + 2;
            bytes[at..at + 2].copy_from_slice(&f16::NAN.to_le_bytes());
            assert_eq!(first_non_finite(dtype, &bytes), Some(2 * dtype.block_len()));
        }
    }
}
