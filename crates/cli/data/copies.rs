//! `longhand data copies`: rows that ask a model to repeat random words. A model made from nothing learns to look back by them within minutes;
//! from natural sentences, whose words can mostly be guessed, it takes many times as long (EXPERIMENTS.md).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokenizer::Tokenizer;
use train::sft::random;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand data copies --tokenizer tokenizer.json --items 20000 --out copies.jsonl")]
pub struct CopiesArgs {
    /// Whose words: a tokenizer.json.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// How many rows.
    #[arg(long, value_name = "N")]
    items: u64,
    /// Words of a row, or of each sentence of it.
    #[arg(long, value_name = "N[-M]", default_value = "6-30")]
    words: String,
    /// Sentences of a row, repeated in another order: counting back does not find their words.
    #[arg(long, value_name = "N[-M]")]
    sentences: Option<String>,
    /// Items for `longhand score` instead of lessons.
    #[arg(long, conflicts_with = "sentences")]
    score: bool,
    /// How many different words there are: fewer are learnt sooner.
    #[arg(long, value_name = "N")]
    of: Option<usize>,
    /// Another seed, other words.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The file, a row a line; what is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &CopiesArgs) -> Result<()> {
    let [from, to] = super::world::range(&args.words).context("--words")?;
    ensure!(from > 0, "--words begins at 1");
    let words = vocabulary(&args.tokenizer, args.of)?;
    let sentences = args.sentences.as_deref().map(super::world::range).transpose().context("--sentences")?;
    let mut out = create(&args.out)?;
    for row in 0..args.items {
        let mut draw = Draw { seed: args.seed, row, number: 0 };
        let (prompt, answer) = match sentences {
            None => {
                let text = (0..draw.between([from, to])).map(|_| words[draw.below(words.len())].as_str()).collect::<Vec<_>>().join(" ");
                (text.clone(), text)
            }
            Some(sentences) => {
                let mut said = self::sentences(&mut draw, &words, sentences, [from, to]);
                let text = said.join(" ");
                draw.shuffle(&mut said);
                (format!("<text>\n{text}\n</text>"), said.join(" "))
            }
        };
        match args.score {
            false => writeln!(out, "{}", json!({"prompt": prompt, "answer": answer}))?,
            true => {
                let id = format!("copies-{}-{row}", args.seed);
                writeln!(out, "{}", json!({"id": id, "task": "copying", "prompt": prompt, "answers": [answer], "rule": "exact"}))?;
            }
        }
    }
    out.flush()?;
    eprintln!("{}: {} rows of {} different words", args.out.display(), args.items, words.len());
    Ok(())
}

/// Sentences in which no word is twice, as far as there are enough.
fn sentences(draw: &mut Draw, words: &[String], count: [usize; 2], length: [usize; 2]) -> Vec<String> {
    let known: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut left: Vec<&str> = Vec::new();
    let mut sentence = |draw: &mut Draw| {
        let length = draw.between(length);
        if left.len() < length {
            left = draw.some(&known, known.len());
        }
        left.split_off(left.len().saturating_sub(length)).join(" ") + "."
    };
    (0..draw.between(count)).map(|_| sentence(draw)).collect()
}

/// The words of a tokenizer.json that are one token with the space before them, or so many of them.
pub fn vocabulary(path: &Path, of: Option<usize>) -> Result<Vec<String>> {
    let name = path.display().to_string();
    let tokenizer = Tokenizer::from_json(&std::fs::read(path).with_context(|| format!("cannot read {name}"))?)?;
    let all = (0..tokenizer.vocab_size() as u32).filter_map(|id| word(&tokenizer, id)).collect();
    some(all, of, &name)
}

/// A file that is not there yet.
pub fn create(path: &Path) -> Result<BufWriter<File>> {
    let file = File::options().write(true).create_new(true).open(path);
    Ok(BufWriter::new(file.with_context(|| format!("cannot write {}: name another with --out", path.display()))?))
}

/// So many of the words, the same ones for every seed; an error where there are fewer.
fn some(words: Vec<String>, of: Option<usize>, name: &str) -> Result<Vec<String>> {
    let count = of.unwrap_or(words.len());
    ensure!(
        count > 1 && count <= words.len(),
        "{name} has {} tokens that are a word and the space before it: --of is from 2 to that",
        words.len()
    );
    let all: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut draw = Draw { seed: 0, row: 0, number: 0 };
    Ok(draw.some(&all, count).into_iter().map(String::from).collect())
}

/// Random numbers of a row.
pub struct Draw {
    pub seed: u64,
    pub row: u64,
    pub number: u64,
}

impl Draw {
    pub fn below(&mut self, count: usize) -> usize {
        self.number += 1;
        (random(self.seed, self.row, self.number) % count.max(1) as u64) as usize
    }

    pub fn between(&mut self, [from, to]: [usize; 2]) -> usize {
        from + self.below(to - from + 1)
    }

    /// So many of them, each once, in a random order.
    pub fn some<'a>(&mut self, of: &[&'a str], count: usize) -> Vec<&'a str> {
        let mut left = of.to_vec();
        (0..count.min(of.len())).map(|_| left.swap_remove(self.below(left.len()))).collect()
    }

    fn shuffle(&mut self, items: &mut [String]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}

/// The word of a token that is a space and letters, or a space and digits.
fn word(tokenizer: &Tokenizer, id: u32) -> Option<String> {
    let text = tokenizer.decode(&[id], false).ok()?;
    let word = text.strip_prefix(' ')?;
    let alike = word.chars().all(char::is_alphabetic) || word.chars().all(char::is_numeric);
    (!word.is_empty() && alike).then(|| word.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn sentences_repeat_no_word_and_few_words_are_the_same_for_every_seed() {
        let all: Vec<String> = (0..50).map(|number| format!("w{number}")).collect();
        let few = some(all.clone(), Some(24), "t").unwrap();
        assert_eq!(few, some(all.clone(), Some(24), "t").unwrap());
        assert_eq!(few.iter().collect::<HashSet<_>>().len(), 24);
        assert!(some(all.clone(), Some(51), "t").unwrap_err().to_string().contains("--of is from 2"));
        for row in 0..50 {
            let mut draw = Draw { seed: 1, row, number: 0 };
            let mut said = sentences(&mut draw, &few, [3, 8], [2, 3]);
            assert!((3..=8).contains(&said.len()));
            let words: Vec<&str> = said.iter().flat_map(|sentence| sentence.trim_end_matches('.').split(' ')).collect();
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len(), "{said:?}");
            let before: HashSet<String> = said.iter().cloned().collect();
            draw.shuffle(&mut said);
            assert_eq!(said.into_iter().collect::<HashSet<_>>(), before);
        }
    }
}
