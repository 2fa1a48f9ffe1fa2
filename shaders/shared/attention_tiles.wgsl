// Spans cut into tiles of 32 rows from their own first rows, so that a span's tiles do not depend on its neighbours.
// Needs the binding span_table and the uniform field `spans`. The grid has ⌊rows / 32⌋ + spans tiles, of which some are empty:
// tile i of span s has number ⌊first row of s / 32⌋ + s + i, which no tile of a later span reaches.

const TILE: u32 = 32u;

struct SpanTile {
    first: u32, // the tile's first row
    start: u32, // the span's first row
    end: u32,   // past the span's last row; at most `first` if the tile is empty
}

fn first_tile(span: u32) -> u32 {
    return span_table[span * 4u] / TILE + span;
}

fn span_tile(number: u32) -> SpanTile {
    // The last span that begins at or before the tile.
    var low = 0u;
    var high = params.spans;
    while high - low > 1u {
        let middle = (low + high) / 2u;
        if first_tile(middle) <= number {
            low = middle;
        } else {
            high = middle;
        }
    }
    let start = span_table[low * 4u];
    return SpanTile(start + (number - first_tile(low)) * TILE, start, start + span_table[low * 4u + 1u]);
}
