// Where four values of a row of q, dout (32 rows of one query head) or of k, v (32 rows of one kv head) lie.
// Private variables, since the loaders that `attention_pair.wgsl` calls take only places within the tile.

var<private> query_row: u32;
var<private> query_head: u32;
var<private> key_row: u32;
var<private> key_head: u32;
var<private> span_end: u32; // rows from here on belong to others

struct Four {
    first: u32,  // of two values
    second: u32, // of two more, or `first` again at the end of a row
    count: u32,  // 0, 2 or 4 values are there (D is even)
}

fn place(row: u32, heads: u32, head: u32, d: u32) -> Four {
    if row >= span_end || d >= params.head_dim {
        return Four(0u, 0u, 0u);
    }
    let first = (row * heads + head) * params.head_dim + d;
    if d + 2u >= params.head_dim {
        return Four(first, first, 2u);
    }
    return Four(first, first + 2u, 4u);
}

fn query_place(row: u32, d: u32) -> Four {
    return place(query_row + row, params.kv_heads * params.group, query_head, d);
}

fn key_place(row: u32, d: u32) -> Four {
    return place(key_row + row, params.kv_heads, key_head, d);
}

// Drops what is past the end.
fn low_of(four: vec4<f32>, count: u32) -> vec4<f32> {
    return select(vec4<f32>(four.xy, 0.0, 0.0), four, count == 4u);
}
