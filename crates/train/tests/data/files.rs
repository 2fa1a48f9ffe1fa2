//! Files of rows, good and bad, and what a survey says of them.

use std::fs;
use std::path::PathBuf;

use data::Message;
use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;
use train::config::{DataSection, Duplicates, Format, Loss};
use train::sft::{DataError, Dataset, Reason, Row, RowError, Rows, Survey, conversation, survey};

use crate::common::{CHATML, chat, fixture, row, turns};

fn file(bytes: impl AsRef<[u8]>) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.jsonl");
    fs::write(&path, bytes).unwrap();
    (folder, path)
}

fn read(bytes: impl AsRef<[u8]>) -> Vec<Result<Row, RowError>> {
    let (_folder, path) = file(bytes);
    Rows::open(&path, Format::Auto).unwrap().collect()
}

fn section(max_length: usize) -> DataSection {
    DataSection { file: String::new(), format: Format::Auto, max_length, duplicates: Duplicates::Drop, loss: Loss::Replies }
}

fn surveyed(text: &str, data: &DataSection) -> Survey {
    let (_folder, path) = file(text);
    survey(Rows::open(&path, Format::Auto).unwrap(), &chat(CHATML), data, |_| ())
}

#[test]
fn both_forms_are_read() {
    let text = format!(
        "\u{feff}{}\n\n  \r\n{}\r\n{}\n{}",
        row(&turns(&["a", "b"])),
        json!({"prompt": "p", "answer": "q", "id": 7, "messages": null}),
        json!({"prompt": [{"role": "system", "content": "s"}, {"role": "user", "content": "u", "name": "x"}], "answer": "q"}),
        json!({"id": 8, "messages": [{"role": "user", "content": "", "tool_calls": []}, {"role": "assistant", "content": "b", "tool_calls": null}]}),
    );
    let (_folder, path) = file(text);
    let mut rows = Rows::open(&path, Format::Jsonl).unwrap();
    let read: Vec<Row> = rows.by_ref().map(Result::unwrap).collect();
    assert_eq!(read[0], Row { line: 1, messages: turns(&["a", "b"]), from: 0 });
    assert_eq!(read[1], Row { line: 4, messages: turns(&["p", "q"]), from: 1 });
    assert_eq!(read[2], Row { line: 5, messages: vec![Message::system("s"), Message::user("u"), Message::assistant("q")], from: 2 });
    assert_eq!(read[3].messages, turns(&["", "b"]));
    let ignored: Vec<(&str, u64)> = rows.ignored().iter().map(|(column, &line)| (column.as_str(), line)).collect();
    assert_eq!(ignored, [("id", 4), ("messages", 4), ("messages[].tool_calls", 6), ("prompt[].name", 5)]);
}

#[test]
fn bad_rows_name_line_and_field_and_the_rest_is_read() {
    let good = row(&turns(&["a", "b"]));
    for (bad, words) in [
        ("{\"messages\": [", ":2: is not JSON at column 14: EOF"),
        ("hello", ":2: is not JSON at column 1"),
        ("3", ":2: is a number, not an object"),
        ("{}", ":2: has no column: `messages`, or `prompt` and `answer`, is wanted"),
        (r#"{"text": "x", "meta": 1}"#, ":2: has \"text\", \"meta\": `messages`"),
        (r#"{"messages": "x"}"#, ":2: `messages` is a text, not a list"),
        (r#"{"messages": []}"#, ":2: `messages` is an empty list"),
        (r#"{"messages": [3]}"#, ":2: `messages[0]` is a number, not an object"),
        (r#"{"messages": [{"content": "x"}]}"#, ":2: `messages[0].role` is missing"),
        (r#"{"messages": [{"role": "user"}]}"#, ":2: `messages[0].content` is missing"),
        (r#"{"messages": [{"role": "user", "content": null}]}"#, ":2: `messages[0].content` is missing"),
        (r#"{"messages": [{"role": "user", "content": [{"type": "text"}]}]}"#, ":2: `messages[0].content` is a list, not a text"),
        (
            r#"{"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "x"}]}"#,
            ":2: `messages[1].role` is \"tool\"; \"system\"",
        ),
        (
            r#"{"messages": [{"role": "assistant", "content": "x", "tool_calls": [1]}]}"#,
            ":2: `messages[0].tool_calls` cannot be trained on",
        ),
        (
            r#"{"messages": [{"role": "assistant", "content": "x", "reasoning_content": "y"}]}"#,
            ":2: `messages[0].reasoning_content` would be lost",
        ),
        (r#"{"prompt": "x"}"#, ":2: `answer` is missing beside `prompt`"),
        (r#"{"answer": "x"}"#, ":2: `prompt` is missing beside `answer`"),
        (r#"{"prompt": "x", "answer": 3}"#, ":2: `answer` is a number, not a text"),
        (r#"{"prompt": 3, "answer": "x"}"#, ":2: `prompt` is a number, not a list"),
        (r#"{"prompt": [{"role": "x", "content": ""}], "answer": "x"}"#, ":2: `prompt[0].role` is \"x\""),
        (r#"{"prompt": "a", "answer": "b", "messages": [{"role": "user", "content": "x"}]}"#, ":2: has `messages` and also"),
    ] {
        let rows = read(format!("{good}\n{bad}\n{good}\n"));
        let [Ok(_), Err(error), Ok(last)] = rows.as_slice() else { panic!("{bad}: {rows:?}") };
        let message = error.to_string();
        assert!(message.contains("rows.jsonl") && message.contains(words), "{bad}: `{words}` is not in: {message}");
        assert_eq!(last.line, 3);
    }
    let rows = read([good.as_bytes(), b"\n{\"prompt\": \"\xff\"}\n"].concat());
    assert!(rows[1].as_ref().unwrap_err().to_string().contains(":2: is not UTF-8 at byte 13"), "{rows:?}");
    let rows = read(format!("[{good}]"));
    assert!(rows.len() == 1 && rows[0].as_ref().unwrap_err().to_string().contains("begins with `[`"), "{rows:?}");
    assert!(read("").is_empty());
    assert!(Rows::open(&PathBuf::from("nowhere.jsonl"), Format::Auto).is_err());
    assert!(Rows::open(&fixture(""), Format::Auto).is_err());
}

#[test]
fn parquet_rows_are_those_of_jsonl() {
    let cases = crate::common::truth("chatml.json");
    let case = |at: usize| -> Vec<Message> { serde_json::from_value(cases["cases"][at]["messages"].clone()).unwrap() };
    for compression in ["none", "snappy", "zstd"] {
        let mut rows = Rows::open(&fixture(&format!("rows-{compression}.parquet")), Format::Auto).unwrap();
        let read: Vec<Row> = rows.by_ref().map(Result::unwrap).collect();
        let want: Vec<Row> = [0, 2, 4, 1].iter().zip(1..).map(|(&at, line)| Row { line, messages: case(at), from: 0 }).collect();
        assert_eq!(read, want, "{compression}");
        assert_eq!(rows.ignored().keys().collect::<Vec<_>>(), ["score", "source"]);
    }
    let refused =
        |path: &PathBuf, format| Rows::open(path, format).and_then(|rows| rows.collect::<Result<Vec<_>, _>>()).unwrap_err().to_string();
    let message = refused(&fixture("rows-gzip.parquet"), Format::Auto);
    assert!(message.contains("rows-gzip.parquet: cannot be read as Parquet") && message.to_lowercase().contains("gzip"), "{message}");
    let rows: Vec<_> = Rows::open(&fixture("rows-pairs.parquet"), Format::Parquet).unwrap().collect();
    assert_eq!(rows[0].as_ref().unwrap().messages, turns(&["What?", "This."]));
    assert!(rows[1].as_ref().unwrap_err().to_string().contains("rows-pairs.parquet:2: `answer` is missing"));
    assert!(refused(&fixture("rows-none.parquet"), Format::Jsonl).contains("is Parquet: set the format"));
    assert!(refused(&fixture("chatml.json"), Format::Parquet).contains("is not Parquet"));
}

#[test]
fn a_damaged_parquet_file_is_an_error() {
    let bytes = fs::read(fixture("rows-snappy.parquet")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.parquet");
    let read = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Rows::open(&path, Format::Auto).and_then(|rows| rows.collect::<Result<Vec<_>, _>>())
    };
    for length in (4..bytes.len()).step_by(97) {
        assert!(read(&bytes[..length]).is_err(), "{length}");
    }
    // Some changes are not seen, others are; none may end the program.
    let mut seen = 0;
    for at in (4..bytes.len()).step_by(61) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << (at % 8);
        seen += usize::from(read(&changed).is_err());
    }
    assert!(seen > 0);
}

#[test]
fn a_survey_counts_what_is_kept_and_says_what_is_not() {
    let long = "river ".repeat(200);
    let texts = [
        row(&turns(&["a", "b"])),
        row(&turns(&["a", "b", "cut off: the same tokens as before"])),
        row(&turns(&["a", &long])),
        row(&turns(&["a", "  \n"])),
        row(&turns(&["a"])),
        row(&turns(&["d", "e", "f", "g"])),
        json!({"prompt": "a", "answer": "b", "source": "x"}).to_string(),
        row(&turns(&["a", "h", "i"])),
        json!({"prompt": turns(&["a", "", "c"]), "answer": "an empty turn in the question is the question's"}).to_string(),
    ];
    let found = surveyed(&texts.join("\n"), &section(200));
    let report = &found.report;
    let of = |reason: Reason| report.dropped.get(&reason).map_or((0, vec![]), |dropped| (dropped.count, dropped.lines.clone()));
    assert_eq!((report.rows, report.bad, report.examples, report.trailing), (9, 0, 4, 1));
    assert_eq!(of(Reason::Duplicate), (2, vec![2, 7]));
    assert_eq!(of(Reason::TooLong), (1, vec![3]));
    assert_eq!(of(Reason::EmptyAnswer), (1, vec![4]));
    assert_eq!(of(Reason::NoAnswer), (1, vec![5]));
    assert_eq!(report.ignored.keys().collect::<Vec<_>>(), ["source"]);
    assert_eq!(report.tokens, found.examples.iter().map(|e| e.ids.len() as u64).sum::<u64>());
    assert_eq!(report.loss_tokens, found.examples.iter().map(|e| e.loss_tokens() as u64).sum::<u64>());
    assert_eq!(report.lengths.len(), 5);
    let bins = report.histogram();
    assert_eq!(bins.iter().map(|bin| bin.count).sum::<u64>(), 5);
    for pair in bins.windows(2) {
        assert_eq!(pair[0].to + 1, pair[1].from);
    }
    for bin in &bins {
        assert_eq!(report.lengths.iter().filter(|&&n| (bin.from..=bin.to).contains(&n)).count() as u64, bin.count);
    }
    let kept = surveyed(&texts.join("\n"), &DataSection { duplicates: Duplicates::Keep, ..section(200) });
    assert_eq!((kept.report.examples, kept.report.trailing), (6, 2));
    let all = surveyed(&texts.join("\n"), &DataSection { loss: Loss::All, ..section(200) });
    assert_eq!(all.report.loss_tokens, all.report.tokens - all.report.examples, "all but the first token of each");
    assert!(all.examples.iter().all(|example| !example.loss_mask[0]));
}

#[test]
fn a_dataset_is_whole_or_an_error() {
    let read = |text: &str, max_length| {
        let (_folder, path) = file(text);
        Dataset::read(&path, &chat(CHATML), &section(max_length), |_| ())
    };
    let good: Vec<String> = (0..700).map(|n| row(&turns(&[&format!("{n}"), &format!("{}", n * 7)]))).collect();
    let dataset = read(&good.join("\n"), 100).unwrap();
    assert_eq!((dataset.examples.len(), dataset.lengths().len()), (700, 700));
    // In the file's order, whatever the threads.
    let same = read(&good.join("\n"), 100).unwrap();
    assert_eq!(dataset.hash(), same.hash());
    let mut swapped = good.clone();
    swapped.swap(3, 600);
    assert_ne!(read(&swapped.join("\n"), 100).unwrap().hash(), dataset.hash());
    swapped.push("{}".into());
    swapped[5] = "{\"messages\": 3}".into();
    let error = read(&swapped.join("\n"), 100).unwrap_err().to_string();
    assert!(error.contains("rows.jsonl:6: `messages` is a number") && error.contains("1 more bad row"), "{error}");
    let error = read(&good.join("\n"), 5).unwrap_err();
    assert!(
        matches!(error, DataError::Empty { .. }) && error.to_string().contains("none of 700 rows is left to train on: 700 too long"),
        "{error}"
    );
    assert!(read("", 5).unwrap_err().to_string().contains("none of 0 rows"));
    let refused = survey_with("{{ raise_exception('roles must alternate') }}", &good[0]);
    assert_eq!((refused.report.rows, refused.report.bad), (1, 1));
    assert!(
        refused.faults[0].to_string().contains("rows.jsonl:1: `messages` the chat template failed")
            || refused.faults[0].to_string().contains("roles must alternate"),
        "{}",
        refused.faults[0]
    );
}

fn survey_with(template: &str, text: &str) -> Survey {
    let (_folder, path) = file(text);
    survey(Rows::open(&path, Format::Auto).unwrap(), &chat(template), &section(100), |_| ())
}

fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("messages".to_string()),
        Just("prompt".into()),
        Just("answer".into()),
        Just("role".into()),
        Just("content".into()),
        Just("user".into()),
        Just("assistant".into()),
        Just("tool_calls".into()),
        "\\PC{0,6}"
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        word.clone().prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((word.clone(), inner), 0..4).prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn no_json_makes_the_row_parser_panic(value in any_json()) {
        let mut columns = 0;
        match conversation(&value, &mut |_| columns += 1) {
            Ok((messages, from)) => {
                prop_assert!(from < messages.len());
                prop_assert!(value.is_object());
            }
            Err((field, message)) => prop_assert!(!message.is_empty() && !field.contains('\n')),
        }
    }

    #[test]
    fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), lines in 0usize..3) {
        let text = [row(&turns(&["a", "b"])).repeat(lines.min(1)).into_bytes(), b"\n".repeat(lines), bytes].concat();
        let rows = read(&text);
        prop_assert!(rows.len() <= text.len());
    }

    #[test]
    fn every_good_row_comes_back(texts in prop::collection::vec("\\PC{0,20}", 2..6)) {
        let messages = turns(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let rows = read(row(&messages));
        prop_assert_eq!(rows.len(), 1);
        prop_assert_eq!(&rows[0].as_ref().unwrap().messages, &messages);
    }

    #[test]
    fn every_conversation_counts_its_replies_and_nothing_else(texts in prop::collection::vec("[ \\na-c<|im_end>é]{0,12}", 2..7)) {
        let mut texts = texts;
        for reply in texts.iter_mut().skip(1).step_by(2) {
            reply.push('x');
        }
        let messages = turns(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        let (chat, tokenizer) = (chat(CHATML), crate::common::tokenizer());
        let outcome = chat.examples(&messages, 0).unwrap();
        prop_assert!(outcome.unfit.is_empty() && outcome.altered.is_empty(), "{:?}", outcome);
        let counted: Vec<String> = outcome.examples.iter().flat_map(|example| crate::common::counted(&tokenizer, example)).collect();
        let want: Vec<String> = texts.iter().skip(1).step_by(2).map(|reply| format!("{reply}<|im_end|>")).collect();
        let mut sorted = counted.clone();
        let mut wanted = want.clone();
        sorted.sort();
        wanted.sort();
        prop_assert_eq!(sorted, wanted);
        for example in &outcome.examples {
            prop_assert_eq!(example.ids.len(), example.loss_mask.len());
            prop_assert!(!example.loss_mask[0]);
        }
    }
}
