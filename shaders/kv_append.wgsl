// Writes new keys and values into their pages, rounded to the cache's format. A thread takes one item of K and of V alike.

#import "shared/grid.wgsl"
#import "shared/kv_cache.wgsl"
#import "shared/kv_store.wgsl"

struct Params {
    items: u32,      // rows * kv_heads * items_per_head
    kv_heads: u32,
    head_dim: u32,
    items_per_head: u32,
    scale_base: u32, // q8: first word of the scales
    pad0: u32,
    pad1: u32,
    pad2: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> k_in: array<f32>;
@group(0) @binding(2) var<storage, read> v_in: array<f32>;
@group(0) @binding(3) var<storage, read> slots: array<u32>;
@group(0) @binding(4) var<storage, read_write> k_cache: array<u32>;
@group(0) @binding(5) var<storage, read_write> v_cache: array<u32>;

fn new_k(i: u32) -> f32 {
    return k_in[i];
}

fn new_v(i: u32) -> f32 {
    return v_in[i];
}

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
    let part = item % params.items_per_head;
    let head = (item / params.items_per_head) % params.kv_heads;
    let row = item / params.items_per_head / params.kv_heads;
    let source = (row * params.kv_heads + head) * params.head_dim;
    let to = kv_start(slots[row * 2u + 1u], head, params.kv_heads, params.head_dim);
    store_kv(to, part, source, source);
}
