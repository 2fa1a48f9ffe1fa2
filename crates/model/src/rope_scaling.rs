//! Rotary frequencies of the RoPE types in use: default, linear, YaRN, Llama 3.
//!
//! Frequencies are f64 here; kernels round cos and sin once, after the angle.

use std::f64::consts::PI;

/// How a model's rotary frequencies were stretched past the context of pre-training.
#[derive(Clone, Debug, PartialEq)]
pub enum RopeScaling {
    /// θ^(-2i/D), unchanged.
    Default,
    /// Every frequency divided by `factor`.
    Linear {
        /// Stretch.
        factor: f64,
    },
    /// YaRN (arXiv 2309.00071): low frequencies interpolated, high ones kept, a ramp between, and attention scaled.
    Yarn {
        /// Stretch.
        factor: f64,
        /// Positions of pre-training.
        original: f64,
        /// Rotations over `original` above which a frequency is kept (32).
        beta_fast: f64,
        /// Rotations below which a frequency is interpolated (1).
        beta_slow: f64,
        /// Factor on cos and sin; `None`: derived from `factor` and the mscales.
        attention_factor: Option<f64>,
        /// DeepSeek's multiplier of ln(factor), used when both mscales are there and not 0.
        mscale: Option<f64>,
        /// Its denominator.
        mscale_all_dim: Option<f64>,
        /// Whether the ramp's ends are rounded to whole dimensions.
        truncate: bool,
    },
    /// Llama 3.1's: wavelengths longer than `original / low` are stretched, shorter than `original / high` kept, a blend between.
    Llama3 {
        /// Stretch.
        factor: f64,
        /// low_freq_factor.
        low: f64,
        /// high_freq_factor.
        high: f64,
        /// Positions of pre-training.
        original: f64,
    },
}

impl RopeScaling {
    /// Names of the supported types, as configs write them.
    pub const SUPPORTED: &'static str = "default, linear, yarn, llama3";

    /// Inverse frequencies [D/2] and the factor on cos and sin.
    pub fn inv_freq(&self, head_dim: usize, theta: f64) -> (Vec<f64>, f64) {
        let base = (0..head_dim / 2).map(|i| theta.powf(-(2.0 * i as f64) / head_dim as f64));
        match *self {
            Self::Default => (base.collect(), 1.0),
            Self::Linear { factor } => (base.map(|f| f / factor).collect(), 1.0),
            Self::Yarn { factor, original, beta_fast, beta_slow, truncate, .. } => {
                let (low, high) = yarn_range(head_dim as f64, theta, original, beta_fast, beta_slow, truncate);
                let stretched = base.enumerate().map(|(i, f)| {
                    let interpolated = ((i as f64 - low) / (high - low)).clamp(0.0, 1.0);
                    f / factor * interpolated + f * (1.0 - interpolated)
                });
                (stretched.collect(), self.attention_scale())
            }
            Self::Llama3 { factor, low, high, original } => {
                let stretched = base.map(|f| {
                    let wavelength = 2.0 * PI / f;
                    if wavelength > original / low {
                        f / factor
                    } else if wavelength < original / high {
                        f
                    } else {
                        let smooth = (original / wavelength - low) / (high - low);
                        (1.0 - smooth) * f / factor + smooth * f
                    }
                });
                (stretched.collect(), 1.0)
            }
        }
    }

    fn attention_scale(&self) -> f64 {
        let Self::Yarn { factor, attention_factor, mscale, mscale_all_dim, .. } = *self else { return 1.0 };
        let get = |mscale: f64| if factor <= 1.0 { 1.0 } else { 0.1 * mscale * factor.ln() + 1.0 };
        match (attention_factor, mscale, mscale_all_dim) {
            (Some(given), _, _) => given,
            (None, Some(over), Some(under)) if over != 0.0 && under != 0.0 => get(over) / get(under),
            _ => get(1.0),
        }
    }
}

/// Dimensions between which YaRN ramps from kept to interpolated.
fn yarn_range(dim: f64, theta: f64, original: f64, beta_fast: f64, beta_slow: f64, truncate: bool) -> (f64, f64) {
    let at = |rotations: f64| dim * (original / (rotations * 2.0 * PI)).ln() / (2.0 * theta.ln());
    let (mut low, mut high) = (at(beta_fast), at(beta_slow));
    if truncate {
        (low, high) = (low.floor(), high.ceil());
    }
    (low, high) = (low.max(0.0), high.min(dim - 1.0));
    if low == high {
        high += 0.001; // as Transformers does: the ramp has no width
    }
    (low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn yarn(attention_factor: Option<f64>) -> RopeScaling {
        RopeScaling::Yarn {
            factor: 4.0,
            original: 32768.0,
            beta_fast: 32.0,
            beta_slow: 1.0,
            attention_factor,
            mscale: None,
            mscale_all_dim: None,
            truncate: true,
        }
    }

    #[test]
    fn yarn_keeps_fast_and_stretches_slow() {
        let (plain, _) = RopeScaling::Default.inv_freq(128, 1e6);
        let (scaled, attention) = yarn(None).inv_freq(128, 1e6);
        assert_eq!(plain[0], scaled[0]);
        assert!((plain[63] / scaled[63] - 4.0).abs() < 1e-12);
        assert!(plain.iter().zip(&scaled).all(|(p, s)| *s <= *p && *s >= p / 4.0 - 1e-18));
        assert!((attention - (0.1 * 4f64.ln() + 1.0)).abs() < 1e-15);
        assert_eq!(yarn(Some(1.5)).inv_freq(128, 1e6).1, 1.5);
    }

    #[test]
    fn llama3_has_three_regimes() {
        let scaling = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 8192.0 };
        let (plain, _) = RopeScaling::Default.inv_freq(64, 500000.0);
        let (scaled, one) = scaling.inv_freq(64, 500000.0);
        let ratio: Vec<f64> = plain.iter().zip(&scaled).map(|(p, s)| p / s).collect();
        assert_eq!(one, 1.0);
        assert_eq!(ratio[0], 1.0);
        assert!((ratio[31] - 8.0).abs() < 1e-12);
        assert!(ratio.windows(2).all(|w| w[0] <= w[1] + 1e-12), "{ratio:?}");
    }

    /// Transformers 5.23's values, which it computes in f32.
    #[test]
    fn frequencies_equal_transformers() {
        let raw = RopeScaling::Yarn {
            factor: 8.0,
            original: 4096.0,
            beta_fast: 16.0,
            beta_slow: 2.0,
            attention_factor: None,
            mscale: Some(0.7),
            mscale_all_dim: Some(1.3),
            truncate: false,
        };
        let llama3 = RopeScaling::Llama3 { factor: 32.0, low: 1.0, high: 4.0, original: 8192.0 };
        type Case<'a> = (RopeScaling, usize, f64, f64, &'a [(usize, f64)]);
        let cases: [Case; 4] = [
            (
                yarn(None),
                128,
                1e6,
                1.138629436111989,
                &[(16, 0.03162277862429619), (21, 0.010746078565716743), (32, 0.0006029411451891065), (63, 3.102344408034696e-07)],
            ),
            (
                raw,
                128,
                1e6,
                0.9017839869787123,
                &[(16, 0.03162277862429619), (21, 0.007011461071670055), (32, 0.0001250000059371814), (63, 1.551172204017348e-07)],
            ),
            (RopeScaling::Linear { factor: 3.0 }, 128, 1e6, 1.0, &[(0, 0.3333333432674408), (63, 4.1364592107129283e-07)]),
            (llama3, 64, 5e5, 1.0, &[(10, 0.016560440883040428), (16, 0.000429556705057621), (21, 5.687232260243036e-06)]),
        ];
        for (scaling, width, theta, scale, expected) in cases {
            let (found, attention) = scaling.inv_freq(width, theta);
            assert!((attention - scale).abs() < 1e-12, "{scaling:?}: {attention}");
            for &(at, value) in expected {
                assert!((found[at] / value - 1.0).abs() < 2e-6, "{scaling:?} at {at}: {} for {value}", found[at]);
            }
        }
    }
}
