//! The `longhand` binary: one file per verb. Exit code 0: done; 1: a failure of this program or machine; 2: bad input.

mod advantage;
mod args;
mod ask;
mod bench;
mod bench_ops;
mod catalog;
mod choose;
mod cubed;
mod data;
mod demo;
mod doctor;
mod documents;
mod export;
mod export_model;
mod fetch;
mod generate;
mod given;
mod grads;
mod hub;
mod init;
mod inspect;
mod kept;
mod load;
mod log;
mod logits;
mod mapped;
mod merge;
mod mind;
mod models;
mod progress;
mod read;
mod reproduce;
mod score;
mod speeds;
mod stages;
mod synth;
mod train;
mod web;

use clap::{Parser, Subcommand};

/// Reads documents far past the context window, with a model that runs on this machine.
#[derive(Parser)]
#[command(name = "longhand", version, about, after_help = "Example:\n  longhand read report.txt --ask \"What changed in 2019?\"\n\nRead     read, ask, export, web, demo, chat\nTrain    init, synth, data, train, stages, score, merge, export, advantage, reproduce\nMachine  models, inspect, doctor, bench\nPlumbing generate, logits, grads", help_template = HELP)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

const HELP: &str = "{about-with-newline}\n{usage-heading} {usage}\n\n{all-args}{after-help}";

#[derive(Subcommand)]
enum Verb {
    /// Read documents of any length and answer questions from them, or outline them.
    Read(read::ReadArgs),
    /// A further question to a kept read.
    Ask(ask::AskArgs),
    /// A kept read as a page, Markdown, JSON or one file; a model as safetensors or GGUF.
    Export(export::ExportArgs),
    /// The page in your browser, with kept reads, datasets and a model of this machine.
    Web(web::WebArgs),
    /// See it work: fetch a small model once, read a bundled document several times its window.
    Demo(demo::DemoArgs),
    /// Talk to a model.
    Chat(generate::ChatArgs),
    /// A commented configuration of a training.
    Init(init::InitArgs),
    /// Fine-tune a model on your own rows.
    Train(train::TrainArgs),
    /// Several fine-tunes of one base made one model.
    Merge(merge::MergeArgs),
    /// What a file of training rows holds, and what of it a training would use.
    Data(data::DataArgs),
    /// Verified long-context questions from your own documents.
    Synth(synth::SynthArgs),
    /// The stages of a recipe in order, each from the model of the one before, with a table of scores.
    Stages(stages::StagesArgs),
    /// The share of items that a model answers rightly: whole, with notes, truncated, by search.
    Score(score::ScoreArgs),
    /// Advantages of rollouts from elsewhere, and which of them AEPO masks.
    Advantage(advantage::AdvantageArgs),
    /// The models to choose from, and which fit this machine.
    Models(models::ModelsArgs),
    /// What a model is, and what of it fits where.
    Inspect(inspect::InspectArgs),
    /// What this machine offers, what works, what to install.
    Doctor(doctor::DoctorArgs),
    /// Measure prefill and decode, or every op alone.
    Bench(bench::BenchArgs),
    /// Run an experiment of EXPERIMENTS.md again.
    Reproduce(reproduce::ReproduceArgs),
    /// Plumbing: continue a text or token ids.
    Generate(generate::GenerateArgs),
    /// Plumbing: logits, log-probabilities and entropies of given token ids.
    Logits(logits::LogitsArgs),
    /// Plumbing: the loss of given token ids and its gradient by every tensor.
    Grads(grads::GradsArgs),
}

fn main() -> std::process::ExitCode {
    leave_quietly();
    let result = act(Cli::parse().verb);
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        // The reader of our output went away (`longhand … | head`): nothing to say.
        Err(error) if is_broken_pipe(&error) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("longhand: {error:#}");
            std::process::ExitCode::from(2)
        }
    }
}

/// `println!` panics where the reader of our output went away; that is no fault of ours either.
fn leave_quietly() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let said = info.payload().downcast_ref::<String>().map_or("", String::as_str);
        if said.starts_with("failed printing to stdout") && said.contains("roken pipe") {
            std::process::exit(0);
        }
        usual(info);
    }));
}

/// Does what a verb says.
fn act(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Read(args) => read::run(&args),
        Verb::Ask(args) => ask::run(&args),
        Verb::Export(args) => export::run(&args),
        Verb::Web(args) => web::run(&args),
        Verb::Demo(args) => demo::run(&args),
        Verb::Chat(args) => generate::chat(&args),
        Verb::Init(args) => init::run(&args),
        Verb::Train(args) => train::run(&args),
        Verb::Merge(args) => merge::run(&args),
        Verb::Data(args) => data::run(&args),
        Verb::Synth(args) => synth::run(&args),
        Verb::Stages(args) => stages::run(&args),
        Verb::Score(args) => score::run(&args),
        Verb::Advantage(args) => advantage::run(&args),
        Verb::Models(args) => models::run(&args),
        Verb::Inspect(args) => inspect::run(&args),
        Verb::Doctor(args) => doctor::run(&args),
        Verb::Bench(args) => bench::run(&args),
        Verb::Reproduce(args) => reproduce::run(&args),
        Verb::Generate(args) => generate::run(&args),
        Verb::Logits(args) => logits::run(&args),
        Verb::Grads(args) => grads::run(&args),
    }
}

/// One call of this program from within: a stage's step. Errors are those the call would end with.
fn call(words: &[String]) -> anyhow::Result<()> {
    act(Cli::try_parse_from(std::iter::once("longhand").chain(words.iter().map(String::as_str)))?.verb)
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::BrokenPipe))
}
