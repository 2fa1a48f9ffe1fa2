//! The merged model's folder: each tensor read from base and models, merged, rounded and written, a few rows at a time.

use std::io::Write;
use std::ops::Range;

use kernels::DType;
use model::Role;
use model::tensor::first_non_finite;

use super::pieces::{Stack, Values};
use super::{Merge, Source};
use crate::export::quantise::encode;
use crate::export::safetensors::{self, Contents, SHARD};
use crate::export::{Export, ExportError, Matrix, Result, Written, finish};

pub use crate::export::safetensors::vacant;

/// Writes `export`'s folder with the merged weights, and its card; `notes` go into both.
pub(super) fn write(job: &Merge, export: &Export, notes: Vec<String>, progress: &mut impl FnMut(u64, u64)) -> Result<Written> {
    let mut written = safetensors::folder(export, &mut Merged { job, opened: None }, SHARD, progress)?;
    written.notes.splice(0..0, notes);
    finish(export, written)
}

/// The tensors of a merge, those of the role at hand opened.
struct Merged<'a> {
    job: &'a Merge<'a>,
    opened: Option<((Role, usize), Vec<Matrix<'a>>)>,
}

impl Contents for Merged<'_> {
    fn dtype(&self, role: Role, layer: usize) -> DType {
        let stored = self.job.base.weights.base().stored(role, layer).map(|(dtype, _)| dtype);
        self.job.dtype.or(stored).unwrap_or(DType::F32)
    }

    fn write(&mut self, role: Role, layer: usize, expert: Option<usize>, out: &mut dyn Write, wrote: &mut dyn FnMut(u64)) -> Result<()> {
        if self.opened.as_ref().is_none_or(|(place, _)| *place != (role, layer)) {
            self.opened = None; // those before leave memory first
            let sources = std::iter::once(&self.job.base).chain(&self.job.models);
            self.opened = Some(((role, layer), sources.map(|source| open(source, role, layer)).collect::<Result<_>>()?));
        }
        let Some((_, matrices)) = &self.opened else { return Ok(()) };
        let tensor = expert.map_or_else(|| role.canonical(layer), |expert| role.canonical_expert(layer, expert));
        let sources = std::iter::once(&self.job.base).chain(&self.job.models);
        let part = |(matrix, source): (_, &Source)| {
            let base = source.weights.base();
            let stored = expert.map_or_else(|| base.name_of(role, layer), |expert| base.name_of_expert(role, layer, expert));
            Part { matrix, rows: Matrix::rows_of(matrix, expert), tensor: &tensor, stored }
        };
        let parts: Vec<Part> = matrices.iter().zip(sources).map(part).collect();
        let Some((base, models)) = parts.split_first() else { return Ok(()) };
        let stack = Stack { base, models: models.iter().map(|part| part as &dyn Values).collect() };
        let (dtype, cols) = (self.dtype(role, layer), base.cols().max(1));
        let (mut bytes, mut row) = (vec![], 0);
        self.job.method.tensor(&self.job.weights, &stack, |values| {
            bytes.resize(values.len() * dtype.block_bytes(), 0);
            let bad = if encode(dtype, &values, &mut bytes) { first_non_finite(dtype, &bytes) } else { Some(0) };
            if let Some(at) = bad {
                return Err(ExportError::TooLarge { tensor: format!("merged {tensor}"), row: row + at / cols, dtype: dtype.name() });
            }
            row += values.len() / cols;
            out.write_all(&bytes)?;
            wrote(bytes.len() as u64);
            Ok(())
        })
    }
}

fn open<'a>(source: &Source<'a>, role: Role, layer: usize) -> Result<Matrix<'a>> {
    Ok(source.weights.open(role, layer)?.ok_or_else(|| source.weights.base().missing(role, layer))?)
}

/// Some rows of a matrix: all, or an expert's.
struct Part<'a> {
    matrix: &'a Matrix<'a>,
    rows: Range<usize>,
    /// Their name in any checkpoint.
    tensor: &'a str,
    /// File and name they are stored by.
    stored: String,
}

impl Values for Part<'_> {
    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn cols(&self) -> usize {
        self.matrix.cols
    }

    fn read(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        for (row, out) in rows.clone().zip(out.chunks_exact_mut(self.matrix.cols.max(1))) {
            self.matrix.read(self.rows.start + row, out).map_err(|error| match error {
                // The matrix knows all experts by the name of the first; what a run has in a tensor's place is in none of these files.
                ExportError::NonFinite { tensor, .. } => {
                    let is_stored = tensor.contains(": ");
                    ExportError::NonFinite { tensor: if is_stored { self.stored.clone() } else { self.tensor.to_owned() }, row }
                }
                other => other,
            })?;
        }
        self.matrix.was_read(self.rows.start + rows.start..self.rows.start + rows.end);
        Ok(())
    }
}
