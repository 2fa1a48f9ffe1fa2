// The last two levels of the canonical fold: 256 threads, a run of neighbouring tiles each. Needs softmax_fold.wgsl.

// Tiles of one run.
fn fold_run(columns: u32) -> u32 {
    let tiles = (columns + FOLD_TILE - 1u) / FOLD_TILE;
    return (tiles + FOLD_RUNS - 1u) / FOLD_RUNS;
}

var<workgroup> run_m: array<f32, 256>;
var<workgroup> run_s: array<f32, 256>;
var<workgroup> run_u: array<f32, 256>;

// The whole row from 256 threads' runs, on every thread.
fn fold_runs(mine: Fold, local: u32) -> Fold {
    run_m[local] = mine.m;
    run_s[local] = mine.s;
    run_u[local] = mine.u;
    workgroupBarrier();
    if local == 0u {
        var all = empty_fold();
        for (var i = 0u; i < FOLD_RUNS; i++) {
            all = fold_merge(all, Fold(run_m[i], run_s[i], run_u[i]));
        }
        run_m[0] = all.m;
        run_s[0] = all.s;
        run_u[0] = all.u;
    }
    workgroupBarrier();
    return Fold(run_m[0], run_s[0], run_u[0]);
}
