//! `--cube`: which products cubecl takes is said, not guessed.

use kernels::gpu::gemm::{Gemm, taken};
use kernels::{DType, Device};

/// Rows of a prefill, where every library that takes a format at all takes it.
const MANY: usize = 512;

/// The library on this device, if there is one.
pub fn gemm(device: &Device) -> Option<&dyn Gemm> {
    match device {
        Device::Gpu(device) => device.gemm(),
        Device::Cpu(_) => None,
    }
}

/// The device, and the library that shares its products: figures of the two are not those of the device alone.
pub fn describe(device: &Device) -> String {
    let library = gemm(device).map(|gemm| format!(" with {}", gemm.describe()));
    device.describe() + &library.unwrap_or_default()
}

/// `matmul forward of f32, f16 from 9 rows`, and every format that is passed on with the reason, many formats with one reason together.
pub fn report(gemm: &dyn Gemm) -> (String, Vec<String>) {
    let (takes, passes) = taken(gemm, MANY);
    let from = takes.first().and_then(|&dtype| (1..=MANY).find(|&rows| gemm.passes(dtype, rows).is_none())).unwrap_or(MANY);
    let mut reasons: Vec<(&str, Vec<&str>)> = vec![];
    for dtype in passes {
        let reason = gemm.passes(dtype, MANY).unwrap_or_default();
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(dtype.name()),
            None => reasons.push((reason, vec![dtype.name()])),
        }
    }
    if let Some(reason) = takes.first().and_then(|&dtype| gemm.passes(dtype, from - 1)).filter(|_| from > 1) {
        reasons.insert(0, (reason, vec!["fewer rows"]));
    }
    let passed = reasons.into_iter().map(|(reason, names)| format!("{}: {reason}", names.join(", "))).collect();
    (format!("matmul forward of {} from {from} rows", names(&takes)), passed)
}

/// Says on stderr, once, what the library does in this run, where most weights are `main`.
pub fn say(device: &Device, main: Option<DType>) {
    let Some(gemm) = gemm(device) else { return };
    eprintln!("{} takes {}; all else is Longhand's own kernels", gemm.describe(), report(gemm).0);
    if let Some(main) = main.filter(|&main| gemm.passes(main, MANY).is_some()) {
        eprintln!("most weights here are {}: `--cube` does little for them", main.name());
    }
}

fn names(dtypes: &[DType]) -> String {
    dtypes.iter().map(|dtype| dtype.name()).collect::<Vec<_>>().join(", ")
}
