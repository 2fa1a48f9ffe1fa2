//! Attention on the CPU.
//!
//! Keys are kept transposed inside their page ([page][kv head][D][32 positions]) and values as rows ([page][kv head][32 positions][D]),
//! D padded to a multiple of 16 with zeros. So both products run with lanes along contiguous memory: 16 keys at once for the scores
//! (the 16 partial sums of a dot are 16 accumulators, folded without a shuffle), 16 columns at once for the output.
//!
//! A task takes some positions' rows of one kv head through the chunks. Per chunk it widens K and V to f32 once, then runs tiles of
//! up to [`tile::ROWS`] rows through scores, softmax and the weighted sum. Σ p, too, is a 16-lane canonical sum over a chunk's keys.

mod store;
mod tile;

use std::cell::RefCell;

use super::{Batch, CHUNK_TOKENS, KvShape, PAGE_TOKENS, Span};
use crate::cpu::CpuDevice;
use crate::cpu::lanes::Lanes;
use crate::cpu::parallel::{SharedMut, for_each_range};
use crate::cpu::simd::Level;
use crate::{Result, Tensor};
pub use store::{Layer, append};
use tile::{PAGE_VECTORS, merge, scores, soften, weighted_sum};

const OP: &str = "attention";
/// Positions whose rows share one widening of K and V.
const BLOCK_POSITIONS: usize = 32;
/// Spans of at most this many rows may be cut by chunk, so that one long sequence keeps every core busy.
const SPLIT_ROWS: usize = 4;

/// Rows `first .. first + count` of a span, for one kv head, over chunks `from .. to`.
struct Task {
    span: usize,
    kv_head: usize,
    first: usize,
    count: usize,
    from: usize,
    to: usize,
    /// Where its partial starts in the shared buffer, if it covers only some of the chunks.
    partial: Option<usize>,
}

/// What a row knows after some chunks: o [Dp], and m and l.
#[derive(Default)]
struct State {
    o: Vec<Lanes>,
    m: Vec<f32>,
    l: Vec<f32>,
}

/// A thread's working memory.
#[derive(Default)]
struct Scratch {
    q: Vec<Lanes>,
    k: Vec<Lanes>,
    v: Vec<Lanes>,
    lanes: Vec<Lanes>,
    scores: Vec<Lanes>,
    o: Vec<Lanes>,
    state: State,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

pub fn forward(device: &CpuDevice, q: &Tensor, layer: &Layer, shape: &KvShape, batch: &Batch, scale: f32, out: &mut Tensor) -> Result<()> {
    let width = q.width();
    let call = Call {
        level: device.simd(),
        q: &q.f32s(OP)?[..batch.rows * width],
        layer,
        shape,
        scale,
        width,
        group: width / (shape.kv_heads * shape.head_dim),
        padded: shape.head_dim.next_multiple_of(16),
    };
    let out = &mut out.f32s_mut(OP)?[..batch.rows * width];
    let (tasks, partials) = plan(batch, shape, call.group * (call.padded + 2), 4 * device.threads());
    let mut partials = vec![0f32; partials];
    let out = SharedMut::new(out);
    let shared = SharedMut::new(&mut partials);
    let spans = &batch.spans; // not `batch`: in a browser its tensors cannot be shared between threads
    run(device, tasks.len(), |i| {
        SCRATCH.with_borrow_mut(|scratch| {
            let task = &tasks[i];
            let span = &spans[task.span];
            call.attend(task, span, scratch);
            match task.partial {
                None => call.finish(task, span, &scratch.state, &out),
                // SAFETY: `plan` gave every task its own range.
                Some(start) => scratch.state.save(unsafe { shared.slice(start..start + task.count * call.group * (call.padded + 2)) }),
            }
        });
    });
    // The split tasks of one block of rows stand in a row; the one of the last chunk ends it.
    let mut blocks = Vec::new();
    for (i, task) in tasks.iter().enumerate().filter(|(_, task)| task.partial.is_some()) {
        if task.from == 0 {
            blocks.push(i..i);
        }
        if let Some(block) = blocks.last_mut() {
            block.end = i + 1;
        }
    }
    run(device, blocks.len(), |b| {
        SCRATCH.with_borrow_mut(|scratch| {
            let block = &tasks[blocks[b].clone()];
            let span = &spans[block[0].span];
            for task in block {
                call.fold(task, span, &partials[task.partial.unwrap_or(0)..], &mut scratch.state);
            }
            call.finish(&block[0], span, &scratch.state, &out);
        });
    });
    Ok(())
}

fn run(device: &CpuDevice, tasks: usize, task: impl Fn(usize) + Sync) {
    for_each_range(device, tasks, 1, |range| range.for_each(&task));
}

/// Cuts a batch into tasks, the longest first, and says how long the buffer of partials is (`row` words for one position).
fn plan(batch: &Batch, shape: &KvShape, row: usize, enough: usize) -> (Vec<Task>, usize) {
    let (mut tasks, mut words) = (Vec::new(), 0);
    let blocks: usize = batch.spans.iter().map(|span| span.rows.div_ceil(BLOCK_POSITIONS)).sum::<usize>() * shape.kv_heads;
    for (number, span) in batch.spans.iter().enumerate() {
        for kv_head in 0..shape.kv_heads {
            for first in (0..span.rows).step_by(BLOCK_POSITIONS).rev() {
                let count = BLOCK_POSITIONS.min(span.rows - first);
                let chunks = (span.past + first + count).div_ceil(CHUNK_TOKENS);
                let task = |from, to, partial| Task { span: number, kv_head, first, count, from, to, partial };
                if span.rows <= SPLIT_ROWS && chunks > 1 && blocks < enough {
                    for chunk in 0..chunks {
                        tasks.push(task(chunk, chunk + 1, Some(words)));
                        words += count * row;
                    }
                } else {
                    tasks.push(task(0, chunks, None));
                }
            }
        }
    }
    (tasks, words)
}

/// One call of `forward`.
struct Call<'a> {
    level: Level,
    q: &'a [f32],
    layer: &'a Layer,
    shape: &'a KvShape,
    scale: f32,
    /// Hq · D.
    width: usize,
    /// Query heads of one kv head.
    group: usize,
    /// D rounded up to a multiple of 16.
    padded: usize,
}

impl Call<'_> {
    /// Where the group of a task's position lies in q and out.
    fn place(&self, task: &Task, span: &Span, position: usize) -> usize {
        (span.row + task.first + position) * self.width + task.kv_head * self.group * self.shape.head_dim
    }

    /// Leaves the task's rows' state in `scratch.state`. Rows are ordered by position, then by head of the group.
    fn attend(&self, task: &Task, span: &Span, scratch: &mut Scratch) {
        let (vectors, rows) = (self.padded / 16, task.count * self.group);
        let Scratch { q, k, v, lanes, scores: s, o, state } = scratch;
        state.reset(rows, vectors);
        q.clear();
        q.resize(rows * vectors, Lanes::ZERO);
        for position in 0..task.count {
            let from = &self.q[self.place(task, span, position)..][..self.group * self.shape.head_dim];
            let to = &mut q[position * self.group * vectors..][..self.group * vectors];
            for (from, to) in from.chunks_exact(self.shape.head_dim).zip(to.chunks_exact_mut(vectors)) {
                bytemuck::cast_slice_mut::<_, f32>(to)[..self.shape.head_dim].copy_from_slice(from);
            }
        }
        k.resize(CHUNK_TOKENS * vectors, Lanes::ZERO);
        v.resize(CHUNK_TOKENS * vectors, Lanes::ZERO);
        lanes.resize(16 * tile::ACCUMULATORS, Lanes::ZERO);
        s.resize(tile::ROWS * tile::CHUNK_VECTORS, Lanes::ZERO);
        o.resize(tile::ROWS * vectors, Lanes::ZERO);
        let past = span.past + task.first;
        for chunk in task.from..task.to {
            let start = chunk * CHUNK_TOKENS;
            // How many of the chunk's keys the row of each position sees.
            let seen = |row: usize| (past + row / self.group + 1).saturating_sub(start).min(CHUNK_TOKENS);
            let pages = seen(rows - 1).div_ceil(PAGE_TOKENS);
            for (i, &page) in span.pages[start / PAGE_TOKENS..][..pages].iter().enumerate() {
                let part = i * PAGE_VECTORS * self.padded..(i + 1) * PAGE_VECTORS * self.padded;
                self.layer.widen(self.level, page as usize * self.shape.kv_heads + task.kv_head, &mut k[part.clone()], &mut v[part]);
            }
            let mut row = 0;
            while row < rows {
                // Tiles as even as they can be: 8 rows are 4 + 4, not 6 + 2.
                let count = (rows - row).div_ceil((rows - row).div_ceil(tile::ROWS));
                let mut lengths = [0; tile::ROWS];
                for r in 0..count {
                    lengths[r] = seen(row + r);
                }
                let lengths = &lengths[..count];
                if lengths[count - 1] > 0 {
                    scores(
                        self.level,
                        &q[row * vectors..][..count * vectors],
                        k,
                        vectors,
                        lengths[count - 1].div_ceil(PAGE_TOKENS),
                        lanes,
                        s,
                    );
                    let (mut m, mut l) = ([0f32; tile::ROWS], [0f32; tile::ROWS]);
                    soften(self.level, s, lengths, self.scale, &mut m, &mut l);
                    weighted_sum(self.level, s, v, vectors, lengths, o);
                    for r in (0..count).filter(|&r| lengths[r] > 0) {
                        let partial = &o[r * vectors..][..vectors];
                        state.take(self.level, row + r, chunk == task.from, partial, m[r], l[r]);
                    }
                }
                row += count;
            }
        }
    }

    /// Folds a saved partial into `state`, which the partial of chunk 0 starts.
    fn fold(&self, task: &Task, span: &Span, saved: &[f32], state: &mut State) {
        let (vectors, rows) = (self.padded / 16, task.count * self.group);
        if task.from == 0 {
            state.reset(rows, vectors);
        }
        let mut o = [Lanes::ZERO; 16];
        for (row, saved) in saved.chunks_exact(self.padded + 2).take(rows).enumerate() {
            if span.past + task.first + row / self.group >= task.from * CHUNK_TOKENS {
                bytemuck::cast_slice_mut::<_, f32>(&mut o[..vectors]).copy_from_slice(&saved[..self.padded]);
                state.take(self.level, row, task.from == 0, &o[..vectors], saved[self.padded], saved[self.padded + 1]);
            }
        }
    }

    /// Writes o / l.
    fn finish(&self, task: &Task, span: &Span, state: &State, out: &SharedMut<f32>) {
        let (vectors, width) = (self.padded / 16, self.shape.head_dim);
        for row in 0..task.count * self.group {
            let start = self.place(task, span, row / self.group) + row % self.group * width;
            // SAFETY: (position, head) belongs to this task alone.
            let to = unsafe { out.slice(start..start + width) };
            let o: &[f32] = bytemuck::cast_slice(&state.o[row * vectors..][..vectors]);
            for (to, o) in to.iter_mut().zip(o) {
                *to = o / state.l[row];
            }
        }
    }
}

impl State {
    fn reset(&mut self, rows: usize, vectors: usize) {
        self.o.resize(rows * vectors, Lanes::ZERO);
        self.m.resize(rows, 0.0);
        self.l.resize(rows, 0.0);
    }

    /// Takes the next chunk's partial of a row; the first replaces what was there.
    fn take(&mut self, level: Level, row: usize, first: bool, o: &[Lanes], m: f32, l: f32) {
        let state = &mut self.o[row * o.len()..][..o.len()];
        if first {
            state.copy_from_slice(o);
            (self.m[row], self.l[row]) = (m, l);
        } else {
            merge(level, state, &mut self.m[row], &mut self.l[row], o, m, l);
        }
    }

    /// o, m, l of every row.
    fn save(&self, to: &mut [f32]) {
        let rows = self.m.len();
        let o: &[f32] = bytemuck::cast_slice(&self.o);
        let width = o.len() / rows;
        for (row, to) in to.chunks_exact_mut(width + 2).enumerate() {
            to[..width].copy_from_slice(&o[row * width..][..width]);
            to[width..].copy_from_slice(&[self.m[row], self.l[row]]);
        }
    }
}
