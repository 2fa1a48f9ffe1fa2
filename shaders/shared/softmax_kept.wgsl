// The kept columns' part of the canonical fold: k = Σ e^(z-m) over them with the m, order and roundings of the whole, so that k is s where all
// are kept. Needs softmax_fold.wgsl and softmax_runs.wgsl.

struct Kept {
    m: f32,
    k: f32,
}

fn empty_kept() -> Kept {
    return Kept(ABSENT, 0.0);
}

fn kept_merge(a: Kept, b: Kept) -> Kept {
    let m = max(a.m, b.m);
    let ea = exp(below(a.m, m));
    let eb = exp(below(b.m, m));
    return Kept(m, fma(a.k, ea, b.k * eb));
}

// The whole row's k from 256 threads' runs, on every thread.
fn kept_runs(mine: Kept, local: u32) -> f32 {
    workgroupBarrier();
    run_m[local] = mine.m;
    run_s[local] = mine.k;
    workgroupBarrier();
    if local == 0u {
        var all = empty_kept();
        for (var i = 0u; i < FOLD_RUNS; i++) {
            all = kept_merge(all, Kept(run_m[i], run_s[i]));
        }
        run_s[0] = all.k;
    }
    workgroupBarrier();
    return run_s[0];
}

fn kept_mass(all: Fold, k: f32) -> f32 {
    return k / all.s;
}

// What turns log Σ e^z of all columns into that of the kept ones. `z` is the target's: it is all that is kept where k vanished.
fn kept_shift(all: Fold, k: f32, z: f32) -> f32 {
    let mass = kept_mass(all, k);
    if k == all.s {
        return 0.0; // a device's log(1) need not be 0
    }
    if mass < 1e-37 {
        return z - fold_lse(all);
    }
    return log(mass);
}
