//! What can go wrong in the core. Device loss and lack of memory are values, never panics.

/// A result of the compute core.
pub type Result<T> = std::result::Result<T, KernelError>;

/// An error of the compute core; each says which op, which shapes, and what can be done.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// Operands do not fit together.
    #[error("{op}: {message}")]
    Shape {
        /// The op that refused.
        op: &'static str,
        /// Names the operands and their shapes.
        message: String,
    },
    /// A tensor lives on another device than the op runs on.
    #[error("{op}: a tensor is on another device than {device}")]
    WrongDevice {
        /// The op that refused.
        op: &'static str,
        /// The device the op ran on.
        device: String,
    },
    /// No usable GPU adapter.
    #[error("no GPU adapter: {0}")]
    NoAdapter(String),
    /// The adapter's limits are too small for what was asked.
    #[error("the adapter `{adapter}` is too small: {limit} is {has}, {needs} is needed")]
    AdapterTooSmall {
        /// Adapter name.
        adapter: String,
        /// The limit's WebGPU name.
        limit: &'static str,
        /// What the adapter offers.
        has: u64,
        /// What was needed.
        needs: u64,
    },
    /// The device went away mid-run.
    #[error("the GPU device was lost: {0}")]
    DeviceLost(String),
    /// Out of device or host memory.
    #[error("out of memory on {device}: {needed} bytes were asked for")]
    OutOfMemory {
        /// The device.
        device: String,
        /// Size of the allocation that failed.
        needed: u64,
    },
    /// A file's bytes could not be read.
    #[error("{file}: {bytes} bytes from byte {from} on could not be read: {source}")]
    Read {
        /// Its name.
        file: String,
        /// The first of them.
        from: u64,
        /// How many.
        bytes: u64,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The driver or browser reported a validation or internal error.
    #[error("the GPU driver refused an operation: {0}")]
    Driver(String),
    /// A library that was asked for beside our own kernels cannot be used, or failed.
    #[error("{0}")]
    Accelerator(String),
    /// A shader could not be preprocessed or compiled.
    #[error("shader {file}: {message}")]
    Shader {
        /// File under `shaders/`.
        file: String,
        /// The compiler's words.
        message: String,
    },
    /// An operand's value is out of range (a token id, a page number).
    #[error("{op}: {message}")]
    Value {
        /// The op that refused.
        op: &'static str,
        /// What was out of range.
        message: String,
    },
}

impl KernelError {
    /// A shape error of `op`.
    pub fn shape(op: &'static str, message: impl Into<String>) -> Self {
        Self::Shape { op, message: message.into() }
    }
}
