//! Fast mode with AVX2: unpacked blocks of W meet up to four rows of x at once.

use std::arch::x86_64::*;
use std::ops::Range;

use super::dequant::CpuWeight;
use super::fast::Quantised;
use super::format::Format;

/// Outputs of the rows `start + range` of W for all rows of x.
///
/// # Safety
/// Needs AVX2 and FMA.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn dots<F: Format>(
    x: &Quantised,
    w: &CpuWeight,
    start: usize,
    range: Range<usize>,
    emit: &impl Fn(usize, usize, &[f32]),
) {
    for n in range {
        let row = w.row(start + n);
        for i in (0..x.rows).step_by(4) {
            // SAFETY: passed on; rows i .. i + M exist.
            unsafe {
                match x.rows - i {
                    1 => emit_each(i, n, &dot::<F, 1>(x, i, row, w.cols), emit),
                    2 => emit_each(i, n, &dot::<F, 2>(x, i, row, w.cols), emit),
                    3 => emit_each(i, n, &dot::<F, 3>(x, i, row, w.cols), emit),
                    _ => emit_each(i, n, &dot::<F, 4>(x, i, row, w.cols), emit),
                }
            }
        }
    }
}

fn emit_each(i: usize, n: usize, values: &[f32], emit: &impl Fn(usize, usize, &[f32])) {
    for (r, value) in values.iter().enumerate() {
        emit(i + r, n, std::slice::from_ref(value));
    }
}

#[inline(always)]
unsafe fn dot<F: Format, const M: usize>(x: &Quantised, i: usize, row: &[u8], k: usize) -> [f32; M] {
    let subs = k / F::SUB;
    let (mut q, mut scale, mut shift) = ([0u8; 256], [0f32; 16], [0f32; 16]);
    let mut out = [0f32; M];
    // SAFETY: x.a holds x.rows · K bytes, x.d and x.sum K / SUB floats a row; q holds a block; i + M ≤ x.rows.
    unsafe {
        let mut total = [_mm256_setzero_ps(); M];
        for (b, block) in row.chunks_exact(F::BYTES).enumerate() {
            F::unpack(block, &mut q, &mut scale, &mut shift);
            for s in 0..F::LEN / F::SUB {
                let sub = b * (F::LEN / F::SUB) + s;
                let mut dots = [_mm256_setzero_si256(); M];
                for part in 0..F::SUB / 16 {
                    let at = s * F::SUB + 16 * part;
                    // 16-bit products: 8-bit ones would saturate for Q8_0.
                    let wide = _mm256_cvtepu8_epi16(_mm_loadu_si128(q.as_ptr().add(at).cast()));
                    for r in 0..M {
                        let a = x.a.as_ptr().add((i + r) * k + b * F::LEN + at);
                        let pairs = _mm256_madd_epi16(wide, _mm256_cvtepi8_epi16(_mm_loadu_si128(a.cast())));
                        dots[r] = _mm256_add_epi32(dots[r], pairs);
                    }
                }
                let shift = if F::AFFINE { shift[s] } else { -F::OFFSET as f32 * scale[s] };
                for r in 0..M {
                    let at = (i + r) * subs + sub;
                    let scaled = _mm256_set1_ps(scale[s] * *x.d.as_ptr().add(at));
                    total[r] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(dots[r]), scaled, total[r]);
                    out[r] += shift * *x.sum.as_ptr().add(at);
                }
            }
        }
        for r in 0..M {
            let v = _mm_add_ps(_mm256_castps256_ps128(total[r]), _mm256_extractf128_ps::<1>(total[r]));
            let v = _mm_add_ps(v, _mm_movehl_ps(v, v));
            out[r] += _mm_cvtss_f32(_mm_add_ss(v, _mm_shuffle_ps::<1>(v, v)));
        }
    }
    out
}
