//! Rows of weights as u32 words that WGSL can load aligned. `shaders/shared/weight.wgsl` reads what this writes.
//!
//! A row is one plane after the other, K its columns, padded with zeros to a multiple of 4 words:
//!
//! | format | planes (words) |
//! | --- | --- |
//! | F32 | K values, padded to 8 |
//! | F16, BF16 | two values a word, padded to 8 values |
//! | Q8_0 | bytes K/4 · f16 d of two blocks a word |
//! | Q4_0 | nibbles K/8 · f16 d of two blocks a word |
//! | Q4_1 | nibbles K/8 · (d, m) a word a block |
//! | Q5_0 | nibbles K/8 · high bits K/32 · f16 d of two blocks a word |
//! | Q5_1 | nibbles K/8 · high bits K/32 · (d, m) a word a block |
//! | Q4_K | nibbles K/8 · five words a block: (d, dmin), then (scale, min) bytes of eight sub-blocks, two a word |
//! | Q5_K | nibbles K/8 · high bits K/32 · five words a block as Q4_K |
//! | Q6_K | nibbles K/8 · high pairs K/16 · five words a block: d, then 16 signed scales, four a word |
//!
//! Quants are in column order, the first in the lowest bits, whatever order GGUF keeps them in. Scales stay as stored: no product
//! is rounded here, so a kernel's dequantised value is the CPU's.

use crate::DType;

/// Words of a row of `cols` weights (whole blocks).
pub(super) fn row_words(dtype: DType, cols: usize) -> usize {
    let (nibbles, bits, blocks) = (cols / 8, cols / 32, cols / 32);
    let words = match dtype {
        DType::F32 | DType::U32 => cols.next_multiple_of(8),
        DType::F16 | DType::BF16 => cols.next_multiple_of(8) / 2,
        DType::Q8_0 => cols / 4 + blocks.div_ceil(2),
        DType::Q4_0 => nibbles + blocks.div_ceil(2),
        DType::Q4_1 => nibbles + blocks,
        DType::Q5_0 => nibbles + bits + blocks.div_ceil(2),
        DType::Q5_1 => nibbles + bits + blocks,
        DType::Q4_K => nibbles + cols / 256 * 5,
        DType::Q5_K => nibbles + bits + cols / 256 * 5,
        DType::Q6_K => nibbles + cols / 16 + cols / 256 * 5,
    };
    words.next_multiple_of(4)
}

/// Writes the row stored in `bytes` to `out`, which is `row_words` long and zero.
pub(super) fn repack_row(dtype: DType, cols: usize, bytes: &[u8], out: &mut [u32]) {
    if dtype.block_len() == 1 {
        bytemuck::cast_slice_mut::<u32, u8>(out)[..bytes.len()].copy_from_slice(bytes);
        return;
    }
    let mut planes = Planes::new(dtype, cols, out);
    for (index, block) in bytes.chunks_exact(dtype.block_bytes()).enumerate() {
        planes.block(dtype, index, block);
    }
}

/// The planes of one row.
struct Planes<'a> {
    quants: &'a mut [u32],
    high: &'a mut [u32],
    scales: &'a mut [u32],
}

impl<'a> Planes<'a> {
    fn new(dtype: DType, cols: usize, out: &'a mut [u32]) -> Self {
        let quants = if dtype == DType::Q8_0 { cols / 4 } else { cols / 8 };
        let high = match dtype {
            DType::Q5_0 | DType::Q5_1 | DType::Q5_K => cols / 32,
            DType::Q6_K => cols / 16,
            _ => 0,
        };
        let (quants, rest) = out.split_at_mut(quants);
        let (high, scales) = rest.split_at_mut(high);
        Self { quants, high, scales }
    }

    fn block(&mut self, dtype: DType, index: usize, block: &[u8]) {
        let first = index * dtype.block_len();
        let half = |at: usize| u32::from(u16::from_le_bytes([block[at], block[at + 1]]));
        let word = |at: usize| half(at) | half(at + 2) << 16;
        match dtype {
            DType::Q8_0 => {
                self.scales[index / 2] |= half(0) << (16 * (index % 2));
                for (i, &byte) in block[2..].iter().enumerate() {
                    self.quants[(first + i) / 4] |= u32::from(byte) << (8 * (i % 4));
                }
            }
            DType::Q4_0 | DType::Q5_0 => {
                self.scales[index / 2] |= half(0) << (16 * (index % 2));
                let bits = if dtype == DType::Q5_0 { 4 } else { 0 };
                if bits > 0 {
                    self.high[index] = word(2);
                }
                self.halves(first, &block[2 + bits..]);
            }
            DType::Q4_1 | DType::Q5_1 => {
                self.scales[index] = word(0);
                let bits = if dtype == DType::Q5_1 { 4 } else { 0 };
                if bits > 0 {
                    self.high[index] = word(4);
                }
                self.halves(first, &block[4 + bits..]);
            }
            DType::Q4_K | DType::Q5_K => {
                self.scales[5 * index] = word(0);
                for j in 0..8 {
                    let (scale, minimum) = six_bits(&block[4..16], j);
                    self.scales[5 * index + 1 + j / 2] |= (u32::from(scale) | u32::from(minimum) << 8) << (16 * (j % 2));
                }
                let (bits, nibbles) = block[16..].split_at(if dtype == DType::Q5_K { 32 } else { 0 });
                for (j, bytes) in nibbles.chunks_exact(32).enumerate() {
                    self.halves(first + 64 * j, bytes);
                }
                // Bit j of byte l belongs to weight 32 j + l.
                for (l, &byte) in bits.iter().enumerate() {
                    for j in 0..8 {
                        self.high[8 * index + j] |= u32::from(byte >> j & 1) << l;
                    }
                }
            }
            DType::Q6_K => {
                let (low, rest) = block.split_at(128);
                let (pairs, rest) = rest.split_at(64);
                self.scales[5 * index] = half(208);
                for (i, &scale) in rest[..16].iter().enumerate() {
                    self.scales[5 * index + 1 + i / 4] |= u32::from(scale) << (8 * (i % 4));
                }
                for i in 0..256 {
                    // Halves of 128 weights; in each, weights 0..64 are the low nibbles of 64 bytes and 64..128 the high ones.
                    let (half, i_half) = (i / 128, i % 128);
                    let nibble = low[64 * half + i_half % 64] >> (4 * (i_half / 64)) & 15;
                    let pair = pairs[32 * half + i_half % 32] >> (2 * (i_half / 32)) & 3;
                    self.quants[(first + i) / 8] |= u32::from(nibble) << (4 * (i % 8));
                    self.high[(first + i) / 16] |= u32::from(pair) << (2 * (i % 16));
                }
            }
            DType::F32 | DType::F16 | DType::BF16 | DType::U32 => unreachable!("plain formats have no blocks"),
        }
    }

    /// Weights `first..`: the low nibbles of `bytes`, then the high ones.
    fn halves(&mut self, first: usize, bytes: &[u8]) {
        for (i, &byte) in bytes.iter().enumerate() {
            let (low, high) = (first + i, first + bytes.len() + i);
            self.quants[low / 8] |= u32::from(byte & 15) << (4 * (low % 8));
            self.quants[high / 8] |= u32::from(byte >> 4) << (4 * (high % 8));
        }
    }
}

/// Scale and minimum of sub-block `j` of a K-quant's 12 bytes.
fn six_bits(packed: &[u8], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        (packed[j + 4] & 15 | packed[j - 4] >> 6 << 4, packed[j + 4] >> 4 | packed[j] >> 6 << 4)
    }
}
