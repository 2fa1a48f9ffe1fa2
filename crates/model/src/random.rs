//! Weights made from a seed: benchmarks of a shape whose checkpoint is not at hand.

use kernels::DType;

use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::source::{Role, TensorData};
use crate::weights::TensorSource;

/// A model of `config` whose matrices are random `dtype` values of a realistic size; norms are 1, biases 0.
pub struct RandomWeights {
    config: ModelConfig,
    dtype: DType,
    seed: u64,
}

impl RandomWeights {
    /// Errors when a matrix width is not a whole number of `dtype` blocks.
    pub fn new(config: ModelConfig, dtype: DType, seed: u64) -> Result<Self> {
        for role in [Role::Q, Role::O, Role::Down] {
            let cols = role.shape(&config).last().copied().unwrap_or(0);
            if cols > 0 && dtype.row_bytes(cols).is_none() {
                let message = format!("{} blocks do not divide a width of {cols}", dtype.name());
                return Err(ModelError::unsupported(role.canonical(0), message));
            }
        }
        Ok(Self { config, dtype, seed })
    }
}

impl TensorSource for RandomWeights {
    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn tensor(&self, role: Role, layer: usize) -> Result<Option<TensorData>> {
        if !role.exists(&self.config, layer) {
            return Ok(None);
        }
        let shape = role.shape(&self.config);
        let Some((&cols, outer)) = shape.split_last() else { return Ok(None) };
        let rows: usize = outer.iter().product();
        if outer.is_empty() {
            let value: f32 = if matches!(role, Role::QBias | Role::KBias | Role::VBias | Role::OBias) { 0.0 } else { 1.0 };
            let bytes: Vec<u8> = value.to_le_bytes().repeat(cols);
            return Ok(Some(TensorData { rows: 1, cols, dtype: DType::F32, bytes: bytes.into() }));
        }
        // The router stays f32, as in published quantised files.
        let dtype = if role == Role::Router { DType::F32 } else { self.dtype };
        let mut random = Random(self.seed ^ (layer as u64) << 32 ^ (role as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let bytes = random_bytes(dtype, rows * cols, &mut random);
        Ok(Some(TensorData { rows, cols, dtype, bytes: bytes.into() }))
    }

    fn total_bytes(&self) -> u64 {
        self.config.parameters() * self.dtype.block_bytes() as u64 / self.dtype.block_len() as u64
    }

    fn name_of(&self, role: Role, layer: usize) -> String {
        role.canonical(layer)
    }

    fn missing(&self, role: Role, layer: usize) -> ModelError {
        ModelError::unsupported(role.canonical(layer), "has no shape in this configuration")
    }
}

/// `count` random weights in `dtype`'s layout (whole blocks).
pub fn weight_bytes(dtype: DType, count: usize, seed: u64) -> Vec<u8> {
    random_bytes(dtype, count, &mut Random(seed))
}

/// SplitMix64.
pub struct Random(u64);

impl Random {
    /// The stream of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Uniform in [-1, 1).
    pub fn symmetric(&mut self) -> f32 {
        (self.next() >> 40) as f32 / 8_388_608.0 - 1.0
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform with standard deviation 0.02, the published models' initialisation.
    fn value(&mut self) -> f32 {
        ((self.next() >> 40) as f32 / 8_388_608.0 - 1.0) * 0.034_64
    }
}

fn random_bytes(dtype: DType, count: usize, random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(count / dtype.block_len() * dtype.block_bytes());
    match dtype {
        DType::F32 | DType::U32 => (0..count).for_each(|_| bytes.extend(random.value().to_le_bytes())),
        DType::F16 => (0..count).for_each(|_| bytes.extend(half::f16::from_f32(random.value()).to_le_bytes())),
        DType::BF16 => (0..count).for_each(|_| bytes.extend(half::bf16::from_f32(random.value()).to_le_bytes())),
        blocks => {
            for _ in 0..count / blocks.block_len() {
                let start = bytes.len();
                while bytes.len() - start < blocks.block_bytes() {
                    let word = random.next().to_le_bytes();
                    let take = (blocks.block_bytes() - (bytes.len() - start)).min(8);
                    bytes.extend_from_slice(&word[..take]);
                }
                // (byte of an f16 scale, its value): what makes a block's values spread over about ±0.035.
                let scales: &[(usize, f32)] = match blocks {
                    DType::Q8_0 => &[(0, 0.035 / 127.0)],
                    DType::Q4_0 => &[(0, 0.035 / 8.0)],
                    DType::Q5_0 => &[(0, 0.035 / 16.0)],
                    DType::Q4_1 => &[(0, 0.07 / 15.0), (2, -0.035)],
                    DType::Q5_1 => &[(0, 0.07 / 31.0), (2, -0.035)],
                    DType::Q4_K => &[(0, 0.07 / 15.0 / 32.0), (2, 0.035 / 32.0)],
                    DType::Q5_K => &[(0, 0.07 / 31.0 / 32.0), (2, 0.035 / 32.0)],
                    _ => &[(208, 0.035 / 32.0 / 64.0)],
                };
                for &(at, scale) in scales {
                    bytes[start + at..start + at + 2].copy_from_slice(&half::f16::from_f32(scale).to_le_bytes());
                }
            }
        }
    }
    bytes
}
