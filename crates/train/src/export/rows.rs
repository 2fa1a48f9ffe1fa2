//! Rows of a tensor, converted on all cores a piece at a time and written in order.

use std::io::Write;
use std::ops::Range;

use kernels::DType;
use model::tensor::first_non_finite;
use rayon::prelude::*;

use super::quantise::encode;
use super::weights::Matrix;
use super::{ExportError, Result};

/// Weights converted at once: 16 MiB of f32.
const PIECE: usize = 1 << 22;
/// Larger weights than any format with an f16 scale can hold.
const LARGEST: f32 = 1e8;

/// In which order rows are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    AsTheyAre,
    /// Row 2i + h of each head of so many rows is row i + h·D/2, as llama.cpp's converter has it.
    Interleaved(usize),
}

impl Order {
    /// The row that is written at `at`.
    fn source(self, at: usize) -> usize {
        match self {
            Self::AsTheyAre => at,
            Self::Interleaved(head) => at / head * head + at % 2 * (head / 2) + at % head / 2,
        }
    }
}

/// Writes rows as `dtype` and says after each piece how many bytes it wrote. What is stored so already, and unchanged, is copied.
pub(super) fn write(
    matrix: &Matrix,
    rows: Range<usize>,
    order: Order,
    dtype: DType,
    out: &mut impl Write,
    mut wrote: impl FnMut(u64),
) -> Result<()> {
    let size = || ExportError::Size { tensor: matrix.name.clone(), found: matrix.cols, expected: dtype.block_len() };
    let row_bytes = dtype.row_bytes(matrix.cols).filter(|&bytes| bytes > 0).ok_or_else(size)?;
    let step = (PIECE / matrix.cols).max(1);
    let mut buffer = vec![];
    let mut start = rows.start;
    while start < rows.end {
        let end = rows.end.min(start + step);
        buffer.resize((end - start) * row_bytes, 0u8);
        let each = buffer.par_chunks_exact_mut(row_bytes).enumerate();
        each.try_for_each_init(
            || vec![0.0f32; matrix.cols],
            |values, (at, bytes)| convert(matrix, order.source(start + at), dtype, values, bytes),
        )?;
        out.write_all(&buffer).map_err(ExportError::writing)?;
        wrote(buffer.len() as u64);
        start = end;
    }
    Ok(())
}

fn convert(matrix: &Matrix, row: usize, dtype: DType, values: &mut [f32], bytes: &mut [u8]) -> Result<()> {
    if matrix.stored() == Some(dtype)
        && let Some(stored) = matrix.stored_row(row)
    {
        bytes.copy_from_slice(stored);
        return match first_non_finite(dtype, bytes) {
            None => Ok(()),
            Some(_) => Err(ExportError::NonFinite { tensor: matrix.name.clone(), row }),
        };
    }
    matrix.read(row, values)?;
    let too_large = dtype.block_len() > 1 && values.iter().any(|value| value.abs() > LARGEST);
    if too_large || !encode(dtype, values, bytes) || first_non_finite(dtype, bytes).is_some() {
        return Err(ExportError::TooLarge { tensor: matrix.name.clone(), row, dtype: dtype.name() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_head_interleave_as_the_converter_has_them() {
        // Two heads of width 6: reshape(2, 2, 3).swapaxes(1, 2).
        let order: Vec<usize> = (0..12).map(|at| Order::Interleaved(6).source(at)).collect();
        assert_eq!(order, [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]);
    }
}
