// A tile of C = A B. The sum over the inner dimension is one chain of fused multiply-adds in ascending order, so the choice of tile
// changes no bit. 256 threads. TILE 1: 128 × 128, a thread has 8 × 8; TILE 0: 64 × 64, a thread has 4 × 4.
//
// The importing file defines
//   fetch(thread, first)          reads a thread's part of the inner steps first .. first + TILE_DEPTH into registers, zeros past the end
//   put(thread)                   writes what was fetched to both tiles
//   begin(row, col) -> vec4<f32>  what the sums of four neighbouring columns start from
//   finish(row, col, sums)        takes them; row and col count inside the tile, past the end of C too
// and calls fetch for the first steps, tile_begin, tile_add for each TILE_DEPTH steps in order, then tile_end. The next steps are on
// their way while these are added.

#if TILE == 1
const TILE_SIDE = 128u;
const TILE_DEPTH = 8u;
#else
const TILE_SIDE = 64u;
const TILE_DEPTH = 16u;
#endif
const TILE_QUADS = TILE_SIDE / 4u;
// One quad more than there are: a loader whose threads follow the steps writes to other banks each time.
const A_STRIDE = TILE_QUADS + 1u;

// Four rows of A, four columns of B, step by step.
#if TILE == 1
var<workgroup> a_tile: array<vec4<f32>, {{8 * 33}}>;
#else
var<workgroup> a_tile: array<vec4<f32>, {{16 * 17}}>;
#endif
var<workgroup> b_tile: array<vec4<f32>, 256>;

// Row i of a thread and its four columns: p the first half of the tile, q the second.
var<private> p0: vec4<f32>;
var<private> p1: vec4<f32>;
var<private> p2: vec4<f32>;
var<private> p3: vec4<f32>;
#if TILE == 1
var<private> p4: vec4<f32>;
var<private> p5: vec4<f32>;
var<private> p6: vec4<f32>;
var<private> p7: vec4<f32>;
var<private> q0: vec4<f32>;
var<private> q1: vec4<f32>;
var<private> q2: vec4<f32>;
var<private> q3: vec4<f32>;
var<private> q4: vec4<f32>;
var<private> q5: vec4<f32>;
var<private> q6: vec4<f32>;
var<private> q7: vec4<f32>;
#endif

fn tile_begin(thread: u32) {
    let row = thread / 16u * 4u;
    let col = thread % 16u * 4u;
    p0 = begin(row, col);
    p1 = begin(row + 1u, col);
    p2 = begin(row + 2u, col);
    p3 = begin(row + 3u, col);
#if TILE == 1
    p4 = begin(row + 64u, col);
    p5 = begin(row + 65u, col);
    p6 = begin(row + 66u, col);
    p7 = begin(row + 67u, col);
    q0 = begin(row, col + 64u);
    q1 = begin(row + 1u, col + 64u);
    q2 = begin(row + 2u, col + 64u);
    q3 = begin(row + 3u, col + 64u);
    q4 = begin(row + 64u, col + 64u);
    q5 = begin(row + 65u, col + 64u);
    q6 = begin(row + 66u, col + 64u);
    q7 = begin(row + 67u, col + 64u);
#endif
}

fn tile_end(thread: u32) {
    let row = thread / 16u * 4u;
    let col = thread % 16u * 4u;
    finish(row, col, p0);
    finish(row + 1u, col, p1);
    finish(row + 2u, col, p2);
    finish(row + 3u, col, p3);
#if TILE == 1
    finish(row + 64u, col, p4);
    finish(row + 65u, col, p5);
    finish(row + 66u, col, p6);
    finish(row + 67u, col, p7);
    finish(row, col + 64u, q0);
    finish(row + 1u, col + 64u, q1);
    finish(row + 2u, col + 64u, q2);
    finish(row + 3u, col + 64u, q3);
    finish(row + 64u, col + 64u, q4);
    finish(row + 65u, col + 64u, q5);
    finish(row + 66u, col + 64u, q6);
    finish(row + 67u, col + 64u, q7);
#endif
}

fn tile_add(thread: u32, first: u32) {
    workgroupBarrier(); // the tiles before have been read
    put(thread);
    workgroupBarrier();
    fetch(thread, first + TILE_DEPTH);
    for (var step = 0u; step < TILE_DEPTH; step += 1u) {
        let a_at = step * A_STRIDE + thread / 16u;
        let b_at = step * TILE_QUADS + thread % 16u;
        let a = a_tile[a_at];
        let b = b_tile[b_at];
        p0 = fma(vec4<f32>(a.x), b, p0);
        p1 = fma(vec4<f32>(a.y), b, p1);
        p2 = fma(vec4<f32>(a.z), b, p2);
        p3 = fma(vec4<f32>(a.w), b, p3);
#if TILE == 1
        let c = a_tile[a_at + 16u];
        let d = b_tile[b_at + 16u];
        p4 = fma(vec4<f32>(c.x), b, p4);
        p5 = fma(vec4<f32>(c.y), b, p5);
        p6 = fma(vec4<f32>(c.z), b, p6);
        p7 = fma(vec4<f32>(c.w), b, p7);
        q0 = fma(vec4<f32>(a.x), d, q0);
        q1 = fma(vec4<f32>(a.y), d, q1);
        q2 = fma(vec4<f32>(a.z), d, q2);
        q3 = fma(vec4<f32>(a.w), d, q3);
        q4 = fma(vec4<f32>(c.x), d, q4);
        q5 = fma(vec4<f32>(c.y), d, q5);
        q6 = fma(vec4<f32>(c.z), d, q6);
        q7 = fma(vec4<f32>(c.w), d, q7);
#endif
    }
}
