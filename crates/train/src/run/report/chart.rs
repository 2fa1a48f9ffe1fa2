//! Curves as the page draws them: few enough points, no spike lost.

use serde_json::{Value, json};

/// The most stretches a curve is drawn as; of each its lowest and highest points are kept.
const STRETCHES: usize = 600;
/// Steps from which a smoothed curve is drawn.
pub const MANY: usize = 50;

/// (step, value)
pub type Points = Vec<(u64, f64)>;

/// A curve: `style` is a class of the page.
pub fn series(name: &str, style: &str, points: &[(u64, f64)]) -> Value {
    json!({"name": name, "style": style, "points": thin(points)})
}

/// A chart of one curve.
pub fn single(title: &str, kind: &str, points: &[(u64, f64)]) -> Value {
    let log = matches!(title, "Gradient norm" | "Mismatch");
    json!({"title": title, "kind": kind, "log": log, "series": [series(title, "main", points)]})
}

/// A curve that only ever jumps: of equal values in a row the first and the last.
pub fn stairs(name: &str, style: &str, points: &[(u64, f64)]) -> Value {
    let same = |a: usize, b: usize| points.get(a).map(|point| point.1.to_bits()) == points.get(b).map(|point| point.1.to_bits());
    let kept = (0..points.len()).filter(|&at| at == 0 || !same(at - 1, at) || !same(at, at + 1));
    series(name, style, &kept.map(|at| points[at]).collect::<Points>())
}

/// Curves on top of one another, at the same steps; what is not finite adds nothing. Each point is the mean of its stretch, and stands at
/// its end.
pub fn stacked(names: &[(&str, &str)], steps: &[u64], values: &[Vec<f64>]) -> Value {
    let stretch = steps.len().div_ceil(STRETCHES).max(1);
    let ends: Vec<u64> = steps.chunks(stretch).filter_map(|part| part.last().copied()).collect();
    let one = |(&(name, style), values): (&(&str, &str), &Vec<f64>)| {
        let mean = |part: &[f64]| part.iter().filter(|value| value.is_finite()).sum::<f64>() / part.len() as f64;
        let points: Vec<Value> = ends.iter().zip(values.chunks(stretch)).map(|(end, part)| json!([end, mean(part)])).collect();
        json!({"name": name, "style": style, "points": points})
    };
    names.iter().zip(values).map(one).collect()
}

/// An exponential mean over about 2 % of the steps, without the pull of its beginning; what is not finite is left out of it.
pub fn smoothed(points: &[(u64, f64)]) -> Points {
    let keep = 1.0 - 1.0 / (points.len() as f64 / 50.0).max(5.0);
    let (mut sum, mut weight) = (0.0, 0.0);
    let mean = |&(step, value): &(u64, f64)| {
        if value.is_finite() {
            (sum, weight) = (sum * keep + value, weight * keep + 1.0);
        }
        (step, sum / weight)
    };
    points.iter().map(mean).collect()
}

/// Few enough points to draw: of each stretch the first, lowest, highest, last and the first that is not finite (`null`, a gap).
fn thin(points: &[(u64, f64)]) -> Value {
    let stretch = points.len().div_ceil(STRETCHES).max(1);
    let mut out: Vec<Value> = vec![];
    for part in points.chunks(stretch) {
        let finite = || part.iter().enumerate().filter(|(_, (_, value))| value.is_finite());
        let lowest = finite().min_by(|a, b| a.1.1.total_cmp(&b.1.1)).map(|(at, _)| at);
        let highest = finite().max_by(|a, b| a.1.1.total_cmp(&b.1.1)).map(|(at, _)| at);
        let gap = part.iter().position(|(_, value)| !value.is_finite());
        let mut kept: Vec<usize> = [Some(0), lowest, highest, gap, Some(part.len() - 1)].into_iter().flatten().collect();
        kept.sort_unstable();
        kept.dedup();
        out.extend(kept.into_iter().map(|at| json!([part[at].0, part[at].1])));
    }
    out.into()
}
