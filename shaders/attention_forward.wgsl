// Causal attention: a workgroup takes one row and the query heads of one kv head through all chunks in order.

#import "shared/grid.wgsl"
#import "shared/kv_cache.wgsl"
#import "shared/attention_params.wgsl"

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k_cache: array<u32>;
@group(0) @binding(3) var<storage, read> v_cache: array<u32>;
@group(0) @binding(4) var<storage, read> slots: array<u32>;
@group(0) @binding(5) var<storage, read> span_table: array<u32>;
@group(0) @binding(6) var<storage, read> pages: array<u32>;
@group(0) @binding(7) var<storage, read_write> out: array<f32>;

#import "shared/attention_chunk.wgsl"
#import "shared/attention_store.wgsl"

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let item = folded_group(group, groups);
    if item >= params.items {
        return;
    }
    let work = work_of(item);
    load_q(work, local);
    var result = empty_partial();
    let chunks = (work.keys + CHUNK_TOKENS - 1u) / CHUNK_TOKENS;
    for (var chunk = 0u; chunk < chunks; chunk++) {
        result = merge(result, chunk_partial(work, chunk, local));
    }
    store_output(work, local, result);
}
