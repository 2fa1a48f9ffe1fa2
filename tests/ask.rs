//! Several questions in one read, outlines, and later questions, through the binary and a scripted server.

// The servers that do as they are told are those of the client's own tests.
#[path = "../crates/server/tests/common/mod.rs"]
mod script;

use std::path::Path;
use std::process::{Command, Output};

use data::ReadEvent;
use script::{Request, Server, answer, stream};
use serde_json::Value;

/// About the length of a chunk of 300 tokens each: the mill, the bridge, the school.
fn town() -> String {
    let filler = |about: &str| format!("Of the {about} the minutes say little else, and that at length. ").repeat(9);
    format!(
        "The mill at Ouse was sold in 1931 by Mara Voss.\n{}\n\nThe bridge was painted green by Otto Lind in 1947.\n{}\n\nThe school burned down on 3 May 1952.\n{}\n",
        filler("mill"),
        filler("bridge"),
        filler("school")
    )
}

/// A reader that copies the first line of each section that names its question's subject, and answers with its notes.
fn reader(_: usize, request: &Request, out: &mut std::net::TcpStream) -> std::io::Result<()> {
    if !request.line.starts_with("POST") {
        return answer(out, 404, "", "{}");
    }
    let prompt = request.body["messages"][0]["content"].as_str().unwrap_or_default();
    let between =
        |open: &str, close: &str| prompt.split_once(open).and_then(|(_, rest)| rest.split_once(close)).map_or("", |(text, _)| text);
    let section = between("<section>\n", "\n</section>");
    let line =
        |subject: &str| section.lines().find(|line| line.contains(subject) && !line.contains("minutes")).unwrap_or_default().to_string();
    let question = between("<problem>\n", "\n</problem>").to_string();
    let subject = ["mill", "bridge", "school"].into_iter().find(|subject| question.contains(subject)).unwrap_or("nothing");
    let reply = if prompt.contains("Take notes on this section") {
        let first = ["mill", "bridge", "school"].map(line).into_iter().find(|line| !line.is_empty()).unwrap_or("Filler.".into());
        format!(
            "Summary: {first}\nPeople: Mara Voss; Otto Lind; Nobody Here\nDates: 1931: sold; 1947: painted; 1952: burned\nFigures: none"
        )
    } else if prompt.contains("<sections>") {
        "Minutes of a town.".into()
    } else if !section.is_empty() {
        let memory = between("<memory>\n", "\n</memory>").replace("No previous memory", "");
        format!("<memory>\n{memory}\n{}\n</memory>\n<plan>\nRead on.\n</plan>", line(subject))
    } else {
        let notes = [between("<memory>\n", "\n</memory>"), between("<notes>\n", "\n</notes>")].concat();
        notes
            .lines()
            .find(|line| line.contains(subject))
            .map_or("Not in the notes".into(), |line| line.trim_start_matches("- ").to_string())
    };
    stream(out, &[&reply])
}

fn longhand(folder: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_longhand"));
    command.current_dir(folder).args(args);
    for name in ["LONGHAND_API_KEY", "OPENAI_API_KEY", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(name);
    }
    command.output().unwrap()
}

fn said(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

const SIZES: [&str; 10] = ["--window", "2048", "--chunk", "200", "--memory", "200", "--thinking", "0", "--save", "kept"];

fn calls(server: &Server) -> usize {
    server.requests().iter().filter(|request| request.line.starts_with("POST")).count()
}

fn log(path: &Path) -> Vec<ReadEvent> {
    std::fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn later_questions_come_from_the_notes_or_from_the_sections_that_speak_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("town.txt"), town()).unwrap();
    let server = Server::start(reader);
    let model = format!("openai:{}#m", server.url);
    let questions = ["--ask", "Who sold the mill?", "--ask", "Who painted the bridge? Answer with a name."];
    let read = longhand(at, &[&["read", "town.txt", "--model", &model], &questions[..], &SIZES[..], &["--mode", "memory"]].concat());
    let (out, err) = said(&read);
    assert!(read.status.success(), "{err}");
    assert!(out.starts_with("# Who sold the mill?\n\nThe mill at Ouse was sold in 1931 by Mara Voss. [quoted: line 1]"), "{out}");
    assert!(
        out.contains("# Who painted the bridge? Answer with a name.\n\nThe bridge was painted green by Otto Lind in 1947. [quoted"),
        "{out}"
    );
    let chunks = log(&at.join("kept/events.jsonl")).len() - 2;
    assert!(chunks >= 3 && err.contains(&format!("each read once for 2 questions: {} calls", 2 * (chunks + 1))), "{err}");
    assert_eq!(calls(&server), 2 * (chunks + 1));
    assert_eq!(log(&at.join("kept/events-2.jsonl")).len(), chunks + 2);

    // In the notes: one call, nothing read.
    let ask = |question: &str, more: &[&str]| longhand(at, &[&["ask", "kept", question, "--model", &model], more].concat());
    let before = calls(&server);
    let (out, err) = said(&ask("In which year was the mill sold by Mara Voss?", &[]));
    assert!(out.contains("sold in 1931 by Mara Voss. [quoted: line 1]") && err.contains("nothing was read again"), "{out}{err}");
    assert_eq!(calls(&server), before + 1);

    // Not in the notes: the section is named, with what it costs, and no model is asked.
    let (out, _) = said(&ask("When did the school burn down?", &[]));
    assert!(out.contains("The notes do not hold the answer") && out.contains("town.txt, from line ") && out.contains("--reread"), "{out}");
    assert!(out.contains("tokens, about "), "{out}");
    assert_eq!(calls(&server), before + 1);
    let (out, _) = said(&ask("When did the school burn down?", &["--json"]));
    let line: Value = serde_json::from_str(out.trim()).unwrap();
    assert_eq!(line["event"], "reread_needed");

    // Read again: the sections alone.
    let (out, err) = said(&ask("When did the school burn down?", &["--reread", "--sections", "1"]));
    assert!(out.contains("The school burned down on 3 May 1952. [quoted: line 7]"), "{out}{err}");
    assert_eq!(calls(&server), before + 3, "one section and the answer");

    // The export has them all, and says which were asked later.
    let (out, err) = said(&longhand(at, &["export", "kept", "--json", "-"]));
    let reads: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {err}"));
    let asked: Vec<&str> = reads["reads"].as_array().unwrap().iter().map(|read| read["question"].as_str().unwrap()).collect();
    assert_eq!(asked.len(), 4);
    assert_eq!(asked[..2], ["Who sold the mill?", "Who painted the bridge? Answer with a name."]);

    // A question of which the documents know nothing, and a directory that is no kept read.
    let none = ask("Zebras?", &["--reread"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(said(&none).1.contains("no section shares a word with the question"));
    let other = longhand(at, &["ask", ".", "Who?", "--model", &model]);
    assert_eq!(other.status.code(), Some(2));
    assert!(said(&other).1.contains("only a read with `--save DIR`"), "{}", said(&other).1);
}

#[test]
fn a_packed_read_is_asked_further_and_keeps_what_was_asked() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("town.txt"), town()).unwrap();
    let server = Server::start(reader);
    let model = format!("openai:{}#m", server.url);
    let read =
        longhand(at, &[&["read", "town.txt", "--model", &model, "--ask", "Who sold the mill?", "--mode", "memory"], &SIZES[..]].concat());
    assert!(read.status.success(), "{}", said(&read).1);
    assert!(longhand(at, &["export", "kept", "--longhand", "kept.longhand"]).status.success());
    // What the notes do not hold is kept as an answer neither in the directory nor in the file.
    let (out, err) = said(&longhand(at, &["ask", "kept", "Who is Mara Voss?", "--model", &model]));
    assert!(err.contains("it is not shown"), "{out}{err}");
    assert_eq!(std::fs::read_dir(at.join("kept/asks")).unwrap().count(), 0);
    std::fs::remove_dir_all(at.join("kept")).unwrap();
    let file = at.join("kept.longhand");
    let kept = || agent::report::unpack(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let before = kept();
    let ask = |question: &str, more: &[&str]| longhand(at, &[&["ask", "kept.longhand", question, "--model", &model], more].concat());

    let (out, err) = said(&ask("In which year was the mill sold by Mara Voss?", &[]));
    assert!(out.contains("sold in 1931 by Mara Voss. [quoted: line 1]") && err.contains("nothing was read again"), "{out}{err}");
    let (out, err) = said(&ask("When did the school burn down?", &["--reread", "--sections", "1"]));
    assert!(out.contains("The school burned down on 3 May 1952. [quoted: line 7]"), "{out}{err}");
    let after = kept();
    assert_eq!((&after.documents, &after.logs[..1]), (&before.documents, &before.logs[..]));
    let added: Vec<(&str, bool, usize)> =
        after.logs[1..].iter().map(|log| (log.name.split('-').next().unwrap(), log.later, log.events.len())).collect();
    // Began, answered; began, what was chosen, a section, answered.
    assert_eq!(added, [("asks/ask", true, 2), ("asks/reread", true, 4)]);

    // The same question again is the same log, and costs nothing.
    let paid = calls(&server);
    let (out, _) = said(&ask("When did the school burn down?", &["--reread", "--sections", "1"]));
    assert!(out.contains("The school burned down on 3 May 1952."), "{out}");
    assert_eq!((calls(&server), kept()), (paid, after.clone()));
    let (out, err) = said(&ask("Who is Mara Voss?", &[]));
    assert!(err.contains("it is not shown"), "{out}{err}");
    assert!(kept() == after, "a log was left behind");
    let names: Vec<_> = std::fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().ends_with(".part")) && !at.join("asks").exists(), "{names:?}");
}

#[test]
fn without_a_question_the_document_is_outlined() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("town.txt"), town()).unwrap();
    let server = Server::start(reader);
    let model = format!("openai:{}#m", server.url);
    let read = longhand(at, &[&["read", "town.txt", "--model", &model], &SIZES[..]].concat());
    let (out, err) = said(&read);
    assert!(read.status.success(), "{err}");
    assert!(out.starts_with("Minutes of a town."), "{out}");
    assert!(out.contains("1. (line 1) The mill at Ouse was sold in 1931 by Mara Voss. [quoted: line 1]"), "{out}");
    assert!(out.contains("- Mara Voss") && out.contains("- Otto Lind") && !out.contains("Nobody Here"), "{out}");
    // Every section's notes are kept for later questions.
    let (out, err) = said(&longhand(at, &["ask", "kept", "When did the school burn down?", "--model", &model]));
    assert!(out.contains("The school burned down on 3 May 1952.") && err.contains("nothing was read again"), "{out}{err}");
    // What makes no sense is refused.
    let quotes = longhand(at, &["read", "town.txt", "--model", &model, "--quotes"]);
    assert_eq!(quotes.status.code(), Some(2));
    assert!(said(&quotes).1.contains("an outline quotes nothing"));
    let mode = longhand(at, &["read", "town.txt", "--model", &model, "--mode", "retrieve"]);
    assert_eq!(mode.status.code(), Some(2));
    assert!(said(&mode).1.contains("give a question with --ask"));
}
