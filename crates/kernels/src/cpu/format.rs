//! GGUF's block formats, unpacked to unsigned integers with a scale and an offset per sub-block.
//!
//! One weight is `scale · (q - OFFSET) + shift`, in this order of f32 roundings: the product, then the sum.

/// `f16` bits to `f32`, every value exactly (a NaN stays a NaN). Branch-free, so that loops over it vectorise.
#[inline(always)]
pub(super) fn f16_to_f32(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7fff) << 13;
    // The exponents differ by 112; the product also makes subnormals normal.
    let finite = f32::from_bits(magnitude) * f32::from_bits((127 + 112) << 23);
    let special = magnitude | 0x7f80_0000;
    let value = if bits & 0x7c00 == 0x7c00 { special } else { finite.to_bits() };
    f32::from_bits(value | u32::from(bits & 0x8000) << 16)
}

#[inline(always)]
fn half_at(block: &[u8], at: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([block[at], block[at + 1]]))
}

/// A block format.
pub(super) trait Format {
    /// Weights per block.
    const LEN: usize;
    /// Bytes per block.
    const BYTES: usize;
    /// Weights that share a scale.
    const SUB: usize;
    /// What is subtracted from the stored integer.
    const OFFSET: i32;
    /// Whether there is a shift.
    const AFFINE: bool;
    /// `block` is BYTES, `q` LEN, `scale` and `shift` LEN / SUB long. `shift` is left alone where there is none.
    fn unpack(block: &[u8], q: &mut [u8], scale: &mut [f32], shift: &mut [f32]);
}

#[inline(always)]
fn nibbles(bytes: &[u8], q: &mut [u8]) {
    let (low, high) = q[..2 * bytes.len()].split_at_mut(bytes.len());
    for i in 0..bytes.len() {
        low[i] = bytes[i] & 15;
        high[i] = bytes[i] >> 4;
    }
}

#[inline(always)]
fn fifth_bits(bytes: &[u8], q: &mut [u8]) {
    let bits = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    for (i, q) in q[..32].iter_mut().enumerate() {
        *q |= ((bits >> i & 1) as u8) << 4;
    }
}

/// The eight 6-bit scales and mins of Q4_K and Q5_K out of their 12 bytes.
#[inline(always)]
pub(super) fn six_bits(bytes: &[u8]) -> ([u8; 8], [u8; 8]) {
    let word = |i: usize| u32::from_le_bytes([bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]]);
    let (a, b, c) = (word(0), word(4), word(8));
    let join = |low: u32, high: u32| (u64::from(low) | u64::from(high) << 32).to_le_bytes();
    let scales = join(a & 0x3f3f_3f3f, (c & 0x0f0f_0f0f) | (a >> 2 & 0x3030_3030));
    let mins = join(b & 0x3f3f_3f3f, (c >> 4 & 0x0f0f_0f0f) | (b >> 2 & 0x3030_3030));
    (scales, mins)
}

#[inline(always)]
fn k_scales(block: &[u8], scale: &mut [f32], shift: &mut [f32]) {
    let (d, dmin) = (half_at(block, 0), half_at(block, 2));
    let (scales, mins) = six_bits(&block[4..16]);
    for i in 0..8 {
        scale[i] = d * f32::from(scales[i]);
        shift[i] = -(dmin * f32::from(mins[i]));
    }
}

macro_rules! format {
    ($name:ident, $len:expr, $bytes:expr, $sub:expr, $offset:expr, $affine:expr, |$b:ident, $q:ident, $s:ident, $c:ident| $body:block) => {
        #[allow(non_camel_case_types)]
        pub(super) struct $name;
        impl Format for $name {
            const LEN: usize = $len;
            const BYTES: usize = $bytes;
            const SUB: usize = $sub;
            const OFFSET: i32 = $offset;
            const AFFINE: bool = $affine;
            #[inline(always)]
            #[allow(unused_variables)]
            fn unpack($b: &[u8], $q: &mut [u8], $s: &mut [f32], $c: &mut [f32]) {
                // Lengths known to the compiler: one check here, none below.
                let ($b, $q, $s) = (&$b[..$bytes], &mut $q[..$len], &mut $s[..$len / $sub]);
                $body
            }
        }
    };
}

format!(Q8_0, 32, 34, 32, 128, false, |b, q, s, c| {
    s[0] = half_at(b, 0);
    for i in 0..32 {
        q[i] = b[2 + i] ^ 0x80; // i8 + 128
    }
});
format!(Q4_0, 32, 18, 32, 8, false, |b, q, s, c| {
    s[0] = half_at(b, 0);
    nibbles(&b[2..18], q);
});
format!(Q4_1, 32, 20, 32, 0, true, |b, q, s, c| {
    s[0] = half_at(b, 0);
    c[0] = half_at(b, 2);
    nibbles(&b[4..20], q);
});
format!(Q5_0, 32, 22, 32, 16, false, |b, q, s, c| {
    s[0] = half_at(b, 0);
    nibbles(&b[6..22], q);
    fifth_bits(&b[2..6], q);
});
format!(Q5_1, 32, 24, 32, 0, true, |b, q, s, c| {
    s[0] = half_at(b, 0);
    c[0] = half_at(b, 2);
    nibbles(&b[8..24], q);
    fifth_bits(&b[4..8], q);
});
format!(Q4_K, 256, 144, 32, 0, true, |b, q, s, c| {
    k_scales(b, s, c);
    for j in 0..4 {
        nibbles(&b[16 + 32 * j..48 + 32 * j], &mut q[64 * j..64 * j + 64]);
    }
});
format!(Q5_K, 256, 176, 32, 0, true, |b, q, s, c| {
    k_scales(b, s, c);
    for j in 0..4 {
        let q = &mut q[64 * j..64 * j + 64];
        nibbles(&b[48 + 32 * j..80 + 32 * j], q);
        for i in 0..32 {
            q[i] |= (b[16 + i] >> (2 * j) & 1) << 4;
            q[32 + i] |= (b[16 + i] >> (2 * j + 1) & 1) << 4;
        }
    }
});
format!(Q6_K, 256, 210, 16, 32, false, |b, q, s, c| {
    let d = half_at(b, 208);
    for i in 0..16 {
        s[i] = d * f32::from(b[192 + i] as i8);
    }
    for half in 0..2 {
        let (low, high) = (&b[64 * half..64 * half + 64], &b[128 + 32 * half..160 + 32 * half]);
        let q = &mut q[128 * half..128 * half + 128];
        for i in 0..32 {
            q[i] = (low[i] & 15) | (high[i] & 3) << 4;
            q[32 + i] = (low[32 + i] & 15) | (high[i] >> 2 & 3) << 4;
            q[64 + i] = (low[i] >> 4) | (high[i] >> 4 & 3) << 4;
            q[96 + i] = (low[32 + i] >> 4) | (high[i] >> 6) << 4;
        }
    }
});

/// Runs `$body` with `$f` bound to the type of a block format; `$plain` for the others.
macro_rules! with_format {
    ($dtype:expr, $f:ident => $body:expr, $plain:pat => $other:expr) => {
        match $dtype {
            crate::DType::Q8_0 => {
                type $f = $crate::cpu::format::Q8_0;
                $body
            }
            crate::DType::Q4_0 => {
                type $f = $crate::cpu::format::Q4_0;
                $body
            }
            crate::DType::Q4_1 => {
                type $f = $crate::cpu::format::Q4_1;
                $body
            }
            crate::DType::Q5_0 => {
                type $f = $crate::cpu::format::Q5_0;
                $body
            }
            crate::DType::Q5_1 => {
                type $f = $crate::cpu::format::Q5_1;
                $body
            }
            crate::DType::Q4_K => {
                type $f = $crate::cpu::format::Q4_K;
                $body
            }
            crate::DType::Q5_K => {
                type $f = $crate::cpu::format::Q5_K;
                $body
            }
            crate::DType::Q6_K => {
                type $f = $crate::cpu::format::Q6_K;
                $body
            }
            $plain => $other,
        }
    };
}
pub(super) use with_format;
