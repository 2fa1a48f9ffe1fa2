//! Attention's gradient on the GPU.

use super::super::gpu::Layer;
use super::super::{Batch, KvShape};
use super::{BackwardSpace, OP};
use crate::gpu::GpuDevice;
use crate::{KernelError, Result, Tensor};

pub fn backward(
    _device: &GpuDevice,
    _q: &Tensor,
    _layer: &Layer,
    _shape: &KvShape,
    _batch: &Batch,
    _scale: f32,
    _out: &Tensor,
    _dout: &Tensor,
    _space: &mut BackwardSpace,
    _dq: &mut Tensor,
    _dk: &mut Tensor,
    _dv: &mut Tensor,
) -> Result<()> {
    Err(KernelError::Value { op: OP, message: "this gradient is not there on a GPU yet; train on the CPU".into() })
}
