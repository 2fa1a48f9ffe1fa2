//! Weights whose experts lie apart: the bits of the same weight in one piece, whatever reads them.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use kernels::cpu::{CpuDevice, simd::Level};
use kernels::matmul::{self, Output};
use kernels::{Bytes, DType, Device, Holder, Precision, Tensor, Weight, embedding, moe};

const EXPERTS: usize = 6;
/// Rows of an expert: no multiple of any block of rows, so that blocks of a plain matmul reach over borders.
const N: usize = 23;
const K: usize = 512;

/// Splitmix64 in [-1, 1).
fn floats(seed: u64, count: usize) -> Vec<f32> {
    let mix = |i: u64| {
        let z = (i ^ (i >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    (1..=count as u64).map(|i| mix((seed << 32 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect()
}

/// All experts' bytes, no two experts alike.
fn bytes(dtype: DType) -> Vec<u8> {
    let values = floats(1, EXPERTS * N * K);
    match dtype {
        DType::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        DType::BF16 => values.iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect(),
        _ => {
            let len = EXPERTS * N * dtype.row_bytes(K).unwrap();
            let mut bytes: Vec<u8> = floats(4, len).iter().map(|v| (128.0 * v) as i8 as u8).collect();
            for (block, scale) in bytes.chunks_exact_mut(dtype.block_bytes()).zip(&values) {
                block[..2].copy_from_slice(&half::f16::from_f32(0.05 * scale).to_le_bytes());
                if matches!(dtype, DType::Q4_K) {
                    block[2..4].copy_from_slice(&half::f16::from_f32(0.03 * scale).to_le_bytes());
                }
            }
            bytes
        }
    }
}

/// Each expert in memory of its own, at an odd address.
fn apart(bytes: &[u8]) -> Vec<Bytes> {
    let part = |part: &[u8]| Bytes::from([&[0u8], part].concat()).slice(1..1 + part.len()).unwrap();
    bytes.chunks_exact(bytes.len() / EXPERTS).map(part).collect()
}

fn read(device: &Device, tensor: &Tensor) -> Vec<u32> {
    pollster::block_on(device.read_f32(tensor, tensor.len())).unwrap().into_iter().map(f32::to_bits).collect()
}

fn routes(device: &Device, ids: &[u32], top_k: usize) -> moe::Routes {
    let rows = ids.len() / top_k;
    let mut routes = moe::Routes::new(device, rows, EXPERTS, top_k).unwrap();
    routes.ids.write_u32(device, ids).unwrap();
    moe::sort(device, &mut routes, rows).unwrap();
    routes
}

/// Everything that reads a weight: experts' matmul, plain matmul, look-ups. Bits.
fn uses(device: &Device, w: &Weight, rows: usize) -> [Vec<u32>; 3] {
    let ids: Vec<u32> = (0..rows as u32).flat_map(|row| [(row * 5 + 4) % 6, (row * 5 + 1) % 6]).collect();
    let x = device.f32_tensor(&[rows, K], &floats(2, rows * K)).unwrap();
    let mut experts = device.zeros(&[2 * rows, N], DType::F32).unwrap();
    moe::grouped_matmul(device, &x, moe::Rows::Tokens, w, &routes(device, &ids, 2), &mut experts, rows).unwrap();
    let mut plain = device.zeros(&[rows, EXPERTS * N], DType::F32).unwrap();
    matmul::forward(device, &x, w, None, &mut plain, rows, Output::Store).unwrap();
    let rows: Vec<u32> = (0..(EXPERTS * N) as u32).rev().collect();
    let mut looked_up = device.zeros(&[rows.len(), K], DType::F32).unwrap();
    embedding::forward(device, &device.u32_tensor(&[rows.len()], &rows).unwrap(), w, &mut looked_up, rows.len()).unwrap();
    [experts, plain, looked_up].map(|tensor| read(device, &tensor))
}

#[test]
fn parts_give_the_bits_of_one_piece() {
    for dtype in [DType::F32, DType::BF16, DType::Q4_K, DType::Q8_0] {
        let bytes = bytes(dtype);
        for precision in [Precision::Exact, Precision::Fast] {
            for level in [Level::Portable, Level::Avx2, Level::Avx512] {
                let device = Device::Cpu(CpuDevice::with_threads(precision, 2).with_simd(level));
                let make = |parts| Weight::from_parts(&device, EXPERTS * N, K, dtype, N, parts).unwrap();
                let whole = Weight::new(&device, EXPERTS * N, K, dtype, N, bytes.clone().into()).unwrap();
                let mut exchanged = apart(&bytes);
                exchanged.swap(1, 4);
                for rows in [1, 3, 41] {
                    let want = uses(&device, &whole, rows);
                    let case = format!("{} {precision:?} {level:?} {rows} rows", dtype.name());
                    assert!(uses(&device, &make(apart(&bytes)), rows) == want, "{case}");
                    assert!(uses(&device, &make(vec![bytes.clone().into()]), rows) == want, "{case}, all rows in one part");
                    // Planted fault: parts in another order show in every use.
                    let wrong = uses(&device, &make(exchanged.clone()), rows);
                    assert!(want.iter().zip(&wrong).all(|(want, wrong)| want != wrong), "{case}: the comparison is blind");
                }
            }
        }
    }
}

#[test]
fn parts_of_other_sizes_are_refused() {
    let device = Device::cpu(Precision::Exact);
    let bytes = bytes(DType::Q8_0);
    let from = |rows, cols, dtype, unit, parts| Weight::from_parts(&device, rows, cols, dtype, unit, parts);
    let refused = |rows, cols, dtype, unit, parts: Vec<Bytes>, words: &str| match from(rows, cols, dtype, unit, parts) {
        Ok(_) => panic!("accepted: {words}"),
        Err(error) => assert!(error.to_string().contains(words), "{error} does not say {words}"),
    };
    let (rows, parts, row) = (EXPERTS * N, apart(&bytes), DType::Q8_0.row_bytes(K).unwrap());
    assert!(from(rows, K, DType::Q8_0, N, parts.clone()).is_ok());
    // The right sum, a border in the wrong place.
    let mut shifted = parts.clone();
    shifted[2] = Bytes::from(bytes[2 * N * row..(3 * N + 1) * row].to_vec());
    shifted[3] = Bytes::from(bytes[(3 * N + 1) * row..4 * N * row].to_vec());
    refused(rows, K, DType::Q8_0, N, shifted, "part 2 has");
    let mut short = parts.clone();
    short[5] = short[5].slice(0..N * row - 1).unwrap();
    refused(rows, K, DType::Q8_0, N, short, "part 5 has");
    refused(rows, K, DType::Q8_0, N, parts[1..].to_vec(), "5 parts of 23 rows are not 138 rows");
    refused(rows, K, DType::Q8_0, N, [&parts[..], &parts[..1]].concat(), "7 parts");
    refused(rows, K, DType::Q8_0, 0, parts.clone(), "6 parts of 0 rows");
    refused(rows, K, DType::Q8_0, 2 * N, parts.clone(), "6 parts of 46 rows");
    refused(rows, K - 1, DType::Q8_0, N, parts.clone(), "511");
    refused(rows, K, DType::U32, N, parts.clone(), "u32");
    refused(rows, K, DType::Q8_0, N, parts[..1].to_vec(), "bytes, ");
    refused(rows, K, DType::Q8_0, N, vec![], "0 were given");
    refused(usize::MAX, usize::MAX, DType::F32, usize::MAX, parts, "weight");
}

/// Notes which of its bytes are announced.
struct Noting {
    bytes: Vec<u8>,
    stays: bool,
    announced: Arc<Mutex<Vec<Range<usize>>>>,
}

impl Holder for Noting {
    fn bytes(&self) -> &[u8] {
        &self.bytes
    }
    fn will_read(&self, range: Range<usize>) {
        self.announced.lock().unwrap().push(range);
    }
    fn stays(&self) -> bool {
        self.stays
    }
}

#[test]
fn only_experts_in_use_are_announced_and_looked_at() {
    let device = Device::cpu(Precision::Exact);
    let bytes = bytes(DType::F32);
    let size = bytes.len() / EXPERTS;
    for stays in [true, false] {
        // As a fused tensor holds them: each part amid one holder's bytes.
        let announced = Arc::new(Mutex::new(vec![]));
        let gapped: Vec<u8> = bytes.chunks_exact(size).flat_map(|part| [&[7; 100], part].concat()).collect();
        let holder = Bytes::new(Arc::new(Noting { bytes: gapped, stays, announced: announced.clone() }));
        let place = |e: usize| e * (size + 100) + 100..(e + 1) * (size + 100);
        let parts = (0..EXPERTS).map(|e| holder.slice(place(e)).unwrap()).collect();
        let mut w = Weight::from_parts(&device, EXPERTS * N, K, DType::F32, N, parts).unwrap();
        let seen = Arc::new(Mutex::new(vec![]));
        let (all, noted) = (bytes.clone(), seen.clone());
        w.inspect_on_use(Arc::new(move |e, bytes: &[u8]| {
            noted.lock().unwrap().push(e);
            if bytes != &all[e * size..(e + 1) * size] {
                return Some(format!("not the bytes of expert {e}"));
            }
            (e == 3).then(|| "expert 3 is bad".into())
        }))
        .unwrap();
        let x = device.f32_tensor(&[2, K], &floats(3, 2 * K)).unwrap();
        let mut y = device.zeros(&[2, N], DType::F32).unwrap();
        let mut apply = |ids: &[u32]| {
            let routes = routes(&device, ids, 1);
            moe::will_read(&routes, &[&w])?;
            moe::grouped_matmul(&device, &x, moe::Rows::Tokens, &w, &routes, &mut y, 2)
        };
        apply(&[5, 2]).unwrap();
        apply(&[2, 0]).unwrap();
        for _ in 0..2 {
            assert!(apply(&[3, 3]).unwrap_err().to_string().contains("expert 3 is bad"));
        }
        let count = |e: usize| seen.lock().unwrap().iter().filter(|&&seen| seen == e).count();
        assert_eq!([0, 1, 2, 3, 4, 5].map(count), [1, 0, 1, 2, 0, 1]);
        let announced = announced.lock().unwrap();
        // What stays in memory is announced before its first use only.
        let twice = usize::from(!stays);
        let count = |e: usize| announced.iter().filter(|&range| *range == place(e)).count();
        assert_eq!([0, 1, 2, 3, 4, 5].map(count), [1, 0, 1 + twice, 2, 0, 1]);
        assert_eq!(announced.iter().cloned().collect::<HashSet<_>>().len(), 4);
    }
}

/// Small numbers of every kind and parts that fit, almost fit or do not: an error or a weight that can be used, no panic.
#[test]
fn no_parts_panic() {
    let device = Device::cpu(Precision::Exact);
    let mut made = 0;
    for dtype in [DType::F32, DType::BF16, DType::Q8_0, DType::U32] {
        for (unit, units, cols) in (0..4 * 5 * 4).map(|i| (i / 20, i / 4 % 5, [0, 1, 32, 33][i % 4])) {
            let size = unit * dtype.row_bytes(cols).unwrap_or(0);
            let mut uneven = vec![size; units];
            uneven.iter_mut().take(2).zip([1, usize::MAX]).for_each(|(len, add)| *len = len.saturating_add_signed(add as isize));
            for lens in [vec![size; units], vec![size; units + 1], uneven, vec![3; units], vec![size * units]] {
                let parts = lens.iter().map(|&len| Bytes::from(vec![0u8; len])).collect();
                let Ok(w) = Weight::from_parts(&device, unit * units, cols, dtype, unit, parts) else { continue };
                assert_eq!(lens.iter().sum::<usize>(), size * units);
                made += 1;
                let x = device.f32_tensor(&[1, cols], &vec![1.0; cols]).unwrap();
                let mut y = device.zeros(&[1, unit * units], DType::F32).unwrap();
                matmul::forward(&device, &x, &w, None, &mut y, 1, Output::Store).unwrap();
            }
        }
    }
    assert!(made > 100, "{made}");
}
