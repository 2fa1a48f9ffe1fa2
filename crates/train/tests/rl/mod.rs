//! Numpy's answers (make_goldens.py), and how near is near.
#![allow(dead_code)] // each test uses its part

use serde_json::Value;

pub fn goldens() -> Value {
    serde_json::from_str(include_str!("goldens.json")).unwrap()
}

pub fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

pub fn numbers(value: &Value) -> Vec<f64> {
    list(value).iter().map(|number| number.as_f64().unwrap()).collect()
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Equal to 1e-9 of the larger of both, or to 1e-15.
pub fn near(got: &[f64], want: &[f64]) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{} values for {}", got.len(), want.len()));
    }
    for (at, (&got, &want)) in got.iter().zip(want).enumerate() {
        // Where a sum cancels, what is left of its rounding is compared with the sizes that went in: rewards of 1.
        if !((got - want).abs() <= 1e-9 * got.abs().max(want.abs()) + 1e-15) {
            return Err(format!("{at}: {got:e} for {want:e}"));
        }
    }
    Ok(())
}
