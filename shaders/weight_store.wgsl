// A weight's rows of one shard from its f32 master: rounded to the nearest, ties to even, what is too large to infinity, NaN to NaN.
// All in integers: a shader may flush subnormals, and pack2x16float may round either way. FORMAT 0: F32, 1: F16, 2: BF16.

#import "shared/grid.wgsl"

struct Params {
    w_rows: u32,      // of this shard
    w_cols: u32,      // K
    w_row_words: u32, // of the shard's rows, padded
    row_base: u32,    // this shard's first row in the master
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> master: array<u32>; // f32 bits [N, K]
@group(0) @binding(2) var<storage, read_write> weight: array<u32>;

/// Column k's bits; 0 past K.
fn bits_of(row: u32, k: u32) -> u32 {
    if k >= params.w_cols {
        return 0u;
    }
    return master[(params.row_base + row) * params.w_cols + k];
}

#if FORMAT == 1
/// The lowest `shift` bits dropped, 1 ≤ shift ≤ 24.
fn rounded(value: u32, shift: u32) -> u32 {
    let kept = value >> shift;
    return (value + (1u << (shift - 1u)) - 1u + (kept & 1u)) >> shift;
}

fn stored(bits: u32) -> u32 {
    let magnitude = bits & 0x7fffffffu;
    var half = 0u;
    if magnitude > 0x7f800000u {
        half = ((magnitude >> 13u) & 0x3ffu) | 0x7e00u;
    } else if magnitude >= 0x47800000u {
        half = 0x7c00u; // from 2^16 on
    } else if magnitude >= 0x38800000u {
        half = rounded(magnitude - 0x38000000u, 13u); // from 2^-14 on; the carry of rounding reaches infinity by itself
    } else if magnitude >= 0x33000000u {
        half = rounded((magnitude & 0x7fffffu) | 0x800000u, 126u - (magnitude >> 23u)); // from 2^-25 on, in units of 2^-24
    }
    return half | ((bits >> 16u) & 0x8000u);
}
#elif FORMAT == 2
fn stored(bits: u32) -> u32 {
    if (bits & 0x7fffffffu) > 0x7f800000u {
        return (bits >> 16u) | 0x40u;
    }
    return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}
#endif

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let i = folded_group(group, groups) * 256u + local;
    if i >= params.w_rows * params.w_row_words {
        return;
    }
    let row = i / params.w_row_words;
    let word = i % params.w_row_words;
#if FORMAT == 0
    weight[i] = bits_of(row, word);
#else
    weight[i] = stored(bits_of(row, 2u * word)) | (stored(bits_of(row, 2u * word + 1u)) << 16u);
#endif
}
