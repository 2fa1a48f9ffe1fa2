// Cached keys or values of the batch's rows as f32, one behind the other: [R, Hkv, D]. Two values a thread.

#import "shared/grid.wgsl"
#import "shared/kv_cache.wgsl"

struct Params {
    items: u32, // rows * kv_heads * D / 2
    kv_heads: u32,
    head_dim: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> slots: array<u32>;
@group(0) @binding(2) var<storage, read> cache: array<u32>;
@group(0) @binding(3) var<storage, read_write> rows: array<u32>;

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = folded_group(group, groups) * 64u + local;
    if item >= params.items {
        return;
    }
    let pairs = params.head_dim / 2u;
    let vector = item / pairs;
    let slot = slots[vector / params.kv_heads * 2u + 1u];
    let vector_at = kv_start(slot, vector % params.kv_heads, params.kv_heads, params.head_dim) + item % pairs * 2u;
#if KV == 0
    rows[item * 2u] = cache[vector_at];
    rows[item * 2u + 1u] = cache[vector_at + 1u];
#else
    let pair = bitcast<vec2<u32>>(unpack2x16float(cache[vector_at / 2u]));
    rows[item * 2u] = pair.x;
    rows[item * 2u + 1u] = pair.y;
#endif
}
