//! Bytes in memory: owned, or mapped from a file.

use std::ops::Range;
use std::sync::Arc;

/// What keeps bytes: a vector, a file mapped by whoever opened it.
pub trait Holder: Send + Sync {
    /// All of them.
    fn bytes(&self) -> &[u8];

    /// All of them, to be overwritten; `None` where they are not to be written, as a mapped file's.
    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        None
    }

    /// `range` of them is read next: a mapped file begins to fetch what is not in memory. Only advice; memory has nothing to do.
    fn will_read(&self, _range: Range<usize>) {}

    /// `range` of them is not read again soon: a mapped file lets its pages go, and reads them again if they are asked for. Only advice.
    fn was_read(&self, _range: Range<usize>) {}

    /// Whether bytes that were read once are in memory from then on.
    fn stays(&self) -> bool {
        true
    }
}

impl Holder for Vec<u8> {
    fn bytes(&self) -> &[u8] {
        self
    }

    fn bytes_mut(&mut self) -> Option<&mut [u8]> {
        Some(self)
    }
}

/// Bytes that are owned or mapped from a file, shared without copying.
#[derive(Clone)]
pub struct Bytes {
    holder: Arc<dyn Holder>,
    range: Range<usize>,
}

impl Bytes {
    /// All of `holder`'s.
    pub fn new(holder: Arc<dyn Holder>) -> Self {
        let len = holder.bytes().len();
        Self { holder, range: 0..len }
    }

    /// A part of these bytes; `None` if it reaches past the end.
    pub fn slice(&self, range: Range<usize>) -> Option<Self> {
        let start = self.range.start.checked_add(range.start)?;
        let end = self.range.start.checked_add(range.end)?;
        (start <= end && end <= self.range.end).then(|| Self { holder: self.holder.clone(), range: start..end })
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &self.holder.bytes()[self.range.clone()]
    }

    /// The bytes, to be overwritten; `None` if others share them or their holder is not to be written.
    pub(crate) fn get_mut(&mut self) -> Option<&mut [u8]> {
        let range = self.range.clone();
        Arc::get_mut(&mut self.holder)?.bytes_mut()?.get_mut(range)
    }

    /// `range` of these bytes is read next; see [`Holder::will_read`]. A range past the end is no advice.
    pub fn will_read(&self, range: Range<usize>) {
        if let Some(part) = self.slice(range) {
            self.holder.will_read(part.range);
        }
    }

    /// `range` of these bytes is not read again soon; see [`Holder::was_read`]. A range past the end is no advice.
    pub fn was_read(&self, range: Range<usize>) {
        if let Some(part) = self.slice(range) {
            self.holder.was_read(part.range);
        }
    }

    /// See [`Holder::stays`].
    pub fn stay(&self) -> bool {
        self.holder.stays()
    }
}

impl From<Vec<u8>> for Bytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(Arc::new(bytes))
    }
}
