//! Fast mode with AVX-512 VNNI: dot products along stored rows for few rows of x, interleaved panels for many.

use std::arch::x86_64::*;
use std::cell::Cell;
use std::ops::Range;

use super::dequant::CpuWeight;
use super::fast::Quantised;
use super::vnni::Unit;

/// Rows of W in a panel: two registers of one row per lane.
pub(super) const PANEL: usize = 32;
/// Rows of x in a register tile.
const TILE: usize = 6;

/// Which scale each of the 16 integer sums of group g belongs to.
#[inline(always)]
fn spread<F: Unit>() -> [__m512i; 4] {
    let per_sub = F::SUB / 4;
    let mut index = [[0i32; 16]; 4];
    for g in 0..4 {
        for i in 0..16 {
            index[g][i] = (g * 64 / F::SUB + i / per_sub) as i32;
        }
    }
    // SAFETY: any bits are an `__m512i`.
    unsafe { std::mem::transmute::<[[i32; 16]; 4], [__m512i; 4]>(index) }
}

/// Outputs of the rows `start + range` of W for all rows of x, one row of W at a time.
///
/// # Safety
/// Needs `Level::Avx512`; K is a multiple of 64.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn rows<F: Unit>(x: &Quantised, w: &CpuWeight, start: usize, range: Range<usize>, emit: &impl Fn(usize, usize, &[f32])) {
    // A few outputs at a time, so that `emit` costs little.
    for n in range.clone().step_by(8) {
        let count = 8.min(range.end - n);
        let mut out = [[0f32; 8]; 4];
        for i in (0..x.rows).step_by(4) {
            let m = 4.min(x.rows - i);
            for c in 0..count {
                let row = w.row(start + n + c);
                // SAFETY: i + m ≤ x.rows; the row holds K weights.
                unsafe {
                    match m {
                        1 => dot::<F, 1>(x, i, row, c, &mut out),
                        2 => dot::<F, 2>(x, i, row, c, &mut out),
                        3 => dot::<F, 3>(x, i, row, c, &mut out),
                        _ => dot::<F, 4>(x, i, row, c, &mut out),
                    }
                }
            }
            for r in 0..m {
                emit(i + r, n, &out[r][..count]);
            }
        }
    }
}

#[inline(always)]
unsafe fn dot<F: Unit, const M: usize>(x: &Quantised, i: usize, row: &[u8], c: usize, out: &mut [[f32; 8]; 4]) {
    // SAFETY: x.a holds x.rows · K bytes, d and sum K / SUB floats a row, `row` K weights; K is whole units.
    unsafe {
        let units = row.len() / F::UNIT;
        let (k, subs) = (units * F::GROUPS * 64, units * F::SUBS);
        let spread = spread::<F>();
        let valid: __mmask16 = if F::SUBS == 16 { 0xffff } else { (1 << F::SUBS) - 1 };
        let mut sum = [_mm512_setzero_ps(); M];
        let mut shifts = [_mm512_setzero_ps(); M];
        for u in 0..units {
            let unit = row.as_ptr().add(u * F::UNIT);
            // Some way ahead of the hardware's prefetcher, which stops at page borders.
            _mm_prefetch::<_MM_HINT_T0>(unit.wrapping_add(1024).cast());
            _mm_prefetch::<_MM_HINT_T0>(unit.wrapping_add(1088).cast());
            let (scale, shift) = F::scales(unit);
            let mut scales = [_mm512_setzero_ps(); M];
            for r in 0..M {
                let at = (i + r) * subs + u * F::SUBS;
                scales[r] = _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(valid, x.d.as_ptr().add(at)));
                let sums = _mm512_maskz_loadu_ps(valid, x.sum.as_ptr().add(at));
                shifts[r] = _mm512_mask3_fmadd_ps(shift, sums, shifts[r], valid);
            }
            for g in 0..F::GROUPS {
                let q = F::group(unit, g);
                for r in 0..M {
                    let a = _mm512_loadu_si512(x.a.as_ptr().add((i + r) * k + (u * F::GROUPS + g) * 64).cast());
                    let dots = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), q, a));
                    sum[r] = _mm512_fmadd_ps(dots, _mm512_permutexvar_ps(spread[g], scales[r]), sum[r]);
                }
            }
        }
        for r in 0..M {
            out[r][c] = _mm512_reduce_add_ps(_mm512_add_ps(sum[r], shifts[r]));
        }
    }
}

/// A panel of W: `q[k / 4][row]` of four weights each, `scale[sub][row]`, `shift[sub][row]`.
#[derive(Default)]
struct Panel {
    q: Vec<i32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

thread_local! {
    static SCRATCH: Cell<Panel> = Cell::default();
}

/// Outputs of the rows `start + range` of W for all rows of x, panel by panel.
///
/// # Safety
/// As [`rows`].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni,avx2,fma,f16c")]
pub(super) unsafe fn panels<F: Unit>(
    x: &Quantised,
    w: &CpuWeight,
    start: usize,
    range: Range<usize>,
    emit: &impl Fn(usize, usize, &[f32]),
) {
    let mut panel = SCRATCH.take();
    panel.q.resize(w.cols / 4 * PANEL, 0);
    panel.scale.resize(w.cols / F::SUB * PANEL, 0.0);
    panel.shift.resize(w.cols / F::SUB * PANEL, 0.0);
    for n in range.clone().step_by(PANEL) {
        let count = PANEL.min(range.end - n);
        // SAFETY: rows past the last one repeat it and are not emitted; the tile's rows exist.
        unsafe {
            fill::<F>(&mut panel, w, |row| start + n + row.min(count - 1));
            let mut out = [[0f32; PANEL]; TILE];
            let mut i = 0;
            while i < x.rows {
                let m = TILE.min(x.rows - i);
                match m {
                    1 => tile::<F, 1>(x, i, &panel, w.cols, &mut out),
                    2 => tile::<F, 2>(x, i, &panel, w.cols, &mut out),
                    3 => tile::<F, 3>(x, i, &panel, w.cols, &mut out),
                    4 => tile::<F, 4>(x, i, &panel, w.cols, &mut out),
                    5 => tile::<F, 5>(x, i, &panel, w.cols, &mut out),
                    _ => tile::<F, 6>(x, i, &panel, w.cols, &mut out),
                }
                for r in 0..m {
                    emit(i + r, n, &out[r][..count]);
                }
                i += m;
            }
        }
    }
    SCRATCH.set(panel);
}

#[inline(always)]
unsafe fn fill<F: Unit>(panel: &mut Panel, w: &CpuWeight, row: impl Fn(usize) -> usize) {
    // SAFETY: the panel's vectors hold PANEL · K / 4 and PANEL · K / SUB elements; rows of W are whole units.
    unsafe {
        let units = w.cols / (F::GROUPS * 64);
        for first in [0, 16] {
            let rows: [*const u8; 16] = std::array::from_fn(|r| w.row(row(first + r)).as_ptr());
            for u in 0..units {
                for g in 0..F::GROUPS {
                    // A loop, not a closure: a closure is compiled without this function's instructions.
                    let mut q = [_mm512_setzero_si512(); 16];
                    for r in 0..16 {
                        q[r] = F::group(rows[r].add(u * F::UNIT), g);
                    }
                    let at = panel.q.as_mut_ptr().add((u * F::GROUPS + g) * 16 * PANEL + first);
                    for (k, q) in transpose(q).into_iter().enumerate() {
                        _mm512_storeu_si512(at.add(k * PANEL).cast(), q);
                    }
                }
                let (mut scales, mut shifts) = ([_mm512_setzero_si512(); 16], [_mm512_setzero_si512(); 16]);
                for r in 0..16 {
                    let (scale, shift) = F::scales(rows[r].add(u * F::UNIT));
                    (scales[r], shifts[r]) = (_mm512_castps_si512(scale), _mm512_castps_si512(shift));
                }
                let (scales, shifts) = (transpose(scales), transpose(shifts));
                for s in 0..F::SUBS {
                    let at = (u * F::SUBS + s) * PANEL + first;
                    _mm512_storeu_si512(panel.scale.as_mut_ptr().add(at).cast(), scales[s]);
                    _mm512_storeu_si512(panel.shift.as_mut_ptr().add(at).cast(), shifts[s]);
                }
            }
        }
    }
}

/// A 16 × 16 transposition of 32-bit lanes.
#[inline(always)]
unsafe fn transpose(v: [__m512i; 16]) -> [__m512i; 16] {
    // SAFETY: AVX-512, by the callers' contract.
    unsafe {
        let mut a = v;
        for i in (0..16).step_by(2) {
            a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
            a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
        }
        // b[4 j + c]: in 128-bit lane l, column 4 l + c of rows 4 j .. 4 j + 4.
        let mut b = a;
        for j in (0..16).step_by(4) {
            b[j] = _mm512_unpacklo_epi64(a[j], a[j + 2]);
            b[j + 1] = _mm512_unpackhi_epi64(a[j], a[j + 2]);
            b[j + 2] = _mm512_unpacklo_epi64(a[j + 1], a[j + 3]);
            b[j + 3] = _mm512_unpackhi_epi64(a[j + 1], a[j + 3]);
        }
        // Then a 4 × 4 transposition of 128-bit lanes for each c.
        let mut out = b;
        for c in 0..4 {
            let (p, q, r, s) = (b[c], b[4 + c], b[8 + c], b[12 + c]);
            let (pq_low, pq_high) = (_mm512_shuffle_i32x4::<0b01_00_01_00>(p, q), _mm512_shuffle_i32x4::<0b11_10_11_10>(p, q));
            let (rs_low, rs_high) = (_mm512_shuffle_i32x4::<0b01_00_01_00>(r, s), _mm512_shuffle_i32x4::<0b11_10_11_10>(r, s));
            out[c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(pq_low, rs_low);
            out[4 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(pq_low, rs_low);
            out[8 + c] = _mm512_shuffle_i32x4::<0b10_00_10_00>(pq_high, rs_high);
            out[12 + c] = _mm512_shuffle_i32x4::<0b11_01_11_01>(pq_high, rs_high);
        }
        out
    }
}

#[inline(always)]
unsafe fn tile<F: Unit, const M: usize>(x: &Quantised, i: usize, panel: &Panel, k: usize, out: &mut [[f32; PANEL]; TILE]) {
    // SAFETY: i + M ≤ x.rows; the panel holds K columns.
    unsafe {
        let subs = k / F::SUB;
        let a: [*const i8; M] = std::array::from_fn(|r| x.a.as_ptr().add((i + r) * k));
        let mut total = [[_mm512_setzero_ps(); 2]; M];
        for s in 0..subs {
            let mut dots = [[_mm512_setzero_si512(); 2]; M];
            for j in 0..F::SUB / 4 {
                let step = s * (F::SUB / 4) + j;
                let q = panel.q.as_ptr().add(step * PANEL);
                let (low, high) = (_mm512_loadu_si512(q.cast()), _mm512_loadu_si512(q.add(16).cast()));
                for r in 0..M {
                    let a = _mm512_set1_epi32(a[r].add(4 * step).cast::<i32>().read_unaligned());
                    dots[r][0] = _mm512_dpbusd_epi32(dots[r][0], low, a);
                    dots[r][1] = _mm512_dpbusd_epi32(dots[r][1], high, a);
                }
            }
            for half in 0..2 {
                let scale = _mm512_loadu_ps(panel.scale.as_ptr().add(s * PANEL + 16 * half));
                let shift = _mm512_loadu_ps(panel.shift.as_ptr().add(s * PANEL + 16 * half));
                for r in 0..M {
                    let at = (i + r) * subs + s;
                    let scaled = _mm512_mul_ps(scale, _mm512_set1_ps(*x.d.as_ptr().add(at)));
                    let t = _mm512_fmadd_ps(shift, _mm512_set1_ps(*x.sum.as_ptr().add(at)), total[r][half]);
                    total[r][half] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r][half]), scaled, t);
                }
            }
        }
        for r in 0..M {
            _mm512_storeu_ps(out[r].as_mut_ptr(), total[r][0]);
            _mm512_storeu_ps(out[r].as_mut_ptr().add(16), total[r][1]);
        }
    }
}
