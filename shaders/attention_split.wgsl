// Decode over a long cache, first half: a workgroup computes one chunk of one row and leaves (m, l, o) in `partials`
// [item][chunk][D·HV + 2·HV] vec4. `attention_merge` folds them in chunk order, with the arithmetic of `attention_forward`.

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
@group(0) @binding(7) var<storage, read_write> partials: array<vec4<f32>>;

#import "shared/attention_chunk.wgsl"

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
    let chunk = group.z;
    if chunk * CHUNK_TOKENS >= work.keys {
        return;
    }
    load_q(work, local);
    let result = chunk_partial(work, chunk, local);
    let values = params.head_dim * HV;
    let base = (item * params.chunks + chunk) * (values + 2u * HV);
    if local < values {
        partials[base + local] = result.o;
        if local % params.head_dim == 0u {
            let v = local / params.head_dim;
            partials[base + values + v] = result.m;
            partials[base + values + HV + v] = result.l;
        }
    }
}
