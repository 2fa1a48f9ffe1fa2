//! What README.md, ARCHITECTURE.md and docs/ name exists: paths, commands and their options, error texts, and the passages that answer
//! the bundled questions.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// What a path that is ours begins with.
const PLACES: [&str; 10] = ["crates/", "shaders/", "tests/", "docs/", "web/", "configs/", "models/", ".ci/", ".cargo/", "target/release/"];
const CARGO: [&str; 9] = ["run", "test", "build", "check", "bench", "fmt", "clippy", "install", "metadata"];

fn pages() -> Vec<(PathBuf, String)> {
    let root = Path::new(ROOT);
    let mut paths: Vec<PathBuf> = ["README.md", "ARCHITECTURE.md"].iter().map(|name| root.join(name)).collect();
    paths.extend(
        fs::read_dir(root.join("docs"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "md")),
    );
    paths.into_iter().map(|path| (path.clone(), fs::read_to_string(path).unwrap())).collect()
}

/// Backticked words and lines of code blocks.
fn code(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if fenced || line.starts_with("    ") {
            out.push(line.trim().to_string());
        } else {
            out.extend(line.split('`').skip(1).step_by(2).map(str::to_string));
        }
    }
    out
}

/// What commands make and git does not keep.
const BUILT: [&str; 3] = ["target/", "web/dist", "web/package"];

/// Relative targets of `[text](target)`.
fn links(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or(target).to_string())
        .collect()
}

/// Paths of ours among the words of a piece of code; those with a blank to fill in (`<op>`, `*`, `…`) are no paths.
fn paths(code: &str) -> Vec<String> {
    let words =
        code.split([' ', '"', '\'', '=', '(', ')', ',']).map(|word| word.trim_start_matches("./").trim_end_matches(['.', ':', ';']));
    words
        .filter(|word| {
            PLACES.iter().any(|place| word.starts_with(place))
                && !BUILT.iter().any(|built| word.starts_with(built))
                && !word.contains(['<', '*', '…', '{'])
        })
        .map(str::to_string)
        .collect()
}

/// (program, its arguments) of each `longhand …`, `cargo run … -- …`, `cargo …` in a piece of code.
fn commands(code: &str) -> Vec<(&'static str, Vec<String>)> {
    let mut out = Vec::new();
    for part in code.split(" # ").next().unwrap_or("").split(['|', ';']).flat_map(|part| part.split("&&")) {
        let mut words = part.split_whitespace().map(str::to_string).skip_while(|word| word.contains('=') || word == "$").peekable();
        match words.next().as_deref() {
            Some("longhand" | "./target/release/longhand" | "target/release/longhand") => out.push(("longhand", words.collect())),
            Some("cargo") if words.peek().is_some_and(|word| word == "xtask") => out.push(("xtask", words.skip(1).collect())),
            Some("cargo") => {
                let words: Vec<String> = words.collect();
                if words.first().is_some_and(|word| word == "run")
                    && let Some(at) = words.iter().position(|word| word == "--")
                {
                    out.push(("longhand", words[at + 1..].to_vec()));
                }
                out.push(("cargo", words));
            }
            _ => {}
        }
    }
    out
}

fn help(arguments: &[&str]) -> Option<String> {
    let output = Command::new(env!("CARGO_BIN_EXE_longhand")).args(arguments).arg("--help").output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// What is wrong with a command; `None` where nothing is.
fn fault(program: &str, arguments: &[String]) -> Option<String> {
    let verb =
        arguments.first().filter(|verb| verb.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-') && !verb.starts_with('-'))?;
    match program {
        "longhand" => {
            let Some(mut text) = help(&[verb]) else { return Some(format!("`longhand {verb}` is no verb")) };
            // A verb of verbs: its second word must be one of them.
            if text.contains("Commands:") && arguments.len() > 1 {
                let Some(second) = help(&[verb, &arguments[1]]) else {
                    return Some(format!("`longhand {verb} {}` is no verb", arguments[1]));
                };
                text = second;
            }
            let flags =
                arguments.iter().filter(|word| word.starts_with("--") && word.len() > 2).map(|word| word.split('=').next().unwrap_or(word));
            let missing = flags.into_iter().find(|flag| !text.split([' ', '\n', ',', '[', '=']).any(|word| word == *flag));
            missing.map(|flag| format!("`longhand {verb}` has no {flag}"))
        }
        "xtask" => {
            let source = fs::read_to_string(Path::new(ROOT).join("crates/xtask/src/main.rs")).unwrap();
            (!source.contains(&format!("\"{verb}\" =>"))).then(|| format!("`cargo xtask {verb}` is no verb"))
        }
        _ => (!CARGO.contains(&verb.as_str())).then(|| format!("`cargo {verb}` is not a command of ours")),
    }
}

#[test]
fn every_path_exists() {
    let mut missing = Vec::new();
    for (page, text) in pages() {
        let named = code(&text).iter().flat_map(|code| paths(code)).map(|path| Path::new(ROOT).join(path)).collect::<Vec<_>>();
        let linked = links(&text).into_iter().map(|target| page.parent().unwrap().join(target));
        missing.extend(
            named.into_iter().chain(linked).filter(|path| !path.exists()).map(|path| format!("{}: {}", page.display(), path.display())),
        );
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_command_exists_with_its_options() {
    let mut faults = Vec::new();
    let mut seen = 0;
    for (page, text) in pages() {
        for (program, arguments) in code(&text).iter().flat_map(|code| commands(code)) {
            seen += 1;
            faults.extend(fault(program, &arguments).map(|fault| format!("{}: {fault}", page.display())));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(seen > 10, "only {seen} commands were found: is this test reading the pages?");
}

#[test]
fn what_does_not_exist_is_noticed() {
    let words = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
    assert!(fault("longhand", &words("reed x.txt")).is_some());
    assert!(fault("longhand", &words("read x.txt --aks Q")).is_some());
    assert!(fault("longhand", &words("read x.txt --ask Q")).is_none());
    assert!(fault("longhand", &words("data wrold --items 3")).is_some());
    assert!(fault("longhand", &words("data world --itmes 3")).is_some());
    assert!(fault("longhand", &words("data world --items 3")).is_none());
    assert!(fault("xtask", &words("tset")).is_some());
    assert!(fault("cargo", &words("tset")).is_some());
    assert_eq!(paths("see `crates/agent/src/nowhere.rs`, or shaders/<op>.wgsl").len(), 0);
    assert_eq!(paths("crates/agent/src/nowhere.rs"), ["crates/agent/src/nowhere.rs"]);
    assert_eq!(commands("A=1 cargo run --release -- demo # once | x")[0], ("longhand", vec!["demo".to_string()]));
}

/// Everything an error text could stand in, with Rust's line continuations joined.
fn sources() -> Vec<String> {
    fn collect(folder: &Path, out: &mut Vec<String>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                collect(&path, out);
            } else if path.extension().is_some_and(|e| e == "rs") {
                out.push(fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut out = Vec::new();
    collect(&Path::new(ROOT).join("crates"), &mut out);
    out
}

#[test]
fn every_error_text_occurs_in_the_sources() {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/troubleshooting.md")).unwrap();
    let sources = sources();
    let mut quoted = 0;
    for heading in text.lines().filter(|line| line.starts_with("### ")) {
        let error = heading.split('`').nth(1).unwrap_or_else(|| panic!("{heading}: a heading here is an error text in backticks"));
        // `…` stands for what differs from case to case; the rest comes from one file.
        let parts: Vec<&str> = error.split('…').map(str::trim).filter(|part| !part.is_empty()).collect();
        assert!(sources.iter().any(|source| parts.iter().all(|part| source.contains(part))), "{error} is said nowhere");
        quoted += 1;
    }
    assert!(quoted > 20, "{quoted}");
}

#[test]
fn the_bundled_questions_are_answered_by_the_bundled_documents() {
    let folder = Path::new(ROOT).join("tests/documents");
    let questions: serde_json::Value = serde_json::from_str(&fs::read_to_string(folder.join("questions.json")).unwrap()).unwrap();
    let demo = fs::read_to_string(folder.join("demo.question.txt")).unwrap();
    assert_eq!(questions[0]["question"], demo.trim());
    for question in questions.as_array().unwrap() {
        let text = fs::read_to_string(folder.join(question["document"].as_str().unwrap())).unwrap();
        for passage in question["evidence"].as_array().unwrap() {
            assert_eq!(text.matches(passage.as_str().unwrap()).count(), 1, "{passage}");
        }
    }
}
