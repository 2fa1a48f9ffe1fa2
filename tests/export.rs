//! `longhand export`: a kept read as page, Markdown and JSON, from hostile documents too.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use data::{Document, MemoryOutcome, ReadEvent, Sampling, Span, Usage};
use serde_json::Value;

const TEXT: &str = "About 1,600 marines remain in Nicaragua at the request of that government.\n\n</script><script>alert(1)</script> <!-- é 汉字\n\nThe mill at Ouse was sold in 1931 by Mara Voss.\n";

fn export(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_longhand")).arg("export").args(args).output().unwrap()
}

fn started(question: &str, chunks: usize, style: &str) -> ReadEvent {
    ReadEvent::Started {
        version: ReadEvent::VERSION,
        model: "scripted".into(),
        question: question.into(),
        documents: vec![("a".into(), "0".into(), TEXT.len())],
        window: 1000,
        chunk: 100,
        memory: 100,
        plan: 50,
        thinking: 0,
        answer: 50,
        chunks,
        sampling: Sampling::GREEDY,
        style: style.into(),
    }
}

/// The first section, the second, or both.
fn section(index: usize, memory: &str) -> ReadEvent {
    let middle = TEXT.find("</script>").unwrap();
    let (start, end) = [(0, middle), (middle, TEXT.len())][index];
    ReadEvent::Chunk {
        index,
        doc: "a".into(),
        start,
        end,
        tokens: 20,
        reply: memory.into(),
        memory: memory.into(),
        plan: "go on".into(),
        outcome: MemoryOutcome::Updated,
        usage: Usage::default(),
        seconds: None,
    }
}

fn answer(text: &str) -> ReadEvent {
    ReadEvent::Answer { text: text.into(), reply: String::new(), usage: Usage::default(), seconds: None, model: None }
}

fn log(path: impl AsRef<Path>, events: &[ReadEvent]) {
    let lines = events.iter().map(|event| serde_json::to_string(event).unwrap() + "\n").collect::<String>();
    fs::create_dir_all(path.as_ref().parent().unwrap()).unwrap();
    fs::write(path, lines).unwrap();
}

/// A read of two sections that ended, in `folder`.
fn kept(folder: &Path) {
    let events = [
        started("Who sold the mill? </script>", 2, ""),
        section(0, "Nothing found yet\n- The seller is not known."),
        section(1, "- The mill at Ouse was sold in 1931 by Mara Voss.\n- The seller is now known."),
        answer("Mara Voss sold it in 1931. The price was 900 pounds."),
    ];
    log(folder.join("events.jsonl"), &events);
    fs::write(folder.join("documents.jsonl"), serde_json::to_string(&Document::plain("a", "a.txt", TEXT)).unwrap() + "\n").unwrap();
}

fn json(folder: &Path) -> Value {
    let output = export(&[folder.to_str().unwrap(), "--json", "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn html(folder: &Path) -> String {
    let output = export(&[folder.to_str().unwrap(), "--html", "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn markdown(folder: &Path) -> String {
    let output = export(&[folder.to_str().unwrap(), "--md", "-"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}

/// The data inside a page.
fn page_data(html: &str) -> Value {
    let start = html.find("<script type=\"application/json\" id=\"data\">").unwrap();
    let data = &html[start..][html[start..].find('>').unwrap() + 1..];
    serde_json::from_str(&data[..data.find("</script>").unwrap()]).unwrap()
}

/// The text of a group of a page's notes before (`-1`) or after (`1`) a section.
fn side(turn: &Value, side: i64) -> String {
    let pieces = list(&turn["notes"]).iter().flat_map(|group| list(&group["pieces"]));
    pieces.filter(|piece| piece[1] == 0 || piece[1] == side).map(|piece| text(&piece[0])).collect()
}

#[test]
fn a_page_holds_source_notes_coverage_and_citations() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let out = folder.path().join("out.html");
    let output = export(&[folder.path().to_str().unwrap(), "--html", out.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let html = fs::read_to_string(&out).unwrap();
    // Nothing of a document is markup, and nothing is loaded from anywhere.
    assert_eq!(html.matches("alert(1)").count(), 1);
    assert_eq!(html.matches("</script>").count(), 2);
    assert!(!html.contains("http://") && !html.contains("https://") && html.contains("default-src 'none'"));
    let data = page_data(&html);
    let parts = list(&data["documents"][0]["parts"]);
    assert_eq!(parts.iter().map(|part| text(&part["text"])).collect::<String>(), TEXT);
    let read = &data["reads"][0];
    let states: Vec<i64> = list(&read["states"][0]).iter().map(|state| state.as_i64().unwrap()).collect();
    assert_eq!(states.len(), parts.len());
    let of = |section| {
        parts.iter().zip(&states).filter(|(_, state)| **state == section).map(|(part, _)| text(&part["text"])).collect::<String>()
    };
    assert_eq!((of(0) + &of(1), of(1).starts_with("</script>")), (TEXT.into(), true));
    assert_eq!((read["covered"].as_u64(), list(&read["turns"]).len()), (Some(TEXT.len() as u64), 2));
    let notes = list(&read["turns"][1]["notes"]);
    let note = notes.iter().find(|group| group["class"] == "quoted").expect("a quoted note");
    let mark = note["mark"].as_u64().unwrap();
    let marked = |part: &&Value| list(&part["marks"]).iter().any(|m| m.as_u64() == Some(mark));
    let source: String = parts.iter().filter(marked).map(|part| text(&part["text"])).collect();
    assert!(source.contains("sold in 1931 by Mara Voss"), "{source}");
    let parts: Vec<&Value> = list(&read["answer"]["blocks"]).iter().flat_map(|block| list(&block["parts"])).collect();
    let invented = parts.iter().find(|part| text(&part["text"]).contains("900")).unwrap();
    assert_eq!((invented["class"].as_str(), invented["mark"].as_u64()), (Some("none"), None));
    assert_eq!(read["answer"]["none"], 1);
}

#[test]
fn the_page_has_the_notes_before_and_after_each_section() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let page = page_data(&html(folder.path()));
    let json = json(folder.path());
    let (shown, turns) = (list(&page["reads"][0]["turns"]), list(&json["reads"][0]["turns"]));
    assert_eq!((side(&shown[0], -1), side(&shown[0], 1)), (String::new(), text(&turns[0]["memory"]).into()));
    assert_eq!((side(&shown[1], -1), side(&shown[1], 1)), (text(&turns[0]["memory"]).into(), text(&turns[1]["memory"]).into()));
    assert_eq!((text(&shown[0]["changed"]), text(&shown[1]["changed"])), ("2 added", "1 added, 1 changed, 1 dropped"));
    let changes = &turns[1]["changes"];
    assert_eq!([&changes["added"], &changes["changed"], &changes["dropped"], &changes["kept"]], [1, 1, 1, 0]);
    let changed = list(&changes["items"]).iter().find(|item| item["kind"] == "changed").unwrap();
    assert_eq!(
        changed["pieces"],
        serde_json::json!([{"kept": "- The seller is "}, {"dropped": "not"}, {"added": "now"}, {"kept": " known."}])
    );
    let md = markdown(folder.path());
    assert!(md.contains("### Section 2 of 2, line 3: 1 added, 1 changed, 1 dropped"), "{md}");
    assert!(md.contains("- changed: The seller is ~~not~~**now** known."), "{md}");
    assert!(md.contains("- dropped: ~~Nothing found yet~~"), "{md}");
}

#[test]
fn markdown_and_json_say_the_same() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let md = markdown(folder.path());
    assert!(md.contains("The price was 900 pounds.\n  no source found") && md.contains("100.0 % of"), "{md}");
    // What a model or a user wrote is no tag there either.
    assert!(md.starts_with("# Who sold the mill? \\</script>"), "{md}");
    let json = json(folder.path());
    assert_eq!((json["documents"][0]["source"].as_str(), json["documents"][0]["bytes"].as_u64()), (Some("a.txt"), Some(TEXT.len() as u64)));
    let read = &json["reads"][0];
    assert_eq!((read["log"].as_str(), read["later"].as_bool()), (Some("events.jsonl"), Some(false)));
    assert_eq!(read["answer"]["text"], "Mara Voss sold it in 1931. The price was 900 pounds.");
    assert_eq!((text(&read["turns"][1]["place"]), text(&read["turns"][1]["citations"][0]["place"])), ("line 3", "line 5"));
}

#[test]
fn every_question_of_a_read_is_there_and_those_asked_later_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    kept(folder.path());
    log(at("events-10.jsonl"), &[started("The tenth?", 2, ""), section(0, "- 1,600 marines remain in Nicaragua.")]);
    log(
        at("events-2.jsonl"),
        &[
            started("How many marines?", 2, ""),
            section(0, "- About 1,600 marines remain."),
            section(1, "- About 1,600 marines remain."),
            answer("About 1,600 marines remain in Nicaragua."),
        ],
    );
    // A read that was stopped before its first line.
    log(at("events-3.jsonl"), &[]);
    log(
        at("asks/10.jsonl"),
        &[
            started("Again?", 0, "reread"),
            ReadEvent::Selected { spans: vec![Span { doc: "a".into(), start: 0, end: 75 }] },
            answer("The mill was sold by Mara Voss."),
        ],
    );
    log(at("asks/2.jsonl"), &[started("And in what year?", 0, "ask"), answer("The mill at Ouse was sold in 1931. It burnt down in 1950.")]);
    log(at("asks/3.jsonl"), &[started("Otherwise?", 0, "of <tomorrow>"), answer("No.")]);
    let json = json(folder.path());
    let reads = list(&json["reads"]);
    let said: Vec<(&str, &str, bool)> =
        reads.iter().map(|read| (text(&read["log"]), text(&read["question"]), read["later"] == true)).collect();
    let expected = [
        ("events.jsonl", "Who sold the mill? </script>", false),
        ("events-2.jsonl", "How many marines?", false),
        ("events-10.jsonl", "The tenth?", false),
        ("asks/2.jsonl", "And in what year?", true),
        ("asks/3.jsonl", "Otherwise?", true),
        ("asks/10.jsonl", "Again?", true),
    ];
    assert_eq!(said, expected);
    // From the notes of a read of everything: all of it may be cited, nothing was read again.
    let ask = &reads[3];
    assert_eq!(
        (ask["answer"]["citations"][0]["citation"]["support"]["kind"].as_str(), &ask["coverage"]["covered"]),
        (Some("quoted"), &json["documents"][0]["bytes"])
    );
    assert_eq!((ask["answer"]["citations"][1]["citation"]["support"]["kind"].as_str(), list(&ask["reread"]).len()), (Some("not_found"), 0));
    assert_eq!(reads[5]["reread"][0]["end"], 75);
    // A question whose read has not come as far covers less, whatever the others saw.
    assert!(reads[2]["coverage"]["covered"].as_u64().unwrap() < TEXT.len() as u64);
    let page = page_data(&html(folder.path()));
    let kinds: Vec<Option<&str>> = list(&page["reads"]).iter().map(|read| read["kind"].as_str()).collect();
    let expected =
        [None, None, None, Some("asked later, from the notes"), Some("asked later, of <tomorrow>"), Some("asked later, sections re-read")];
    assert_eq!(kinds, expected);
    assert!(list(&page["reads"][2]["states"][0]).iter().any(|state| state == -2));
    let md = markdown(folder.path());
    assert_eq!(md.matches("\n## Sources\n").count(), 5, "{md}");
    assert!(md.contains("# And in what year?\n\n*asked later, from the notes*\n") && md.contains("*asked later, of \\<tomorrow>*"), "{md}");
    assert!(md.contains("75 bytes were read again for this question."), "{md}");
}

#[test]
fn a_question_asked_later_cites_nothing_that_was_never_read() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    log(folder.path().join("events.jsonl"), &[started("First?", 2, ""), section(0, "- About 1,600 marines remain.")]);
    let later = [started("Later?", 0, "ask"), answer("The mill at Ouse was sold in 1931 by Mara Voss.")];
    log(folder.path().join("asks/1.jsonl"), &later);
    let kind = |json: &Value| json["reads"][1]["answer"]["citations"][0]["citation"]["support"]["kind"].clone();
    assert_eq!(kind(&json(folder.path())), "not_found");
    // With the section that says it, it is quoted.
    log(folder.path().join("events.jsonl"), &[started("First?", 2, ""), section(0, "-"), section(1, "-")]);
    assert_eq!(kind(&json(folder.path())), "quoted");
}

#[test]
fn the_notes_of_an_outline_stand_for_themselves() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let answer_text = "# The document\n\n## 1. Abroad\n- Marines remain in Nicaragua\n  - at its request\n\nText of\ntwo lines.\n1. </script><img src=x onerror=alert(1)>\n```\n# no heading\n```";
    let events =
        [started("Outline it", 2, "outline"), section(0, "- Marines remain"), section(1, "- A mill was sold"), answer(answer_text)];
    log(folder.path().join("events.jsonl"), &events);
    let json = json(folder.path());
    assert!(list(&json["reads"][0]["turns"]).iter().all(|turn| turn.get("changes").is_none()));
    let html = html(folder.path());
    assert_eq!(html.matches("</script>").count(), 2);
    let read = &page_data(&html)["reads"][0];
    assert_eq!(read["outline"], true);
    for (turn, memory) in list(&read["turns"]).iter().zip(["- Marines remain", "- A mill was sold"]) {
        assert_eq!((side(turn, -1), side(turn, 1), &turn["changed"]), (memory.into(), memory.into(), &Value::Null));
    }
    let blocks: Vec<(String, String)> = list(&read["answer"]["blocks"])
        .iter()
        .map(|block| {
            let words = list(&block["parts"]).iter().map(|part| text(&part["text"])).collect();
            let kind = text(&block["kind"]);
            (
                format!(
                    "{kind}{}{}",
                    block["level"].as_u64().or(block["depth"].as_u64()).map_or(String::new(), |n| n.to_string()),
                    block["sign"].as_str().unwrap_or("")
                ),
                words,
            )
        })
        .collect();
    let expected = [
        ("heading1", "The document"),
        ("heading2", "1. Abroad"),
        ("item0•", "Marines remain in Nicaragua"),
        ("item1•", "at its request"),
        ("text", "Text of\ntwo lines."),
        ("item01.", "</script><img src=x onerror=alert(1)>"),
        ("code", "```\n# no heading\n```"),
    ];
    assert_eq!(blocks, expected.map(|(kind, words)| (kind.to_string(), words.to_string())));
    let md = markdown(folder.path());
    assert!(md.contains("### Section 2 of 2, line 3\n\n- A mill was sold\n") && md.contains("\\<img src=x"), "{md}");
}

#[test]
fn a_quote_that_is_not_there_is_said_and_makes_no_note_quoted() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let first = "- Five ships are abroad “1,600 marines remain in Nicaragua”\n- The mill burnt “The mill at Ouse was sold in 1931”";
    let events = [
        started("What?", 2, "quotes"),
        section(0, first),
        section(1, &format!("{first}\n- Gold was found “sold by somebody in 1931”\n- A fact")),
        answer("No."),
    ];
    log(folder.path().join("events.jsonl"), &events);
    let turns = json(folder.path())["reads"][0]["turns"].clone();
    let found = |turn: usize| list(&turns[turn]["quotes"]).iter().map(|quote| text(&quote["found"]).to_string()).collect::<Vec<_>>();
    // The second quote stands in the second section: not found as long as that was not read.
    assert_eq!(found(0), ["there", "not_found"]);
    assert_eq!(found(1), ["there", "there", "not_found", "no_quote"]);
    let quote = &turns[1]["quotes"][1];
    let (memory, span) = (text(&turns[1]["memory"]), &quote["source"]["span"]);
    let at = |value: &Value| value.as_u64().unwrap() as usize;
    assert_eq!(&memory[at(&quote["start"])..at(&quote["end"])], "The mill burnt “The mill at Ouse was sold in 1931”");
    assert_eq!((&TEXT[at(&span["start"])..at(&span["end"])], text(&quote["place"])), ("The mill at Ouse was sold in 1931", "line 5"));
    // Neither a quote that stands there nor one that does not makes a note quoted.
    let kinds = |json: &Value| -> Vec<String> {
        let cited = list(&json["reads"][0]["turns"][1]["citations"]);
        cited.iter().map(|cited| text(&cited["citation"]["support"]["kind"]).to_string()).collect()
    };
    assert_eq!(kinds(&json(folder.path())), ["not_found"; 4]);
    let html = html(folder.path());
    let md = markdown(folder.path());
    // Without the check the quote's words would carry the note.
    let plain = [&[started("What?", 2, "")], &events[1..]].concat();
    log(folder.path().join("events.jsonl"), &plain);
    assert!(kinds(&json(folder.path())).iter().any(|kind| kind != "not_found"));
    let page = page_data(&html);
    let shown: Vec<(String, &str)> = list(&page["reads"][0]["turns"][1]["notes"])
        .iter()
        .filter(|group| !group["quote"].is_null())
        .map(|group| {
            (
                list(&group["pieces"]).iter().map(|piece| text(&piece[0])).collect::<String>().trim().to_string(),
                text(&group["quote"]["found"]),
            )
        })
        .collect();
    let expected = [
        ("“1,600 marines remain in Nicaragua”", "there"),
        ("“The mill at Ouse was sold in 1931”", "there"),
        ("“sold by somebody in 1931”", "not_found"),
        ("A fact", "no_quote"),
    ];
    assert_eq!(shown, expected.map(|(words, found)| (words.to_string(), found)));
    assert_eq!(side(&page["reads"][0]["turns"][1], 1), memory);
    assert!(md.contains("- Gold was found\n  “sold by somebody in 1931” was NOT FOUND in what was read"), "{md}");
    assert!(md.contains("“The mill at Ouse was sold in 1931” stands in line 5"), "{md}");
}

#[test]
fn hostile_notes_stay_text() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let hostile = "- </script><script>alert(1)</script> “</script>”\n<!-- <script> -->\n\u{202e}gnp.exe \u{2066}x\u{0}\u{1b}[31m\n{{data}} $& \\u003c";
    for style in ["", "quotes", "outline"] {
        log(
            folder.path().join("events.jsonl"),
            &[started(hostile, 2, style), section(0, hostile), section(1, &hostile.replace("script", "b")), answer(hostile)],
        );
        log(folder.path().join("asks/1.jsonl"), &[started(hostile, 0, hostile), answer(hostile)]);
        let html = html(folder.path());
        assert_eq!(
            (html.matches("</script>").count(), html.matches("<script").count(), html.matches("<!--").count()),
            (2, 2, 0),
            "{style}"
        );
        let data = page_data(&html);
        assert_eq!(side(&data["reads"][0]["turns"][0], 1), hostile);
        assert_eq!(data["reads"][1]["question"], hostile);
        let md = markdown(folder.path());
        assert!(!md.contains("\n<!--") && md.contains("\\<script>alert(1)\\</script>"), "{style}: {md}");
    }
}

#[test]
fn a_read_that_stopped_half_way_is_shown_as_such() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let log = folder.path().join("events.jsonl");
    let text = fs::read_to_string(&log).unwrap();
    fs::write(&log, text.lines().take(2).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let json = json(folder.path());
    assert_eq!(json["reads"][0]["answer"], Value::Null);
    assert_eq!(json["reads"][0]["coverage"]["skipped"][0]["end"], TEXT.len());
}

#[test]
fn a_packed_read_is_exported_as_its_directory_is() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    log(folder.path().join("asks/1.jsonl"), &[started("Later?", 0, "ask"), answer("The mill at Ouse was sold in 1931.")]);
    let file = folder.path().join("my-read.longhand");
    let output = export(&[folder.path().to_str().unwrap(), "--longhand", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((html(&file), markdown(&file), json(&file)), (html(folder.path()), markdown(folder.path()), json(folder.path())));
    // Packed from the packed it is the same, and through standard output too.
    let again = export(&[file.to_str().unwrap(), "--longhand", "-"]);
    let text = fs::read_to_string(&file).unwrap();
    assert_eq!(String::from_utf8(again.stdout).unwrap(), text);
    assert!(text.starts_with("{\"longhand\":\"read\",\"version\":1,"), "{text}");
    let names: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!names.iter().any(|name| name.ends_with(".part")), "{names:?}");
    let refused = |text: &str, words: &str| {
        fs::write(&file, text).unwrap();
        let output = export(&[file.to_str().unwrap(), "--html", "-"]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
        assert!(message.contains("my-read.longhand") && message.contains(words), "{message}");
    };
    refused(&text.replacen("\"version\":1", "\"version\":2", 1), "newer");
    refused(&text[..text.len() / 2], "cut off");
    refused(&text.replacen("\"event\":\"chunk\"", "\"event\":\"dance\"", 1), "line 5: unknown variant `dance`");
    refused("hello", "no kept read");
}

#[test]
fn what_is_no_kept_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().to_str().unwrap().to_string();
    let refused = |words: &str| {
        let output = export(&[&run, "--html", "-"]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0), "{message}");
        assert!(message.contains(words), "{message}");
    };
    refused("only a read with `--save DIR` can be exported");
    kept(folder.path());
    fs::write(folder.path().join("documents.jsonl"), "{\"id\":\"a\"}\n").unwrap();
    refused("line 1");
    kept(folder.path());
    fs::write(folder.path().join("documents.jsonl"), serde_json::to_string(&Document::plain("a", "a.txt", "other")).unwrap()).unwrap();
    refused("holds other documents");
    kept(folder.path());
    log(folder.path().join("asks/1.jsonl"), &[answer("No.")]);
    refused("holds no read");
    assert_eq!(export(&[&run]).status.code(), Some(2));
}

/// The page after a script clicked on everything, as a browser has it.
fn in_a_browser(html: &str, script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.html");
    fs::write(&page, html.replace("</body>", &format!("<script>{script}</script></body>"))).unwrap();
    let program = std::env::var("CHROMIUM").unwrap_or("chromium".into());
    let dom = folder.path().join("dom.html");
    let mut browser = Command::new(&program)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}", page.display()))
        .stdout(fs::File::create(&dom).unwrap())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}"));
    // A page that shows an alert waits for ever.
    let since = std::time::Instant::now();
    while browser.try_wait().unwrap().is_none() && since.elapsed().as_secs() < 30 {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let _ = browser.kill();
    browser.wait().unwrap();
    String::from_utf8_lossy(&fs::read(&dom).unwrap()).into_owned()
}

#[test]
#[ignore = "needs Chromium: cargo test --test export -- --ignored"]
fn the_page_works_in_a_browser_and_hostile_text_is_text_there() {
    let folder = tempfile::tempdir().unwrap();
    kept(folder.path());
    let hostile = "</script><script>alert(1)</script> <img src=x onerror=alert(2)> **<i>x</i>** `<b>y</b>`";
    let events = [
        started(hostile, 2, "quotes"),
        section(0, &format!("- {hostile} “1,600 marines remain in Nicaragua”")),
        section(1, hostile),
        answer(&format!("# {hostile}\n- {hostile}")),
    ];
    log(folder.path().join("events-2.jsonl"), &events);
    log(folder.path().join("asks/1.jsonl"), &[started("Later?", 0, hostile), answer("Mara Voss sold it in 1931.")]);
    let script = r##"
        const said = [];
        addEventListener("error", e => said.push(e.message));
        const count = query => document.querySelectorAll(query).length;
        for (const number of data.reads.keys()) {
            document.querySelectorAll("#questions button")[number].click();
            for (const button of document.querySelectorAll("main section button, main #answer button, #back")) if (!button.disabled) button.click();
            by("earlier").click();
            if (!by("changing").checked) by("changing").click();
            said.push([by("question").textContent.slice(0, 6), count("img"), count("#answer strong"), count("#notes ins"), count("#notes del"), count("mark") > 0, by("changed").textContent].join("|"));
        }
        const result = document.createElement("pre");
        result.id = "result";
        result.textContent = said.join("\n");
        document.body.append(result);
    "##;
    let dom = in_a_browser(&html(folder.path()), script);
    let start = dom.find("<pre id=\"result\">").unwrap_or_else(|| panic!("the page's script did not run:\n{dom}"));
    let result = &dom[start + 17..][..dom[start + 17..].find("</pre>").unwrap()];
    let lines: Vec<&str> = result.lines().collect();
    let expected = ["Who so|0|0|4|0|true|first notes: 2 added", "&lt;/scri|0|2|3|0|true|first notes: 1 added", "Later?|0|0|0|0|true|"];
    assert_eq!(lines, expected, "{result}");
}
