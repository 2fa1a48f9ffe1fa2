//! `longhand synth report`: a dataset as one page, without a script and without anything from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use data::{Derivation, Fact, Item, Part};
use serde::Deserialize;
use serde_json::Value;

/// Rows that are shown of each kind.
const SHOWN: usize = 3;
/// Bytes around an evidence's place.
const AROUND: usize = 160;
/// Facts that are shown of a row.
const FACTS: usize = 12;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand synth report dataset --out dataset.html")]
pub struct ReportArgs {
    /// The dataset's folder.
    dataset: PathBuf,
    /// The page; what is there stays. Beside the rows unless told otherwise.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Runs the verb.
pub fn run(args: &ReportArgs) -> Result<()> {
    let path = args.dataset.join("report.json");
    let text = fs::read_to_string(&path).with_context(|| format!("{} is missing: this is no finished dataset", path.display()))?;
    let report: Value = serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display()))?;
    let samples = samples(&args.dataset.join("rows.jsonl"))?;
    let out = args.out.clone().unwrap_or_else(|| args.dataset.join("report.html"));
    ensure!(!out.exists(), "{} is there already, and is kept: name another with --out, or remove it", out.display());
    fs::write(&out, page(&report, &samples)).with_context(|| format!("cannot write {}", out.display()))?;
    eprintln!("wrote {}", out.display());
    Ok(())
}

/// The first rows of each kind.
fn samples(path: &Path) -> Result<BTreeMap<String, Vec<Item>>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut out: BTreeMap<String, Vec<Item>> = BTreeMap::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let place = || format!("{}, line {}", path.display(), number + 1);
        let row: Item = serde_json::from_str(&line.with_context(place)?).with_context(place)?;
        let paradigm = row.extra.get("derivation").and_then(|derivation| derivation["paradigm"].as_str()).unwrap_or("").replace('_', " ");
        let kind = format!("{}: {paradigm}", row.task.replace('_', " "));
        let rows = out.entry(kind).or_default();
        if rows.len() < SHOWN {
            rows.push(row);
        }
    }
    Ok(out)
}

const STYLE: &str = ":root{color-scheme:light dark;--paper:#fff;--ink:#1c1c1e;--soft:#5f5f66;--line:#d9d9de;--kept:#17713f;--dropped:#b3261e;--mark:#fff3b8}
@media(prefers-color-scheme:dark){:root{--paper:#17171a;--ink:#e8e8ea;--soft:#a2a2aa;--line:#3a3a40;--kept:#5fd39a;--dropped:#ff8a80;--mark:#453d18}}
body{margin:0 auto;max-width:62rem;padding:1.5rem;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
h1{font-size:1.4rem}h2{font-size:1.1rem;margin-top:2.2rem}h3{font-size:1rem;margin:1.4rem 0 .3rem}
table{border-collapse:collapse;width:100%;font-size:.9rem}td,th{text-align:left;padding:.2rem .6rem .2rem 0;vertical-align:top;border-bottom:1px solid var(--line)}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}
.bar{display:inline-block;height:.7rem;background:var(--kept);border-radius:2px;vertical-align:middle}.bar.out{background:var(--dropped)}
small,.soft{color:var(--soft)}mark{background:var(--mark);color:inherit}
details{border-top:1px solid var(--line);padding:.5rem 0}summary{cursor:pointer;overflow-wrap:anywhere}pre{white-space:pre-wrap;overflow-wrap:anywhere;font-size:.85rem}
li{margin:.3rem 0;overflow-wrap:anywhere}.wide{overflow-x:auto}";

fn page(report: &Value, samples: &BTreeMap<String, Vec<Item>>) -> String {
    let rows = &report["rows"];
    let mut out = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"><title>Dataset</title><style>{STYLE}</style></head><body>"
    );
    let _ = write!(
        out,
        "<h1>{} rows, {} tokens</h1><p class=\"soft\">contexts of {} to {} tokens ({}); seed {}; {}</p>",
        number(&rows["rows"]),
        number(&rows["tokens"]),
        number(&rows["shortest"]),
        number(&rows["longest"]),
        escape(report["tokenizer"].as_str().unwrap_or("")),
        report["seed"],
        escape(&format!("SHA-256 {}", report["sha256"].as_str().unwrap_or("")))
    );
    tasks(&mut out, rows);
    for group in report["groups"].as_array().into_iter().flatten() {
        waterfall(&mut out, group);
    }
    documents(&mut out, &report["corpus"]);
    out += "<h2>Rows</h2>";
    for (kind, rows) in samples {
        let _ = write!(out, "<h3>{}</h3>", escape(kind));
        rows.iter().for_each(|row| sample(&mut out, row));
    }
    out + "</body></html>\n"
}

fn tasks(out: &mut String, rows: &Value) {
    *out += "<h2>What it holds</h2><div class=\"wide\"><table><tr><th>task<th class=\"n\">rows<th class=\"n\">commonest answer<th class=\"n\">found by a search</tr>";
    for (name, task) in rows["tasks"].as_object().into_iter().flatten() {
        let count = task["rows"].as_f64().unwrap_or(0.0).max(1.0);
        let percent = |value: &Value| 100.0 * value.as_f64().unwrap_or(0.0) / count;
        let _ = write!(
            out,
            "<tr><td>{}<td class=\"n\">{}<td class=\"n\">{:.1} %<td class=\"n\">{:.1} %</tr>",
            escape(name),
            number(&task["rows"]),
            percent(&task["commonest"]["rows"]),
            percent(&task["searched"])
        );
    }
    *out += "</table></div><h3>By links, kind and length</h3><div class=\"wide\"><table>";
    for line in rows["hops"].as_array().into_iter().flatten() {
        let name =
            format!("{}, {} links, {} documents or more", line["task"].as_str().unwrap_or(""), line["hops"], line["fewest_documents"]);
        bar(out, &name, line["rows"].as_f64(), rows["rows"].as_f64());
    }
    for name in ["paradigms", "lengths"] {
        for (name, count) in rows[name].as_object().into_iter().flatten() {
            bar(out, name, count.as_f64(), rows["rows"].as_f64());
        }
    }
    *out += "</table></div>";
}

fn bar(out: &mut String, name: &str, count: Option<f64>, of: Option<f64>) {
    let (count, of) = (count.unwrap_or(0.0), of.unwrap_or(0.0).max(1.0));
    let width = 24.0 * count / of;
    let _ = write!(
        out,
        "<tr><td>{}<td class=\"n\">{count}<td style=\"width:26rem\"><span class=\"bar\" style=\"width:{width:.2}rem\"></span></tr>",
        escape(name)
    );
}

/// What became of every candidate of a group.
fn waterfall(out: &mut String, group: &Value) {
    let fall = &group["waterfall"];
    let made = fall["made"].as_f64().unwrap_or(0.0).max(1.0);
    let _ = write!(
        out,
        "<h2>{}: {} of {} rows</h2><p class=\"soft\">{} questions made, {:.1} % kept; the paper keeps {:.1} %</p>",
        escape(group["name"].as_str().unwrap_or("")),
        number(&group["kept"]),
        number(&group["wanted"]),
        number(&fall["made"]),
        100.0 * fall["share"].as_f64().unwrap_or(0.0),
        100.0 * fall["paper"]["share"].as_f64().unwrap_or(0.0)
    );
    if let Some(short) = group["short"].as_str().filter(|short| !short.is_empty()) {
        let _ = write!(out, "<p>Fewer than wanted: {}.</p>", escape(short));
    }
    *out += "<div class=\"wide\"><table><tr><th>step<th class=\"n\">in<th class=\"n\">out<th><th>dropped because</tr>";
    for step in fall["steps"].as_array().into_iter().flatten() {
        let (came, went) = (step["in"].as_f64().unwrap_or(0.0), step["out"].as_f64().unwrap_or(0.0));
        let mut reasons: Vec<(&String, u64)> =
            step["reasons"].as_object().into_iter().flatten().map(|(reason, count)| (reason, count.as_u64().unwrap_or(0))).collect();
        reasons.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
        let why: Vec<String> = reasons.iter().take(4).map(|(reason, count)| format!("{} ({count})", escape(reason))).collect();
        let _ = write!(
            out,
            "<tr><td>{}<td class=\"n\">{came}<td class=\"n\">{went}<td style=\"width:13rem\"><span class=\"bar\" style=\"width:{:.2}rem\"></span><span class=\"bar out\" style=\"width:{:.2}rem\"></span><td>{}</tr>",
            escape(step["check"].as_str().unwrap_or("")),
            12.0 * went / made,
            12.0 * (came - went) / made,
            why.join("; ")
        );
    }
    *out += "</table></div>";
    for (check, count) in fall["not_run"].as_object().into_iter().flatten() {
        let _ = write!(out, "<p class=\"soft\">{} was not run for {count} of the rows that are left</p>", escape(check));
    }
    let tried: Vec<String> = (fall["tries"].as_object().into_iter().flatten())
        .map(|(check, reasons)| {
            let count: u64 = reasons.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
            format!("{} ({count})", escape(check))
        })
        .collect();
    if !tried.is_empty() {
        let _ = write!(out, "<p class=\"soft\">tries that gave no question: {}</p>", tried.join(", "));
    }
}

fn documents(out: &mut String, corpus: &Value) {
    *out += "<h2>Documents</h2><div class=\"wide\"><table><tr><th>class<th class=\"n\">documents<th class=\"n\">tokens</tr>";
    for (class, counts) in corpus["classes"].as_object().into_iter().flatten() {
        let _ = write!(
            out,
            "<tr><td>{}<td class=\"n\">{}<td class=\"n\">{}</tr>",
            escape(class),
            number(&counts["documents"]),
            number(&counts["tokens"])
        );
    }
    *out += "</table></div>";
    let left: Vec<String> =
        corpus["rejected"].as_object().into_iter().flatten().map(|(check, count)| format!("{} ({count})", escape(check))).collect();
    if !left.is_empty() {
        let _ = write!(out, "<p>Left out: {}.</p>", left.join(", "));
    }
    let graph = &corpus["graph"];
    let _ = write!(
        out,
        "<p>{} facts of {} entities, {} links; {} entities without any; the longest walk found has {}.</p>",
        number(&graph["facts"]),
        number(&graph["entities"]),
        number(&graph["edges"]),
        number(&graph["alone"]),
        graph["longest"]
    );
    let extract = &corpus["extract"];
    if extract.is_object() {
        let why: Vec<String> =
            extract["dropped"].as_object().into_iter().flatten().map(|(why, count)| format!("{} ({count})", escape(why))).collect();
        let _ = write!(
            out,
            "<p>A model found {} facts of {} documents of prose in {} calls, {} of them fields of tables; {} documents had a field without a majority. Not kept: {}.</p>",
            number(&extract["facts"]),
            number(&extract["documents"]),
            number(&extract["calls"]),
            number(&extract["fields"]),
            number(&extract["left_out"]),
            if why.is_empty() { "none".into() } else { why.join(", ") }
        );
    }
    let mut relations: Vec<(&String, u64)> =
        graph["relations"].as_object().into_iter().flatten().map(|(name, count)| (name, count.as_u64().unwrap_or(0))).collect();
    relations.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    *out += "<div class=\"wide\"><table>";
    let most = relations.first().map_or(1, |(_, count)| *count) as f64;
    relations.iter().take(12).for_each(|(name, count)| bar(out, name, Some(*count as f64), Some(most)));
    *out += "</table></div>";
}

/// A row: the question, the answer, and each fact where it stands.
fn sample(out: &mut String, row: &Item) {
    let text = |name: &str| row.extra.get(name).and_then(Value::as_str).unwrap_or("");
    let _ = write!(
        out,
        "<details><summary>{}</summary><p>Answer: <b>{}</b> <small>({} tokens, scored by <code>{}</code>, {})</small></p>",
        escape(text("question")),
        escape(row.answers.first().map_or("", String::as_str)),
        row.extra.get("tokens").map_or_else(String::new, number),
        escape(&row.rule),
        escape(&row.id)
    );
    let derivation = row.extra.get("derivation").and_then(|value| Derivation::deserialize(value).ok());
    let parts = row.extra.get("documents").and_then(|value| Vec::<Part>::deserialize(value).ok()).unwrap_or_default();
    let Some(derivation) = derivation else { return *out += "</details>" };
    if let Some(sql) = &derivation.sql {
        let _ = write!(out, "<pre>{}</pre>", escape(sql));
    }
    *out += "<ol>";
    for edge in derivation.walk.iter().filter_map(|id| derivation.edges.iter().find(|edge| edge.id == *id)) {
        let _ = write!(
            out,
            "<li>{} → {} <small>({}, {})</small></li>",
            escape(&edge.from),
            escape(&edge.to),
            escape(&edge.relation),
            escape(&edge.which)
        );
    }
    *out += "</ol><ul>";
    for fact in derivation.facts.iter().take(FACTS) {
        let _ = write!(out, "<li><b>{}</b> › {}<br>{}</li>", escape(&fact.subject), escape(&fact.relation), place(row, fact, &parts));
    }
    if derivation.facts.len() > FACTS {
        let _ = write!(out, "<li class=\"soft\">and {} facts more</li>", derivation.facts.len() - FACTS);
    }
    *out += "</ul></details>";
}

/// A fact's value in the text around it.
fn place(row: &Item, fact: &Fact, parts: &[Part]) -> String {
    let found = parts.iter().find(|part| part.id == fact.span.doc).and_then(|part| row.prompt.get(part.start..part.end));
    let Some(text) = found.filter(|text| text.get(fact.span.start..fact.span.end) == Some(fact.value.as_str())) else {
        return format!("<span class=\"soft\">not found: {}</span>", escape(&fact.value));
    };
    let from = text.floor_char_boundary(fact.span.start.saturating_sub(AROUND));
    let to = text.ceil_char_boundary((fact.span.end + AROUND).min(text.len()));
    format!(
        "<span class=\"soft\">…{}</span><mark>{}</mark><span class=\"soft\">{}…</span>",
        escape(&text[from..fact.span.start]),
        escape(&fact.value),
        escape(&text[fact.span.end..to])
    )
}

fn number(value: &Value) -> String {
    let digits = value.as_u64().unwrap_or(0).to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn documents_cannot_write_into_the_page() {
        let row = json!({
            "id": "r", "task": "reading", "prompt": "Doc 1: T\na <script>x</script> b", "answers": ["<b>"], "rule": "contain", "tokens": 1200,
            "question": "Who & <i>what</i>?", "documents": [{"id": "d", "title": "T", "sha256": "", "start": 9, "end": 31, "gold": true}],
            "derivation": {"version": 1, "engine": "graph", "paradigm": "multi_fact", "checks": [],
                "facts": [{"id": "f", "subject": "T", "relation": "<r>", "value": "<script>x</script>", "span": {"doc": "d", "start": 2, "end": 20}}]}
        });
        let samples = BTreeMap::from([("reading".to_string(), vec![serde_json::from_value(row).unwrap()])]);
        let report = json!({"seed": 1, "sha256": "ab", "corpus": {"extract": {"facts": 7, "dropped": {"<q>": 2}}}, "rows": {"rows": 1_234_567}, "groups": [{"name": "<g>", "waterfall": {"made": 2}}]});
        let page = page(&report, &samples);
        assert!(!page.contains("<script") && !page.contains("<i>what") && page.contains("&lt;g&gt;"), "{page}");
        assert!(page.contains("A model found 7 facts") && page.contains("Not kept: &lt;q&gt; (2)."), "{page}");
        assert!(page.contains("1,234,567") && page.contains("a </span><mark>&lt;script&gt;x&lt;/script&gt;</mark>"), "{page}");
    }
}
