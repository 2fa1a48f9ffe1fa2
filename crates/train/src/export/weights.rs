//! Where an exported model's weights come from: a checkpoint, values that take its place, an adapter on top. Row by row, in f32.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use kernels::cpu::dequant::dequantize;
use kernels::{Bytes, DType, Extent};
use model::{Checkpoint, ModelError, Role};

use super::{ExportError, Result};
use crate::adapter::{Adapter, AdapterError, Pair};

/// Weights that take the base's place: a trained run's.
pub trait Overrides: Sync {
    /// Values of a role, row-major as [`Role::shape`] says; `None` where the base's stay.
    fn values(&self, role: Role, layer: usize) -> std::result::Result<Option<Cow<'_, [f32]>>, Box<dyn std::error::Error + Send + Sync>>;
}

impl Overrides for BTreeMap<(Role, usize), Vec<f32>> {
    fn values(&self, role: Role, layer: usize) -> std::result::Result<Option<Cow<'_, [f32]>>, Box<dyn std::error::Error + Send + Sync>> {
        Ok(self.get(&(role, layer)).map(|values| Cow::Borrowed(values.as_slice())))
    }
}

/// A model's weights: what `overrides` has, else the base's, and `adapter` merged into either.
#[derive(Clone, Copy)]
pub struct Weights<'a> {
    base: &'a Checkpoint,
    overrides: Option<&'a dyn Overrides>,
    adapter: Option<&'a Adapter>,
}

impl<'a> Weights<'a> {
    /// The base's own.
    pub fn new(base: &'a Checkpoint) -> Self {
        Self { base, overrides: None, adapter: None }
    }

    /// With values in place of some of the base's.
    pub fn with_overrides(self, overrides: &'a dyn Overrides) -> Self {
        Self { overrides: Some(overrides), ..self }
    }

    /// With an adapter merged in. Errors if it was made for another base.
    pub fn with_adapter(self, adapter: &'a Adapter) -> Result<Self, AdapterError> {
        adapter.check(self.base)?;
        Ok(Self { adapter: Some(adapter), ..self })
    }

    /// The checkpoint below.
    pub fn base(&self) -> &'a Checkpoint {
        self.base
    }

    /// The adapter on top.
    pub fn adapter(&self) -> Option<&'a Adapter> {
        self.adapter
    }

    /// Whether anything is not the base's.
    pub fn is_changed(&self) -> bool {
        self.overrides.is_some() || self.adapter.is_some()
    }

    /// The tensor of a role; `None` where this model has none. Nothing is read yet, but for a base's layouts that have to be turned.
    pub fn open(&self, role: Role, layer: usize) -> Result<Option<Matrix<'a>>> {
        let Some((parts, _)) = self.base.unread_experts(role, layer)? else { return Ok(None) };
        let (rows, cols) = (parts.rows, parts.cols);
        let overrides = self.overrides.map(|overrides| overrides.values(role, layer)).transpose();
        let values = overrides.map_err(|source| ExportError::Overrides { tensor: role.canonical(layer), source })?.flatten();
        let held = match values {
            Some(values) if values.len() != rows * cols => {
                let (found, expected) = (values.len(), rows * cols);
                return Err(ExportError::Size { tensor: role.canonical(layer), found, expected });
            }
            Some(values) => Held::Values(values),
            None => {
                let part_rows = rows / parts.parts.len().max(1);
                // Mapped, so that nothing is read yet.
                let held = parts.parts.iter().map(Extent::load).collect::<std::result::Result<_, _>>().map_err(ModelError::from)?;
                Held::Stored { dtype: parts.dtype, part_rows, parts: held }
            }
        };
        let unit_rows = if role.is_expert() { rows / self.base.config().moe.as_ref().map_or(1, |moe| moe.experts) } else { rows };
        let name = if matches!(held, Held::Values(_)) { role.canonical(layer) } else { self.base.name_of(role, layer) };
        let merge = self.adapter.map(|adapter| (adapter.scale(), adapter.pairs_of(role, layer)));
        Ok(Some(Matrix { rows, cols, unit_rows, name, held, merge: merge.filter(|(_, pairs)| !pairs.is_empty()) }))
    }
}

/// A tensor whose rows are read when they are asked for. A vector is one row.
pub struct Matrix<'a> {
    /// N; 1 for a vector, E · N for experts.
    pub rows: usize,
    /// K.
    pub cols: usize,
    /// Rows of one expert; all of them elsewhere.
    pub unit_rows: usize,
    /// File and tensor, for messages.
    pub name: String,
    held: Held<'a>,
    /// (α/r, pairs by expert; elsewhere the one pair at 0).
    merge: Option<(f32, BTreeMap<usize, &'a Pair>)>,
}

enum Held<'a> {
    Stored { dtype: DType, part_rows: usize, parts: Vec<Bytes> },
    Values(Cow<'a, [f32]>),
}

impl Matrix<'_> {
    /// The rows of an expert, or all.
    pub fn rows_of(&self, expert: Option<usize>) -> Range<usize> {
        match expert {
            Some(expert) => expert * self.unit_rows..(expert + 1) * self.unit_rows,
            None => 0..self.rows,
        }
    }

    /// These rows are not read again soon: what a mapped file holds of them leaves memory.
    pub fn was_read(&self, rows: Range<usize>) {
        let Held::Stored { dtype, part_rows, parts } = &self.held else { return };
        let Some(bytes) = dtype.row_bytes(self.cols) else { return };
        for (part, first) in parts.iter().zip((0..).step_by((*part_rows).max(1))) {
            let (start, end) = (rows.start.max(first), rows.end.min(first + part_rows));
            if start < end {
                part.was_read((start - first) * bytes..(end - first) * bytes);
            }
        }
    }

    /// The format its bytes are stored in; `None` if its values are not those of a file.
    pub fn stored(&self) -> Option<DType> {
        match self.held {
            Held::Stored { dtype, .. } if self.merge.is_none() => Some(dtype),
            _ => None,
        }
    }

    /// A row as [`Matrix::stored`]; `None` without one, and past the end.
    pub fn stored_row(&self, row: usize) -> Option<&[u8]> {
        match &self.held {
            Held::Stored { dtype, part_rows, parts } => {
                let bytes = dtype.row_bytes(self.cols)?;
                let at = row.checked_rem(*part_rows)?;
                parts.get(row / part_rows)?.as_slice().get(at * bytes..(at + 1) * bytes)
            }
            Held::Values(_) => None,
        }
    }

    /// Row `row` in f32 into `out` [K]. NaN and infinity are an error.
    pub fn read(&self, row: usize, out: &mut [f32]) -> Result<()> {
        let damaged = || ExportError::NonFinite { tensor: self.name.clone(), row };
        match &self.held {
            Held::Values(values) => match values.get(row * self.cols..(row + 1) * self.cols) {
                Some(values) => out.copy_from_slice(values),
                None => return Err(ExportError::Size { tensor: self.name.clone(), found: row, expected: self.rows }),
            },
            Held::Stored { dtype, .. } => {
                let bytes = self.stored_row(row).unwrap_or_default();
                dequantize(*dtype, bytes, out).map_err(model::ModelError::from)?;
            }
        }
        if let Some((scale, pairs)) = &self.merge
            && let Some(pair) = pairs.get(&(row / self.unit_rows))
        {
            pair.add_row(*scale, row % self.unit_rows, out);
        }
        if out.iter().all(|value| value.is_finite()) { Ok(()) } else { Err(damaged()) }
    }

    /// A vector as so many rows of one value each, so that they can be reordered as rows are.
    pub(super) fn upright(self) -> Result<Matrix<'static>> {
        let mut values = vec![0.0; self.rows * self.cols];
        for (row, out) in values.chunks_exact_mut(self.cols.max(1)).enumerate() {
            self.read(row, out)?;
        }
        let rows = values.len();
        Ok(Matrix { rows, cols: 1, unit_rows: rows, name: self.name, held: Held::Values(Cow::Owned(values)), merge: None })
    }
}
