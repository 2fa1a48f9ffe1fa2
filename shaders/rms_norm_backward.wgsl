// dx = r (g dy - x r² mean(g dy x)), or added to dx, with r = 1 / sqrt(mean(x²) + eps), which `inverse` keeps for the gain's gradient.
// A workgroup a row; the sums' order depends on the width alone.
#import "shared/grid.wgsl"

struct Params {
    rows: u32,
    width: u32,
    eps: f32,
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;
@group(0) @binding(5) var<storage, read_write> inverse: array<f32>;

const THREADS = {{THREADS}}u;

// Σ x² and Σ g dy x.
var<workgroup> partial: array<vec2<f32>, {{THREADS}}>;

@compute @workgroup_size({{THREADS}})
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = folded_group(group, groups);
    if row >= params.rows {
        return;
    }
    let base = row * params.width;
    var sum = vec2<f32>(0.0);
    for (var i = lane; i < params.width; i += THREADS) {
        let v = x[base + i];
        sum = fma(vec2<f32>(v, gain[i] * dy[base + i]), vec2<f32>(v), sum);
    }
    partial[lane] = sum;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] += partial[lane + half];
        }
    }
    workgroupBarrier();
    let means = partial[0] / f32(params.width);
    let r = 1.0 / sqrt(means.x + params.eps);
    let pull = means.y * r * r;
    for (var i = lane; i < params.width; i += THREADS) {
        var value = r * (gain[i] * dy[base + i] - x[base + i] * pull);
        if params.add != 0u {
            value += dx[base + i];
        }
        dx[base + i] = value;
    }
    if lane == 0u {
        inverse[row] = r;
    }
}
