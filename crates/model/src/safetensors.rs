//! The safetensors container: 8 bytes of header length, a JSON header, then the tensors' bytes without gaps.
//!
//! Our own reader of a header that any hand may have written: every sum is checked, no name may come twice, and nothing is
//! allocated by a length the file claims. (The `safetensors` crate, which writes our files, adds claimed offsets unchecked.)

use std::fmt;

use kernels::{DType, Extent};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::config::json_error;
use crate::error::{ModelError, Result};
use crate::tensor::TensorInfo;

/// The format's own limit on its header.
const MAX_HEADER: u64 = 100_000_000;

/// Reads the header and shares the tensors' bytes, in file order.
pub fn parse(file: &str, bytes: &Extent) -> Result<Vec<TensorInfo>> {
    let Some(rest) = bytes.len().checked_sub(8) else {
        return Err(ModelError::format(file, 0, format!("{} bytes are no safetensors file", bytes.len())));
    };
    let mut length = [0; 8];
    bytes.read(0, &mut length)?;
    let length = u64::from_le_bytes(length);
    if length > MAX_HEADER || length > rest {
        let message = format!("a header of {length} bytes is announced, {rest} bytes follow (at most {MAX_HEADER} are allowed)");
        return Err(ModelError::format(file, 0, message));
    }
    let (start, data) = (8 + length, rest - length);
    let mut buffer = vec![];
    let header = bytes.get(8..start, &mut buffer)?;
    let Header(mut entries) = serde_json::from_slice(header).map_err(|error| match json_error(file, header, &error) {
        ModelError::Format { file, offset, message } => ModelError::Format { file, offset: offset + 8, message },
        other => other,
    })?;
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let mut end = 0;
    let mut tensors = Vec::with_capacity(entries.len());
    for (name, entry) in entries {
        let tensor = entry.tensor(file, name, bytes, start, end)?;
        end += tensor.bytes.len();
        tensors.push(tensor);
    }
    if end != data {
        let message = format!("the tensors take {end} bytes, {data} follow the header");
        return Err(ModelError::format(file, start + end.min(data), message));
    }
    let mut names: Vec<&str> = tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    names.sort_unstable();
    if let Some(twice) = names.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(ModelError::format(file, 8, format!("tensor `{}` appears twice", twice[0])));
    }
    Ok(tensors)
}

/// A tensor's line in the header.
#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

impl Entry {
    fn tensor(self, file: &str, name: String, bytes: &Extent, start: u64, expected: u64) -> Result<TensorInfo> {
        let (from, to) = self.data_offsets;
        let damaged = |message: String| ModelError::format(file, start.saturating_add(from), format!("tensor `{name}` {message}"));
        if from != expected || to < from {
            return Err(damaged(format!("spans bytes {from} to {to}; the one before it ends at {expected}")));
        }
        let dtype = match self.dtype.as_str() {
            "F32" => DType::F32,
            "F16" => DType::F16,
            "BF16" => DType::BF16,
            other => {
                let message = format!("tensor `{name}` is stored as {other}; supported: F32, F16, BF16");
                return Err(ModelError::unsupported(file, message));
            }
        };
        let width = dtype.block_bytes() as u64;
        let size = self.shape.iter().try_fold(width, |product, &side| product.checked_mul(side));
        if size != Some(to - from) {
            return Err(damaged(format!("has shape {:?} of {}, and {} bytes", self.shape, dtype.name(), to - from)));
        }
        let range = start.checked_add(from).zip(start.checked_add(to));
        let Some(slice) = range.and_then(|(from, to)| bytes.slice(from..to)) else {
            return Err(damaged(format!("ends at byte {to} of the data, past the file's end")));
        };
        // A side may exceed usize only beside a side of 0, where its value has no meaning.
        let shape = self.shape.iter().map(|&side| usize::try_from(side).unwrap_or(0)).collect();
        Ok(TensorInfo { name, dtype, shape, bytes: slice, file: file.into(), offset: start + from })
    }
}

/// Tensors in header order, `__metadata__` left out; repeats are kept, to be refused by name.
struct Header(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Header;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object of tensors")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<Header, A::Error> {
                let mut entries = vec![];
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        let entry = map.next_value()?;
                        entries.push((name, entry));
                    }
                }
                Ok(Header(entries))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}
