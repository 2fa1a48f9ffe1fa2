//! PEFT's folders: adapter_config.json and adapter_model.safetensors.
//!
//! Names and keys as PEFT 0.18 writes them: `base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight` [r, K] and `lora_B` [N, r].
//! Experts follow the same pattern (`….mlp.experts.7.gate_proj.lora_A.weight`), which PEFT has only for checkpoints whose experts are
//! modules of their own; `"longhand_experts": true` says so.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use kernels::Bytes;
use model::safetensors;
use serde_json::{Map, Value, json};

use super::{Adapter, AdapterError, Pair, Place, Result, STORED, values};
use crate::export::safetensors::{Entry, header};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
/// What we know and PEFT has no key for: the base's fingerprint. A file of its own, for PEFT may drop its own keys with unknown ones:
/// `PeftConfig.from_pretrained` keeps only those of the general configuration then, and r and α fall back to their defaults.
const OURS: &str = "longhand.json";
const BASE: &str = "base_fingerprint";
const EXPERTS: &str = "longhand_experts";

impl Adapter {
    /// Reads a PEFT folder. Nothing is known of the base yet: [`Adapter::check`] compares them.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let (config, weights) = (folder.join(CONFIG), folder.join(WEIGHTS));
        let io = |path: &Path, source| AdapterError::Io { file: path.display().to_string(), source };
        let json = fs::read(&config).map_err(|source| io(&config, source))?;
        let bytes = fs::read(&weights).map_err(|source| io(&weights, source))?;
        let mut adapter = Self::from_parts(&config.display().to_string(), &json, &weights.display().to_string(), bytes.into())?;
        let ours = folder.join(OURS);
        if ours.exists() {
            let file = ours.display().to_string();
            let json = fs::read(&ours).map_err(|source| io(&ours, source))?;
            let value: Value = serde_json::from_slice(&json).unwrap_or(Value::Null);
            let base = value[BASE].as_str().map(str::to_owned);
            let missing =
                || AdapterError::Config { file, key: BASE.into(), message: "is missing: remove the file to go without the check".into() };
            adapter.base = Some(base.ok_or_else(missing)?);
        }
        Ok(adapter)
    }

    /// As [`Adapter::open`], from the names and bytes of PEFT's two files: the base's fingerprint is in neither.
    pub fn from_parts(config_file: &str, config_json: &[u8], weights_file: &str, weights: Bytes) -> Result<Self> {
        let config = Config::read(config_file, config_json)?;
        let mut halves: BTreeMap<Place, [Option<Vec<f32>>; 2]> = BTreeMap::new();
        for tensor in safetensors::parse(weights_file, &weights.into())? {
            let unknown = || AdapterError::UnknownTarget(tensor.name.clone());
            let (place, half) = parse_name(&tensor.name).ok_or_else(unknown)?;
            let rank = match (tensor.shape.as_slice(), half) {
                (&[rank, k], 0) if k > 0 => rank,
                (&[n, rank], 1) if n > 0 => rank,
                _ => return Err(unknown()),
            };
            if rank != config.rank {
                return Err(AdapterError::Rank { tensor: tensor.name.clone(), found: rank, expected: config.rank });
            }
            halves.entry(place).or_default()[half] = Some(values(&tensor)?);
        }
        let mut pairs = BTreeMap::new();
        for (place, halves) in halves {
            match halves {
                [Some(a), Some(b)] => pairs.insert(place, Pair { a, b }),
                [None, _] => return Err(AdapterError::MissingPair(name(place, 1))),
                _ => return Err(AdapterError::MissingPair(name(place, 0))),
            };
        }
        if pairs.is_empty() {
            return Err(config.error("r", format!("is {}, and {weights_file} holds no tensor", config.rank)));
        }
        let Config { rank, alpha, base_name, .. } = config;
        Ok(Self { rank, alpha, base_name, base: None, pairs })
    }

    /// Writes the folder, which is made if need be; each file appears whole.
    pub fn save(&self, folder: impl AsRef<Path>) -> Result<()> {
        let folder = folder.as_ref();
        let io = |source| AdapterError::Io { file: folder.display().to_string(), source };
        fs::create_dir_all(folder).map_err(io)?;
        let halves = || self.pairs.iter().flat_map(|(&place, pair)| [(place, 0, &pair.a), (place, 1, &pair.b)]);
        let entries: Vec<Entry> = halves()
            .map(|(place, half, values)| {
                let other = values.len() / self.rank.max(1);
                let shape = if half == 0 { vec![self.rank, other] } else { vec![other, self.rank] };
                Entry { name: name(place, half), dtype: STORED, shape }
            })
            .collect();
        let mut bytes = header(&entries);
        for (_, _, values) in halves() {
            values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        }
        crate::export::whole(&folder.join(WEIGHTS), |out| std::io::Write::write_all(out, &bytes)).map_err(io)?;
        let mut texts = vec![(CONFIG, self.config_json())];
        if let Some(base) = &self.base {
            texts.push((OURS, json!({ BASE: base })));
        }
        for (name, json) in texts {
            let text = format!("{json:#}\n");
            crate::export::whole(&folder.join(name), |out| std::io::Write::write_all(out, text.as_bytes())).map_err(io)?;
        }
        Ok(())
    }

    fn config_json(&self) -> Value {
        let mut config = json!({
            "peft_type": "LORA",
            "task_type": "CAUSAL_LM",
            "base_model_name_or_path": self.base_name,
            "r": self.rank,
            "lora_alpha": self.alpha,
            "lora_dropout": 0.0,
            "bias": "none",
            "fan_in_fan_out": false,
            "inference_mode": true,
            "init_lora_weights": true,
            "modules_to_save": null,
            "target_modules": self.modules(),
            "use_dora": false,
            "use_rslora": false,
        });
        // Whole numbers as PEFT writes them.
        if self.alpha.fract() == 0.0 && self.alpha.abs() < 1e9 {
            config["lora_alpha"] = json!(self.alpha as i64);
        }
        if self.has_experts() {
            config[EXPERTS] = json!(true);
        }
        config
    }
}

/// `base_model.model.` + the module + `.lora_A.weight`.
fn name(place: Place, half: usize) -> String {
    format!("base_model.model.{}.lora_{}.weight", place.name(), ["A", "B"][half])
}

fn parse_name(name: &str) -> Option<(Place, usize)> {
    let rest = name.strip_prefix("base_model.model.")?;
    let (module, half) = [".lora_A", ".lora_B"].iter().enumerate().find_map(|(half, mark)| {
        let (module, end) = rest.split_once(mark)?;
        // As a module names its parameters while it trains, too.
        matches!(end, ".weight" | ".default.weight").then_some((module, half))
    })?;
    Some((Place::from_name(module)?, half))
}

/// What adapter_config.json says, everything that would change the numbers and is not done here refused.
struct Config {
    file: String,
    rank: usize,
    alpha: f32,
    base_name: String,
}

impl Config {
    fn read(file: &str, json: &[u8]) -> Result<Self> {
        let config = Self { file: file.into(), rank: 0, alpha: 0.0, base_name: String::new() };
        let map: Map<String, Value> =
            serde_json::from_slice(json).map_err(|error| config.error("{}", format!("is no JSON object: {error}")))?;
        let get = |key: &str| map.get(key).filter(|value| !value.is_null());
        let text = |key: &str| get(key).and_then(Value::as_str);
        match text("peft_type") {
            Some("LORA") => {}
            other => return Err(config.error("peft_type", format!("is {}; only LORA adapters can be read", other.unwrap_or("missing")))),
        }
        config.refuse(&map)?;
        let rank = get("r").and_then(Value::as_u64).and_then(|rank| usize::try_from(rank).ok()).filter(|&rank| rank > 0 && rank <= 1 << 16);
        let rank = rank.ok_or_else(|| config.error("r", "is missing or no rank: a whole number from 1 is needed"))?;
        let alpha = get("lora_alpha").and_then(Value::as_f64).map(|alpha| alpha as f32).filter(|alpha| alpha.is_finite());
        let alpha = alpha.ok_or_else(|| config.error("lora_alpha", "is missing or no number"))?;
        let base_name = text("base_model_name_or_path").unwrap_or_default().into();
        Ok(Self { rank, alpha, base_name, ..config })
    }

    fn refuse(&self, map: &Map<String, Value>) -> Result<()> {
        let is_set = |value: &Value| match value {
            Value::Null | Value::Bool(false) => false,
            Value::Object(map) => !map.is_empty(),
            Value::Array(list) => !list.is_empty(),
            _ => true,
        };
        const VARIANTS: [(&str, &str); 13] = [
            ("use_dora", "DoRA scales every row by a learnt length"),
            ("use_rslora", "rank-stabilised LoRA scales by α/√r"),
            ("use_qalora", "QA-LoRA pools its inputs"),
            ("fan_in_fan_out", "its matrices are transposed"),
            ("modules_to_save", "it replaces whole modules"),
            ("rank_pattern", "ranks differ by module"),
            ("alpha_pattern", "scales differ by module"),
            ("layer_replication", "it repeats layers"),
            ("lora_bias", "its pairs have biases"),
            ("target_parameters", "it adapts parameters that are no modules"),
            ("trainable_token_indices", "it replaces rows of the embedding"),
            ("alora_invocation_tokens", "it is active only after certain tokens"),
            ("megatron_config", "it is for another runtime"),
        ];
        for (key, why) in VARIANTS {
            if map.get(key).is_some_and(is_set) {
                return Err(self.error(
                    key,
                    format!(
                        "is set: {why}, which is not done here; merge the adapter with PEFT (merge_and_unload) and give the merged model"
                    ),
                ));
            }
        }
        if map.get("bias").and_then(Value::as_str).is_some_and(|bias| bias != "none") {
            return Err(self.error("bias", "is not \"none\": it trains biases too, which is not done here; merge the adapter with PEFT"));
        }
        let init = map.get("init_lora_weights").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
        if ["pissa", "olora", "corda", "loftq"].iter().any(|kind| init.starts_with(kind)) {
            return Err(self.error(
                "init_lora_weights",
                format!("is \"{init}\", which changes the base too; convert the adapter to plain LoRA with PEFT"),
            ));
        }
        Ok(())
    }

    fn error(&self, key: &str, message: impl Into<String>) -> AdapterError {
        AdapterError::Config { file: self.file.clone(), key: key.into(), message: message.into() }
    }
}
