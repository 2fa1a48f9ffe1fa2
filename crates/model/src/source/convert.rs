//! A checkpoint whose matrices come in another plain float format: to train what is stored as blocks, or to round as a rollout will.

use half::{bf16, f16};
use kernels::DType;
use kernels::cpu::dequant::dequantize;

use super::{Role, TensorData};
use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::weights::TensorSource;

/// `inner`, with every matrix as `dtype` (F32, F16 or BF16), rounded to nearest even. Vectors stay as they are.
pub struct Converted<'a, S> {
    inner: &'a S,
    dtype: DType,
}

impl<'a, S: TensorSource> Converted<'a, S> {
    /// Errors for a `dtype` that is not a plain float.
    pub fn new(inner: &'a S, dtype: DType) -> Result<Self> {
        match dtype {
            DType::F32 | DType::F16 | DType::BF16 => Ok(Self { inner, dtype }),
            other => Err(ModelError::Request(format!("matrices cannot be turned into {}: only into f32, f16 or bf16", other.name()))),
        }
    }
}

impl<S: TensorSource> TensorSource for Converted<'_, S> {
    fn config(&self) -> &ModelConfig {
        self.inner.config()
    }

    fn tensor(&self, role: Role, layer: usize) -> Result<Option<TensorData>> {
        let Some(data) = self.inner.tensor(role, layer)? else { return Ok(None) };
        if role.is_vector() || data.dtype == self.dtype {
            return Ok(Some(data));
        }
        let mut values = vec![0f32; data.rows * data.cols];
        dequantize(data.dtype, data.bytes.as_slice(), &mut values)?;
        let bytes: Vec<u8> = match self.dtype {
            DType::F16 => values.iter().flat_map(|&value| f16::from_f32(value).to_le_bytes()).collect(),
            DType::BF16 => values.iter().flat_map(|&value| bf16::from_f32(value).to_le_bytes()).collect(),
            _ => values.iter().flat_map(|value| value.to_le_bytes()).collect(),
        };
        Ok(Some(TensorData { dtype: self.dtype, bytes: bytes.into(), ..data }))
    }

    fn total_bytes(&self) -> u64 {
        self.inner.config().parameters() * self.dtype.block_bytes() as u64
    }

    fn name_of(&self, role: Role, layer: usize) -> String {
        self.inner.name_of(role, layer)
    }

    fn missing(&self, role: Role, layer: usize) -> ModelError {
        self.inner.missing(role, layer)
    }
}
