//! A GPU, held to the same truths as the CPU. Software Vulkan does: every test is below 50 MFLOP.

use kernels::gpu::GpuOptions;
use kernels::matmul::Output;
use kernels::{DType, Device};

use crate::gradients::bits;
use crate::matmul::{RAGGED, check_sums, check_x, run_bias, run_w, run_x, shape_of};
use crate::small::{check_look_ups, check_norm, check_rope, check_swiglu};
use crate::support::{device, exact, random, random_weight};

#[test]
fn matmul_at_ragged_sizes() {
    let Some(device) = exact() else { return };
    for shape in RAGGED {
        check_sums(&device, shape);
        check_x(&device, DType::F32, shape);
    }
    check_sums(&device, (300, 5, 3)); // more than one block of rows
}

#[test]
fn matmul_in_every_format() {
    let Some(device) = exact() else { return };
    for dtype in DType::WEIGHTS {
        check_x(&device, dtype, shape_of(dtype, 7));
    }
}

/// The large tile is taken for many tiles of 128 only.
#[test]
fn large_tiles() {
    let Some(device) = exact() else { return };
    check_x(&device, DType::F32, (2 * 128 + 7, 5, 43 * 128 + 9));
    check_x(&device, DType::Q8_0, (127 * 128 + 9, 5, 64));
    check_sums(&device, (5, 43 * 128 - 3, 2 * 128 + 1));
}

#[test]
fn bits_do_not_depend_on_other_rows_tiles_or_shards() {
    let Some(whole) = exact() else { return };
    let Some(cut) = device(&GpuOptions { max_binding_bytes: Some(16 << 10), ..Default::default() }) else { return };
    for dtype in [DType::BF16, DType::Q4_K] {
        let (most, n, k) = (70, 130, 512);
        let (dy, before) = (random(1, most * n), random(2, most * k));
        let bytes = random_weight(3, dtype, n, k);
        let run = |device: &Device, rows: usize, output: Output| {
            bits(&run_x(device, &dy[..rows * n], dtype, &bytes, &before[..rows * k], (rows, n, k), output))
        };
        for output in [Output::Store, Output::Add] {
            let all = run(&whole, most, output);
            assert!(run(&cut, most, output) == all, "{}: shards", dtype.name());
            for rows in [1, 7, 65] {
                assert!(run(&whole, rows, output) == all[..rows * k], "{}: {rows} rows", dtype.name());
            }
        }
    }
    // The same rows of dx in a grid of small tiles and in one of large ones.
    let (most, n, k) = (128 * 127 + 1, 3, 64);
    let (dy, bytes) = (random(1, most * n), random_weight(2, DType::F32, n, k));
    let run = |rows: usize| {
        let before = vec![0.0; rows * k];
        bits(&run_x(&whole, &dy[..rows * n], DType::F32, &bytes, &before, (rows, n, k), Output::Store))
    };
    assert!(run(most)[..130 * k] == run(130));
}

#[test]
fn rows_in_parts_of_256_are_all_at_once() {
    let Some(device) = exact() else { return };
    let (rows, n, k) = (300, 33, 65);
    let (dy, x, before) = (random(1, rows * n), random(2, rows * k), random(3, n * k));
    let whole = run_w(&device, &dy, &x, &before, (rows, n, k));
    let first = run_w(&device, &dy[..256 * n], &x[..256 * k], &before, (256, n, k));
    let both = run_w(&device, &dy[256 * n..], &x[256 * k..], &first, (rows - 256, n, k));
    assert!(bits(&both) == bits(&whole));
}

#[test]
fn small_ops_at_ragged_sizes() {
    let Some(device) = exact() else { return };
    for (rows, width) in [(1, 1), (1, 257), (7, 63), (63, 7), (257, 65), (7, 1025)] {
        check_norm(&device, rows, width);
        // WGSL's exp is 3 + 2 |x| units off at most; here |x| < 8.
        check_swiglu(&device, rows, width, 64.0);
        check_look_ups(&device, rows, width);
    }
    // Three levels of sums over rows.
    check_norm(&device, 64 * 64 + 65, 3);
    check_sums(&device, (64 * 64 + 65, 3, 1));
    for (rows, heads, half) in [(1, 1, 1), (7, 3, 32), (65, 2, 33), (257, 1, 4)] {
        check_rope(&device, rows, heads, half);
    }
}

#[test]
fn nothing_to_do_is_done() {
    let Some(device) = exact() else { return };
    let shape = (0, 5, 6);
    assert!(run_x(&device, &[], DType::F32, &[0; 120], &[], shape, Output::Store).is_empty());
    let before = random(1, 30);
    assert_eq!(run_w(&device, &[], &[], &before, shape), before);
    assert_eq!(run_bias(&device, &[], &before[..5], shape), before[..5]);
}
