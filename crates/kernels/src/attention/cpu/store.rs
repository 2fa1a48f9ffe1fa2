//! Pages of keys and values as stored: rounding on the way in, widening on the way out.

use half::f16;
use half::slice::HalfFloatSliceExt;

use super::super::{Batch, KvDType, KvShape, PAGE_TOKENS};
use crate::cpu::CpuDevice;
use crate::cpu::lanes::{Lanes, multiversion};
use crate::cpu::simd::Level;
use crate::{KernelError, Result, Tensor};

const OP: &str = "kv append";

/// One layer's pages. A block is one kv head's part of one page: `PAGE_TOKENS · Dp` values,
/// keys as [Dp][32 positions], values as [32 positions][Dp], Dp = D padded to a multiple of 16 with zeros.
pub struct Layer {
    block: usize,
    pages: Pages,
}

enum Pages {
    F32 { k: Vec<f32>, v: Vec<f32> },
    F16 { k: Vec<f16>, v: Vec<f16> },
    // Scales are per 32 values of one position: for keys [D / 32][32 positions], for values [32 positions][D / 32].
    Q8 { k: Vec<i8>, v: Vec<i8>, k_scales: Vec<f16>, v_scales: Vec<f16> },
}

fn zeroed<T: bytemuck::Zeroable + Clone>(len: usize) -> Result<Vec<T>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(len).map_err(|_| KernelError::OutOfMemory { device: "cpu".into(), needed: (len * size_of::<T>()) as u64 })?;
    memory.resize(len, T::zeroed());
    Ok(memory)
}

impl Layer {
    pub fn new(_device: &CpuDevice, shape: &KvShape) -> Result<Self> {
        let block = PAGE_TOKENS * shape.head_dim.next_multiple_of(16);
        let len = shape.pages * shape.kv_heads * block;
        let pages = match shape.dtype {
            KvDType::F32 => Pages::F32 { k: zeroed(len)?, v: zeroed(len)? },
            KvDType::F16 => Pages::F16 { k: zeroed(len)?, v: zeroed(len)? },
            KvDType::Q8 => Pages::Q8 { k: zeroed(len)?, v: zeroed(len)?, k_scales: zeroed(len / 32)?, v_scales: zeroed(len / 32)? },
        };
        Ok(Self { block, pages })
    }

    /// Writes one position of one kv head.
    fn put(&mut self, level: Level, block: usize, offset: usize, key: &[f32], value: &[f32]) {
        let padded = self.block / PAGE_TOKENS;
        let span = block * self.block..(block + 1) * self.block;
        match &mut self.pages {
            Pages::F32 { k, v } => {
                let (k, v) = (&mut k[span.clone()], &mut v[span]);
                for (d, &key) in key.iter().enumerate() {
                    k[d * PAGE_TOKENS + offset] = key;
                }
                v[offset * padded..][..value.len()].copy_from_slice(value);
            }
            Pages::F16 { k, v } => {
                let (k, v) = (&mut k[span.clone()], &mut v[span]);
                let mut rounded = [f16::ZERO; 256];
                let rounded = &mut rounded[..key.len()];
                rounded.convert_from_f32_slice(key);
                for (d, &key) in rounded.iter().enumerate() {
                    k[d * PAGE_TOKENS + offset] = key;
                }
                v[offset * padded..][..value.len()].convert_from_f32_slice(value);
            }
            Pages::Q8 { k, v, k_scales, v_scales } => {
                let scales = block * self.block / 32..(block + 1) * self.block / 32;
                let (k, v) = (&mut k[span.clone()], &mut v[span]);
                let (k_scales, v_scales) = (&mut k_scales[scales.clone()], &mut v_scales[scales]);
                for (b, (key, value)) in key.as_chunks().0.iter().zip(value.as_chunks().0).enumerate() {
                    let (scale, numbers) = quantise(level, key);
                    k_scales[b * PAGE_TOKENS + offset] = scale;
                    for (i, number) in numbers.into_iter().enumerate() {
                        k[(32 * b + i) * PAGE_TOKENS + offset] = number;
                    }
                    let (scale, numbers) = quantise(level, value);
                    v_scales[offset * (padded / 32) + b] = scale;
                    v[offset * padded + 32 * b..][..32].copy_from_slice(&numbers);
                }
            }
        }
    }

    /// The keys and values of a block as f32.
    pub fn widen(&self, level: Level, block: usize, keys: &mut [Lanes], values: &mut [Lanes]) {
        let span = block * self.block..(block + 1) * self.block;
        match &self.pages {
            Pages::F32 { k, v } => {
                bytemuck::cast_slice_mut(keys).copy_from_slice(&k[span.clone()]);
                bytemuck::cast_slice_mut(values).copy_from_slice(&v[span]);
            }
            Pages::F16 { k, v } => {
                widen_halves(level, &k[span.clone()], keys);
                widen_halves(level, &v[span], values);
            }
            Pages::Q8 { k, v, k_scales, v_scales } => {
                let scales = block * self.block / 32..(block + 1) * self.block / 32;
                widen_keys(level, &k[span.clone()], &k_scales[scales.clone()], bytemuck::cast_slice_mut(keys));
                widen_values(level, &v[span], &v_scales[scales], bytemuck::cast_slice_mut(values));
            }
        }
    }
}

multiversion! {
    /// 32 values as f16 scale and i8: the largest magnitude becomes ±127; ties round to even. A value that is not finite makes the
    /// scale NaN, so that it is not lost.
    fn quantise(values: &[f32; 32]) -> (f16, [i8; 32]) {
        let (mut top, mut finite) = (0f32, true);
        for v in values {
            top = if v.abs() > top { v.abs() } else { top };
            finite &= v.is_finite();
        }
        let scale = f16::from_f32(if finite { top / 127.0 } else { f32::NAN });
        let mut numbers = [0; 32];
        let width = scale.to_f32();
        if width > 0.0 {
            for i in 0..32 {
                // Adding and taking away 1.5 · 2^23 rounds to an integer, ties to even.
                const MAGIC: f32 = 12_582_912.0;
                let number = (values[i] / width).clamp(-127.0, 127.0) + MAGIC;
                numbers[i] = (number.to_bits() as i32).wrapping_sub(MAGIC.to_bits() as i32) as i8;
            }
        }
        (scale, numbers)
    }
}

multiversion! {
    fn widen_halves(halves: &[f16], to: &mut [Lanes]) {
        for (halves, to) in halves.as_chunks().0.iter().zip(to) {
            V::load_f16(halves).store(to);
        }
    }
}

multiversion! {
    fn widen_keys(k: &[i8], scales: &[f16], keys: &mut [f32]) {
        for ((k, keys), scales) in k.chunks_exact(32 * PAGE_TOKENS).zip(keys.chunks_exact_mut(32 * PAGE_TOKENS)).zip(scales.chunks_exact(PAGE_TOKENS)) {
            let mut widths = [0f32; PAGE_TOKENS];
            for (width, scale) in widths.iter_mut().zip(scales) {
                *width = scale.to_f32();
            }
            for (k, keys) in k.chunks_exact(PAGE_TOKENS).zip(keys.chunks_exact_mut(PAGE_TOKENS)) {
                for i in 0..PAGE_TOKENS {
                    keys[i] = f32::from(k[i]) * widths[i];
                }
            }
        }
    }
}

multiversion! {
    fn widen_values(v: &[i8], scales: &[f16], values: &mut [f32]) {
        for ((v, values), scale) in v.chunks_exact(32).zip(values.chunks_exact_mut(32)).zip(scales) {
            let width = scale.to_f32();
            for i in 0..32 {
                values[i] = f32::from(v[i]) * width;
            }
        }
    }
}

pub fn append(device: &CpuDevice, k: &Tensor, v: &Tensor, layer: &mut Layer, shape: &KvShape, batch: &Batch) -> Result<()> {
    let (width, head_dim) = (shape.kv_heads * shape.head_dim, shape.head_dim);
    let (k, v, slots) = (k.f32s(OP)?, v.f32s(OP)?, batch.slots.u32s(OP)?);
    for (row, slot) in slots.chunks_exact(2).take(batch.rows).enumerate() {
        let (page, offset) = (slot[1] as usize / PAGE_TOKENS, slot[1] as usize % PAGE_TOKENS);
        for head in 0..shape.kv_heads {
            let at = row * width + head * head_dim;
            layer.put(device.simd(), page * shape.kv_heads + head, offset, &k[at..][..head_dim], &v[at..][..head_dim]);
        }
    }
    Ok(())
}
