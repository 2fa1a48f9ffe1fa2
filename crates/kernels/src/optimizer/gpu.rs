//! The optimizer on the GPU: the norm and the factor that clips stay on the device, so a step waits for no read-back.

use super::Factors;
use crate::gpu::shader::{Access, ShaderSpec, one_variant};
use crate::gpu::{GpuDevice, fold_groups};
use crate::{Result, Tensor, uniform};

/// Elements whose squares one workgroup adds; `optimizer_sum.wgsl` has the number too.
const LEAF: usize = 4096;

pub const SHADERS: &[&ShaderSpec] = &[&SCALE, &ADD, &SUM, &CLIP, &ADAMW];

static SCALE: ShaderSpec = ShaderSpec {
    name: "optimizer_scale",
    source: include_str!("../../../../shaders/optimizer_scale.wgsl"),
    bindings: &[Access::ReadWrite],
    uniform_bytes: ScaleParams::BYTES,
    uniform_fields: ScaleParams::FIELDS,
    variants: || [0, 1].map(|fill| vec![("FILL", fill)]).to_vec(),
};

static ADD: ShaderSpec = ShaderSpec {
    name: "optimizer_add",
    source: include_str!("../../../../shaders/optimizer_add.wgsl"),
    bindings: &[Access::ReadWrite, Access::Read],
    uniform_bytes: AddParams::BYTES,
    uniform_fields: AddParams::FIELDS,
    variants: one_variant,
};

static SUM: ShaderSpec = ShaderSpec {
    name: "optimizer_sum",
    source: include_str!("../../../../shaders/optimizer_sum.wgsl"),
    bindings: &[Access::Read, Access::ReadWrite, Access::ReadWrite],
    uniform_bytes: SumParams::BYTES,
    uniform_fields: SumParams::FIELDS,
    variants: || [1, 0].map(|leaves| vec![("LEAVES", leaves)]).to_vec(),
};

static CLIP: ShaderSpec = ShaderSpec {
    name: "optimizer_clip",
    source: include_str!("../../../../shaders/optimizer_clip.wgsl"),
    bindings: &[Access::Read, Access::ReadWrite],
    uniform_bytes: ClipParams::BYTES,
    uniform_fields: ClipParams::FIELDS,
    variants: one_variant,
};

static ADAMW: ShaderSpec = ShaderSpec {
    name: "optimizer_adamw",
    source: include_str!("../../../../shaders/optimizer_adamw.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite, Access::ReadWrite, Access::ReadWrite],
    uniform_bytes: AdamParams::BYTES,
    uniform_fields: AdamParams::FIELDS,
    variants: one_variant,
};

uniform! { struct ScaleParams { count: u32, by: f32, pad0: u32, pad1: u32 } }
uniform! { struct AddParams { count: u32, pad0: u32, pad1: u32, pad2: u32 } }
uniform! { struct SumParams { count: u32, first: u32, next: u32, last: u32, index: u32, pad0: u32, pad1: u32, pad2: u32 } }
uniform! { struct ClipParams { count: u32, clips: u32, max_norm: f32, pad0: u32 } }
uniform! { struct AdamParams {
    count: u32, keep: f32, mean: f32, square_keep: f32,
    square: f32, root: f32, eps: f32, step: f32,
} }

pub fn fill(device: &GpuDevice, x: &mut Tensor, count: usize, value: f32) -> Result<()> {
    scale_or_fill(device, x, count, value, 1)
}

pub fn scale(device: &GpuDevice, x: &mut Tensor, count: usize, by: f32) -> Result<()> {
    scale_or_fill(device, x, count, by, 0)
}

fn scale_or_fill(device: &GpuDevice, x: &mut Tensor, count: usize, by: f32, fill: i64) -> Result<()> {
    let params = ScaleParams { count: count as u32, by, pad0: 0, pad1: 0 };
    device.launch(&SCALE, &[("FILL", fill)], &params, &[x.gpu("scale")?], fold_groups(count.div_ceil(256)))
}

pub fn add(device: &GpuDevice, y: &mut Tensor, x: &Tensor, count: usize) -> Result<()> {
    let params = AddParams { count: count as u32, pad0: 0, pad1: 0, pad2: 0 };
    device.launch(&ADD, &[], &params, &[y.gpu("add")?, x.gpu("add")?], fold_groups(count.div_ceil(256)))
}

pub fn sum_squares(device: &GpuDevice, x: &Tensor, count: usize, out: &mut Tensor, index: usize) -> Result<()> {
    const OP: &str = "sum squares";
    // Level after level of sums in one memory, each after the one before it; the last one goes to `out`.
    let leaves = count.div_ceil(LEAF).max(1);
    let bindings = [x.gpu(OP)?, device.scratch(4 * (leaves + leaves.div_ceil(LEAF) + 4) as u64)?, out.gpu(OP)?];
    let mut level = SumParams { count: count as u32, first: 0, next: 0, last: 0, index: index as u32, pad0: 0, pad1: 0, pad2: 0 };
    loop {
        let groups = (level.count as usize).div_ceil(LEAF).max(1);
        let leaves = level.next == level.first;
        level.last = u32::from(groups == 1);
        device.launch(&SUM, &[("LEAVES", i64::from(leaves))], &level, &bindings, fold_groups(groups))?;
        if groups == 1 {
            return Ok(());
        }
        level = SumParams { count: groups as u32, first: level.next, next: level.next + groups as u32, ..level };
    }
}

pub fn clip(device: &GpuDevice, sums: &Tensor, count: usize, max_norm: f32, out: &mut Tensor) -> Result<()> {
    // Shaders may assume that nothing is infinite, so they are told in words.
    let clips = max_norm.is_finite();
    let max_norm = if clips { max_norm } else { 0.0 };
    let params = ClipParams { count: count as u32, clips: u32::from(clips), max_norm, pad0: 0 };
    device.launch(&CLIP, &[], &params, &[sums.gpu("clip")?, out.gpu("clip")?], [1, 1, 1])
}

pub fn adamw(
    device: &GpuDevice,
    factors: &Factors,
    clip: &Tensor,
    grad: &Tensor,
    master: &mut Tensor,
    m: &mut Tensor,
    v: &mut Tensor,
    count: usize,
) -> Result<()> {
    const OP: &str = "adamw";
    let &Factors { keep, mean, square_keep, square, root, eps, step } = factors;
    let params = AdamParams { count: count as u32, keep, mean, square_keep, square, root, eps, step };
    let bindings = [clip.gpu(OP)?, grad.gpu(OP)?, master.gpu(OP)?, m.gpu(OP)?, v.gpu(OP)?];
    device.launch(&ADAMW, &[], &params, &bindings, fold_groups(count.div_ceil(256)))
}
