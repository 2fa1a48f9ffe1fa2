// The canonical fold of a row of the vocabulary: tiles of 32 columns from 0, ascending inside a tile; 256 runs of neighbouring tiles
// merged in order; the runs merged in order. The head and the sampler both fold this way, so that the log-probability a rollout
// recorded has the bits that the trainer recomputes.
//
// s = Σ e^(z-m) and u = Σ (z-m) e^(z-m): u is kept relative to m, since Σ z e^z loses every digit of the entropy when |z| is large.

const FOLD_TILE: u32 = 32u;
const FOLD_RUNS: u32 = 256u;
const ABSENT: f32 = -1e30;

struct Fold {
    m: f32,
    s: f32,
    u: f32,
}

fn empty_fold() -> Fold {
    return Fold(ABSENT, 0.0, 0.0);
}

// e^-200 is 0 in f32; the bound keeps (z-m) e^(z-m) from being -inf · 0. A NaN passes.
fn below(z: f32, m: f32) -> f32 {
    let d = z - m;
    return select(d, -200.0, d < -200.0);
}

// Adds a column to a fold whose m is already the maximum.
fn fold_add(fold: Fold, z: f32) -> Fold {
    let d = below(z, fold.m);
    let e = exp(d);
    return Fold(fold.m, fold.s + e, fma(d, e, fold.u));
}

fn fold_merge(a: Fold, b: Fold) -> Fold {
    let m = max(a.m, b.m);
    let da = below(a.m, m);
    let db = below(b.m, m);
    let ea = exp(da);
    let eb = exp(db);
    return Fold(m, fma(a.s, ea, b.s * eb), fma(fma(da, a.s, a.u), ea, fma(db, b.s, b.u) * eb));
}

fn fold_lse(fold: Fold) -> f32 {
    return fold.m + log(fold.s);
}

fn fold_entropy(fold: Fold) -> f32 {
    return log(fold.s) - fold.u / fold.s;
}
