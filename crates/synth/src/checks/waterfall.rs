//! How many candidates each step let through, and why it dropped the others.

use std::collections::BTreeMap;

use data::Check;
use serde_json::{Value, json};

use super::{MODEL_CHECKS, STEPS};
use crate::candidate::Reject;

/// What the paper made and kept: 42.7K and 14.1K (§3.1), which is one in three.
const PAPER: (u32, u32) = (42_700, 14_100);
/// Reasons that a line names.
const NAMED: usize = 3;

/// The steps that candidates go through, with how many came in, how many went on, and the reasons why not. Steps that are not among
/// [`STEPS`] come first. Tries that gave no candidate are counted apart: the yield is that of questions, as the paper's is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waterfall {
    made: usize,
    /// Tries at a candidate that failed, by check and reason.
    tried: BTreeMap<String, BTreeMap<String, usize>>,
    /// (place, name) → (reason without its numbers → how often).
    dropped: BTreeMap<(usize, String), BTreeMap<String, usize>>,
    /// Checks that kept rows did not go through, and for how many.
    not_run: BTreeMap<String, usize>,
}

impl Waterfall {
    /// A candidate became a row.
    pub fn kept(&mut self, checks: &[Check]) {
        self.made += 1;
        for check in checks.iter().filter(|check| check.passed.is_none() && MODEL_CHECKS.contains(&check.name.as_str())) {
            *self.not_run.entry(check.name.clone()).or_default() += 1;
        }
    }

    /// A candidate did not.
    pub fn dropped(&mut self, reject: &Reject) {
        self.made += 1;
        let place = STEPS.iter().position(|step| *step == reject.check).map_or(0, |at| at + 1);
        let reasons = self.dropped.entry((place, reject.check.into())).or_default();
        *reasons.entry(kind(&reject.reason)).or_default() += 1;
    }

    /// An engine tried to make a candidate, and could not.
    pub fn tried(&mut self, reject: &Reject) {
        *self.tried.entry(reject.check.into()).or_default().entry(kind(&reject.reason)).or_default() += 1;
    }

    /// (made, kept).
    pub fn counts(&self) -> (usize, usize) {
        (self.made, self.made - self.dropped.values().flat_map(BTreeMap::values).sum::<usize>())
    }

    /// (name, came in, went on, reasons) of each step at which something was dropped or could have been, in order.
    fn steps(&self) -> Vec<(&str, usize, usize, &BTreeMap<String, usize>)> {
        static NONE: BTreeMap<String, usize> = BTreeMap::new();
        let makers = self.dropped.iter().filter(|((place, _), _)| *place == 0).map(|((_, name), reasons)| (name.as_str(), reasons));
        let known = STEPS.iter().enumerate().filter(|(_, name)| !self.not_run.contains_key(**name)).map(|(at, name)| {
            let reasons = self.dropped.get(&(at + 1, name.to_string()));
            (*name, reasons.unwrap_or(&NONE))
        });
        let mut left = self.made;
        let count = |(name, reasons): (_, &'_ BTreeMap<String, usize>)| (name, reasons.values().sum::<usize>());
        makers
            .chain(known)
            .map(|(name, reasons)| {
                let came = left;
                left -= count((name, reasons)).1;
                (name, came, left, reasons)
            })
            .collect()
    }

    /// A line for each step, those that were not run, and what is left beside the paper's share.
    pub fn lines(&self) -> Vec<String> {
        let line = |name: &str, came: usize, went: usize, reasons: &BTreeMap<String, usize>| {
            format!("{name:<14}{came:>8}{went:>8}  {}", often(reasons)).trim_end().to_string()
        };
        let mut out = vec![format!("{:<14}{:>8}{:>8}  {}", "step", "in", "out", "dropped because")];
        let failed: BTreeMap<String, usize> = self.tried.iter().map(|(check, reasons)| (check.clone(), reasons.values().sum())).collect();
        out.extend((!failed.is_empty()).then(|| line("tries", self.made + failed.values().sum::<usize>(), self.made, &failed)));
        out.extend(self.steps().into_iter().map(|(name, came, went, reasons)| line(name, came, went, reasons)));
        out.extend(self.not_run.iter().map(|(name, count)| format!("{name:<14} not run for {count} of the rows that are left")));
        let (made, kept) = self.counts();
        out.push(format!(
            "{kept} of {made} are left: {:.1} % (the paper keeps {:.1}K of {:.1}K: {:.1} %)",
            percent(kept, made),
            f64::from(PAPER.1) / 1e3,
            f64::from(PAPER.0) / 1e3,
            percent(PAPER.1 as usize, PAPER.0 as usize)
        ));
        out
    }

    /// The same for programs; shares are in [0, 1].
    pub fn json(&self) -> Value {
        let (made, kept) = self.counts();
        let step = |(name, came, went, reasons)| json!({"check": name, "in": came, "out": went, "reasons": reasons});
        json!({
            "made": made,
            "kept": kept,
            "share": percent(kept, made) / 100.0,
            "paper": {"made": PAPER.0, "kept": PAPER.1, "share": percent(PAPER.1 as usize, PAPER.0 as usize) / 100.0},
            "tries": self.tried,
            "steps": self.steps().into_iter().map(step).collect::<Vec<Value>>(),
            "not_run": self.not_run,
        })
    }
}

/// The commonest reasons, and how many others there are.
fn often(reasons: &BTreeMap<String, usize>) -> String {
    let mut often: Vec<(&String, &usize)> = reasons.iter().collect();
    often.sort_by(|a, b| b.1.cmp(a.1).then(a.0.cmp(b.0)));
    let more = often.len().saturating_sub(NAMED);
    let mut why: Vec<String> = often.iter().take(NAMED).map(|(reason, count)| format!("{reason} ({count})")).collect();
    why.extend((more > 0).then(|| format!("and {more} other reasons")));
    why.join("; ")
}

fn percent(part: usize, of: usize) -> f64 {
    if of == 0 { 0.0 } else { 100.0 * part as f64 / of as f64 }
}

/// A reason without what differs from row to row: numbers are `#`, and between quotation marks nothing is left.
fn kind(reason: &str) -> String {
    let (mut out, mut quoted, mut digits) = (String::new(), false, false);
    for c in reason.chars() {
        quoted = c == '“' || quoted && c != '”';
        if quoted && c != '“' {
            continue;
        }
        let digit = c.is_ascii_digit();
        if !digit {
            out.push(c);
        } else if !digits {
            out.push('#');
        }
        digits = digit;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_in_goes_on_or_is_dropped_with_its_reason() {
        let mut waterfall = Waterfall::default();
        let not_run = Check { name: "closed_book".into(), passed: None, detail: "no model was given".into() };
        (0..5).for_each(|_| waterfall.kept(std::slice::from_ref(&not_run)));
        for (check, reason) in [
            ("leak", "it names “Chad”"),
            ("leak", "it names “Mali”"),
            ("walk", "3 of 4"),
            ("length", "700 of 800"),
            ("length", "1 of 2"),
            ("length", "none"),
        ] {
            waterfall.dropped(&Reject { check, reason: reason.into() });
        }
        waterfall.tried(&Reject { check: "path", reason: "no walk of 3 links".into() });
        assert_eq!(waterfall.counts(), (11, 5));
        let steps: Vec<_> = waterfall.steps().into_iter().map(|(name, came, went, _)| (name, came, went)).collect();
        assert_eq!(&steps[..4], [("walk", 11, 10), ("gold", 10, 10), ("length", 10, 7), ("format", 7, 7)]);
        assert!(steps.iter().all(|step| step.0 != "closed_book") && steps.last().unwrap().2 == 5);
        let lines = waterfall.lines();
        assert_eq!(lines[1], "tries               12      11  path (1)");
        assert!(lines[4].ends_with("# of # (2); none (1)"), "{lines:?}");
        assert!(lines.contains(&"leak                 7       5  it names “” (2)".to_string()), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "5 of 11 are left: 45.5 % (the paper keeps 14.1K of 42.7K: 33.0 %)");
        assert_eq!(lines[lines.len() - 2], "closed_book    not run for 5 of the rows that are left");
        let json = waterfall.json();
        assert_eq!(
            (&json["steps"][2]["reasons"]["# of #"], &json["made"], &json["not_run"]["closed_book"]),
            (&json!(2), &json!(11), &json!(5))
        );
    }
}
