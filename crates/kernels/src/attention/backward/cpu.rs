//! Attention's gradient on the CPU: tiles of query rows against tiles of [`KEYS`] keys.
//!
//! A sweep takes the key tiles of one (family, kv head) in order and, for each, the query tiles that see it. The first sweep folds
//! the scores into lse; the second computes the gradients. Where there are enough (family, kv head) pairs for the threads, one sweep
//! gives dq, dk and dv together (5 products a pair of tiles). Otherwise blocks of rows sweep for dq and key tiles for dk and dv
//! (7 products), which cuts one long sequence for any number of threads. Both add in the same order: the bits are the same.

use std::cell::RefCell;
use std::ops::Range;

use super::super::cpu::Layer;
use super::super::{Batch, KvShape};
use super::family::{Family, families};
use super::sweep::{Call, Goal, Scratch, Statistics};
use super::{BackwardSpace, OP};
use crate::cpu::CpuDevice;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::{Result, Tensor};

/// Rows of a query tile (positions times the heads of a group), about.
const ROWS: usize = 64;
/// Rows of a block that sweeps for dq alone: enough to make up for its transposing every key tile.
const BLOCK_ROWS: usize = 256;

/// Rows `rows` of a family against its key tiles `keys`, for one kv head.
pub struct Task {
    family: usize,
    pub kv_head: usize,
    pub rows: Range<usize>,
    pub keys: Range<usize>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

pub fn backward(
    device: &CpuDevice,
    q: &Tensor,
    layer: &Layer,
    shape: &KvShape,
    batch: &Batch,
    scale: f32,
    out: &Tensor,
    dout: &Tensor,
    space: &mut BackwardSpace,
    dq: &mut Tensor,
    dk: &mut Tensor,
    dv: &mut Tensor,
) -> Result<()> {
    let width = q.width();
    let group = width / (shape.kv_heads * shape.head_dim);
    let call = Call {
        level: device.simd(),
        q: q.f32s(OP)?,
        out: out.f32s(OP)?,
        dout: dout.f32s(OP)?,
        layer,
        shape,
        scale,
        width,
        group,
        vectors: shape.head_dim.div_ceil(16),
        positions: (ROWS / group).max(1),
        dq: SharedMut::new(dq.f32s_mut(OP)?),
        dk: SharedMut::new(dk.f32s_mut(OP)?),
        dv: SharedMut::new(dv.f32s_mut(OP)?),
    };
    let statistics = space.statistics.f32s_mut(OP)?;
    let (lse, delta) = statistics.split_at_mut(statistics.len() / 2);
    let families = &families(batch);
    if whole_is_faster(families, shape.kv_heads, device.threads()) {
        let tasks = plan(families, shape, |family, add| add(0..family.rows, 0..family.tiles.len()));
        let statistics = Statistics::Shared(SharedMut::new(lse), SharedMut::new(delta));
        run(device, &tasks, |task, scratch| {
            call.sweep(task, &families[task.family], Goal::Lse, &statistics, scratch);
            call.sweep(task, &families[task.family], Goal::All, &statistics, scratch);
        });
        return Ok(());
    }
    let block = call.positions * (BLOCK_ROWS / (call.positions * group)).max(1);
    let tasks = plan(families, shape, |family, add| {
        for first in (0..family.rows).step_by(block) {
            add(first..(first + block).min(family.rows), 0..family.tiles.len());
        }
    });
    let statistics = Statistics::Shared(SharedMut::new(lse), SharedMut::new(delta));
    run(device, &tasks, |task, scratch| {
        call.sweep(task, &families[task.family], Goal::Lse, &statistics, scratch);
        call.sweep(task, &families[task.family], Goal::Dq, &statistics, scratch);
    });
    let tasks = plan(families, shape, |family, add| {
        for (number, tile) in family.tiles.iter().enumerate() {
            add(tile.first..tile.end, number..number + 1);
        }
    });
    let statistics = Statistics::Known(lse, delta);
    run(device, &tasks, |task, scratch| call.sweep(task, &families[task.family], Goal::Dkv, &statistics, scratch));
    Ok(())
}

/// Whether whole sweeps, 6 products a pair of tiles with lse's, end before cut ones, 8 products on evenly loaded threads.
fn whole_is_faster(families: &[Family], kv_heads: usize, threads: usize) -> bool {
    let work = |family: &Family| family.pairs(0..family.rows, 0..family.tiles.len());
    let mut work: Vec<u64> = families.iter().flat_map(|family| std::iter::repeat_n(work(family), kv_heads)).collect();
    let sum: u64 = work.iter().sum();
    work.sort_unstable_by_key(|&work| std::cmp::Reverse(work));
    let mut loads = vec![0; threads];
    for work in work {
        // The longest first, each to the thread that is free first, as `run` hands them out.
        if let Some(load) = loads.iter_mut().min() {
            *load += work;
        }
    }
    6 * threads as u64 * loads.into_iter().max().unwrap_or(0) <= 8 * sum
}

/// Every kv head's tasks, of which `cut` gives a family's, the longest first.
fn plan(families: &[Family], shape: &KvShape, cut: impl Fn(&Family, &mut dyn FnMut(Range<usize>, Range<usize>))) -> Vec<Task> {
    let mut tasks = Vec::new();
    for (number, family) in families.iter().enumerate() {
        for kv_head in 0..shape.kv_heads {
            cut(family, &mut |rows, keys| tasks.push(Task { family: number, kv_head, rows, keys }));
        }
    }
    tasks.sort_by_cached_key(|task| std::cmp::Reverse(families[task.family].pairs(task.rows.clone(), task.keys.clone())));
    tasks
}

fn run(device: &CpuDevice, tasks: &[Task], task: impl Fn(&Task, &mut Scratch) + Sync) {
    // Neighbours in `tasks` are alike: thread t's tasks are dealt out, not cut off in a row.
    let count = tasks.len();
    let hands = count.div_ceil(4 * device.threads()).max(1);
    for_each_range(device, count.div_ceil(hands), 1, |range| {
        for start in range {
            SCRATCH.with_borrow_mut(|scratch| (start..count).step_by(count.div_ceil(hands)).for_each(|i| task(&tasks[i], scratch)));
        }
    });
}
