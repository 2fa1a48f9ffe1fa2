// The gradient of the logits from that of the experts' weights; moe.rs has the formula. One workgroup a token.

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
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read> dweights: array<f32>;
@group(0) @binding(5) var<storage, read_write> dlogits: array<f32>;

var<workgroup> largest_of: array<f32, 64>;
var<workgroup> sums: array<f32, 64>;

/// As `moe_route`: a logit of -inf is a removed expert.
fn logit(row: u32, expert: u32) -> f32 {
    let z = logits[row * params.experts + expert];
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
    // The softmax over all, which renormalised weights do not need.
    var largest = 0.0;
    var total = 1.0;
    if params.renormalise == 0u {
        var mine = -3.0e38;
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
        largest = largest_of[0];
        var sum = 0.0;
        for (var e = local; e < params.experts; e += 64u) {
            sum += exp(logit(row, e) - largest);
        }
        sums[local] = sum;
        workgroupBarrier();
        total = 0.0;
        for (var i = 0u; i < 64u; i++) {
            total += sums[i];
        }
    }
    let first = row * params.top_k;
    let last = first + params.top_k;
    var mean = 0.0;
    for (var slot = first; slot < last; slot++) {
        mean = fma(weights[slot], dweights[slot], mean);
    }
    for (var e = local; e < params.experts; e += 64u) {
        // Sums, in case replayed routes name an expert twice.
        var dz = 0.0;
        for (var slot = first; slot < last; slot++) {
            if ids[slot] == e {
                dz += select(dweights[slot], weights[slot] * (dweights[slot] - mean), params.renormalise != 0u);
            }
        }
        if params.renormalise == 0u {
            dz = exp(logit(row, e) - largest) / total * (dz - mean);
        }
        dlogits[row * params.experts + e] = dz;
    }
}
