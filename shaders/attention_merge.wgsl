// Decode over a long cache, second half: folds the chunks' partials in chunk order.

#import "shared/grid.wgsl"
#import "shared/kv_cache.wgsl"
#import "shared/attention_params.wgsl"

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> slots: array<u32>;
@group(0) @binding(3) var<storage, read> span_table: array<u32>;
@group(0) @binding(4) var<storage, read_write> out: array<f32>;

#import "shared/attention_fold.wgsl"
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
    let values = params.head_dim * HV;
    if local >= values {
        return;
    }
    let v = local / params.head_dim;
    var result = empty_partial();
    let chunks = (work.keys + CHUNK_TOKENS - 1u) / CHUNK_TOKENS;
    for (var chunk = 0u; chunk < chunks; chunk++) {
        let base = (item * params.chunks + chunk) * (values + 2u * HV);
        result = merge(result, Partial(partials[base + values + v], partials[base + values + HV + v], partials[base + local]));
    }
    store_output(work, local, result);
}
