// out[1] = √Σ sums, out[0] = min(1, max_norm / (norm + 1e-6)). One workgroup.
// Compilers may assume finite numbers, and min() may drop a NaN: both are looked for in the bits.

struct Params {
    count: u32,
    clips: u32, // 0: the largest norm is infinite
    max_norm: f32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> sums: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<u32>; // f32 bits

var<workgroup> partial: array<f32, 256>;

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) local: u32) {
    var sum = 0.0;
    for (var i = local; i < params.count; i += 256u) {
        sum += sums[i];
    }
    partial[local] = sum;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width /= 2u) {
        if local < width {
            partial[local] += partial[local + width];
        }
        workgroupBarrier();
    }
    if local != 0u {
        return;
    }
    let total = bitcast<u32>(partial[0]);
    let magnitude = total & 0x7fffffffu;
    if magnitude > 0x7f800000u {
        out[0] = total;
        out[1] = total;
    } else if magnitude == 0x7f800000u {
        out[0] = select(0x7fc00000u, 0u, params.clips != 0u);
        out[1] = total;
    } else {
        let norm = sqrt(partial[0]);
        var factor = 1.0;
        if params.clips != 0u {
            factor = min(1.0, params.max_norm / (norm + 1e-6));
        }
        out[0] = bitcast<u32>(factor);
        out[1] = bitcast<u32>(norm);
    }
}
