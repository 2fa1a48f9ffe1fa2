//! The compute core: tensors on two devices and the closed set of operations a Qwen-family model needs.
//!
//! One op, one folder: its front file opens with the formula and shapes and dispatches to `cpu` and `gpu`.
//! Shape letters used everywhere: `R` rows (tokens of all sequences, packed), `C` a row's width,
//! `K` input width of a matmul, `N` output width, `H` heads, `D` head width, `E` experts, `V` vocabulary.
//!
//! Every op takes tensors whose capacity may exceed the `rows` in use; only the first `rows` rows are read or written.
//! On the CPU an op runs at once; on the GPU it is recorded, and `Device::submit` or a read-back runs it.

pub mod attention;
mod bytes;
pub mod cpu;
pub mod device;
pub mod dtype;
pub mod embedding;
pub mod error;
mod extent;
pub mod gpu;
pub mod head;
pub mod matmul;
pub mod moe;
pub mod optimizer;
pub mod rms_norm;
pub mod rope;
pub mod sample;
mod stored;
pub mod swiglu;
pub mod table;
pub mod tensor;
pub mod weight;

pub use bytes::{Bytes, Holder};
pub use device::{Device, Precision};
pub use dtype::DType;
pub use error::{KernelError, Result};
pub use extent::{Extent, ReadAt};
pub use tensor::{Storage, Tensor};
pub use weight::{Inspect, Weight};
