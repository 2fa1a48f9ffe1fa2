//! Curves over steps, and a page of them that loads nothing.

use std::fmt::Write;

/// Width, height and left and lower margin of a chart.
const CHART: (f64, f64, f64, f64) = (380.0, 200.0, 44.0, 22.0);

/// A page with what it is about and what it shows.
pub(super) fn page(title: &str, about: &str, body: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title><style>
:root {{ color-scheme: light dark }}
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem }}
svg {{ width: 380px; max-width: 100%; height: auto; font-size: 11px }}
svg text {{ fill: currentColor }} .axis {{ stroke: currentColor; opacity: .5 }} .bar {{ stroke: currentColor; stroke-dasharray: 4 3; opacity: .6 }}
polyline {{ fill: none }} .thin {{ opacity: .3 }} table {{ border-collapse: collapse; font-variant-numeric: tabular-nums }}
td, th {{ text-align: left; padding: .1rem .8rem .1rem 0 }} .fail {{ color: #dc2626; font-weight: 600 }} code {{ font-size: 12px }}
</style></head><body><h1>{title}</h1>
<p>{about}</p>
{body}</body></html>
"#
    )
}

/// A curve of a chart.
pub(super) struct Line {
    pub colour: &'static str,
    pub thin: bool,
    /// (step, value).
    pub points: Vec<(f64, f64)>,
}

/// Lines from 0 to their highest point, and dashed levels.
pub(super) fn chart(title: &str, lines: &[Line], levels: &[f64]) -> String {
    let (width, height, left, below) = CHART;
    let points = || lines.iter().flat_map(|line| &line.points);
    let last = points().map(|point| point.0).fold(1.0, f64::max);
    let high = points().map(|point| point.1).chain(levels.iter().copied()).filter(|value| value.is_finite()).fold(1e-9, f64::max);
    let x = |step: f64| left + step / last * (width - left - 8.0);
    let y = |value: f64| 18.0 + (1.0 - value.max(0.0) / high) * (height - below - 18.0);
    let mut svg = format!(r#"<svg viewBox="0 0 {width} {height}" role="img" aria-label="{title}"><text x="{left}" y="12">{title}</text>"#);
    let _ = write!(
        svg,
        r#"<path class="axis" fill="none" d="M{left} 18V{0}H{width}"/><text x="{1}" y="{0}" text-anchor="end">0</text><text x="{1}" y="24" text-anchor="end">{high:.2}</text><text x="{width}" y="{2}" text-anchor="end">step {last}</text>"#,
        y(0.0),
        left - 4.0,
        height - 6.0,
    );
    for &level in levels {
        let _ = write!(svg, r#"<path class="bar" d="M{left} {0:.1}H{width}"/>"#, y(level));
    }
    for Line { colour, thin, points } in lines {
        let path: Vec<String> = points.iter().filter(|p| p.1.is_finite()).map(|&(a, b)| format!("{:.1},{:.1}", x(a), y(b))).collect();
        let class = if *thin { r#" class="thin""# } else { "" };
        let _ = write!(
            svg,
            r#"<polyline{class} stroke="{colour}" stroke-width="{}" points="{}"/>"#,
            if *thin { 0.7 } else { 1.5 },
            path.join(" ")
        );
    }
    svg + "</svg>"
}
