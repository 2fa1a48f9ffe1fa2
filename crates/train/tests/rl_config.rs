//! The tables of a reinforcement-learning run: defaults, refusals, the hash.

use std::path::Path;

use proptest::prelude::*;
use train::Config;
use train::config::{Length, Schedule, StepSize, Warmup};
use train::rl::advantage::{Center, Scale};
use train::rl::aepo::{Mode, Thresholds};
use train::rl::clip::{Amount, Clip, Threshold, Unit, Which};
use train::rl::loss::Norm;
use train::rl::recipe::{LogprobSpace, PromptTemplate, Recipe, RewardSource};
use train::rl::sampler::Balance;

const NEEDED: &str = "[model]\npath = \"Qwen3-0.6B\"\n[data]\nfile = \"prompts.jsonl\"\n[rl]\n";
const STEPS: &str = "[train]\nsteps = 200\n";

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("runs/rl.toml")).map_err(|error| error.to_string())
}

fn recipe(text: &str) -> Result<Recipe, String> {
    Recipe::parse(text, Path::new("recipe.toml")).map_err(|error| error.to_string())
}

/// The template with what is commented out of these sections put in.
fn uncommented(keys: &[&str]) -> String {
    keys.iter().fold(Recipe::TEMPLATE.to_string(), |text, key| {
        let commented = format!("# {key}");
        assert!(text.contains(&commented), "{key}");
        text.replace(&commented, key)
    })
}

#[test]
fn the_template_says_the_defaults() {
    let written = parse(Recipe::TEMPLATE).unwrap();
    assert_eq!(written, parse(&format!("{NEEDED}{STEPS}")).unwrap());
    assert_eq!(written.rl, Some(Recipe::default()));
    assert_eq!(recipe(Recipe::TEMPLATE).unwrap(), Recipe::default());
    // The paper's: §4 and its table of settings.
    let train = &written.train;
    assert_eq!((train.length, train.batch, train.lr), (Length::Steps(200), StepSize::Examples(128), 2e-6));
    assert_eq!((train.schedule, train.warmup, train.weight_decay), (Schedule::Constant, Warmup::Steps(0), 0.01));
    let recipe = written.rl.unwrap();
    assert_eq!((recipe.group, recipe.temperature, recipe.top_p, recipe.loss_norm), (8, 0.7, 0.95, Norm::Group));
    // What is commented out is right as well.
    let lora = parse(&uncommented(&["[lora]", "rank =", "alpha =", "targets ="]).replace("lr = 2e-6", "")).unwrap();
    assert_eq!((lora.lora.clone(), lora.train.lr), (parse(&format!("{NEEDED}{STEPS}[lora]")).unwrap().lora, 2e-5));
    let given = parse(&uncommented(&["low =", "high =", "model =", "file ="])).unwrap();
    let thresholds = given.rl.as_ref().unwrap().aepo.thresholds;
    assert_eq!(thresholds, Some(Thresholds { low: 0.13, high: 0.2 }));
    assert!(given.rl.unwrap().judge.unwrap().starts_with("openai:"));
    let clip = |key: &str, which: &str| {
        let text = uncommented(&[key]).replace("unit = \"off\"", "unit = \"token\"").replace("which = \"high\"", which);
        parse(&text).unwrap().rl.unwrap().clip.unwrap()
    };
    assert_eq!(clip("threshold =", "").which, Which::High(Threshold::Value(1.5)));
    assert_eq!(clip("quantile =", "which = \"low\"").which, Which::Low(Threshold::Quantile(0.8)));
    assert_eq!(clip("share =", "which = \"random\"").which, Which::Random(Amount::Share(0.2)));
}

#[test]
fn a_default_that_changes_is_noticed() {
    for (written, other) in [("lr = 2e-6", "lr = 1e-6"), ("mode = \"latch\"", "mode = \"band\""), ("gap = 3 ", "gap = 4 ")] {
        assert!(Recipe::TEMPLATE.contains(written));
        assert_ne!(parse(&Recipe::TEMPLATE.replace(written, other)).unwrap(), parse(Recipe::TEMPLATE).unwrap(), "{other}");
    }
}

#[test]
fn refusals_name_file_line_and_key() {
    // Lines are counted from NEEDED's six on.
    for (text, words) in [
        ("grup = 3", "runs/rl.toml:6: `rl.grup` is not a key; did you mean `rl.group`?"),
        ("scale = \"task\"", "`rl.scale` is not a key; it belongs in [advantage]"),
        ("", "runs/rl.toml: `train.steps` is missing: how many updates to make"),
        ("[train]\nepochs = 2", "runs/rl.toml:7: `train.epochs` has no meaning with [rl]"),
        ("[train]\nsteps = 2\nbatch_tokens = 9", "`train.batch_tokens` has no meaning with [rl]: give `train.batch`"),
        ("[train]\nsteps = 2\nmicro_batch_tokens = 5119", "an example of `data.max_length` 4096 with `rl.max_new_tokens` 1024 must fit"),
        ("group = 1\n[train]\nsteps = 2", "`rl.group` is 1, and a group of one has no mean to differ from"),
        ("temperature = 0", "`rl.temperature` is 0; a number above 0"),
        ("top_p = 1.5", "`rl.top_p` is 1.5; a number above 0, at most 1"),
        ("logprob_space = \"half\"", "one of \"full\", \"nucleus\" is wanted"),
        ("loss_norm = \"token\"", "one of \"group\", \"batch\" is wanted"),
        ("reward = \"a rule of mine\"", "`rl.reward` is the text \"a rule of mine\"; \"rule\" (the one that each prompt names)"),
        ("reward = \"exec: \"", "`rl.reward` names no command after `exec:`"),
        ("reward = \"http:localhost\"", "`rl.reward` is the text"),
        ("reward = \"https://\"", "`rl.reward` is the text"),
        ("reward_seconds = 0", "`rl.reward_seconds` is 0;"),
        ("skip_truncated = 1", "`rl.skip_truncated` is 1; true or false is wanted"),
        ("[advantage]\ncenter = \"task\"", "`advantage.center` is the text \"task\"; one of \"group\", \"none\" is wanted"),
        ("[aepo]\nlow = 0.1", "runs/rl.toml:7: `aepo.low` stands alone: give `aepo.low` and `aepo.high`, or neither"),
        ("[aepo]\nhigh = 0.1", "`aepo.high` stands alone"),
        ("[aepo]\nlow = 0.3\nhigh = 0.1", "`aepo.low` is 0.3, above the 0.1 of `aepo.high`"),
        ("[aepo]\nlow = -0.3\nhigh = 0.1", "`aepo.low` is -0.3; a number of nats from 0 is wanted"),
        ("[aepo]\nlow = 0.1\nhigh = inf", "`aepo.high` is inf;"),
        ("[clip]\nunit = \"token\"", "`clip.threshold` is missing: so many nats; or give `clip.quantile`"),
        ("[clip]\nunit = \"token\"\nquantile = 0.1\nthreshold = 1", "`clip.quantile` and `clip.threshold` both say where to clip"),
        ("[clip]\nquantile = 1.1", "`clip.quantile` is 1.1; a number from 0 to 1"),
        ("[clip]\nunit = \"token\"\nwhich = \"random\"", "`clip.share` is missing"),
        ("[clip]\nunit = \"token\"\nwhich = \"random\"\nquantile = 0.5", "`clip.quantile` is for high and low entropy: give `clip.share`"),
        ("[clip]\nunit = \"token\"\nshare = 0.5", "`clip.share` is for `clip.which = \"random\"`"),
        ("[clip]\nunit = \"token\"\nwhich = \"all\"\nshare = 0.5", "`clip.share` has no meaning where all negatives are left out"),
        ("[judge]\nmodel = \"\"", "`judge.model` is the text \"\";"),
        ("[alarms]\ntruncated = 2", "`alarms.truncated` is 2; a share from 0 to 1"),
        ("[alarms]\nentropy_ratio = 2", "`alarms.entropy_ratio` is not a key; [alarms] knows entropy_high"),
    ] {
        let message = parse(&format!("{NEEDED}{text}")).unwrap_err();
        assert!(message.contains(words), "{text:?}: `{words}` is not in: {message}");
    }
    // Tables of a recipe that nothing asks for would be passed over in silence.
    let message = parse(&NEEDED.replace("[rl]", "[aepo]")).unwrap_err();
    assert!(message.contains("`[rl]` is missing: [aepo] belongs to reinforcement learning"), "{message}");
    let message = Recipe::load(Path::new("nowhere/rl.toml")).unwrap_err().to_string();
    assert!(message.contains("nowhere/rl.toml"), "{message}");
}

#[test]
fn what_is_given_is_taken() {
    let text = "group = 16\nmax_new_tokens = 50_000\ntemperature = 1\ntop_p = 1\nlogprob_space = \"nucleus\"\nloss_norm = \"batch\"\n\
                reward = \"exec: python3 score.py --strict\"\nreward_seconds = 5\nbalance = \"none\"\nprompt_template = \"plain\"\n\
                skip_truncated = true\n[advantage]\ncenter = \"none\"\nscale = \"batch\"\n[aepo]\nmode = \"band\"\n\
                low = 0.1\nhigh = 0.2\n[clip]\nunit = \"sequence\"\nwhich = \"low\"\nthreshold = 2\n[judge]\nmodel = \"qwen3-4b\"\n\
                [alarms]\nentropy_high = inf\nentropy_low = 0\ntruncated = 1\ngap = 0\n";
    let config = parse(&format!("{NEEDED}{text}{STEPS}batch = 8\nlr = 1e-6\nschedule = \"cosine\"\nwarmup = 0.1\n")).unwrap();
    let recipe = config.rl.unwrap();
    assert_eq!((recipe.group, recipe.max_new_tokens, recipe.temperature, recipe.top_p), (16, 50_000, 1.0, 1.0));
    assert_eq!((recipe.logprob_space, recipe.loss_norm, recipe.balance), (LogprobSpace::Nucleus, Norm::Batch, Balance::None));
    assert_eq!((recipe.reward, recipe.reward_seconds), (RewardSource::Command("python3 score.py --strict".into()), 5));
    assert_eq!((recipe.prompt_template, recipe.skip_truncated), (PromptTemplate::Plain, true));
    assert_eq!((recipe.advantage.center, recipe.advantage.scale), (Center::None, Scale::Batch));
    assert_eq!((recipe.aepo.mode, recipe.aepo.thresholds), (Mode::Band, Some(Thresholds { low: 0.1, high: 0.2 })));
    assert_eq!(recipe.clip, Some(Clip { unit: Unit::Sequence, which: Which::Low(Threshold::Value(2.0)) }));
    assert_eq!((recipe.judge.as_deref(), recipe.alarms.gap), (Some("qwen3-4b"), 0));
    assert_eq!((config.train.batch, config.train.schedule), (StepSize::Examples(8), Schedule::Cosine));
    let reward = |text: &str| parse(&format!("{NEEDED}reward = \"{text}\"\n{STEPS}")).unwrap().rl.unwrap().reward;
    assert_eq!(reward("rule"), RewardSource::OfPrompt);
    assert_eq!(reward("cover_em"), RewardSource::Rule("cover_em".into()));
    for url in ["http:http://127.0.0.1:9/score", "http://127.0.0.1:9/score"] {
        assert_eq!(reward(url), RewardSource::Server("http://127.0.0.1:9/score".into()));
    }
    assert_eq!(reward("http:https://host/"), RewardSource::Server("https://host/".into()));
    assert!(parse(&format!("{NEEDED}group = 1\n[advantage]\ncenter = \"none\"\n{STEPS}")).is_ok());
}

#[test]
fn a_recipe_may_stand_alone() {
    let alone = recipe("[advantage]\nscale = \"group\"\n[aepo]\nlow = 0.1\nhigh = 0.2\n").unwrap();
    assert_eq!((alone.advantage.scale, alone.aepo.thresholds.unwrap().high), (Scale::Group, 0.2));
    assert_eq!(recipe("").unwrap(), Recipe::default());
    assert!(recipe("[aepo]\nhgh = 1").unwrap_err().contains("did you mean `aepo.high`?"));
    assert!(recipe("[modl]\n").unwrap_err().contains("did you mean [model]?"));
}

#[test]
fn the_hash_is_of_what_affects_the_result() {
    let base = parse(&format!("{NEEDED}{STEPS}")).unwrap();
    let tables = |rl: &str, rest: &str| parse(&format!("{NEEDED}{rl}\n{STEPS}{rest}")).unwrap();
    for (key, value) in [
        ("rl.group", "4"),
        ("rl.max_new_tokens", "9"),
        ("rl.temperature", "1"),
        ("rl.top_p", "1"),
        ("rl.logprob_space", "\"nucleus\""),
        ("rl.loss_norm", "\"batch\""),
        ("rl.reward", "\"exact\""),
        ("rl.reward", "\"exec:rule\""),
        ("rl.reward_seconds", "9"),
        ("rl.balance", "\"none\""),
        ("rl.prompt_template", "\"plain\""),
        ("rl.skip_truncated", "true"),
        ("advantage.center", "\"none\""),
        ("advantage.scale", "\"none\""),
        ("aepo.mode", "\"band\""),
        ("aepo.low", "0.1\nhigh = 0.3"),
        ("judge.model", "\"a\""),
        ("clip.unit", "\"token\"\nquantile = 0.5"),
    ] {
        let (section, name) = key.split_once('.').unwrap();
        let line = format!("{name} = {value}");
        let changed = if section == "rl" { tables(&line, "") } else { tables("", &format!("[{section}]\n{line}")) };
        assert_ne!(base.hash(), changed.hash(), "{key}");
        assert!(base.differences(&changed).iter().any(|line| line.starts_with(key)), "{key}: {:?}", base.differences(&changed));
    }
    let clip = |text: &str| tables("", &format!("[clip]\n{text}")).hash();
    let clips = [
        "",
        "unit = \"token\"\nquantile = 0.5",
        "unit = \"token\"\nthreshold = 0.5",
        "unit = \"sequence\"\nquantile = 0.5",
        "unit = \"token\"\nwhich = \"low\"\nquantile = 0.5",
        "unit = \"token\"\nwhich = \"random\"\nshare = 0.5",
        "unit = \"token\"\nwhich = \"all\"",
    ];
    let hashes: std::collections::HashSet<String> = clips.into_iter().map(clip).collect();
    assert_eq!(hashes.len(), clips.len());
    // What only warns, or has no effect as it stands.
    for same in ["[alarms]\ngap = 9\ntruncated = 0.1", "[clip]\nquantile = 0.5", "[checkpoint]\nevery = 3"] {
        assert_eq!(tables("", same).hash(), base.hash(), "{same}");
    }
    let off = |text: &str| tables("", &format!("[aepo]\nmode = \"off\"\n{text}")).hash();
    assert_eq!(off("low = 0.1\nhigh = 0.2"), off(""));
    // As in fine-tuning: at a constant rate a longer run may go on from a shorter one.
    assert_eq!(parse(&format!("{NEEDED}[train]\nsteps = 9")).unwrap().hash(), base.hash());
    // Fine-tuning's hashes know nothing of all this.
    let tuning = parse(&NEEDED.replace("[rl]\n", "")).unwrap();
    assert!(tuning.result_keys().iter().all(|(key, _)| !key.starts_with("rl.") && !key.starts_with("aepo.")));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_change_of_the_template_makes_it_panic(at in 0usize..Recipe::TEMPLATE.len(), removed in 0usize..40, added in "[\\[\\]\"=0-9a-z.\n#é-]{0,6}") {
        let mut bytes = Recipe::TEMPLATE.as_bytes().to_vec();
        bytes.splice(at..(at + removed).min(bytes.len()), added.bytes());
        let text = String::from_utf8_lossy(&bytes);
        if let Err(message) = parse(&text) {
            prop_assert!(message.starts_with("runs/rl.toml"), "{}", message);
        }
        let _ = recipe(&text);
    }
}
