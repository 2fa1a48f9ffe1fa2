//! Metadata values.

use super::Reader;
use crate::error::{ModelError, Result};

/// Arrays inside arrays go no deeper than this.
const MAX_DEPTH: usize = 4;

/// A metadata value. Integers and floats of all widths are widened.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// u8 to u64.
    Unsigned(u64),
    /// i8 to i64.
    Signed(i64),
    /// f32 and f64.
    Float(f64),
    /// A truth value.
    Bool(bool),
    /// UTF-8 text.
    Text(String),
    /// Values of one type.
    Array(Array),
}

/// An array of values of one type.
#[derive(Clone, Debug, PartialEq)]
pub enum Array {
    /// u8 to u64.
    Unsigned(Vec<u64>),
    /// i8 to i64.
    Signed(Vec<i64>),
    /// f32 and f64.
    Float(Vec<f64>),
    /// Truth values.
    Bool(Vec<bool>),
    /// UTF-8 texts.
    Text(Vec<String>),
    /// Arrays.
    Nested(Vec<Array>),
}

impl Value {
    /// A whole number ≥ 0, whatever its width.
    pub fn as_unsigned(&self) -> Option<u64> {
        match *self {
            Self::Unsigned(value) => Some(value),
            Self::Signed(value) => u64::try_from(value).ok(),
            _ => None,
        }
    }

    /// Any number.
    pub fn as_number(&self) -> Option<f64> {
        match *self {
            Self::Float(value) => Some(value),
            Self::Unsigned(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            _ => None,
        }
    }

    /// A truth value.
    pub fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = *self { Some(value) } else { None }
    }

    /// Text.
    pub fn as_text(&self) -> Option<&str> {
        if let Self::Text(value) = self { Some(value) } else { None }
    }

    /// An array.
    pub fn as_array(&self) -> Option<&Array> {
        if let Self::Array(value) = self { Some(value) } else { None }
    }

    /// Its kind, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unsigned(_) | Self::Signed(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Bool(_) => "a truth value",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
        }
    }
}

impl Array {
    /// How many elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Unsigned(values) => values.len(),
            Self::Signed(values) => values.len(),
            Self::Float(values) => values.len(),
            Self::Bool(values) => values.len(),
            Self::Text(values) => values.len(),
            Self::Nested(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whole numbers ≥ 0.
    pub fn unsigned(&self) -> Option<Vec<u64>> {
        match self {
            Self::Unsigned(values) => Some(values.clone()),
            Self::Signed(values) => values.iter().map(|&value| u64::try_from(value).ok()).collect(),
            _ => None,
        }
    }

    /// Texts.
    pub fn texts(&self) -> Option<&[String]> {
        if let Self::Text(values) = self { Some(values) } else { None }
    }
}

/// Reads a type number and the value after it.
pub(super) fn read(reader: &mut Reader) -> Result<Value> {
    let kind = reader.u32("a value's type")?;
    let value = match kind {
        8 => Value::Text(reader.string("a string")?),
        9 => Value::Array(read_array(reader, 1)?),
        _ => match read_numbers(reader, kind, 1)? {
            Array::Unsigned(one) => Value::Unsigned(one[0]),
            Array::Signed(one) => Value::Signed(one[0]),
            Array::Float(one) => Value::Float(one[0]),
            Array::Bool(one) => Value::Bool(one[0]),
            Array::Text(_) | Array::Nested(_) => return Err(reader.error(format!("type {kind} is no value"))),
        },
    };
    Ok(value)
}

fn read_array(reader: &mut Reader, depth: usize) -> Result<Array> {
    if depth > MAX_DEPTH {
        return Err(reader.error(format!("arrays are nested more than {MAX_DEPTH} deep")));
    }
    let kind = reader.u32("an array's type")?;
    match kind {
        8 => {
            let count = reader.count(8, "an array's length")?;
            Ok(Array::Text((0..count).map(|_| reader.string("a string")).collect::<Result<_>>()?))
        }
        9 => {
            let count = reader.count(12, "an array's length")?;
            Ok(Array::Nested((0..count).map(|_| read_array(reader, depth + 1)).collect::<Result<_>>()?))
        }
        _ => {
            let count = reader.count(width(reader, kind)?, "an array's length")?;
            read_numbers(reader, kind, count)
        }
    }
}

/// Bytes of a fixed-width value.
fn width(reader: &Reader, kind: u32) -> Result<usize> {
    Ok(match kind {
        0 | 1 | 7 => 1,
        2 | 3 => 2,
        4..=6 => 4,
        10..=12 => 8,
        _ => return Err(reader.error(format!("value type {kind} does not exist"))),
    })
}

fn read_numbers(reader: &mut Reader, kind: u32, count: usize) -> Result<Array> {
    let width = width(reader, kind)?;
    let Some(length) = count.checked_mul(width) else {
        return Err(reader.error("an array's length overflows"));
    };
    let (start, file) = (reader.at, reader.file);
    let bytes = reader.take(length, "a value")?;
    let words = bytes.chunks_exact(width).map(|word| word.iter().rev().fold(0u64, |sum, &byte| sum << 8 | u64::from(byte)));
    Ok(match kind {
        0 | 2 | 4 | 10 => Array::Unsigned(words.collect()),
        1 => Array::Signed(words.map(|word| i64::from(word as i8)).collect()),
        3 => Array::Signed(words.map(|word| i64::from(word as i16)).collect()),
        5 => Array::Signed(words.map(|word| i64::from(word as i32)).collect()),
        11 => Array::Signed(words.map(|word| word as i64).collect()),
        6 => Array::Float(words.map(|word| f64::from(f32::from_bits(word as u32))).collect()),
        12 => Array::Float(words.map(f64::from_bits).collect()),
        _ => {
            if let Some(at) = bytes.iter().position(|&byte| byte > 1) {
                let message = format!("{} is neither false (0) nor true (1)", bytes[at]);
                return Err(ModelError::format(file, start + at as u64, message));
            }
            Array::Bool(bytes.iter().map(|&byte| byte == 1).collect())
        }
    })
}
