//! `longhand data swap`: rows whose numbers are other words. Years and amounts of a held-out split are tokens that no lesson has in a
//! sentence; who has only ever copied those of the lessons copies the wrong one (EXPERIMENTS.md). With any word in a number's place a model
//! learns to copy what stands there.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::copies::{Draw, create, vocabulary};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand data swap lessons.jsonl --tokenizer tokenizer.json --share 0.3 --out swapped.jsonl")]
pub struct SwapArgs {
    /// Rows as a training takes them, JSON Lines with `prompt` and `answer`.
    file: PathBuf,
    /// Whose words stand in for the numbers: a tokenizer.json.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// In which share of the rows, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.5)]
    share: f64,
    /// Another seed, other words.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The file, a row a line; what is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &SwapArgs) -> Result<()> {
    ensure!((0.0..=1.0).contains(&args.share), "--share is from 0 to 1, not {}", args.share);
    let words = vocabulary(&args.tokenizer, None)?;
    let name = args.file.display().to_string();
    let file = File::open(&args.file).with_context(|| format!("cannot read {name}"))?;
    let mut out = create(&args.out)?;
    let (mut rows, mut swapped) = (0, 0);
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.with_context(|| format!("{name}, line {}", number + 1))?;
        if line.trim().is_empty() {
            continue;
        }
        let mut row: Value = serde_json::from_str(&line).with_context(|| format!("{name}, line {} is no JSON", number + 1))?;
        let mut draw = Draw { seed: args.seed, row: number as u64, number: 0 };
        if (draw.below(1_000_000) as f64) < 1e6 * args.share {
            let mut stand_ins = StandIns { words: &words, draw, of: HashMap::new() };
            for key in ["prompt", "answer"] {
                let text = row[key].as_str().with_context(|| format!("{name}, line {} has no text {key:?}", number + 1))?;
                row[key] = stand_ins.swap(text).into();
            }
            swapped += usize::from(!stand_ins.of.is_empty());
        }
        writeln!(out, "{row}")?;
        rows += 1;
    }
    out.flush()?;
    eprintln!("{}: {rows} rows, in {swapped} of them other words for the numbers", args.out.display());
    Ok(())
}

/// The words of one row: the same number is the same word wherever it stands, another number another word.
struct StandIns<'a> {
    words: &'a [String],
    draw: Draw,
    of: HashMap<String, usize>,
}

impl StandIns<'_> {
    fn swap(&mut self, text: &str) -> String {
        let (mut out, mut rest) = (String::with_capacity(text.len()), text);
        while let Some(from) = rest.find(|letter: char| letter.is_ascii_digit()) {
            let length = rest[from..].find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len() - from);
            out.push_str(&rest[..from]);
            let number = &rest[from..from + length];
            let alone = !out.ends_with(char::is_alphanumeric) && !rest[from + length..].starts_with(char::is_alphanumeric);
            out.push_str(if alone { self.word(number) } else { number });
            rest = &rest[from + length..];
        }
        out + rest
    }

    fn word(&mut self, number: &str) -> &str {
        if !self.of.contains_key(number) {
            // There are fewer numbers in a row than words, but not in a row that means harm: then two share one.
            let mut word = self.draw.below(self.words.len());
            for _ in 0..self.words.len() {
                if !self.of.values().any(|taken| *taken == word) {
                    break;
                }
                word = (word + 1) % self.words.len();
            }
            self.of.insert(number.to_string(), word);
        }
        &self.words[self.of[number]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_the_same_word_everywhere_and_no_other_number_is() {
        let words: Vec<String> = ["ant", "bee", "cow", "dog"].map(String::from).to_vec();
        for row in 0..20 {
            let mut stand_ins = StandIns { words: &words, draw: Draw { seed: 1, row, number: 0 }, of: HashMap::new() };
            let said = stand_ins.swap("In 1931 she sold 3 of 12; in 1931. B52 stays, 7é too, ⅓ as well");
            let answer = stand_ins.swap("1931 12");
            let of = |number: &str| &words[stand_ins.of[number]];
            let (year, three, twelve) = (of("1931"), of("3"), of("12"));
            assert_eq!(said, format!("In {year} she sold {three} of {twelve}; in {year}. B52 stays, 7é too, ⅓ as well"));
            assert_eq!(answer, format!("{year} {twelve}"));
            assert!(year != three && year != twelve && three != twelve);
        }
        let mut stand_ins = StandIns { words: &words, draw: Draw { seed: 1, row: 0, number: 0 }, of: HashMap::new() };
        assert_eq!(stand_ins.swap("1 2 3 4 5 6").split(' ').count(), 6);
        assert_eq!((stand_ins.swap(""), stand_ins.swap("no number")), (String::new(), "no number".into()));
    }
}
