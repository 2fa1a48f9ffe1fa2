//! The CPU's matmul: the canonical sum, and the addition of the bias or the old `y`.

use super::Output;
use crate::cpu::exact::Operand;
use crate::cpu::fast::product;
use crate::cpu::parallel::SharedMut;
use crate::cpu::{CpuDevice, CpuWeight};
use crate::{Result, Tensor};

pub fn forward(
    device: &CpuDevice,
    x: &Tensor,
    w: &CpuWeight,
    bias: Option<&Tensor>,
    y: &mut Tensor,
    rows: usize,
    output: Output,
) -> Result<()> {
    const OP: &str = "matmul";
    let x = x.f32s(OP)?;
    let bias = bias.map(|bias| bias.f32s(OP)).transpose()?;
    let y = SharedMut::new(y.f32s_mut(OP)?);
    let mut padded = Vec::new();
    let operand = Operand::new(x, w.cols, 0..rows, &mut padded);
    product(device, &operand, w, 0..w.rows, |row, n, values| {
        // SAFETY: every output is emitted once.
        let y = unsafe { y.slice(row * w.rows + n..row * w.rows + n + values.len()) };
        finish(y, values, bias.map(|bias| &bias[n..]), output);
    });
    Ok(())
}

/// Stores or adds `values`, with the bias.
fn finish(y: &mut [f32], values: &[f32], bias: Option<&[f32]>, output: Output) {
    match (output, bias) {
        (Output::Store, None) => y.copy_from_slice(values),
        (Output::Store, Some(bias)) => y.iter_mut().zip(values).zip(bias).for_each(|((y, v), b)| *y = v + b),
        (Output::Add, None) => y.iter_mut().zip(values).for_each(|(y, v)| *y += v),
        (Output::Add, Some(bias)) => y.iter_mut().zip(values).zip(bias).for_each(|((y, v), b)| *y += v + b),
    }
}
