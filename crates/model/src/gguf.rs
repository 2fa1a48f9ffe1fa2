//! The GGUF container, versions 2 and 3: typed metadata, tensor descriptions, then aligned tensor bytes.
//!
//! The bytes are untrusted. Every length is compared with the bytes that are left before anything is allocated for it.

mod reader;
mod value;

use std::collections::{BTreeMap, HashMap};

use kernels::{Bytes, DType, Extent};

use crate::error::{ModelError, Result};
use crate::tensor::TensorInfo;
use reader::Reader;
pub use value::{Array, Value};

/// Where tensor bytes begin is a multiple of this unless `general.alignment` says otherwise.
const DEFAULT_ALIGNMENT: u64 = 32;

/// A parsed file. Tensor bytes are shared with it, or read from it later.
pub struct Gguf {
    /// Name for messages.
    pub file: String,
    /// Format version.
    pub version: u32,
    /// Metadata by key.
    pub metadata: BTreeMap<String, Value>,
    /// Tensors in file order; shapes are row-major, outermost first (GGUF writes the innermost first).
    pub tensors: Vec<TensorInfo>,
    by_name: HashMap<String, usize>,
}

impl Gguf {
    /// Parses a file's header: nothing behind it is read.
    pub fn parse(file: &str, bytes: &Extent) -> Result<Self> {
        let mut reader = Reader::new(file, bytes);
        let (version, tensor_count, key_count) = reader.head()?;
        let mut metadata = BTreeMap::new();
        for _ in 0..key_count {
            let at = reader.at;
            let key = reader.string("a key")?;
            let value = value::read(&mut reader)?;
            if metadata.contains_key(&key) {
                return Err(ModelError::format(file, at, format!("key `{key}` appears twice")));
            }
            metadata.insert(key, value);
        }
        let mut gguf = Self { file: file.into(), version, metadata, tensors: vec![], by_name: HashMap::new() };
        gguf.refuse_split()?;
        let alignment = gguf.alignment()?;
        let described = (0..tensor_count).map(|_| Described::read(&mut reader)).collect::<Result<Vec<_>>>()?;
        let start = reader.at.checked_next_multiple_of(alignment).ok_or_else(|| reader.error("the alignment overflows"))?;
        for tensor in described {
            let at = tensor.at;
            let tensor = tensor.locate(file, bytes, start, alignment)?;
            if gguf.by_name.insert(tensor.name.clone(), gguf.tensors.len()).is_some() {
                return Err(ModelError::format(file, at, format!("tensor `{}` appears twice", tensor.name)));
            }
            gguf.tensors.push(tensor);
        }
        gguf.refuse_overlap()?;
        Ok(gguf)
    }

    /// The metadata of a file as it is written there, in file order: each key with the bytes of its value's type and value. For
    /// copying: [`Value`] does not keep how wide a number was.
    pub fn entries(file: &str, bytes: &Extent) -> Result<Vec<(String, Bytes)>> {
        let mut reader = Reader::new(file, bytes);
        let (_, _, key_count) = reader.head()?;
        let entry = |reader: &mut Reader| {
            let key = reader.string("a key")?;
            let from = reader.at;
            value::read(reader)?;
            let value = bytes.slice(from..reader.at).ok_or_else(|| reader.error("a value ends past the file"))?;
            Ok((key, value.load()?))
        };
        (0..key_count).map(|_| entry(&mut reader)).collect()
    }

    /// The text of one key of a file, without reading its tensors; `None` where it is not there or no text.
    pub fn text_of(file: &str, bytes: &Extent, key: &str) -> Result<Option<String>> {
        let mut reader = Reader::new(file, bytes);
        let (_, _, key_count) = reader.head()?;
        for _ in 0..key_count {
            let found = reader.string("a key")?;
            let value = value::read(&mut reader)?;
            if found == key {
                return Ok(value.as_text().map(str::to_owned));
            }
        }
        Ok(None)
    }

    /// A tensor by name.
    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.by_name.get(name).map(|&at| &self.tensors[at])
    }

    /// A whole number, if the key is there.
    pub fn unsigned(&self, key: &str) -> Result<Option<u64>> {
        self.typed(key, "a whole number", Value::as_unsigned)
    }

    /// A number, if the key is there.
    pub fn number(&self, key: &str) -> Result<Option<f64>> {
        self.typed(key, "a number", Value::as_number)
    }

    /// A truth value, if the key is there.
    pub fn flag(&self, key: &str) -> Result<Option<bool>> {
        self.typed(key, "true or false", Value::as_bool)
    }

    /// A string, if the key is there.
    pub fn text(&self, key: &str) -> Result<Option<&str>> {
        self.typed(key, "a string", Value::as_text)
    }

    /// An array, if the key is there.
    pub fn array(&self, key: &str) -> Result<Option<&Array>> {
        self.typed(key, "an array", Value::as_array)
    }

    fn typed<'a, T>(&'a self, key: &str, expected: &str, read: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>> {
        let wrong = |value: &Value| ModelError::config(&self.file, key, format!("is {}; {expected} is expected", value.kind()));
        self.metadata.get(key).map(|value| read(value).ok_or_else(|| wrong(value))).transpose()
    }

    fn alignment(&self) -> Result<u64> {
        let alignment = self.unsigned("general.alignment")?.unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return Err(ModelError::config(&self.file, "general.alignment", format!("is {alignment}; a power of two is needed")));
        }
        Ok(alignment)
    }

    fn refuse_split(&self) -> Result<()> {
        match self.unsigned("split.count")? {
            Some(parts) if parts > 1 => {
                let message = format!("is one of {parts} parts; join them first: llama-gguf-split --merge FIRST OUT");
                Err(ModelError::unsupported(&self.file, message))
            }
            _ => Ok(()),
        }
    }

    fn refuse_overlap(&self) -> Result<()> {
        let mut order: Vec<&TensorInfo> = self.tensors.iter().collect();
        order.sort_by_key(|tensor| tensor.offset);
        for pair in order.windows(2) {
            if pair[0].offset + pair[0].bytes.len() > pair[1].offset {
                let message = format!("tensor `{}` overlaps `{}`", pair[1].name, pair[0].name);
                return Err(ModelError::format(&self.file, pair[1].offset, message));
            }
        }
        Ok(())
    }
}

/// A tensor's description, its type and place still unchecked.
struct Described {
    at: u64,
    name: String,
    shape: Vec<u64>,
    kind: u32,
    offset: u64,
}

impl Described {
    fn read(reader: &mut Reader) -> Result<Self> {
        let at = reader.at;
        let name = reader.string("a tensor's name")?;
        let dimensions = reader.u32("a dimension count")?;
        if dimensions == 0 || dimensions > 4 {
            let message = format!("tensor `{name}` has {dimensions} dimensions; 1 to 4 are possible");
            return Err(ModelError::format(reader.file, at, message));
        }
        let mut shape = (0..dimensions).map(|_| reader.u64("a dimension")).collect::<Result<Vec<_>>>()?;
        shape.reverse();
        Ok(Self { at, name, shape, kind: reader.u32("a tensor's type")?, offset: reader.u64("a tensor's offset")? })
    }

    fn locate(self, file: &str, bytes: &Extent, start: u64, alignment: u64) -> Result<TensorInfo> {
        let Self { at, name, shape, kind, offset } = self;
        let Some(dtype) = dtype(kind) else {
            let names: Vec<&str> = DType::WEIGHTS.iter().map(|dtype| dtype.name()).collect();
            let message = format!("tensor `{name}` is stored as type {kind} ({}); supported: {}", kind_name(kind), names.join(", "));
            return Err(ModelError::unsupported(file, message));
        };
        let damaged = |message: String| ModelError::format(file, at, format!("tensor `{name}` {message}"));
        if !offset.is_multiple_of(alignment) {
            return Err(damaged(format!("begins at {offset}, not a multiple of the alignment {alignment}")));
        }
        let sides = shape.iter().map(|&side| usize::try_from(side).ok()).collect::<Option<Vec<usize>>>();
        let size = sides.as_ref().and_then(|sides| {
            let row = dtype.row_bytes(*sides.last()?)?;
            sides[..sides.len() - 1].iter().try_fold(row, |product, &side| product.checked_mul(side))
        });
        let (Some(shape), Some(size)) = (sides, size) else {
            let message = format!("has shape {shape:?}, impossible for {} (blocks of {})", dtype.name(), dtype.block_len());
            return Err(damaged(message));
        };
        let range = start.checked_add(offset).and_then(|from| Some(from..from.checked_add(size as u64)?));
        match range.and_then(|range| bytes.slice(range)) {
            Some(slice) => Ok(TensorInfo { name, dtype, shape, bytes: slice, file: file.into(), offset: start + offset }),
            None => {
                let length = bytes.len();
                Err(damaged(format!("takes {size} bytes from {}, past the file's {length} bytes", u128::from(start) + u128::from(offset))))
            }
        }
    }
}

/// The type numbers of ggml that we run.
fn dtype(kind: u32) -> Option<DType> {
    Some(match kind {
        0 => DType::F32,
        1 => DType::F16,
        2 => DType::Q4_0,
        3 => DType::Q4_1,
        6 => DType::Q5_0,
        7 => DType::Q5_1,
        8 => DType::Q8_0,
        12 => DType::Q4_K,
        13 => DType::Q5_K,
        14 => DType::Q6_K,
        30 => DType::BF16,
        _ => return None,
    })
}

/// What ggml calls the types we do not run.
fn kind_name(kind: u32) -> &'static str {
    match kind {
        9 => "q8_1",
        10 => "q2_k",
        11 => "q3_k",
        15 => "q8_k",
        16..=23 | 29 => "an iq format",
        24..=27 => "integers",
        28 => "f64",
        34 | 35 => "a ternary format",
        39 => "mxfp4",
        40 => "nvfp4",
        _ => "unknown",
    }
}
