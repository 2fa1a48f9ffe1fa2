//! The `longhand` binary.
fn main() {}
