//! Gradients of matmul, rms_norm, rope, swiglu and the look-ups: each formula in f64 against central differences, then each device
//! against the formula at ragged sizes, with guard words; bits across threads, SIMD levels and batches.

#[path = "backward_small/cpu.rs"]
mod cpu;
#[path = "backward_small/gpu.rs"]
mod gpu;
#[path = "support/gradients.rs"]
mod gradients;
#[path = "backward_small/matmul.rs"]
mod matmul;
#[path = "backward_small/small.rs"]
mod small;
mod support;
