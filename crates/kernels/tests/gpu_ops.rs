//! Each GPU op against an f64 reference, at ragged sizes.

mod support;

use kernels::swiglu;
use support::{exact, expect_near, random};

#[test]
fn swiglu_is_exact() {
    let Some(device) = exact() else { return };
    for (rows, width) in [(1, 1), (7, 63), (65, 257)] {
        let (g, u) = (random(1, rows * width), random(2, rows * width));
        let mut gate = device.f32_tensor(&[rows, width], &g).unwrap();
        let up = device.f32_tensor(&[rows, width], &u).unwrap();
        swiglu::forward(&device, &mut gate, &up, rows).unwrap();
        let got = pollster::block_on(device.read_f32(&gate, rows * width)).unwrap();
        let want: Vec<f64> = g.iter().zip(&u).map(|(&g, &u)| f64::from(g) / (1.0 + (-f64::from(g)).exp()) * f64::from(u)).collect();
        expect_near("swiglu", &got, &want, 1e-6);
    }
}
