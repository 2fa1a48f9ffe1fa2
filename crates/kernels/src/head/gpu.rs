//! The head on the GPU: blocks of rows; per block a tile kernel for each shard of the vocabulary, then one ordered merge.

use super::backward::gpu as backward;
use crate::gpu::shader::{Access, ShaderSpec};
use crate::gpu::{GpuDevice, GpuWeight, fold_groups};
use crate::{Result, Tensor, uniform};

const OP: &str = "head";
/// Vocabulary columns of a tile, one partial (m, s, u, z) each.
const TILE_COLUMNS: usize = 32;
/// Rows of a block: what bounds the partials (9.3 MiB for a vocabulary of 151,936).
const BLOCK_ROWS: usize = 128;

pub const SHADERS: &[&ShaderSpec] = &[&FORWARD, &MERGE, &backward::LOGITS, &backward::DX, &backward::DW];

static FORWARD: ShaderSpec = ShaderSpec {
    name: "head_forward",
    source: include_str!("../../../../shaders/head_forward.wgsl"),
    bindings: &[Access::Read, Access::Read, Access::Read, Access::Read, Access::ReadWrite],
    uniform_bytes: Params::BYTES,
    uniform_fields: Params::FIELDS,
    variants: || GpuWeight::formats().flat_map(|format| [0, 1].map(|tile| vec![("FORMAT", format), ("TILE", tile)])).collect(),
};

static MERGE: ShaderSpec = ShaderSpec {
    name: "head_merge",
    source: include_str!("../../../../shaders/head_merge.wgsl"),
    bindings: &[
        Access::Read,
        Access::ReadWrite,
        Access::ReadWrite,
        Access::ReadWrite,
        Access::ReadWrite,
        Access::ReadWrite,
        Access::ReadWrite,
    ],
    uniform_bytes: MergeParams::BYTES,
    uniform_fields: MergeParams::FIELDS,
    variants: crate::gpu::shader::one_variant,
};

uniform! { struct Params {
    first_row: u32, rows: u32, first_id: u32, columns: u32,
    w_cols: u32, w_row_words: u32, first_tile: u32, tiles: u32,
    inverse_temperature: f32, has_cut: u32, pad0: u32, pad1: u32,
} }

uniform! { struct MergeParams { first_row: u32, rows: u32, tiles: u32, has_cut: u32 } }

pub fn forward(
    device: &GpuDevice,
    x: &Tensor,
    w: &GpuWeight,
    targets: &Tensor,
    temperature: f32,
    cuts: Option<&Tensor>,
    out: &mut super::HeadOutput,
    rows: usize,
) -> Result<()> {
    let tiles: usize = w.shards.iter().map(|shard| shard.rows.div_ceil(TILE_COLUMNS)).sum();
    let has_cut = u32::from(cuts.is_some());
    // With cuts the kept sums lie behind the others, one for each.
    let partials = device.scratch((rows.min(BLOCK_ROWS) * tiles * 16 * (1 + has_cut as usize)) as u64)?;
    for first_row in (0..rows).step_by(BLOCK_ROWS) {
        let block = (rows - first_row).min(BLOCK_ROWS);
        // A short tile wastes little on few rows; a tall one reads each weight once for more rows. Same bits.
        let tall = block > 8;
        let mut first_tile = 0;
        for shard in &w.shards {
            let shard_tiles = shard.rows.div_ceil(TILE_COLUMNS);
            let params = Params {
                first_row: first_row as u32,
                rows: block as u32,
                first_id: shard.row_base as u32,
                columns: shard.rows as u32,
                w_cols: w.cols as u32,
                w_row_words: w.row_words as u32,
                first_tile: first_tile as u32,
                tiles: tiles as u32,
                inverse_temperature: 1.0 / temperature,
                has_cut,
                pad0: 0,
                pad1: 0,
            };
            // Without cuts their binding is never read.
            let bindings = [x.gpu(OP)?, targets.gpu(OP)?, shard.slice.clone(), cuts.unwrap_or(x).gpu(OP)?, partials.clone()];
            let groups = [shard_tiles as u32, block.div_ceil(if tall { 32 } else { 4 }) as u32, 1];
            device.launch(&FORWARD, &[("FORMAT", w.format()), ("TILE", i64::from(tall))], &params, &bindings, groups)?;
            first_tile += shard_tiles;
        }
        let params = MergeParams { first_row: first_row as u32, rows: block as u32, tiles: tiles as u32, has_cut };
        let outputs = [&out.logprob, &out.entropy, &out.lse, &out.kept_lse, &out.mass, &out.dropped];
        let mut bindings = vec![partials.clone()];
        for output in outputs {
            bindings.push(output.gpu(OP)?);
        }
        device.launch(&MERGE, &[], &params, &bindings, fold_groups(block))?;
    }
    Ok(())
}
