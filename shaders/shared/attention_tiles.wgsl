// Spans cut into tiles of 32 rows from their own first rows, so that a span's tiles do not depend on its neighbours.
// Needs the binding span_table and the uniform field `spans`. The grid has ⌊rows / 32⌋ + spans tiles, of which some are empty:
// tile i of span s has number ⌊first row of s / 32⌋ + s + i, which no tile of a later span reaches.

const TILE: u32 = 32u;

// A span's row of span_table.
const ENTRY: u32 = 6u;

struct SpanTile {
    first: u32, // the tile's first row
    start: u32, // the span's first row
    end: u32,   // past the span's last row; at most `first` if the tile is empty
    past: u32,  // positions before the span's rows, a multiple of TILE
    stem: u32,  // the row that computes position 0
    reach: u32, // past the last row that sees the span's keys
}

fn first_tile(span: u32) -> u32 {
    return span_table[span * ENTRY] / TILE + span;
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
    let entry = low * ENTRY;
    let start = span_table[entry];
    return SpanTile(
        start + (number - first_tile(low)) * TILE,
        start,
        start + span_table[entry + 1u],
        span_table[entry + 2u],
        span_table[entry + 4u],
        span_table[entry + 5u],
    );
}

// The first row of the key tile that begins at `position`: the stem's before `past`, the span's own after.
fn key_tile_row(tile: SpanTile, position: u32) -> u32 {
    if position < tile.past {
        return tile.stem + position;
    }
    return tile.start + position - tile.past;
}
