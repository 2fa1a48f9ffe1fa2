//! `longhand data hard`: the rows whose replies a model finds least likely. Where it is right 299 times in 300, these are what is left to
//! learn, and what a training on rows drawn at random would see least of.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::args::MachineArgs;
use crate::score::loss;

#[derive(clap::Args)]
#[command(after_help = "Example:\n  longhand data hard lessons.jsonl --model ./mine --keep 4000 --out hard-lessons.jsonl")]
pub struct HardArgs {
    /// Rows as a training takes them.
    file: PathBuf,
    /// To whom they are hard: a folder, a .gguf file, a name.
    #[arg(long, value_name = "M")]
    model: String,
    #[command(flatten)]
    machine: MachineArgs,
    /// How many rows are kept: those whose replies cost most, −log p summed over their tokens.
    #[arg(long, value_name = "N")]
    keep: usize,
    /// The file, a row a line, in the order of the rows; what is there stays.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// Runs the verb.
pub fn run(args: &HardArgs) -> Result<()> {
    ensure!(!args.out.exists(), "{} is there already: name another with --out", args.out.display());
    let costs = loss::costs(&args.file, &args.model, &args.machine)?.rows();
    let file = File::open(&args.file).with_context(|| format!("cannot read {}", args.file.display()))?;
    let lines: Vec<String> = (BufReader::new(file).lines().collect::<std::io::Result<Vec<_>>>())
        .with_context(|| format!("cannot read {}", args.file.display()))?
        .into_iter()
        .filter(|line| !line.trim().is_empty())
        .collect();
    ensure!(
        lines.len() == costs.len(),
        "{} has {} rows that make {} examples: only rows of one example each can be told apart here, JSON Lines with `prompt` and `answer`",
        args.file.display(),
        lines.len(),
        costs.len()
    );
    let kept = dearest(&costs, args.keep);
    let out = File::options().write(true).create_new(true).open(&args.out);
    let mut out = BufWriter::new(out.with_context(|| format!("cannot write {}", args.out.display()))?);
    for &row in &kept {
        writeln!(out, "{}", lines[row])?;
    }
    out.flush()?;
    let least = kept.iter().map(|&row| costs[row]).fold(f64::INFINITY, f64::min);
    let share = kept.iter().map(|&row| costs[row]).sum::<f64>() / costs.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    eprintln!(
        "{}: {} of {} rows, from {least:.2} nats on, which are {:.0} % of what all of them cost",
        args.out.display(),
        kept.len(),
        costs.len(),
        100.0 * share
    );
    Ok(())
}

/// The rows of the highest costs, in the order of the rows; of equal ones the first.
fn dearest(costs: &[f64], keep: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..costs.len()).collect();
    order.sort_by(|&a, &b| costs[b].total_cmp(&costs[a]).then(a.cmp(&b)));
    order.truncate(keep);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::dearest;

    #[test]
    fn the_dearest_rows_keep_their_order() {
        assert_eq!(dearest(&[0.1, 3.0, 0.2, 4.0, 3.0], 3), [1, 3, 4]);
        assert_eq!(dearest(&[1.0, 1.0, 1.0], 2), [0, 1]);
        assert_eq!(dearest(&[1.0], 9), [0]);
        assert!(dearest(&[], 1).is_empty());
    }
}
