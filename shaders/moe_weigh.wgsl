// Router logits and the experts that are chosen already → their weights. One workgroup a token.
// What `moe_route` computes, in its order, so that its choice gets its bits: sums and maximum must stay as they are there.

#import "shared/grid.wgsl"

struct Params {
    rows: u32,
    experts: u32,
    top_k: u32,
    renormalise: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;

var<workgroup> largest_of: array<f32, 64>;
var<workgroup> sums: array<f32, 64>;

const TAKEN: f32 = -3.0e38;

/// A logit of -inf is a removed expert; finite, it still loses to every other.
fn logit(row: u32, expert: u32) -> f32 {
    let z = logits[row * params.experts + min(expert, params.experts - 1u)];
    return select(z, -1e30, z < -1e30);
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = folded_group(group, groups);
    if row >= params.rows {
        return;
    }
    var mine = TAKEN;
    for (var e = local; e < params.experts; e += 64u) {
        let z = logit(row, e);
        mine = select(mine, z, z > mine);
    }
    largest_of[local] = mine;
    workgroupBarrier();
    for (var width = 32u; width > 0u; width /= 2u) {
        if local < width && largest_of[local + width] > largest_of[local] {
            largest_of[local] = largest_of[local + width];
        }
        workgroupBarrier();
    }
    let largest = largest_of[0];
    var sum = 0.0;
    if params.renormalise == 0u {
        for (var e = local; e < params.experts; e += 64u) {
            sum += exp(logit(row, e) - largest);
        }
    }
    sums[local] = sum;
    workgroupBarrier();
    if local != 0u {
        return;
    }
    let first = row * params.top_k;
    var total = 0.0;
    if params.renormalise == 0u {
        for (var i = 0u; i < 64u; i++) {
            total += sums[i];
        }
    } else {
        for (var slot = first; slot < first + params.top_k; slot++) {
            total += exp(logit(row, ids[slot]) - largest);
        }
    }
    for (var slot = first; slot < first + params.top_k; slot++) {
        weights[slot] = exp(logit(row, ids[slot]) - largest) / total;
    }
}
