// One token of each row: softmax(z) with z = logits / τ, top-k, top-p, min-p, one draw. One workgroup a row.
// What is kept is all keys ≥ a threshold, found bit by bit on order-preserving integer keys; nothing is sorted.
// The cut lies midway between the smallest kept logit and the largest dropped one.
// A NaN logit, +inf or nothing above -1e30 gives id 0xffffffff, which the host turns into an error.
// MASKED: only rows with a mask, each among the tokens that its mask allows. Of the full vocabulary are then the log-probability and the
// entropy alone.

#import "shared/grid.wgsl"
#import "shared/softmax_fold.wgsl"
#import "shared/softmax_runs.wgsl"
#import "shared/softmax_kept.wgsl"

struct Params {
    rows: u32,
    columns: u32,
    pad0: u32,
    pad1: u32,
}

struct Choice {
    inverse_temperature: f32,
    greedy: u32, // 1: keep the largest alone; then the draw is 0 and nothing else is asked for
    top_k: u32, // 0 or ≥ V: all
    top_p: f32,
    min_p: f32,
    draw: f32,  // uniform in [0, 1)
    masked: u32, // 1: the row has a mask
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> choices: array<Choice>;
@group(0) @binding(3) var<storage, read_write> packed: array<u32>; // [rows, WORDS]: id, logprob, entropy, cut, mass, nucleus logprob

#if MASKED
@group(0) @binding(4) var<storage, read> masks: array<u32>; // [rows, ceil(columns / 32)]: bit id % 32 of word id / 32
#endif

const NOBODY: u32 = 0xffffffffu;
const WORDS: u32 = 6u;
// Of -inf; no key of a number is smaller.
const LOWEST: u32 = 0x007fffffu;
// The bits of the lowest finite number: a cut that keeps all.
const KEEPS_ALL: u32 = 0xff7fffffu;

var<workgroup> sums: array<f32, 256>;
var<workgroup> keys: array<u32, 256>;
var<workgroup> last_ids: array<u32, 256>;
var<workgroup> broken: u32;

fn z_at(row: u32, id: u32, scale: f32) -> f32 {
    let z = logits[row * params.columns + id] * scale;
    return select(z, 0.0, z == 0.0); // -0 and +0 are equal and get the same key
}

fn logit_at(row: u32, id: u32) -> f32 {
    let z = logits[row * params.columns + id];
    return select(z, 0.0, z == 0.0);
}

fn allowed(row: u32, id: u32) -> bool {
#if MASKED
    return ((masks[row * ((params.columns + 31u) / 32u) + id / 32u] >> (id % 32u)) & 1u) == 1u;
#else
    return true;
#endif
}

// Larger floats have larger keys. No key is 0 but that of a NaN.
fn key_of(z: f32) -> u32 {
    let bits = bitcast<u32>(z);
    return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn value_of(key: u32) -> f32 {
    return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
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

// The largest over all threads, on every thread.
fn largest(key: u32, local: u32) -> u32 {
    keys[local] = key;
    workgroupBarrier();
    for (var width = 128u; width > 0u; width /= 2u) {
        if local < width {
            keys[local] = max(keys[local], keys[local + width]);
        }
        workgroupBarrier();
    }
    let most = keys[0];
    workgroupBarrier();
    return most;
}

// The bits of what separates the smallest kept logit from the largest dropped one, by their keys.
fn cut_between(kept: u32, dropped: u32) -> u32 {
    if dropped <= LOWEST {
        return KEEPS_ALL;
    }
    let low = value_of(kept);
    let high = value_of(dropped);
    let middle = 0.5 * low + 0.5 * high;
    return bitcast<u32>(select(low, middle, middle > high && middle <= low));
}

// How many (or how much e^(z-m)) lies at keys ≥ `threshold`.
fn measure(row: u32, scale: f32, m: f32, threshold: u32, mass: bool, local: u32) -> f32 {
    var sum = 0.0;
    for (var id = local; id < params.columns; id += 256u) {
        let z = z_at(row, id, scale);
        if allowed(row, id) && key_of(z) >= threshold {
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
#if MASKED
    if choice.masked == 0u {
        return;
    }
#endif
    if local == 0u {
        broken = 0u;
    }
    workgroupBarrier();

    // The canonical fold, and the largest key.
    let run = fold_run(params.columns) * FOLD_TILE;
    let first = min(local * run, params.columns);
    let last = min(first + run, params.columns);
    var mine = empty_fold();
    var best = 0u;
    for (var tile = first; tile < last; tile += FOLD_TILE) {
        let end = min(tile + FOLD_TILE, last);
        var fold = empty_fold();
        for (var id = tile; id < end; id++) {
            let z = z_at(row, id, scale);
            if is_broken(z) {
                broken = 1u;
            }
            fold.m = max(fold.m, z);
            if allowed(row, id) {
                best = max(best, key_of(z));
            }
        }
        for (var id = tile; id < end; id++) {
            fold = fold_add(fold, z_at(row, id, scale));
        }
        mine = fold_merge(mine, fold);
    }
    let all = fold_runs(mine, local);
#if MASKED
    // The largest logit that may be drawn: shares are taken of it, or they would vanish where all that is allowed lies far below.
    let top = value_of(max(largest(best, local), LOWEST));
#else
    let top = all.m;
#endif
    if local == 0u && top <= ABSENT {
        broken = 1u;
    }
    if workgroupUniformLoad(&broken) != 0u {
        if local < WORDS {
            packed[row * WORDS + local] = select(0u, NOBODY, local == 0u);
        }
        return;
    }

    var threshold = 0u;
    if choice.greedy != 0u {
        threshold = largest(best, local);
    }
    if choice.top_k > 0u && choice.top_k < params.columns {
        threshold = search(row, scale, top, f32(choice.top_k), false, local);
    }
    if choice.top_p < 1.0 {
        let goal = choice.top_p * measure(row, scale, top, threshold, true, local);
        threshold = max(threshold, search(row, scale, top, goal, true, local));
    }

    // What is kept: its mass in each thread's run of ids, its smallest logit, the largest of the others.
    var sum = 0.0;
    var last_kept = NOBODY;
    var smallest = 0u; // complements, of which the largest is sought
    var dropped = 0u;
    for (var id = first; id < last; id++) {
        let z = z_at(row, id, scale);
        let e = exp(below(z, top));
        let key = key_of(logit_at(row, id));
        if allowed(row, id) {
            if key_of(z) >= threshold && e >= choice.min_p {
                sum += e;
                last_kept = id;
                smallest = max(smallest, ~key);
            } else {
                dropped = max(dropped, key);
            }
        }
    }
    let cut_bits = cut_between(~largest(smallest, local), largest(dropped, local));
    let cut = bitcast<f32>(cut_bits);

#if MASKED
    // The kept have a fold of their own, which does not vanish beside a larger logit that is not allowed.
    var kept_run = empty_fold();
    for (var tile = first; tile < last; tile += FOLD_TILE) {
        let end = min(tile + FOLD_TILE, last);
        var kept = empty_fold();
        for (var id = tile; id < end; id++) {
            if allowed(row, id) && !(logits[row * params.columns + id] < cut) {
                kept.m = max(kept.m, z_at(row, id, scale));
            }
        }
        for (var id = tile; id < end; id++) {
            if allowed(row, id) && !(logits[row * params.columns + id] < cut) {
                kept = fold_add(kept, z_at(row, id, scale));
            }
        }
        kept_run = fold_merge(kept_run, kept);
    }
    workgroupBarrier();
    let kept = fold_runs(kept_run, local);
#else
    // The canonical fold of the kept, as the head has it.
    var kept_run = empty_kept();
    for (var tile = first; tile < last; tile += FOLD_TILE) {
        let end = min(tile + FOLD_TILE, last);
        var kept = empty_kept();
        for (var id = tile; id < end; id++) {
            kept.m = max(kept.m, z_at(row, id, scale));
        }
        for (var id = tile; id < end; id++) {
            if !(logits[row * params.columns + id] < cut) {
                kept.k += exp(below(z_at(row, id, scale), kept.m));
            }
        }
        kept_run = kept_merge(kept_run, kept);
    }
    let kept = kept_runs(kept_run, local);
#endif

    // The draw, ascending ids: a run of ids a thread, then along the run that holds it.
    sums[local] = sum;
    last_ids[local] = last_kept;
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
        if last_ids[i] != NOBODY {
            chosen_run = i;
            if before + sums[i] > goal {
                break;
            }
            before += sums[i];
        }
    }
    // Rounding may leave the walk short of the goal: then it is the run's last kept token.
    var id = last_ids[chosen_run];
    for (var i = chosen_run * run; i < id; i++) {
        let z = z_at(row, i, scale);
        let e = exp(below(z, top));
        if allowed(row, i) && key_of(z) >= threshold && e >= choice.min_p {
            before += e;
            if before > goal {
                id = i;
            }
        }
    }
    let z = z_at(row, id, scale);
    packed[row * WORDS] = id;
    packed[row * WORDS + 1u] = bitcast<u32>(z - fold_lse(all));
    packed[row * WORDS + 2u] = bitcast<u32>(fold_entropy(all));
    packed[row * WORDS + 3u] = cut_bits;
#if MASKED
    packed[row * WORDS + 4u] = bitcast<u32>(min(exp(fold_lse(kept) - fold_lse(all)), 1.0));
    packed[row * WORDS + 5u] = bitcast<u32>(min(z - fold_lse(kept), 0.0));
#else
    packed[row * WORDS + 4u] = bitcast<u32>(kept_mass(all, kept));
    packed[row * WORDS + 5u] = bitcast<u32>(z - fold_lse(all) - kept_shift(all, kept, z));
#endif
}
