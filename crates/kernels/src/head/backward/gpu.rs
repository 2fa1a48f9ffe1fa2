//! The head's gradient on the GPU.

use super::OP;
use crate::gpu::{GpuDevice, GpuWeight};
use crate::head::HeadOutput;
use crate::{KernelError, Result, Tensor};

pub fn backward(
    _device: &GpuDevice,
    _x: &Tensor,
    _w: &GpuWeight,
    _targets: &Tensor,
    _temperature: f32,
    _out: &HeadOutput,
    _dlogprob: &Tensor,
    _dentropy: Option<&Tensor>,
    _dx: &mut Tensor,
    _dw: Option<&mut Tensor>,
    _rows: usize,
) -> Result<()> {
    Err(KernelError::Value { op: OP, message: "this gradient is not there on a GPU yet; train on the CPU".into() })
}
