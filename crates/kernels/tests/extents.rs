//! Runs of a file that is not in memory: cut, read and joined as runs of memory are, and the same weights on both devices.

mod support;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kernels::matmul::{self, Output};
use kernels::{Bytes, DType, Device, Extent, KernelError, Precision, ReadAt, Weight};
use support::{exact, random, random_weight};

/// Gives `most` bytes a read.
struct File {
    bytes: Vec<u8>,
    most: usize,
    greatest: AtomicUsize,
}

impl ReadAt for File {
    fn name(&self) -> &str {
        "file"
    }
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        self.greatest.fetch_max(out.len(), Ordering::Relaxed);
        let rest = self.bytes.get(at as usize..).unwrap_or(&[]);
        let count = rest.len().min(out.len()).min(self.most);
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}

fn file(bytes: Vec<u8>, most: usize) -> Arc<File> {
    Arc::new(File { bytes, most, greatest: AtomicUsize::new(0) })
}

#[test]
fn a_run_of_a_file_is_cut_and_read_as_one_of_memory() {
    let bytes: Vec<u8> = (0..100u8).collect();
    let (memory, read) = (Extent::from(bytes.clone()), Extent::of_file(file(bytes, 7)));
    let cases = [0..0, 0..100, 1..100, 30..30, 99..100, 100..100];
    for range in cases {
        let (a, b) = (memory.slice(range.clone()).unwrap(), read.slice(range.clone()).unwrap());
        assert_eq!((a.len(), a.is_empty()), (b.len(), b.is_empty()));
        assert!(a.in_memory().is_some() && b.in_memory().is_none());
        assert_eq!(a.load().unwrap().as_slice(), b.load().unwrap().as_slice());
        let within = range.end - range.start;
        for (from, to) in [(0, within), (within / 3, within / 2), (within, within)] {
            let (mut of_a, mut of_b) = (vec![], vec![9; 300]);
            assert_eq!(a.get(from..to, &mut of_a).unwrap(), b.get(from..to, &mut of_b).unwrap());
        }
        for extent in [&a, &b] {
            // Past its own end, though not past the file's.
            let mut buffer = vec![];
            assert!(matches!(extent.get(0..within + 1, &mut buffer), Err(KernelError::Read { .. })));
            assert!(matches!(extent.read(within, &mut [0]), Err(KernelError::Read { .. })));
            assert!(extent.slice(0..within + 1).is_none() && extent.slice(u64::MAX..u64::MAX).is_none());
        }
    }
    // A range that ends before it begins is refused, not read.
    #[allow(clippy::reversed_empty_ranges)]
    for extent in [&memory, &read] {
        assert!(extent.slice(5..4).is_none());
        assert!(extent.get(5..4, &mut vec![]).is_err());
    }
    let joined = Extent::join(&[read.slice(90..100).unwrap(), memory.slice(0..3).unwrap(), read.slice(5..5).unwrap()]).unwrap();
    assert_eq!(joined.as_slice(), [90, 91, 92, 93, 94, 95, 96, 97, 98, 99, 0, 1, 2]);
}

#[test]
fn pieces_are_whole_units_and_bounded() {
    let size = 2 * Extent::PIECE + 1000;
    let source = file(vec![1; size], usize::MAX);
    let extent = Extent::of_file(source.clone());
    for unit in [1, 3, 210] {
        let pieces: Vec<_> = extent.pieces(unit).collect();
        assert_eq!((pieces.len(), pieces[0].start, pieces[2].end), (3, 0, size as u64));
        assert!(pieces.windows(2).all(|pair| pair[0].end == pair[1].start && pair[0].end % unit as u64 == 0));
        assert!(pieces.iter().all(|piece| piece.end - piece.start <= Extent::PIECE as u64));
    }
    // A unit that is larger than a piece comes whole, but is read in pieces.
    let large = Extent::PIECE + 500;
    assert_eq!(extent.pieces(large).collect::<Vec<_>>(), [0..large as u64, large as u64..size as u64]);
    extent.load().unwrap();
    assert_eq!(source.greatest.load(Ordering::Relaxed), Extent::PIECE);
    // What lies in memory is handed out whole.
    let whole = Extent::from(vec![1; size]).pieces(3).collect::<Vec<_>>();
    assert!(whole.len() == 1 && whole[0] == (0..size as u64), "{whole:?}");
    assert_eq!(Extent::from(vec![]).pieces(3).count() + Extent::of_file(file(vec![], 1)).pieces(3).count(), 0);
}

#[test]
fn a_weight_of_a_file_is_the_weight() {
    const UNITS: usize = 3;
    const N: usize = 5;
    const K: usize = 512;
    for device in [Some(Device::cpu(Precision::Exact)), exact()].into_iter().flatten() {
        let x = device.f32_tensor(&[2, K], &random(8, 2 * K)).unwrap();
        let product = |w: kernels::Result<Weight>| {
            let mut y = device.zeros(&[2, UNITS * N], DType::F32).unwrap();
            matmul::forward(&device, &x, &w.unwrap(), None, &mut y, 2, Output::Store).unwrap();
            let y = pollster::block_on(device.read_f32(&y, y.len())).unwrap();
            y.into_iter().map(f32::to_bits).collect::<Vec<u32>>()
        };
        for dtype in [DType::F32, DType::BF16, DType::Q8_0, DType::Q4_K] {
            let bytes = random_weight(7, dtype, UNITS * N, K);
            let size = (bytes.len() / UNITS) as u64;
            // Units lie apart in the file, each after a byte that is nobody's.
            let gapped: Vec<u8> = bytes.chunks_exact(size as usize).flat_map(|unit| [&[7], unit].concat()).collect();
            let gapped = Extent::of_file(file(gapped, 1000));
            let unit = |e: u64| gapped.slice(e * (size + 1) + 1..(e + 1) * (size + 1)).unwrap();
            let make = |parts: Vec<Extent>| Weight::from_parts(&device, UNITS * N, K, dtype, N, parts);
            let want = product(Weight::new(&device, UNITS * N, K, dtype, N, Bytes::from(bytes.clone())));
            assert!(product(make(vec![Extent::of_file(file(bytes.clone(), 333))])) == want, "{}", dtype.name());
            assert!(product(make((0..3).map(unit).collect())) == want, "{} apart", dtype.name());
            let mixed = vec![unit(0), bytes[size as usize..2 * size as usize].to_vec().into(), unit(2)];
            assert!(product(make(mixed)) == want, "{}, a part in memory", dtype.name());
            // Planted: units in another order, and a file that ends before its time.
            assert!(product(make(vec![unit(1), unit(0), unit(2)])) != want, "{}: blind", dtype.name());
            let short = Arc::new(Short(bytes.clone()));
            assert!(matches!(make(vec![Extent::of_file(short)]), Err(KernelError::Read { .. })), "{}", dtype.name());
        }
    }
}

/// Its last byte is there when its size is asked for, and gone when it is read.
struct Short(Vec<u8>);

impl ReadAt for Short {
    fn name(&self) -> &str {
        "short"
    }
    fn size(&self) -> u64 {
        self.0.len() as u64
    }
    fn read_at(&self, at: u64, out: &mut [u8]) -> io::Result<usize> {
        let rest = self.0[..self.0.len() - 1].get(at as usize..).unwrap_or(&[]);
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }
}
