// Folds the tiles of each row in order: log-probability of the target, entropy, log Σ e^z. One workgroup a row.
// A target outside the vocabulary is in no tile; its log-probability is NaN. With cuts the log-probability is among the kept columns.

#import "shared/grid.wgsl"
#import "shared/softmax_fold.wgsl"
#import "shared/softmax_runs.wgsl"
#import "shared/softmax_kept.wgsl"

struct Params {
    first_row: u32, // of the row block
    rows: u32,      // of the row block
    tiles: u32,
    has_cut: u32, // as many partials follow, and the last three outputs are written
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<vec4<f32>>;
// Words, not floats: a compiler may assume that no float is NaN.
@group(0) @binding(2) var<storage, read_write> logprob: array<u32>;
@group(0) @binding(3) var<storage, read_write> entropy: array<u32>;
@group(0) @binding(4) var<storage, read_write> lse: array<u32>;
@group(0) @binding(5) var<storage, read_write> kept_lse: array<u32>;
@group(0) @binding(6) var<storage, read_write> mass: array<u32>;
@group(0) @binding(7) var<storage, read_write> dropped: array<u32>;

var<workgroup> target_z: array<f32, 256>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = folded_group(group, groups);
    if row >= params.rows {
        return;
    }
    let run = fold_run(params.tiles * FOLD_TILE);
    let first = min(local * run, params.tiles);
    let last = min(first + run, params.tiles);
    let at = params.first_row + row;
    var mine = empty_fold();
    var z = ABSENT;
    for (var tile = first; tile < last; tile++) {
        let partial = partials[row * params.tiles + tile];
        mine = fold_merge(mine, Fold(partial.x, partial.y, partial.z));
        if partial.w != ABSENT {
            z = partial.w;
        }
    }
    target_z[local] = z;
    let all = fold_runs(mine, local);
    var kept = 0.0;
    if params.has_cut != 0u {
        var run = empty_kept();
        for (var tile = first; tile < last; tile++) {
            let partial = partials[row * params.tiles + tile];
            let more = partials[(params.rows + row) * params.tiles + tile];
            run = kept_merge(run, Kept(partial.x, more.x));
            if partial.w != ABSENT {
                dropped[at] = u32(more.y);
            }
        }
        kept = kept_runs(run, local);
    }
    if local != 0u {
        return;
    }
    for (var i = 0u; i < FOLD_RUNS; i++) {
        if target_z[i] != ABSENT {
            z = target_z[i];
        }
    }
    lse[at] = bitcast<u32>(fold_lse(all));
    entropy[at] = bitcast<u32>(fold_entropy(all));
    var shift = 0.0;
    if params.has_cut != 0u {
        shift = kept_shift(all, kept, z);
        kept_lse[at] = bitcast<u32>(fold_lse(all) + shift);
        mass[at] = bitcast<u32>(kept_mass(all, kept));
    }
    logprob[at] = select(bitcast<u32>(z - fold_lse(all) - shift), 0x7fc00000u, z == ABSENT);
}
