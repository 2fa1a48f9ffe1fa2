// One token of each row: softmax(z) with z = logits / τ, top-k, top-p, min-p, one draw. One workgroup a row.
// What is kept is all keys ≥ a threshold, found bit by bit on order-preserving integer keys; nothing is sorted.
// A NaN logit, +inf or nothing above -1e30 gives id 0xffffffff, which the host turns into an error.

#import "shared/grid.wgsl"
#import "shared/softmax_fold.wgsl"
#import "shared/softmax_runs.wgsl"

struct Params {
    rows: u32,
    columns: u32,
    pad0: u32,
    pad1: u32,
}

struct Choice {
    inverse_temperature: f32,
    greedy: u32,
    top_k: u32, // 0 or ≥ V: all
    top_p: f32,
    min_p: f32,
    draw: f32,  // uniform in [0, 1)
    pad0: u32,
    pad1: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> choices: array<Choice>;
@group(0) @binding(3) var<storage, read_write> packed: array<u32>; // [rows, 3]: id, logprob, entropy

const NOBODY: u32 = 0xffffffffu;

var<workgroup> sums: array<f32, 256>;
var<workgroup> best_keys: array<u32, 256>;
var<workgroup> best_ids: array<u32, 256>;
var<workgroup> broken: u32;

fn z_at(row: u32, id: u32, scale: f32) -> f32 {
    let z = logits[row * params.columns + id] * scale;
    return select(z, 0.0, z == 0.0); // -0 and +0 are equal and get the same key
}

// Larger floats have larger keys. No key is 0 but that of a NaN.
fn key_of(z: f32) -> u32 {
    let bits = bitcast<u32>(z);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

// NaN of either sign, or +inf. By bits: a compiler may assume that neither exists.
fn is_broken(z: f32) -> bool {
    let bits = bitcast<u32>(z);
    return (bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u;
}

// Σ over all threads, by one fixed tree, on every thread.
fn reduce(value: f32, local: u32) -> f32 {
    sums[local] = value;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width /= 2u) {
        if local < width {
            sums[local] += sums[local + width];
        }
        workgroupBarrier();
    }
    let total = sums[0];
    workgroupBarrier();
    return total;
}

// How many (or how much e^(z-m)) lies at keys ≥ `threshold`.
fn measure(row: u32, scale: f32, m: f32, threshold: u32, mass: bool, local: u32) -> f32 {
    var sum = 0.0;
    for (var id = local; id < params.columns; id += 256u) {
        let z = z_at(row, id, scale);
        if key_of(z) >= threshold {
            if mass {
                sum += exp(below(z, m));
            } else {
                sum += 1.0;
            }
        }
    }
    return reduce(sum, local);
}

// The largest threshold whose measure reaches `goal`. Sums of non-negative terms in a fixed order are monotone, so a search by bits works.
fn search(row: u32, scale: f32, m: f32, goal: f32, mass: bool, local: u32) -> u32 {
    var threshold = 0u;
    for (var bit = 0u; bit < 32u; bit++) {
        let candidate = threshold | (0x80000000u >> bit);
        if measure(row, scale, m, candidate, mass, local) >= goal {
            threshold = candidate;
        }
    }
    return threshold;
}

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
    let choice = choices[row];
    let scale = choice.inverse_temperature;
    if local == 0u {
        broken = 0u;
    }
    workgroupBarrier();

    // The canonical fold, and the largest key with its lowest id.
    let run = fold_run(params.columns) * FOLD_TILE;
    let first = min(local * run, params.columns);
    let last = min(first + run, params.columns);
    var mine = empty_fold();
    var best_key = 0u;
    var best_id = NOBODY;
    for (var tile = first; tile < last; tile += FOLD_TILE) {
        let end = min(tile + FOLD_TILE, last);
        var fold = empty_fold();
        for (var id = tile; id < end; id++) {
            let z = z_at(row, id, scale);
            if is_broken(z) {
                broken = 1u;
            }
            fold.m = max(fold.m, z);
            if key_of(z) > best_key {
                best_key = key_of(z);
                best_id = id;
            }
        }
        for (var id = tile; id < end; id++) {
            fold = fold_add(fold, z_at(row, id, scale));
        }
        mine = fold_merge(mine, fold);
    }
    best_keys[local] = best_key;
    best_ids[local] = best_id;
    let all = fold_runs(mine, local);
    if local == 0u && all.m <= ABSENT {
        broken = 1u;
    }
    if workgroupUniformLoad(&broken) != 0u {
        if local < 3u {
            packed[row * 3u + local] = select(0u, NOBODY, local == 0u);
        }
        return;
    }

    if choice.greedy != 0u {
        if local == 0u {
            for (var i = 1u; i < 256u; i++) {
                // Runs ascend, so the first of equal keys has the lowest id.
                if best_keys[i] > best_key {
                    best_key = best_keys[i];
                    best_id = best_ids[i];
                }
            }
            answer(row, best_id, scale, all);
        }
        return;
    }

    var threshold = 0u;
    if choice.top_k > 0u && choice.top_k < params.columns {
        threshold = search(row, scale, all.m, f32(choice.top_k), false, local);
    }
    if choice.top_p < 1.0 {
        let goal = choice.top_p * measure(row, scale, all.m, threshold, true, local);
        threshold = max(threshold, search(row, scale, all.m, goal, true, local));
    }

    // The draw, ascending ids: a run of ids a thread, then along the run that holds it.
    var sum = 0.0;
    var last_kept = NOBODY;
    for (var id = first; id < last; id++) {
        let z = z_at(row, id, scale);
        let e = exp(below(z, all.m));
        if key_of(z) >= threshold && e >= choice.min_p {
            sum += e;
            last_kept = id;
        }
    }
    sums[local] = sum;
    best_ids[local] = last_kept;
    workgroupBarrier();
    if local != 0u {
        return;
    }
    var total = 0.0;
    for (var i = 0u; i < 256u; i++) {
        total += sums[i];
    }
    let goal = choice.draw * total;
    var before = 0.0;
    var chosen_run = 0u;
    for (var i = 0u; i < 256u; i++) {
        if best_ids[i] != NOBODY {
            chosen_run = i;
            if before + sums[i] > goal {
                break;
            }
            before += sums[i];
        }
    }
    // Rounding may leave the walk short of the goal: then it is the run's last kept token.
    var id = best_ids[chosen_run];
    for (var i = chosen_run * run; i < id; i++) {
        let z = z_at(row, i, scale);
        let e = exp(below(z, all.m));
        if key_of(z) >= threshold && e >= choice.min_p {
            before += e;
            if before > goal {
                id = i;
            }
        }
    }
    answer(row, id, scale, all);
}

fn answer(row: u32, id: u32, scale: f32, all: Fold) {
    packed[row * 3u] = id;
    packed[row * 3u + 1u] = bitcast<u32>(z_at(row, id, scale) - fold_lse(all));
    packed[row * 3u + 2u] = bitcast<u32>(fold_entropy(all));
}
