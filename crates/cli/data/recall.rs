//! `longhand data recall`: rows that ask for parts of sentences of random words. Repeating words in their order can be learnt by counting
//! back; these cannot, and nothing in them can be guessed: what a model made from nothing learns by them is to find a sentence by some of
//! its words and to say the rest of it, which is what reading with notes asks for (EXPERIMENTS.md).

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::copies::{self, Draw};
use super::world::range;

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  longhand data recall --tokenizer tokenizer.json --items 20000 --sentences 1-4 --words 3-6 --questions 8-12 --out recall.jsonl"
)]
pub struct RecallArgs {
    /// Whose words: a tokenizer.json.
    #[arg(long, value_name = "FILE")]
    tokenizer: PathBuf,
    /// How many rows: a text and questions about it.
    #[arg(long, value_name = "N")]
    items: u64,
    /// Sentences of a text.
    #[arg(long, value_name = "N[-M]", default_value = "1-4")]
    sentences: String,
    /// Words of a sentence.
    #[arg(long, value_name = "N[-M]", default_value = "3-6")]
    words: String,
    /// Questions about a text.
    #[arg(long, value_name = "N[-M]", default_value = "8-12")]
    questions: String,
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
pub fn run(args: &RecallArgs) -> Result<()> {
    let sentences = range(&args.sentences).context("--sentences")?;
    let words = range(&args.words).context("--words")?;
    let questions = range(&args.questions).context("--questions")?;
    ensure!(sentences[0] > 0 && questions[0] > 0 && words[0] > 1, "--sentences and --questions begin at 1, --words at 2");
    let known = copies::vocabulary(&args.tokenizer, args.of)?;
    let needed = sentences[1] * words[1] + 2;
    ensure!(known.len() >= needed, "there are {} different words, and a text of these sizes may need {needed}", known.len());
    let mut out = copies::create(&args.out)?;
    for row in 0..args.items {
        let mut draw = Draw { seed: args.seed, row, number: 0 };
        let text = Text::draw(&mut draw, &known, sentences, words);
        let mut messages = Vec::new();
        for _ in 0..draw.between(questions) {
            // A question that two sentences answer is left out.
            let Some((asked, reply)) = text.question(&mut draw) else { continue };
            let asked = if messages.is_empty() { format!("<text>\n{}\n</text>\n{asked}", text.said()) } else { asked };
            messages.push(json!({"role": "user", "content": asked}));
            messages.push(json!({"role": "assistant", "content": reply}));
        }
        if !messages.is_empty() {
            writeln!(out, "{}", json!({"messages": messages}))?;
        }
    }
    out.flush()?;
    eprintln!("{}: {} texts of {} different words", args.out.display(), args.items, known.len());
    Ok(())
}

struct Text<'a> {
    sentences: Vec<Vec<&'a str>>,
    /// No word is in two sentences: one names its sentence.
    distinct: bool,
}

impl<'a> Text<'a> {
    fn draw(draw: &mut Draw, known: &'a [String], sentences: [usize; 2], words: [usize; 2]) -> Self {
        let lengths: Vec<usize> = (0..draw.between(sentences)).map(|_| draw.between(words)).collect();
        let all: usize = lengths.iter().sum();
        let distinct = draw.below(5) < 3;
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let mut pool = draw.some(&known, if distinct { all } else { (2 * all / 3).max(words[1] + 2) });
        let sentence = |&length: &usize| if distinct { pool.split_off(pool.len() - length) } else { draw.some(&pool, length) };
        Self { sentences: lengths.iter().map(sentence).collect(), distinct }
    }

    fn said(&self) -> String {
        self.sentences.iter().map(|words| words.join(" ") + ".").collect::<Vec<_>>().join(" ")
    }

    /// What is asked and the reply: a whole sentence by its beginning or by some of its words, or words by what stands beside them.
    fn question(&self, draw: &mut Draw) -> Option<(String, String)> {
        let words = &self.sentences[draw.below(self.sentences.len())];
        let (least, count) = (if self.distinct { 1 } else { 2 }, words.len());
        let whole = || words.join(" ") + ".";
        let (given, asked, reply) = match draw.below(20) {
            0..7 => (words[..least.min(count)].to_vec(), "Notes:", whole()),
            7..12 => {
                let few = draw.between([least, 3.min(count).max(least)]);
                (draw.some(words, few), "Notes:", whole())
            }
            _ => {
                let gone = if count > 3 { draw.between([1, 2]) } else { 1 };
                let at = draw.below(count - gone + 1);
                let mut given: Vec<&str> =
                    [at.checked_sub(1), Some(at + gone)].into_iter().flatten().filter_map(|at| words.get(at).copied()).collect();
                if given.len() < 2 {
                    let others: Vec<&str> =
                        (0..count).filter(|other| *other + 1 < at || *other > at + gone).map(|other| words[other]).collect();
                    given.extend(draw.some(&others, 1));
                }
                (given, "Who", words[at..at + gone].join(" "))
            }
        };
        let mine: HashSet<&str> = given.iter().copied().collect();
        let of = |words: &&Vec<&str>| mine.iter().all(|word| words.contains(word));
        (self.sentences.iter().filter(of).count() == 1).then(|| {
            let end = if asked == "Who" { "?" } else { "" };
            (format!("{asked} {}{end}", given.join(" ")), reply)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reply_is_in_one_sentence_that_the_question_names() {
        let known: Vec<String> = (0..60).map(|number| format!("w{number}")).collect();
        let (mut whole, mut parts) = (0, 0);
        for row in 0..300 {
            let mut draw = Draw { seed: 1, row, number: 0 };
            let text = Text::draw(&mut draw, &known, [1, 4], [3, 6]);
            for _ in 0..6 {
                let Some((asked, reply)) = text.question(&mut draw) else { continue };
                let given: Vec<&str> = asked.trim_end_matches('?').split(' ').skip(1).collect();
                let named: Vec<_> = text.sentences.iter().filter(|words| given.iter().all(|word| words.contains(word))).collect();
                assert_eq!(named.len(), 1, "{asked}");
                let sentence = named[0].join(" ") + ".";
                assert!(sentence.contains(&reply), "{reply} is not in {sentence}");
                if asked.starts_with("Notes:") {
                    assert_eq!(reply, sentence);
                    whole += 1;
                } else {
                    assert!(reply.split(' ').all(|word| !given.contains(&word)));
                    parts += 1;
                }
            }
        }
        assert!(whole > 500 && parts > 400, "{whole} and {parts}");
    }
}
