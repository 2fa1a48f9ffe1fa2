//! Rows of a Parquet file, as the JSON objects that the same rows would be in JSONL. Only the columns that mean something are read.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::reader::{ReaderIter, TreeBuilder};
use parquet::record::{Field, Row};
use parquet::schema::types::{SchemaDescriptor, Type};
use serde_json::{Map, Value};

const COLUMNS: [&str; 3] = ["messages", "prompt", "answer"];

/// The rows, one group of them in memory at a time. Errors are texts: the caller knows the file.
pub(super) struct ParquetRows {
    reader: SerializedFileReader<File>,
    columns: Arc<SchemaDescriptor>,
    group: usize,
    rows: Option<ReaderIter>,
    row: u64,
    /// Columns that are not read.
    pub ignored: Vec<String>,
}

/// The crate panics on some schemas it does not expect; a damaged file is an error here. (An allocation that fails still ends the program.)
fn guarded<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(read)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(format!("cannot be read as Parquet: {error}")),
        Err(_) => Err("cannot be read as Parquet: the file is damaged, or of a form this reader does not know".into()),
    }
}

impl ParquetRows {
    pub fn open(file: File) -> Result<Self, String> {
        let reader = guarded(|| SerializedFileReader::new(file))?;
        let root = reader.metadata().file_metadata().schema();
        let (used, ignored): (Vec<_>, Vec<_>) = root.get_fields().iter().cloned().partition(|field| COLUMNS.contains(&field.name()));
        let ignored: Vec<String> = ignored.iter().map(|field| field.name().to_string()).collect();
        if used.is_empty() {
            return Err(format!("has columns {}: `messages`, or `prompt` and `answer`, are wanted", ignored.join(", ")));
        }
        let columns = guarded(|| Ok(SchemaDescriptor::new(Arc::new(Type::group_type_builder(root.name()).with_fields(used).build()?))))?;
        Ok(Self { reader, columns: Arc::new(columns), group: 0, rows: None, row: 0, ignored })
    }

    /// The next row and its number, from 1. After an error nothing follows that can be relied on.
    pub fn next(&mut self) -> Option<Result<(u64, Value), String>> {
        loop {
            if let Some(rows) = &mut self.rows {
                match guarded(|| rows.next().transpose()) {
                    Ok(Some(row)) => {
                        self.row += 1;
                        let at = self.row;
                        return Some(object(&row).map(|value| (at, value)).map_err(|message| format!("row {at}: {message}")));
                    }
                    Ok(None) => self.rows = None,
                    Err(message) => return Some(Err(format!("row {}: {message}", self.row + 1))),
                }
            }
            if self.group >= self.reader.num_row_groups() {
                return None;
            }
            let (reader, columns, group) = (&self.reader, &self.columns, self.group);
            self.group += 1;
            match guarded(|| TreeBuilder::new().as_iter(columns.clone(), &*reader.get_row_group(group)?)) {
                Ok(rows) => self.rows = Some(rows),
                Err(message) => return Some(Err(message)),
            }
        }
    }
}

fn object(row: &Row) -> Result<Value, String> {
    let fields = row.get_column_iter().map(|(name, field)| Ok((name.clone(), json(field)?)));
    Ok(Value::Object(fields.collect::<Result<Map<_, _>, String>>()?))
}

fn json(field: &Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(value) => Value::Bool(*value),
        Field::Str(text) => Value::String(text.clone()),
        // A text whose column does not say that it is one.
        Field::Bytes(bytes) => match std::str::from_utf8(bytes.data()) {
            Ok(text) => Value::String(text.to_string()),
            Err(_) => return Err("a text is not UTF-8".into()),
        },
        Field::Group(row) => object(row)?,
        Field::ListInternal(list) => Value::Array(list.elements().iter().map(json).collect::<Result<_, _>>()?),
        // Numbers, dates and maps mean nothing in a conversation: that they are there is enough to refuse them.
        Field::MapInternal(_) => Value::Object(Map::new()),
        _ => Value::from(0),
    })
}
