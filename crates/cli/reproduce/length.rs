//! `longhand reproduce length`: accuracy by the length of the document, of models that read with notes beside what one window can do.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use data::Item;
use reward::Rule;
use serde_json::{Value, json};
use train::rl::memory::parts;
use train::rl::score::wilson;
use train::run::view::duration;
use world::{World, WorldSettings};

/// Tokens of Qwen3 to a word of the small world (its tokenizer on 114,977 words of it).
pub const TOKENS_OF_A_WORD: f64 = 1.242;
/// Documents of one length are no others' and no training's.
const SEED: u64 = 0x6c65_6e67;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  longhand reproduce length --model sft=run/sft/model --model rl=run/memory/model --chunk 192 --memory 112 --short\n  longhand reproduce length --from-logs --out longhand-runs/length"
)]
pub struct LengthArgs {
    /// A reader with notes, as name=model; may repeat. The last one's window is what truncation and search fill; chance needs none.
    #[arg(long, value_name = "NAME=M")]
    model: Vec<String>,
    /// Lengths in tokens of Qwen3.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "2K,8K,64K,256K,1M,4M")]
    lengths: Vec<String>,
    /// Documents of each length.
    #[arg(long, value_name = "N,…", value_delimiter = ',', default_value = "200,200,200,60,24,4")]
    documents: Vec<u64>,
    /// Tokens of a section, and of the part that truncation and search read.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    chunk: usize,
    /// Tokens of the notes.
    #[arg(long, value_name = "N", default_value_t = 256)]
    memory: usize,
    /// Prompts of a few words, for models that were trained on them.
    #[arg(long)]
    short: bool,
    /// Notes must be proven by the section they come from (`longhand read --quotes`).
    #[arg(long)]
    quotes: bool,
    /// The facts of a question stand anywhere, not in the order in which a reader needs them.
    #[arg(long)]
    unordered: bool,
    /// Other names share a word with those of the question, and a question's facts have look-alikes.
    #[arg(long)]
    look_alikes: bool,
    /// Other documents: those of seed 0 were looked at while the reader's rules were made.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Where items, length.jsonl and length.html go; cells that are there are not measured again.
    #[arg(long, value_name = "DIR", default_value = "longhand-runs/length")]
    out: PathBuf,
    /// Measure nothing; only show what is there.
    #[arg(long)]
    from_logs: bool,
}

/// A reader.
struct Reader {
    name: String,
    model: String,
    /// What `longhand score --read` is told.
    way: &'static str,
}

/// Runs it.
pub fn run(args: &LengthArgs) -> Result<()> {
    fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let log = args.out.join("length.jsonl");
    let mut cells = read(&log)?;
    if !args.from_logs {
        measure(args, &log, &mut cells)?;
    }
    cells.retain(|cell| seed(cell) == args.seed);
    ensure!(!cells.is_empty(), "{} has no measurements: leave --from-logs out to make some", log.display());
    let page = args.out.join("length.html");
    fs::write(&page, html(&cells)).with_context(|| format!("cannot write {}", page.display()))?;
    print!("{}", markdown(&cells));
    eprintln!("reproduced at small scale; the page: {}", page.display());
    Ok(())
}

fn measure(args: &LengthArgs, log: &Path, cells: &mut Vec<Value>) -> Result<()> {
    let lengths = args.lengths.iter().map(|text| tokens(text)).collect::<Result<Vec<_>>>()?;
    ensure!(
        lengths.len() == args.documents.len(),
        "--lengths has {} and --documents {}: as many of both",
        lengths.len(),
        args.documents.len()
    );
    let readers = readers(&args.model)?;
    let file = File::options().create(true).append(true).open(log).with_context(|| format!("cannot write {}", log.display()))?;
    let mut file = BufWriter::new(file);
    for (&length, &documents) in lengths.iter().zip(&args.documents) {
        for reader in &readers {
            let is_it = |cell: &Value| {
                cell["reader"] == reader.name
                    && cell["tokens"] == length
                    && cell["unordered"] == args.unordered
                    && cell["look_alikes"] == args.look_alikes
                    && seed(cell) == args.seed
            };
            if cells.iter().any(is_it) {
                continue;
            }
            let items = items(args, length, documents)?;
            eprintln!("{} of {} documents of {length} tokens", reader.name, documents);
            let begun = Instant::now();
            let found = match reader.way {
                "chance" => chance(&crate::score::read(&items)?)?,
                _ => crate::score::of(&words(args, reader, &items))?,
            };
            let cell = json!({
                "reader": reader.name, "tokens": length, "unordered": args.unordered,
                "look_alikes": args.look_alikes, "seed": args.seed, "items": found["items"], "accuracy": found["accuracy"],
                "low": found["low"], "high": found["high"], "hops": found["hops"], "turns": found["turns"], "broken": found["broken"],
                "seconds": found["seconds"],
            });
            writeln!(file, "{cell}")?;
            file.flush()?;
            eprintln!("  {:.1} % in {}", 100.0 * found["accuracy"].as_f64().unwrap_or_default(), duration(begun.elapsed().as_secs_f64()));
            cells.push(cell);
        }
    }
    Ok(())
}

/// Cells from before there were seeds have none.
fn seed(cell: &Value) -> u64 {
    cell["seed"].as_u64().unwrap_or(0)
}

fn readers(models: &[String]) -> Result<Vec<Reader>> {
    let mut readers = Vec::new();
    for text in models {
        let Some((name, model)) = text.split_once('=').filter(|(name, model)| !name.is_empty() && !model.is_empty()) else {
            bail!("--model is name=model, as in --model rl=run/memory/model, not {text}");
        };
        readers.push(Reader { name: name.into(), model: model.into(), way: "notes" });
    }
    let last = readers.last().context("name a reader: --model rl=run/memory/model")?.model.clone();
    for way in ["truncated", "search"] {
        readers.push(Reader { name: way.into(), model: last.clone(), way });
    }
    readers.push(Reader { name: "chance".into(), model: last, way: "chance" });
    Ok(readers)
}

/// What comes of answering each question with the answers to the others of its kind ("Who is the buyer", "What is the home").
fn chance(items: &[Item]) -> Result<Value> {
    let kind = |item: &Item| -> Result<String> {
        let ask = parts(item).map_err(anyhow::Error::msg)?.1;
        Ok(ask.split(" of ").next().unwrap_or_default().to_string())
    };
    let kinds = items.iter().map(kind).collect::<Result<Vec<_>>>()?;
    let mut right = 0.0;
    for (at, item) in items.iter().enumerate() {
        let rule: Rule = item.rule.parse()?;
        let others = (0..items.len()).filter(|&other| other != at && kinds[other] == kinds[at]);
        let said: Vec<f64> =
            others.filter_map(|other| items[other].answers.first()).map(|reply| rule.score(reply, &item.answers)).collect();
        right += said.iter().sum::<f64>() / said.len().max(1) as f64;
    }
    let (low, high) = wilson(right, items.len());
    Ok(json!({"items": items.len(), "accuracy": right / items.len().max(1) as f64, "low": low, "high": high}))
}

fn words(args: &LengthArgs, reader: &Reader, items: &Path) -> Vec<String> {
    let (chunk, memory) = (args.chunk.to_string(), args.memory.to_string());
    let items = items.display().to_string();
    let mut words = vec!["score", &items, "--model", &reader.model, "--read", reader.way, "--chunk", &chunk, "--memory", &memory];
    words.extend(["--max-new-tokens", "24", "--together", "24"]);
    if args.short {
        words.push("--short");
    }
    if args.quotes {
        words.push("--quotes");
    }
    words.into_iter().map(String::from).collect()
}

/// The items of a length, made once.
fn items(args: &LengthArgs, tokens: u64, documents: u64) -> Result<PathBuf> {
    let kind = if args.unordered { "unordered" } else { "ordered" };
    let kind = if args.look_alikes { format!("{kind}-look-alikes") } else { kind.to_string() };
    let kind = if args.seed > 0 { format!("{kind}-{}", args.seed) } else { kind };
    let path = args.out.join(format!("items-{tokens}-{documents}-{kind}.jsonl"));
    if path.exists() {
        return Ok(path);
    }
    let count = (tokens as f64 / TOKENS_OF_A_WORD) as usize;
    let settings = WorldSettings {
        ordered: !args.unordered,
        distinct: !args.look_alikes,
        distractors: usize::from(args.look_alikes),
        ..WorldSettings::told_apart(SEED ^ tokens ^ (args.seed << 32), count)
    };
    let world = World::new(settings)?;
    let part = path.with_extension("part");
    let mut out = BufWriter::new(File::create(&part)?);
    for index in 0..documents {
        writeln!(out, "{}", serde_json::to_string(&world.item(index)?)?)?;
    }
    out.flush()?;
    fs::rename(part, &path)?;
    Ok(path)
}

/// `64K`, `1M`, `300`.
fn tokens(text: &str) -> Result<u64> {
    let (digits, times) = match text.trim().to_ascii_uppercase() {
        text if text.ends_with('K') => (text[..text.len() - 1].to_string(), 1 << 10),
        text if text.ends_with('M') => (text[..text.len() - 1].to_string(), 1 << 20),
        text => (text, 1),
    };
    let number: u64 = digits.parse().with_context(|| format!("{text:?} is no length: like 8K, 1M or 3000"))?;
    ensure!((100..=1 << 24).contains(&(number.saturating_mul(times))), "a length is from 100 to 16M tokens, not {text}");
    Ok(number * times)
}

/// The log's cells; a line that was cut short is left out, and measured again.
fn read(path: &Path) -> Result<Vec<Value>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn said(tokens: u64) -> String {
    match tokens {
        _ if tokens >= 1 << 20 && tokens.is_multiple_of(1 << 20) => format!("{}M", tokens >> 20),
        _ if tokens >= 1 << 10 && tokens.is_multiple_of(1 << 10) => format!("{}K", tokens >> 10),
        _ => tokens.to_string(),
    }
}

fn axes(cells: &[Value]) -> (Vec<u64>, Vec<String>) {
    let (mut lengths, mut readers) = (vec![], vec![]);
    for cell in cells {
        let (length, reader) = (cell["tokens"].as_u64().unwrap_or(0), cell["reader"].as_str().unwrap_or("").to_string());
        if !lengths.contains(&length) {
            lengths.push(length);
        }
        if !readers.contains(&reader) {
            readers.push(reader);
        }
    }
    lengths.sort_unstable();
    (lengths, readers)
}

fn of<'a>(cells: &'a [Value], reader: &str, length: u64) -> Option<&'a Value> {
    cells.iter().rev().find(|cell| cell["reader"] == reader && cell["tokens"] == length)
}

/// Percent with Wilson's interval at 95 %.
fn percent(cell: &Value) -> [f64; 3] {
    ["accuracy", "low", "high"].map(|key| 100.0 * cell[key].as_f64().unwrap_or(f64::NAN))
}

fn markdown(cells: &[Value]) -> String {
    let (lengths, readers) = axes(cells);
    let heading: Vec<String> = lengths.iter().map(|length| said(*length)).collect();
    let mut text = format!("| reader | {} |\n| --- |{}\n", heading.join(" | "), " --- |".repeat(lengths.len()));
    for reader in &readers {
        let row = lengths.iter().map(|&length| {
            of(cells, reader, length).map_or(String::new(), |cell| {
                let [mean, low, high] = percent(cell);
                format!("{mean:.1} ({low:.0} to {high:.0}), n {}", cell["items"])
            })
        });
        text.push_str(&format!("| {reader} | {} |\n", row.collect::<Vec<_>>().join(" | ")));
    }
    text
}

const COLOURS: [&str; 6] = ["#2563eb", "#d97706", "#059669", "#9333ea", "#dc2626", "#6b7280"];

/// A page that loads nothing: lengths on a logarithmic axis, a line and its intervals for each reader.
fn html(cells: &[Value]) -> String {
    let (lengths, readers) = axes(cells);
    let (low, high) = (lengths.first().copied().unwrap_or(1) as f64, lengths.last().copied().unwrap_or(2) as f64);
    let x = |length: u64| 60.0 + 600.0 * (length as f64 / low).ln() / (high / low).ln().max(1e-9);
    let y = |percent: f64| 20.0 + 300.0 * (1.0 - percent / 100.0);
    let mut svg = String::new();
    for level in [0.0, 20.0, 40.0, 60.0, 80.0, 100.0] {
        svg += &format!(r#"<path class="grid" d="M60 {0:.1}H670"/><text x="54" y="{0:.1}" text-anchor="end">{level} %</text>"#, y(level));
    }
    for &length in &lengths {
        svg += &format!(r#"<text x="{:.1}" y="342" text-anchor="middle">{}</text>"#, x(length), said(length));
    }
    for (number, reader) in readers.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let mut line = Vec::new();
        for &length in &lengths {
            let Some(cell) = of(cells, reader, length) else { continue };
            let ([mean, from, to], shift) = (percent(cell), number as f64 * 3.0);
            let at = x(length) + shift;
            line.push(format!("{at:.1},{:.1}", y(mean)));
            svg += &format!(r#"<path stroke="{colour}" d="M{at:.1} {:.1}V{:.1}"/>"#, y(from), y(to));
        }
        svg += &format!(r#"<polyline fill="none" stroke="{colour}" stroke-width="2" points="{}"/>"#, line.join(" "));
        svg += &format!(r#"<text x="680" y="{}" style="fill:{colour}">{reader}</text>"#, 30 + 18 * number);
    }
    format!(
        r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Accuracy by length</title><style>
:root {{ color-scheme: light dark }} body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem }}
svg {{ width: 100%; font-size: 12px }} svg text {{ fill: currentColor }} .grid {{ stroke: currentColor; opacity: .15 }} pre {{ overflow-x: auto }}
</style></head><body><h1>Accuracy by the length of the document</h1>
<p>Reproduced at small scale: documents of the small world that no training has, one to four links from question to answer, evidence anywhere; lengths in tokens of Qwen3,
intervals are Wilson's at 95 %.</p>
<svg viewBox="0 0 800 350" role="img" aria-label="accuracy by length">{svg}</svg>
<pre>{}</pre></body></html>
"#,
        markdown(cells)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read() {
        assert_eq!((tokens("2K").unwrap(), tokens("4M").unwrap(), tokens(" 300 ").unwrap()), (2048, 4 << 20, 300));
        assert!(tokens("many").is_err() && tokens("1").is_err() && tokens("99M").is_err());
        assert_eq!((said(2048), said(4 << 20), said(3000)), ("2K".into(), "4M".into(), "3000".into()));
    }

    #[test]
    fn chance_is_the_answer_to_another_question_of_the_kind() {
        let world = World::new(WorldSettings::told_apart(1, 60)).unwrap();
        let mut items: Vec<Item> = (0..8).map(|index| world.item(index).unwrap()).collect();
        let ask = |item: &mut Item, kind: &str, answer: &str| {
            item.extra.insert("ask".into(), format!("{kind} of somebody?").into());
            (item.answers, item.rule) = (vec![answer.into()], "contain".into());
        };
        items.truncate(4);
        for (item, (kind, answer)) in items.iter_mut().zip([
            ("Who is the buyer", "Ann"),
            ("Who is the buyer", "Ann"),
            ("Who is the buyer", "Bo"),
            ("What is the home", "Ann"),
        ]) {
            ask(item, kind, answer);
        }
        // One of two others, twice; none; nobody else is asked for a home.
        let found = chance(&items).unwrap();
        assert!((found["accuracy"].as_f64().unwrap() - 0.25).abs() < 1e-12, "{found}");
    }

    #[test]
    fn the_table_has_what_was_measured_last() {
        let cell = |reader: &str, tokens: u64, accuracy: f64| json!({"reader": reader, "tokens": tokens, "accuracy": accuracy, "low": 0.1, "high": 0.9, "items": 4});
        let cells = [cell("rl", 8192, 0.5), cell("rl", 2048, 0.25), cell("search", 2048, 0.0), cell("rl", 8192, 0.75)];
        let table = markdown(&cells);
        assert!(table.starts_with("| reader | 2K | 8K |"), "{table}");
        assert!(
            table.contains("| rl | 25.0 (10 to 90), n 4 | 75.0 (10 to 90), n 4 |") && table.contains("| search | 0.0 (10 to 90), n 4 |  |"),
            "{table}"
        );
        assert!(html(&cells).contains("75.0 (10 to 90)"));
    }
}
