// Stable sort of assignments (token, slot) by expert, without atomics, in three steps over blocks of {{BLOCK}} assignments:
// STEP 0 counts each block's assignments of every expert; STEP 1, one workgroup, turns the counts into first positions (expert-major,
// then block) and writes `offsets`; STEP 2 places. An expert belongs to one thread, which walks its block in order: stability.
// STEP 3 is all of it in one workgroup when there is a single block.

#import "shared/grid.wgsl"

struct Params {
    count: u32, // assignments: rows · k
    experts: u32,
    blocks: u32,
    pad0: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> counts: array<u32>; // [blocks, E]
@group(0) @binding(3) var<storage, read_write> order: array<u32>;
@group(0) @binding(4) var<storage, read_write> inverse: array<u32>;
@group(0) @binding(5) var<storage, read_write> offsets: array<u32>;

const BLOCK: u32 = {{BLOCK}}u;

#if STEP != 1
var<workgroup> block_ids: array<u32, {{BLOCK}}>;

fn load_block(block: u32, local: u32) -> u32 {
    let first = block * BLOCK;
    let size = min(params.count - first, BLOCK);
    for (var i = local; i < size; i += 256u) {
        block_ids[i] = ids[first + i];
    }
    workgroupBarrier();
    return size;
}

fn count_of(expert: u32, size: u32) -> u32 {
    var count = 0u;
    for (var i = 0u; i < size; i++) {
        count += select(0u, 1u, block_ids[i] == expert);
    }
    return count;
}
#endif

#if STEP == 2 || STEP == 3
fn place(expert: u32, block: u32, size: u32, first: u32) {
    var to = first;
    for (var i = 0u; i < size; i++) {
        if block_ids[i] == expert {
            order[to] = block * BLOCK + i;
            inverse[block * BLOCK + i] = to;
            to++;
        }
    }
}
#endif

#if STEP == 1 || STEP == 3
var<workgroup> totals: array<u32, 256>;

// Positions before this thread's run of experts. `mine` is how many assignments the run has.
fn before(mine: u32, local: u32) -> u32 {
    totals[local] = mine;
    workgroupBarrier();
    var sum = 0u;
    for (var i = 0u; i < local; i++) {
        sum += totals[i];
    }
    return sum;
}
#endif

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
#if STEP == 0 || STEP == 2
    let block = folded_group(group, groups);
    if block >= params.blocks {
        return;
    }
    let size = load_block(block, local);
    for (var e = local; e < params.experts; e += 256u) {
#if STEP == 0
        counts[block * params.experts + e] = count_of(e, size);
#else
        place(e, block, size, counts[block * params.experts + e]);
#endif
    }
#else
    // A thread owns a run of neighbouring experts, so that runs follow each other in expert order.
    let run = (params.experts + 255u) / 256u;
    let first = min(local * run, params.experts);
    let last = min(first + run, params.experts);
#if STEP == 3
    let size = load_block(0u, local);
#endif
    var mine = 0u;
    for (var e = first; e < last; e++) {
#if STEP == 3
        mine += count_of(e, size);
#else
        for (var b = 0u; b < params.blocks; b++) {
            mine += counts[b * params.experts + e];
        }
#endif
    }
    var position = before(mine, local);
    for (var e = first; e < last; e++) {
        offsets[e] = position;
#if STEP == 3
        place(e, 0u, size, position);
        position += count_of(e, size);
#else
        for (var b = 0u; b < params.blocks; b++) {
            let count = counts[b * params.experts + e];
            counts[b * params.experts + e] = position;
            position += count;
        }
#endif
    }
    if local == 0u {
        offsets[params.experts] = params.count;
    }
#endif
}
