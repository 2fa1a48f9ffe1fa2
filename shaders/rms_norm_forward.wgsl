// y = x / sqrt(mean(x²) + eps) · gain; a workgroup a row. IN_PLACE: x is y. The sum's order depends on the width alone.
#import "shared/grid.wgsl"

struct Params {
    rows: u32,
    width: u32,
    eps: f32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
#if IN_PLACE
@group(0) @binding(1) var<storage, read> gain: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
#else
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> gain: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
#endif

const THREADS = {{THREADS}}u;

var<workgroup> partial: array<f32, {{THREADS}}>;

fn value(i: u32) -> f32 {
#if IN_PLACE
    return y[i];
#else
    return x[i];
#endif
}

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
    var sum = 0.0;
    for (var i = lane; i < params.width; i += THREADS) {
        let v = value(base + i);
        sum = fma(v, v, sum);
    }
    partial[lane] = sum;
    for (var half = THREADS / 2u; half > 0u; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            partial[lane] += partial[lane + half];
        }
    }
    workgroupBarrier();
    let scale = 1.0 / sqrt(partial[0] / f32(params.width) + params.eps);
    for (var i = lane; i < params.width; i += THREADS) {
        y[base + i] = value(base + i) * scale * gain[i];
    }
}
