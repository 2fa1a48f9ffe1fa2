// Router logits → the k experts of each token and their weights. One workgroup a token.
// The softmax is strictly increasing in the logit, so experts are chosen by logit (lowest index among equals): the choice does
// not depend on how a device rounds exp().

#import "shared/grid.wgsl"

struct Params {
    rows: u32,
    experts: u32, // ≤ {{MAX_EXPERTS}}
    top_k: u32,
    renormalise: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read_write> ids: array<u32>;
@group(0) @binding(3) var<storage, read_write> weights: array<f32>;

var<workgroup> z: array<f32, {{MAX_EXPERTS}}>;
var<workgroup> best_z: array<f32, 64>;
var<workgroup> best_id: array<u32, 64>;
var<workgroup> sums: array<f32, 64>;

const TAKEN: f32 = -3.0e38;
const NOBODY: u32 = 0xffffffffu;

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
    for (var e = local; e < params.experts; e += 64u) {
        // A logit of -inf is a removed expert; finite, it still loses to every other.
        let logit = logits[row * params.experts + e];
        z[e] = select(logit, -1e30, logit < -1e30);
    }
    workgroupBarrier();

    var largest = 0.0; // the first winner's logit is the maximum of the softmax
    var total = 0.0;   // Σ e^(z - largest) over all experts, or over the chosen
    for (var round = 0u; round < params.top_k; round++) {
        var mine = TAKEN;
        var id = NOBODY;
        for (var e = local; e < params.experts; e += 64u) {
            if z[e] > mine {
                mine = z[e];
                id = e;
            }
        }
        best_z[local] = mine;
        best_id[local] = id;
        workgroupBarrier();
        for (var width = 32u; width > 0u; width /= 2u) {
            if local < width {
                let other = local + width;
                if best_z[other] > best_z[local] || (best_z[other] == best_z[local] && best_id[other] < best_id[local]) {
                    best_z[local] = best_z[other];
                    best_id[local] = best_id[other];
                }
            }
            workgroupBarrier();
        }
        let winner_z = best_z[0];
        let winner = min(best_id[0], params.experts - 1u);
        if round == 0u {
            largest = winner_z;
            if params.renormalise == 0u {
                var sum = 0.0;
                for (var e = local; e < params.experts; e += 64u) {
                    sum += exp(z[e] - largest);
                }
                sums[local] = sum;
                workgroupBarrier();
                for (var i = 0u; i < 64u; i++) {
                    total += sums[i];
                }
            }
        }
        if params.renormalise != 0u {
            total += exp(winner_z - largest);
        }
        workgroupBarrier();
        if local == 0u {
            ids[row * params.top_k + round] = winner;
            weights[row * params.top_k + round] = exp(winner_z - largest);
            z[winner] = TAKEN;
        }
        workgroupBarrier();
    }
    if local == 0u {
        for (var slot = 0u; slot < params.top_k; slot++) {
            weights[row * params.top_k + slot] /= total;
        }
    }
}
