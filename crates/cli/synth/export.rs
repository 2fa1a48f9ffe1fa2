//! `longhand synth export`: a dataset in the columns of other trainers.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use data::Item;
use parquet::basic::{Compression, ZstdLevel};
use parquet::data_type::{ByteArray, ByteArrayType, Int32Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde_json::{Value, json};

/// Rows that are held in memory before they are written.
const GROUP: usize = 64;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand synth export dataset --to verl --out train.parquet\n  longhand synth export dataset --to trl --out train.jsonl"
)]
pub struct ExportArgs {
    /// The rows: a dataset's folder or its rows.jsonl.
    dataset: PathBuf,
    /// Whose columns.
    #[arg(long, value_enum)]
    to: Columns,
    /// The file; its ending says the format, .parquet or .jsonl. What is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Columns that a trainer expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Columns {
    /// data_source, prompt (messages), ability, reward_model (style, ground_truth), extra_info.
    Verl,
    /// prompt (messages), and answers, rule, task for the reward function.
    Trl,
    /// Those of this program; `derivation` and `documents` as JSON.
    Longhand,
}

/// Runs the verb.
pub fn run(args: &ExportArgs) -> Result<()> {
    let path = if args.dataset.is_dir() { args.dataset.join("rows.jsonl") } else { args.dataset.clone() };
    let ending = args.out.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    ensure!(ending == "parquet" || ending == "jsonl", "{}: .parquet and .jsonl can be written", args.out.display());
    let input = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let out = File::options().write(true).create_new(true).open(&args.out);
    let out = out.with_context(|| format!("cannot write {}: name another with --out", args.out.display()))?;
    let written = write(&path, BufReader::new(input), out, args.to, ending == "parquet");
    if written.is_err() {
        // Half a file is none.
        std::fs::remove_file(&args.out).ok();
    }
    eprintln!("{}: {} rows", args.out.display(), written?);
    Ok(())
}

fn write(path: &Path, input: impl BufRead, out: File, to: Columns, parquet: bool) -> Result<usize> {
    let mut sink = if parquet { Sink::Parquet(Tables::new(out, to)?) } else { Sink::Lines(BufWriter::new(out), to) };
    let mut rows = 0;
    for (number, line) in input.lines().enumerate() {
        let place = || format!("{}, line {}", path.display(), number + 1);
        let line = line.with_context(place)?;
        if !line.trim().is_empty() {
            sink.take(serde_json::from_str(&line).with_context(place)?, rows)?;
            rows += 1;
        }
    }
    ensure!(rows > 0, "{} holds no row", path.display());
    sink.finish()?;
    Ok(rows)
}

enum Sink {
    Lines(BufWriter<File>, Columns),
    Parquet(Tables),
}

impl Sink {
    fn take(&mut self, row: Item, number: usize) -> Result<()> {
        match self {
            Self::Lines(out, to) => Ok(writeln!(out, "{}", object(&row, number, *to)?)?),
            Self::Parquet(tables) => tables.take(row),
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            Self::Lines(out, _) => Ok(out.into_inner()?.sync_all()?),
            Self::Parquet(tables) => tables.finish(),
        }
    }
}

/// A row as JSON.
fn object(row: &Item, number: usize, to: Columns) -> Result<Value> {
    let prompt = json!([{"role": "user", "content": row.prompt}]);
    Ok(match to {
        Columns::Verl => json!({
            "data_source": source(row), "prompt": prompt, "ability": row.task,
            "reward_model": {"style": "rule", "ground_truth": first(row)},
            "extra_info": {"index": number, "id": row.id, "answers": row.answers, "rule": row.rule, "hops": row.hops, "question": question(row)},
        }),
        Columns::Trl => json!({
            "prompt": prompt, "answers": row.answers, "rule": row.rule, "task": row.task, "hops": row.hops, "id": row.id, "question": question(row),
        }),
        Columns::Longhand => serde_json::to_value(row)?,
    })
}

/// By what a reward function tells rows apart.
fn source(row: &Item) -> String {
    format!("longhand/{}", row.task)
}

fn first(row: &Item) -> &str {
    row.answers.first().map_or("", String::as_str)
}

fn question(row: &Item) -> &str {
    row.extra.get("question").and_then(Value::as_str).unwrap_or("")
}

const VERL: &str = "message row {
  required binary data_source (UTF8);
  required group prompt (LIST) { repeated group list { required group element { required binary role (UTF8); required binary content (UTF8); } } }
  required binary ability (UTF8);
  required group reward_model { required binary style (UTF8); required binary ground_truth (UTF8); }
  required group extra_info {
    required int32 index; required binary id (UTF8);
    required group answers (LIST) { repeated group list { required binary element (UTF8); } }
    required binary rule (UTF8); required int32 hops; required binary question (UTF8);
  }
}";
const TRL: &str = "message row {
  required group prompt (LIST) { repeated group list { required group element { required binary role (UTF8); required binary content (UTF8); } } }
  required group answers (LIST) { repeated group list { required binary element (UTF8); } }
  required binary rule (UTF8); required binary task (UTF8); required int32 hops; required binary id (UTF8); required binary question (UTF8);
}";
const LONGHAND: &str = "message row {
  required binary id (UTF8); required binary task (UTF8); required binary prompt (UTF8);
  required group answers (LIST) { repeated group list { required binary element (UTF8); } }
  required binary rule (UTF8); required int32 hops; required binary question (UTF8); required int32 tokens;
  required binary evidence (JSON); required binary documents (JSON); required binary derivation (JSON);
}";

/// A Parquet file, a row group at a time.
struct Tables {
    writer: SerializedFileWriter<File>,
    to: Columns,
    rows: Vec<Item>,
    written: usize,
}

impl Tables {
    fn new(out: File, to: Columns) -> Result<Self> {
        let schema = match to {
            Columns::Verl => VERL,
            Columns::Trl => TRL,
            Columns::Longhand => LONGHAND,
        };
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            // Texts differ: a dictionary only doubles the memory.
            .set_dictionary_enabled(false)
            .build();
        let writer = SerializedFileWriter::new(out, Arc::new(parse_message_type(schema)?), Arc::new(properties))?;
        Ok(Self { writer, to, rows: Vec::new(), written: 0 })
    }

    fn take(&mut self, row: Item) -> Result<()> {
        self.rows.push(row);
        if self.rows.len() == GROUP { self.flush() } else { Ok(()) }
    }

    fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.writer.close()?;
        Ok(())
    }

    /// Writes the columns in the schema's order.
    fn flush(&mut self) -> Result<()> {
        let rows = std::mem::take(&mut self.rows);
        if rows.is_empty() {
            return Ok(());
        }
        let mut group = Group { writer: self.writer.next_row_group()? };
        let user = |_: &Item| vec!["user".to_string()];
        let prompt = |row: &Item| vec![row.prompt.clone()];
        let answers = |row: &Item| row.answers.clone();
        let extra = |name: &'static str| move |row: &Item| row.extra.get(name).map_or("null".into(), Value::to_string);
        let asked = |row: &Item| question(row).to_string();
        match self.to {
            Columns::Verl => {
                group.text(&rows, source)?;
                group.list(&rows, user)?;
                group.list(&rows, prompt)?;
                group.text(&rows, |row| row.task.clone())?;
                group.text(&rows, |_| "rule".into())?;
                group.text(&rows, |row| first(row).to_string())?;
                let from = self.written as i32;
                group.numbers((from..from + rows.len() as i32).collect())?;
                group.text(&rows, |row| row.id.clone())?;
                group.list(&rows, answers)?;
                group.text(&rows, |row| row.rule.clone())?;
                group.numbers(rows.iter().map(|row| row.hops.into()).collect())?;
                group.text(&rows, asked)?;
            }
            Columns::Trl => {
                group.list(&rows, user)?;
                group.list(&rows, prompt)?;
                group.list(&rows, answers)?;
                group.text(&rows, |row| row.rule.clone())?;
                group.text(&rows, |row| row.task.clone())?;
                group.numbers(rows.iter().map(|row| row.hops.into()).collect())?;
                group.text(&rows, |row| row.id.clone())?;
                group.text(&rows, asked)?;
            }
            Columns::Longhand => {
                group.text(&rows, |row| row.id.clone())?;
                group.text(&rows, |row| row.task.clone())?;
                group.text(&rows, |row| row.prompt.clone())?;
                group.list(&rows, answers)?;
                group.text(&rows, |row| row.rule.clone())?;
                group.numbers(rows.iter().map(|row| row.hops.into()).collect())?;
                group.text(&rows, asked)?;
                let tokens = |row: &Item| row.extra.get("tokens").and_then(Value::as_u64).and_then(|tokens| i32::try_from(tokens).ok());
                group.numbers(rows.iter().map(|row| tokens(row).unwrap_or(0)).collect())?;
                group.text(&rows, |row| json!(row.evidence).to_string())?;
                group.text(&rows, extra("documents"))?;
                group.text(&rows, extra("derivation"))?;
            }
        }
        group.writer.close()?;
        self.written += rows.len();
        Ok(())
    }
}

struct Group<'a> {
    writer: SerializedRowGroupWriter<'a, File>,
}

impl Group<'_> {
    fn text(&mut self, rows: &[Item], of: impl Fn(&Item) -> String) -> Result<()> {
        self.binary(rows.iter().map(|row| ByteArray::from(of(row).into_bytes())).collect(), None)
    }

    /// A list of texts a row.
    fn list(&mut self, rows: &[Item], of: impl Fn(&Item) -> Vec<String>) -> Result<()> {
        let (mut values, mut defined, mut repeated) = (Vec::new(), Vec::new(), Vec::new());
        for row in rows {
            let texts = of(row);
            if texts.is_empty() {
                defined.push(0);
                repeated.push(0);
            }
            for (at, text) in texts.into_iter().enumerate() {
                defined.push(1);
                repeated.push(i16::from(at > 0));
                values.push(ByteArray::from(text.into_bytes()));
            }
        }
        self.binary(values, Some((defined, repeated)))
    }

    fn binary(&mut self, values: Vec<ByteArray>, levels: Option<(Vec<i16>, Vec<i16>)>) -> Result<()> {
        let mut column = self.writer.next_column()?.context("the schema has no more columns")?;
        let (defined, repeated) = levels.as_ref().map_or((None, None), |(defined, repeated)| (Some(&defined[..]), Some(&repeated[..])));
        column.typed::<ByteArrayType>().write_batch(&values, defined, repeated)?;
        Ok(column.close()?)
    }

    fn numbers(&mut self, values: Vec<i32>) -> Result<()> {
        let mut column = self.writer.next_column()?.context("the schema has no more columns")?;
        column.typed::<Int32Type>().write_batch(&values, None, None)?;
        Ok(column.close()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::Field;

    /// What another reader of the file would see.
    fn value(field: &Field) -> Value {
        match field {
            Field::Str(text) => text.clone().into(),
            Field::Int(number) => (*number).into(),
            Field::Bytes(bytes) => String::from_utf8_lossy(bytes.data()).into_owned().into(),
            Field::Group(row) => row.get_column_iter().map(|(name, field)| (name.clone(), value(field))).collect(),
            Field::ListInternal(list) => list.elements().iter().map(value).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn written(to: Columns, ending: &str, rows: usize) -> Vec<Value> {
        let folder = tempfile::TempDir::new().unwrap();
        let (from, out) = (folder.path().join("rows.jsonl"), folder.path().join(format!("out.{ending}")));
        let row = |at: usize| {
            let answers: Vec<String> = (0..=at % 3).map(|answer| format!("é{answer}")).collect();
            json!({"id": format!("r{at}"), "task": "reading", "prompt": "p\n“x”", "answers": answers, "rule": "contain", "hops": 2, "question": "Who?", "tokens": 9, "documents": [], "derivation": {"version": 1}})
        };
        let text: String = (0..rows).map(|at| format!("{}\n", row(at))).collect();
        std::fs::write(&from, text).unwrap();
        run(&ExportArgs { dataset: from.clone(), to, out: out.clone() }).unwrap();
        assert!(run(&ExportArgs { dataset: from, to, out: out.clone() }).is_err(), "what is there stays");
        if ending == "jsonl" {
            let text = std::fs::read_to_string(&out).unwrap();
            return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        }
        let reader = SerializedFileReader::new(File::open(&out).unwrap()).unwrap();
        reader.get_row_iter(None).unwrap().map(|row| value(&Field::Group(row.unwrap()))).collect()
    }

    #[test]
    fn both_formats_say_the_same_in_every_row() {
        // More rows than a row group has.
        for to in [Columns::Verl, Columns::Trl] {
            let lines = written(to, "jsonl", GROUP + 7);
            assert_eq!(written(to, "parquet", GROUP + 7), lines);
            assert_eq!(lines[2]["prompt"], json!([{"role": "user", "content": "p\n“x”"}]));
        }
        let verl = &written(Columns::Verl, "parquet", GROUP + 2)[GROUP + 1];
        assert_eq!(verl["reward_model"], json!({"style": "rule", "ground_truth": "é0"}));
        assert_eq!((&verl["extra_info"]["index"], &verl["data_source"]), (&json!(GROUP + 1), &json!("longhand/reading")));
        let own = &written(Columns::Longhand, "parquet", 2)[1];
        assert_eq!((&own["derivation"], &own["answers"]), (&json!("{\"version\":1}"), &json!(["é0", "é1"])));
    }
}
