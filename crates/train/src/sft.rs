//! From a file of rows to what the steps take: rows → examples with masks → an order by seed → packed micro-batches.

mod dataset;
mod example;
mod order;
mod pack;
mod parquet;
mod rows;
mod survey;

pub use dataset::{DataError, Dataset};
pub use example::{ChatFormat, Example, Outcome, Unfit};
pub(crate) use order::permutation;
pub use order::{Cursor, Order, random};
pub use pack::{Pack, PackError, pack, spread};
pub use rows::{Row, RowError, Rows, conversation};
pub use survey::{Dropped, LengthBin, Reason, Report, Survey, survey};
