//! A tensor in the base and in every model, read a few rows at a time.

use std::ops::Range;

use rayon::prelude::*;

use crate::export::Result;

/// Elements of a piece: 1 MiB of f32 of the base and of each model. Sums go over pieces in order, so this number, and not the threads,
/// decides how they are rounded.
const PIECE: usize = 1 << 18;

/// A tensor's values in f32, [N, K] row-major, read in any order and by several threads.
pub trait Values: Sync {
    /// N; 1 for a vector.
    fn rows(&self) -> usize;

    /// K.
    fn cols(&self) -> usize;

    /// These rows into `out` [rows · K].
    fn read(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()>;
}

/// One tensor of the base and of each model, all of one shape.
pub struct Stack<'a> {
    /// The base's.
    pub base: &'a dyn Values,
    /// Each model's.
    pub models: Vec<&'a dyn Values>,
}

/// Some rows of a stack.
pub(super) struct Piece {
    /// The first one's number among the tensor's elements.
    pub start: usize,
    /// The base's values.
    pub base: Vec<f32>,
    /// Each model's values; deltas after [`Piece::into_deltas`].
    pub models: Vec<Vec<f32>>,
}

impl Piece {
    /// Model − base, in f32, in place of each model's values.
    pub fn into_deltas(mut self) -> Self {
        for model in &mut self.models {
            model.iter_mut().zip(&self.base).for_each(|(value, base)| *value -= base);
        }
        self
    }

    /// The deltas (or values) of element `at`, model by model.
    pub fn of(&self, at: usize) -> impl Iterator<Item = f32> + Clone {
        self.models.iter().map(move |model| model[at])
    }
}

impl<'a> Stack<'a> {
    /// N · K.
    pub fn elements(&self) -> usize {
        self.base.rows() * self.base.cols()
    }

    /// With one of the models alone.
    pub(super) fn only(&self, model: usize) -> Stack<'a> {
        Stack { base: self.base, models: self.models[model..=model].to_vec() }
    }

    /// Computes something of every piece, on all cores, and hands it to `take` in order.
    pub(super) fn pass<T: Send>(&self, compute: impl Fn(Piece) -> T + Sync, mut take: impl FnMut(T) -> Result<()>) -> Result<()> {
        let (rows, cols) = (self.base.rows(), self.base.cols());
        let step = (PIECE / cols.max(1)).max(1);
        let pieces: Vec<Range<usize>> = (0..rows).step_by(step).map(|first| first..rows.min(first + step)).collect();
        for several in pieces.chunks(2 * rayon::current_num_threads()) {
            let computed: Vec<Result<T>> = several.par_iter().map(|rows| Ok(compute(self.read(rows.clone())?))).collect();
            computed.into_iter().try_for_each(|computed| take(computed?))?;
        }
        Ok(())
    }

    fn read(&self, rows: Range<usize>) -> Result<Piece> {
        let cols = self.base.cols();
        let values = |of: &&dyn Values| {
            let mut values = vec![0.0; rows.len() * cols];
            of.read(rows.clone(), &mut values).map(|()| values)
        };
        Ok(Piece { start: rows.start * cols, base: values(&self.base)?, models: self.models.iter().map(values).collect::<Result<_>>()? })
    }
}
