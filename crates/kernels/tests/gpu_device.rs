//! The device itself: order, full rings, errors, timing.

mod support;

use kernels::gpu::shader::{Access, ShaderSpec, one_variant};
use kernels::gpu::{GpuOptions, fold_groups, list_adapters};
use kernels::{DType, Device, KernelError, swiglu};
use pollster::block_on;
use support::{device, exact};

/// A GPU device can move between threads, and so can its futures.
fn send<T: Send>(value: T) -> T {
    value
}

#[test]
fn writes_and_ops_keep_their_order() {
    let Some(device) = exact() else { return };
    let mut gate = device.f32_tensor(&[1, 4], &[100.0; 4]).unwrap();
    let mut up = device.f32_tensor(&[1, 4], &[2.0; 4]).unwrap();
    swiglu::forward(&device, &mut gate, &up, 1).unwrap();
    // The op before must still see 2, the op after 3.
    up.write_f32(&device, &[3.0; 4]).unwrap();
    swiglu::forward(&device, &mut gate, &up, 1).unwrap();
    assert_eq!(block_on(send(device.read_f32(&gate, 4))).unwrap(), [600.0; 4]);
    gate.write_f32(&device, &[50.0; 2]).unwrap();
    assert_eq!(block_on(device.read_f32(&gate, 4)).unwrap(), [50.0, 50.0, 600.0, 600.0]);
}

#[test]
fn more_dispatches_than_the_ring_holds() {
    let Some(device) = exact() else { return };
    let mut gate = device.f32_tensor(&[1, 1], &[100.0]).unwrap();
    let up = device.f32_tensor(&[1, 1], &[1.0]).unwrap();
    for _ in 0..2500 {
        swiglu::forward(&device, &mut gate, &up, 1).unwrap();
    }
    device.submit().unwrap();
    assert_eq!(block_on(device.read_f32(&gate, 1)).unwrap(), [100.0]);
}

#[test]
fn reads_from_many_threads_arrive() {
    let Some(device) = exact() else { return };
    let tensors: Vec<_> = (0..4u32).map(|i| device.u32_tensor(&[1000], &[i; 1000]).unwrap()).collect();
    std::thread::scope(|scope| {
        for (i, tensor) in (0..).zip(&tensors) {
            let device = &device;
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(block_on(device.read_u32(tensor, 1000)).unwrap(), [i; 1000]);
                }
            });
        }
    });
}

#[test]
fn large_uploads_arrive_whole() {
    let Some(device) = exact() else { return };
    let values: Vec<u32> = (0..10 << 20).collect();
    let tensor = device.u32_tensor(&[values.len()], &values).unwrap();
    assert!(block_on(device.read_u32(&tensor, values.len())).unwrap() == values);
}

#[test]
fn errors_are_values() {
    let wrong = GpuOptions { adapter: Some("no such adapter".into()), ..Default::default() };
    assert!(matches!(block_on(Device::gpu(&wrong)), Err(KernelError::NoAdapter(_))));
    let Some(device) = exact() else { return };
    assert!(matches!(device.zeros(&[1 << 40], DType::F32), Err(KernelError::AdapterTooSmall { .. })));
    assert!(block_on(list_adapters()).iter().any(|adapter| device.describe() == adapter.name));
    // The device is still good.
    assert!(device.u32_tensor(&[1], &[7]).is_ok());
}

/// A shader whose third line adds a float to an integer.
static BROKEN: ShaderSpec = ShaderSpec {
    name: "planted",
    source: "@group(0) @binding(0) var<uniform> params: vec4<u32>;
@group(0) @binding(1) var<storage, read_write> y: array<u32>;
@compute @workgroup_size(1) fn main() { y[0] = params.x + 1.5; }",
    bindings: &[Access::ReadWrite],
    uniform_bytes: 16,
    uniform_fields: &[],
    variants: one_variant,
};

#[test]
fn a_broken_shader_or_launch_is_refused() {
    let Some(device) = exact() else { return };
    let Device::Gpu(gpu) = &device else { panic!("a GPU device was asked for") };
    let slice = gpu.allocate(4).unwrap();
    let launch = |uniform: [u32; 4], slices: &[_], groups| gpu.launch(&BROKEN, &[], &uniform, slices, groups);
    let error = launch([0; 4], std::slice::from_ref(&slice), [1, 1, 1]).unwrap_err().to_string();
    assert!(error.starts_with("shader planted.wgsl:3"), "{error}");
    assert!(matches!(launch([0; 4], &[], [1, 1, 1]), Err(KernelError::Shape { .. })));
    assert!(matches!(launch([0; 4], &[slice], [65_536, 1, 1]), Err(KernelError::Shape { .. })));
    // Refused calls leave the device usable.
    assert_eq!(block_on(device.read_u32(&device.u32_tensor(&[1], &[7]).unwrap(), 1)).unwrap(), [7]);
}

#[test]
fn a_profile_names_the_kernels() {
    let Some(device) = device(&GpuOptions { profile: true, ..Default::default() }) else { return };
    let mut gate = device.f32_tensor(&[1, 4], &[100.0; 4]).unwrap();
    let up = device.f32_tensor(&[1, 4], &[2.0; 4]).unwrap();
    for _ in 0..3 {
        swiglu::forward(&device, &mut gate, &up, 1).unwrap();
    }
    let Device::Gpu(gpu) = &device else { panic!("a GPU device was asked for") };
    let times = block_on(send(gpu.take_profile())).unwrap();
    assert_eq!(times.len(), 1);
    assert_eq!((times[0].kernel.as_str(), times[0].calls), ("swiglu_forward", 3));
    assert!(block_on(gpu.take_profile()).unwrap().is_empty());
}

#[test]
fn a_wide_grid_is_folded() {
    assert_eq!(fold_groups(0), [0, 0, 1]);
    assert_eq!(fold_groups(65_535), [65_535, 1, 1]);
    let [x, y, _] = fold_groups(65_536);
    assert!(x * y >= 65_536 && x <= 65_535);
}
