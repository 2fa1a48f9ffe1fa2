//! Spans that share a stem, as one run of rows.

use std::ops::Range;

use super::super::{Batch, PAGE_TOKENS};
use super::keys::KEYS;

/// A stem and the spans that go on from it, or a span alone. Rows are counted from the family's first.
pub struct Family<'a> {
    /// First row in the batch.
    pub row: usize,
    pub rows: usize,
    /// The stem's tiles, then those of each span: the order in which any row sees its keys.
    pub tiles: Vec<KeyTile<'a>>,
}

/// At most [`KEYS`] keys of a span, from a page's first on.
pub struct KeyTile<'a> {
    /// Row of the first key.
    pub first: usize,
    pub count: usize,
    /// The row past the last that sees them: the span's end, or the family's for those of a stem.
    pub end: usize,
    /// Where they are.
    pub pages: &'a [u32],
}

impl Family<'_> {
    /// Tile rows times keys of `rows` against `tiles`, about.
    pub fn pairs(&self, rows: Range<usize>, tiles: Range<usize>) -> u64 {
        let seen = |tile: &KeyTile| rows.end.min(tile.end).saturating_sub(rows.start.max(tile.first)) * tile.count;
        self.tiles[tiles].iter().map(|tile| seen(tile) as u64).sum()
    }
}

/// The batch's families, in order.
pub fn families(batch: &Batch) -> Vec<Family<'_>> {
    let mut families: Vec<Family> = Vec::new();
    for (span, stem) in batch.spans.iter().zip(&batch.stems) {
        if stem.is_none() {
            families.push(Family { row: span.row, rows: 0, tiles: Vec::new() });
        }
        let Some(family) = families.last_mut() else { continue }; // a stem comes first
        let (first, end) = (family.rows, family.rows + span.rows);
        if stem.is_some() {
            let stem_tiles = family.tiles.iter_mut().take_while(|tile| tile.first < span.past);
            stem_tiles.for_each(|tile| tile.end = end);
        }
        for offset in (0..span.rows).step_by(KEYS) {
            let (count, page) = (KEYS.min(span.rows - offset), (span.past + offset) / PAGE_TOKENS);
            let pages = &span.pages[page..page + count.div_ceil(PAGE_TOKENS)];
            family.tiles.push(KeyTile { first: first + offset, count, end, pages });
        }
        family.rows = end;
    }
    families
}
