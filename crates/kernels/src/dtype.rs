//! Element and block formats of weights and tensors.

/// Storage format of a weight or tensor. Block formats are GGUF's, in GGUF's byte layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(non_camel_case_types)]
pub enum DType {
    /// 32-bit float.
    F32,
    /// 16-bit IEEE float.
    F16,
    /// bfloat16.
    BF16,
    /// 32-bit unsigned integer (ids, positions, tables).
    U32,
    /// 32 weights: f16 d, 32 × i8.
    Q8_0,
    /// 32 weights: f16 d, 16 bytes of nibbles; w = d (q - 8).
    Q4_0,
    /// 32 weights: f16 d, f16 m, 16 bytes of nibbles; w = d q + m.
    Q4_1,
    /// 32 weights: f16 d, 4 bytes of high bits, 16 bytes of nibbles; w = d (q - 16).
    Q5_0,
    /// 32 weights: f16 d, f16 m, 4 bytes of high bits, 16 bytes of nibbles; w = d q + m.
    Q5_1,
    /// 256 weights: f16 d, f16 dmin, 12 bytes of 6-bit scales and mins, 128 bytes of nibbles.
    Q4_K,
    /// 256 weights: as Q4_K with 32 bytes of high bits.
    Q5_K,
    /// 256 weights: 128 bytes low nibbles, 64 bytes high pairs, 16 × i8 scales, f16 d.
    Q6_K,
}

impl DType {
    /// Every format a weight may have.
    pub const WEIGHTS: [DType; 11] = [
        DType::F32,
        DType::F16,
        DType::BF16,
        DType::Q8_0,
        DType::Q4_0,
        DType::Q4_1,
        DType::Q5_0,
        DType::Q5_1,
        DType::Q4_K,
        DType::Q5_K,
        DType::Q6_K,
    ];

    /// Weights per block: 1 for plain formats.
    pub const fn block_len(self) -> usize {
        match self {
            DType::F32 | DType::F16 | DType::BF16 | DType::U32 => 1,
            DType::Q8_0 | DType::Q4_0 | DType::Q4_1 | DType::Q5_0 | DType::Q5_1 => 32,
            DType::Q4_K | DType::Q5_K | DType::Q6_K => 256,
        }
    }

    /// Bytes per block.
    pub const fn block_bytes(self) -> usize {
        match self {
            DType::F32 | DType::U32 => 4,
            DType::F16 | DType::BF16 => 2,
            DType::Q8_0 => 34,
            DType::Q4_0 => 18,
            DType::Q4_1 => 20,
            DType::Q5_0 => 22,
            DType::Q5_1 => 24,
            DType::Q4_K => 144,
            DType::Q5_K => 176,
            DType::Q6_K => 210,
        }
    }

    /// Bytes of a row of `cols` weights; `None` if `cols` is not a whole number of blocks, or more than memory can address.
    pub fn row_bytes(self, cols: usize) -> Option<usize> {
        if cols % self.block_len() == 0 { (cols / self.block_len()).checked_mul(self.block_bytes()) } else { None }
    }

    /// The name people write: `bf16`, `q4_k`.
    pub const fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::BF16 => "bf16",
            DType::U32 => "u32",
            DType::Q8_0 => "q8_0",
            DType::Q4_0 => "q4_0",
            DType::Q4_1 => "q4_1",
            DType::Q5_0 => "q5_0",
            DType::Q5_1 => "q5_1",
            DType::Q4_K => "q4_k",
            DType::Q5_K => "q5_k",
            DType::Q6_K => "q6_k",
        }
    }
}
