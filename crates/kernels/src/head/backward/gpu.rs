//! The head's gradient on the GPU: per block of rows and chunk of the vocabulary, logits turned into dz in a workspace, then both
//! products. Recorded order adds the chunks to dx, and the blocks to dW, one after the other.

use super::OP;
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, GpuWeight};
use crate::head::HeadOutput;
use crate::{Result, Tensor, uniform};

/// Most bytes of the workspace for dz.
const DZ_BYTES: usize = 16 << 20;
/// Rows of a block: with them the workspace holds 8192 ids.
const BLOCK_ROWS: usize = 512;
/// Ids, and rows, of a workgroup's tile.
const TILE: usize = 32;
/// Columns of a workgroup's tile in the products.
const TILE_COLUMNS: usize = 64;

pub static LOGITS: ShaderSpec = ShaderSpec {
    name: "head_backward_logits",
    source: include_str!("../../../../../shaders/head_backward_logits.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: LogitsParams::BYTES,
    uniform_fields: LogitsParams::FIELDS,
    variants: || GpuWeight::formats().flat_map(|format| [0, 1].map(|tile| vec![("FORMAT", format), ("TILE", tile)])).collect(),
};

pub static DX: ShaderSpec = ShaderSpec {
    name: "head_backward_x",
    source: include_str!("../../../../../shaders/head_backward_x.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: DxParams::BYTES,
    uniform_fields: DxParams::FIELDS,
    variants: || GpuWeight::formats().map(|format| vec![("FORMAT", format)]).collect(),
};

pub static DW: ShaderSpec = ShaderSpec {
    name: "head_backward_w",
    source: include_str!("../../../../../shaders/head_backward_w.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: DwParams::BYTES,
    uniform_fields: DwParams::FIELDS,
    variants: crate::gpu::shader::one_variant,
};

uniform! { struct LogitsParams {
    first_row: u32, rows: u32, first_id: u32, columns: u32,
    w_cols: u32, w_row_words: u32, shard_row: u32, stride: u32,
    inverse_temperature: f32, has_entropy: u32, has_cut: u32, pad0: u32,
} }

uniform! { struct DxParams {
    first_row: u32, rows: u32, columns: u32, stride: u32,
    w_cols: u32, w_row_words: u32, shard_row: u32, add: u32,
} }

uniform! { struct DwParams {
    first_row: u32, rows: u32, columns: u32, stride: u32,
    w_cols: u32, dw_base: u32, pad0: u32, pad1: u32,
} }

pub fn backward(
    device: &GpuDevice,
    x: &Tensor,
    w: &GpuWeight,
    targets: &Tensor,
    temperature: f32,
    cuts: Option<&Tensor>,
    out: &HeadOutput,
    dlogprob: &Tensor,
    dentropy: Option<&Tensor>,
    dx: &mut Tensor,
    dw: Option<&mut Tensor>,
    rows: usize,
) -> Result<()> {
    with_space(device, x, w, targets, temperature, cuts, out, dlogprob, dentropy, dx, dw, rows, DZ_BYTES)
}

fn with_space(
    device: &GpuDevice,
    x: &Tensor,
    w: &GpuWeight,
    targets: &Tensor,
    temperature: f32,
    cuts: Option<&Tensor>,
    out: &HeadOutput,
    dlogprob: &Tensor,
    dentropy: Option<&Tensor>,
    dx: &mut Tensor,
    dw: Option<&mut Tensor>,
    rows: usize,
    dz_bytes: usize,
) -> Result<()> {
    let dw = dw.map(|dw| dw.gpu(OP)).transpose()?;
    let (x, dx, targets) = (x.gpu(OP)?, dx.gpu(OP)?, targets.gpu(OP)?);
    // Cuts come without a gradient of the entropy: they take the entropy's place, and the kept tokens' sum that of the whole.
    let (lse, entropy) = if let Some(cuts) = cuts { (&out.kept_lse, cuts) } else { (&out.lse, &out.entropy) };
    let (lse, entropy, g) = (lse.gpu(OP)?, entropy.gpu(OP)?, dlogprob.gpu(OP)?);
    // Without a gradient of the entropy its binding is never read.
    let h = dentropy.unwrap_or(dlogprob).gpu(OP)?;
    // Few rows leave room for more ids.
    let stride = (dz_bytes / 4 / rows.clamp(1, BLOCK_ROWS)).min(w.rows.next_multiple_of(TILE)) / TILE * TILE;
    let dz = device.scratch((4 * stride * rows.min(BLOCK_ROWS)) as u64)?;
    for first_row in (0..rows).step_by(BLOCK_ROWS) {
        let block = (rows - first_row).min(BLOCK_ROWS);
        // As in the forward: a short tile wastes little on few rows. Same bits.
        let tall = block > 8;
        for shard in &w.shards {
            for shard_row in (0..shard.rows).step_by(stride) {
                let columns = (shard.rows - shard_row).min(stride);
                let first_id = shard.row_base + shard_row;
                let params = LogitsParams {
                    first_row: first_row as u32,
                    rows: block as u32,
                    first_id: first_id as u32,
                    columns: columns as u32,
                    w_cols: w.cols as u32,
                    w_row_words: w.row_words as u32,
                    shard_row: shard_row as u32,
                    stride: stride as u32,
                    inverse_temperature: 1.0 / temperature,
                    has_entropy: u32::from(dentropy.is_some()),
                    has_cut: u32::from(cuts.is_some()),
                    pad0: 0,
                };
                let [x, targets, lse, entropy, g, h, dz] = [&x, &targets, &lse, &entropy, &g, &h, &dz].map(Clone::clone);
                let bindings = [x.clone(), targets, shard.slice.clone(), lse, entropy, g, h, dz.clone()];
                let defines = [("FORMAT", w.format()), ("TILE", i64::from(tall))];
                let tile_rows = if tall { 32 } else { 4 };
                let groups = [columns.div_ceil(TILE) as u32, block.div_ceil(tile_rows) as u32, 1];
                device.launch(&LOGITS, &defines, &params, &bindings, groups)?;

                let params = DxParams {
                    first_row: first_row as u32,
                    rows: block as u32,
                    columns: columns as u32,
                    stride: stride as u32,
                    w_cols: w.cols as u32,
                    w_row_words: w.row_words as u32,
                    shard_row: shard_row as u32,
                    add: u32::from(first_id > 0),
                };
                let groups = [w.cols.div_ceil(TILE_COLUMNS) as u32, block.div_ceil(TILE) as u32, 1];
                device.launch(&DX, &defines[..1], &params, &[dz.clone(), shard.slice.clone(), dx.clone()], groups)?;

                let Some(dw) = &dw else { continue };
                // A binding begins at a multiple of 256 bytes.
                let start = 4 * first_id * w.cols;
                let skipped = start % 256;
                let part = dw.part((start - skipped) as u64, (skipped + 4 * columns * w.cols) as u64);
                let params = DwParams {
                    first_row: first_row as u32,
                    rows: block as u32,
                    columns: columns as u32,
                    stride: stride as u32,
                    w_cols: w.cols as u32,
                    dw_base: (skipped / 4) as u32,
                    pad0: 0,
                    pad1: 0,
                };
                let groups = [w.cols.div_ceil(TILE_COLUMNS) as u32, columns.div_ceil(TILE) as u32, 1];
                device.launch(&DW, &[], &params, &[dz, x, part], groups)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::GpuOptions;
    use crate::{DType, Device, Weight};

    /// A vocabulary in one chunk and in chunks of 32 ids, the last one short.
    #[test]
    fn chunks_change_nothing_but_the_rounding_of_dx() {
        let Ok(device) = pollster::block_on(Device::gpu(&GpuOptions::default())) else { return println!("not run: no adapter") };
        let Device::Gpu(gpu) = &device else { unreachable!("asked for a GPU") };
        let (rows, cols, vocabulary) = (5, 24, 141);
        let numbers = |seed: usize, count: usize| (0..count).map(|i| ((i * 7919 + seed) % 1009) as f32 / 504.5 - 1.0).collect::<Vec<_>>();
        let x = device.f32_tensor(&[rows, cols], &numbers(1, rows * cols)).unwrap();
        let bytes: Vec<u8> = numbers(2, vocabulary * cols).iter().flat_map(|w| w.to_le_bytes()).collect();
        let w = Weight::new(&device, vocabulary, cols, DType::F32, 1, bytes.into()).unwrap();
        let targets = device.u32_tensor(&[rows], &[0, 31, 32, 64, 140]).unwrap();
        let g = device.f32_tensor(&[rows], &numbers(3, rows)).unwrap();
        let mut out = HeadOutput::new(&device, rows).unwrap();
        crate::head::forward(&device, &x, &w, &targets, 0.8, None, &mut out, rows).unwrap();
        let run = |dz_bytes: usize| {
            let mut dx = device.f32_tensor(&[rows, cols], &vec![9.0; rows * cols]).unwrap();
            let mut dw = device.f32_tensor(&[vocabulary, cols], &vec![0.5; vocabulary * cols]).unwrap();
            let w = w.gpu(OP).unwrap();
            with_space(gpu, &x, w, &targets, 0.8, None, &out, &g, Some(&g), &mut dx, Some(&mut dw), rows, dz_bytes).unwrap();
            [dx, dw].map(|tensor| pollster::block_on(device.read_f32(&tensor, tensor.len())).unwrap())
        };
        let ([one_dx, one_dw], [dx, dw]) = (run(DZ_BYTES), run(4 * rows * TILE));
        assert!(dw == one_dw && dw.iter().any(|value| *value != 0.5));
        assert!(dx.iter().zip(&one_dx).all(|(a, b)| (a - b).abs() < 1e-5) && dx.iter().any(|value| value.abs() > 0.1));
    }
}
