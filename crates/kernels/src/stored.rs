//! A weight's rows as they are stored, wherever they lie.

use std::ops::Range;

use crate::error::{KernelError, Result};
use crate::{Bytes, DType, Extent};

/// The rows of a weight [N, K], in order: all in one part, or those of one unit in each. They follow each other within a part and nowhere
/// else.
pub(crate) struct StoredRows {
    parts: Vec<Extent>,
    part_rows: usize,
    row_bytes: usize,
}

impl StoredRows {
    /// Errors unless one part holds `rows` whole rows, a multiple of `unit_rows`, or each of several holds `unit_rows` of them.
    pub fn new(rows: usize, cols: usize, dtype: DType, unit_rows: usize, mut parts: Vec<Extent>) -> Result<Self> {
        let refused = |message: String| Err(KernelError::shape("weight", message));
        if dtype == DType::U32 {
            return refused("u32 is no weight format".into());
        }
        let Some(row_bytes) = dtype.row_bytes(cols) else {
            return refused(format!("{cols} columns are not whole {} blocks", dtype.name()));
        };
        if parts.is_empty() {
            parts.push(Vec::new().into());
        }
        let size = |rows: usize| rows as u128 * row_bytes as u128;
        if let [whole] = parts.as_slice() {
            if size(rows) != u128::from(whole.len()) || unit_rows == 0 || rows % unit_rows != 0 {
                let (name, needed, found) = (dtype.name(), size(rows), whole.len());
                return refused(format!("[{rows}, {cols}] {name} needs {needed} bytes, {found} were given"));
            }
            return Ok(Self { parts, part_rows: rows, row_bytes });
        }
        if unit_rows == 0 || parts.len().checked_mul(unit_rows) != Some(rows) {
            return refused(format!("{} parts of {unit_rows} rows are not {rows} rows", parts.len()));
        }
        if let Some((number, part)) = parts.iter().enumerate().find(|(_, part)| u128::from(part.len()) != size(unit_rows)) {
            let (found, name, needed) = (part.len(), dtype.name(), size(unit_rows));
            return refused(format!("part {number} has {found} bytes, [{unit_rows}, {cols}] {name} needs {needed}"));
        }
        Ok(Self { parts, part_rows: unit_rows, row_bytes })
    }

    /// Bytes of a row.
    pub fn row_bytes(&self) -> usize {
        self.row_bytes
    }

    /// Every part in memory, and the rows of each: not copied where it lies there.
    pub fn load(&self) -> Result<(Vec<Bytes>, usize)> {
        Ok((self.parts.iter().map(Extent::load).collect::<Result<_>>()?, self.part_rows))
    }

    /// The bytes of `rows`: where they lie, if they lie together in memory, else read or copied into `buffer`.
    pub fn get<'a>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let bytes = |rows: Range<usize>, first: usize| {
            let place = |row: usize| (row - first) as u64 * self.row_bytes as u64;
            place(rows.start)..place(rows.end)
        };
        let part_of = |row: usize| row / self.part_rows.max(1);
        let (first, last) = (part_of(rows.start), part_of(rows.end.saturating_sub(1).max(rows.start)));
        if first == last {
            let Some(part) = self.parts.get(first) else { return Ok(&[]) };
            return part.get(bytes(rows, first * self.part_rows), buffer);
        }
        buffer.resize(rows.len() * self.row_bytes, 0);
        let mut rest = buffer.as_mut_slice();
        for number in first..=last {
            let begin = number * self.part_rows;
            let own = rows.start.max(begin)..rows.end.min(begin + self.part_rows);
            let (out, behind) = rest.split_at_mut(own.len() * self.row_bytes);
            self.parts[number].read(bytes(own, begin).start, out)?;
            rest = behind;
        }
        Ok(buffer)
    }
}
