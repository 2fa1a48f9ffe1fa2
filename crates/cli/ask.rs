//! `longhand ask`: a further question to a read that was kept.

use std::path::PathBuf;

use agent::report::{Cited, Kept};
use agent::{Ask, Evidence, Mode, Notes, ReadSettings, Sources};
use anyhow::{Context, Result, bail, ensure};
use data::{Document, ReadEvent, Span, Support};
use serde_json::json;

use crate::args::ModelArgs;
use crate::generate::SamplingArgs;
use crate::mind::Opened;
use crate::{kept, mind, read};

/// Answers from the notes of a kept read where they hold the evidence. Otherwise names the sections it would read again, and how long that
/// takes, and waits for `--reread`.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand ask my-read \"Who signed it?\" --model ./Qwen3-4B\n  longhand ask my-read \"Who signed it?\" --model ./Qwen3-4B --reread"
)]
pub struct AskArgs {
    /// The directory given to `read --save`, or a file of `export --longhand`.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The question.
    #[arg(value_name = "Q")]
    question: String,
    /// Read the sections again that the notes leave open.
    #[arg(long)]
    reread: bool,
    /// How many sections to read again at most.
    #[arg(long, value_name = "N", default_value_t = 3)]
    sections: usize,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    sampling: SamplingArgs,
    /// Print what happens as JSON lines.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub fn run(args: &AskArgs) -> Result<()> {
    ensure!(!args.question.trim().is_empty(), "the question is empty");
    ensure!(args.sections > 0, "--sections must be at least 1");
    let kept = kept::open(&args.run)?;
    let evidence =
        Notes::gather(kept.logs.iter().map(|log| log.events.as_slice())).evidence(&args.question, &Sources::new(&kept.documents));
    if !args.json {
        eprintln!("the notes name {:.0} % of what the question names", 100.0 * evidence.share);
    }
    if args.reread {
        return reread(args, &kept, &evidence);
    }
    if evidence.is_enough() && answer(args, &kept, &evidence)? {
        return Ok(());
    }
    propose(args, &kept, &evidence)
}

/// Answers from the notes; `false` where the model finds nothing there, or nothing it says has a source.
fn answer(args: &AskArgs, kept: &Kept, evidence: &Evidence) -> Result<bool> {
    let (opened, settings) = open(args, kept)?;
    let (mut sink, past) = kept::later(&args.run, kept, log_name(args, "ask"))?;
    let (notes, edits) = (evidence.text(), kept.edits());
    let ask = Ask { notes: &notes, edits: &edits, ..Ask::new(&args.question, &past, &mut sink) };
    let outcome = read::run_all(&opened.mind(), &kept.documents, vec![ask], &settings, false);
    opened.say_spent();
    let (readings, _) = outcome.with_context(|| format!("the question stays open; its log is {}", sink.path().display()))?;
    let reading = &readings[0];
    let mut cited = Cited::new(&kept.documents);
    cited.add(kept.read());
    let citations = cited.cite(&reading.answer);
    let sourced = citations.iter().any(|citation| matches!(citation.support, Support::Quoted | Support::Supported { .. }));
    if reading.answer.contains(agent::NOT_HELD) || !sourced {
        // Kept, it would be shown as an answer and count as a note.
        sink.forget()?;
        eprintln!(
            "{}",
            match sourced {
                true => "the model finds no answer in the notes",
                false => "no sentence of an answer from the notes has a source: it is not shown",
            }
        );
        return Ok(false);
    }
    if args.json {
        println!(
            "{}",
            json!({"event": "done", "from": "notes", "answer": reading.answer, "notes": evidence.notes, "citations": cited.json(&citations)})
        );
        return Ok(true);
    }
    eprintln!("answered from the notes; nothing was read again");
    println!("{}", cited.marked(&reading.answer, &citations));
    let sources = cited.sources(&reading.answer, &citations);
    if !sources.is_empty() {
        eprintln!("\nSources");
        sources.iter().for_each(|source| eprintln!("  {source}"));
    }
    Ok(true)
}

/// Names what would be read again.
fn propose(args: &AskArgs, kept: &Kept, evidence: &Evidence) -> Result<()> {
    let sections = chosen(args, kept)?;
    let bytes: usize = sections.iter().map(|span| span.end - span.start).sum();
    let tokens = tokens(kept, &sections);
    let seconds = kept.seconds_per_token().zip(tokens).map(|(each, tokens)| each * tokens as f64);
    if args.json {
        let line =
            json!({"event": "reread_needed", "notes_share": evidence.share, "sections": sections, "tokens": tokens, "seconds": seconds});
        println!("{line}");
        return Ok(());
    }
    println!("The notes do not hold the answer. These sections speak of what the question names:");
    for span in &sections {
        println!("  {}", place(&kept.documents, span));
    }
    let cost = match (tokens, seconds) {
        (Some(tokens), Some(seconds)) => format!("{tokens} tokens, about {seconds:.0} s by the speed of the earlier read"),
        (Some(tokens), None) => format!("{tokens} tokens"),
        _ => format!("{bytes} bytes"),
    };
    println!("To read them again ({cost}): the same command with --reread");
    Ok(())
}

/// Reads the chosen sections again, beginning with the notes that speak of the question.
fn reread(args: &AskArgs, kept: &Kept, evidence: &Evidence) -> Result<()> {
    let sections = chosen(args, kept)?;
    let (opened, settings) = open(args, kept)?;
    let (mut sink, past) = kept::later(&args.run, kept, log_name(args, "reread"))?;
    let (notes, edits) = (evidence.text(), kept.edits());
    let ask = Ask { sections: &sections, notes: &notes, edits: &edits, ..Ask::new(&args.question, &past, &mut sink) };
    let outcome = read::run_all(&opened.mind(), &kept.documents, vec![ask], &settings, args.json);
    opened.say_spent();
    let (readings, mut watcher) =
        outcome.with_context(|| format!("the read stopped; run the same command again to go on from {}", sink.path().display()))?;
    // What the notes say may come from any part that was read before.
    watcher.cited[0].add(kept.read());
    watcher.say(0, &readings[0], &kept.documents);
    Ok(())
}

fn chosen(args: &AskArgs, kept: &Kept) -> Result<Vec<Span>> {
    let sections = agent::sections_for(&args.question, &kept.documents, &kept.chunks(), args.sections);
    if sections.is_empty() {
        bail!("no section shares a word with the question: ask in the documents' own words, or read them anew with `longhand read --ask`");
    }
    Ok(sections)
}

/// The model, and the sizes the kept read was made with.
fn open(args: &AskArgs, kept: &Kept) -> Result<(Opened, ReadSettings)> {
    let Some(ReadEvent::Started { window, chunk, memory, plan, thinking, answer, style, .. }) = kept.logs[0].events.first() else {
        bail!("{} holds no read", args.run.display())
    };
    let opened = mind::open(&args.model, Some(*window))?;
    let mind = opened.mind();
    let settings = ReadSettings {
        chunk: *chunk,
        memory: *memory,
        plan: *plan,
        thinking: *thinking,
        answer: *answer,
        begin: mind.begin,
        short: style.starts_with("short"),
        mode: Mode::Memory,
        sampling: args.sampling.sampling(mind.entry),
        ..ReadSettings::for_window(*window, mind.thinks)
    };
    Ok((opened, settings))
}

/// The name of this question's log: the same question, the same log.
fn log_name(args: &AskArgs, kind: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{kind}\n{}\n{}", args.question, args.sections));
    let name: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("asks/{kind}-{name}.jsonl")
}

/// Document tokens of sections that the logs know.
fn tokens(kept: &Kept, sections: &[Span]) -> Option<usize> {
    let known = |span: &Span| {
        kept.events().find_map(|event| match event {
            ReadEvent::Chunk { doc, start, end, tokens, .. } if (doc, start, end) == (&span.doc, &span.start, &span.end) => Some(*tokens),
            _ => None,
        })
    };
    sections.iter().map(known).sum()
}

fn place(documents: &[Document], span: &Span) -> String {
    let Some(document) = documents.iter().find(|document| document.id == span.doc) else { return span.doc.clone() };
    let from = document.places(span.start);
    let begins = document.text.get(span.start..span.end).unwrap_or_default();
    let words: Vec<&str> = begins.split_whitespace().take(10).collect();
    let places: Vec<String> = from.iter().map(ToString::to_string).filter(|place| !place.is_empty()).collect();
    format!(
        "{}, from {}: “{} …”",
        document.source,
        if places.is_empty() { format!("byte {}", span.start) } else { places.join(", ") },
        words.join(" ")
    )
}
