//! Hugging Face checkpoints: safetensors files, experts one by one or fused.

use std::collections::{HashMap, HashSet};

use kernels::{Bytes, Extent};

use super::assemble::Slot;
use super::{Checkpoint, Origin, TokenizerMaterial};
use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::names::{Role, hf_expert, hf_fused, hf_ignorable};
use crate::safetensors;
use crate::tensor::TensorInfo;

pub(super) fn checkpoint(name: &str, config_json: &Bytes, files: Vec<(String, Extent)>) -> Result<Checkpoint> {
    let mut config = ModelConfig::from_hf_json(config_json.as_slice())?;
    let mut tensors = vec![];
    for (file, bytes) in &files {
        tensors.extend(safetensors::parse(file, bytes)?);
    }
    let mut index = Index::new(&tensors)?;
    settle_head(&mut config, &index, &tensors)?;
    let slots = index.slots(&config, name)?;
    index.refuse_rest(&config)?;
    let origin = Origin::HuggingFace { config_json: config_json.clone(), generation_config: None };
    Ok(Checkpoint { config, tokenizer: TokenizerMaterial::None, origin, name: name.into(), tensors: tensors.into(), slots, trusted: false })
}

/// A separate output tensor wins over the tie flag, unless it is the embedding once more.
fn settle_head(config: &mut ModelConfig, index: &Index, tensors: &[TensorInfo]) -> Result<()> {
    let find = |role: Role| index.by_name.get(role.canonical(0).as_str()).map(|&number| &tensors[number]);
    if let (true, Some(head), Some(embedding)) = (config.tie_embeddings, find(Role::OutputHead), find(Role::Embedding)) {
        config.tie_embeddings = head.dtype == embedding.dtype && are_equal(&head.bytes, &embedding.bytes)?;
    }
    Ok(())
}

fn are_equal(a: &Extent, b: &Extent) -> Result<bool> {
    let (mut of_a, mut of_b) = (vec![], vec![]);
    if a.len() != b.len() {
        return Ok(false);
    }
    for range in a.pieces(1) {
        if a.get(range.clone(), &mut of_a)? != b.get(range, &mut of_b)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Tensors by name, and which of them have found a role.
struct Index<'a> {
    tensors: &'a [TensorInfo],
    by_name: HashMap<&'a str, usize>,
    used: HashSet<usize>,
}

impl<'a> Index<'a> {
    fn new(tensors: &'a [TensorInfo]) -> Result<Self> {
        let mut by_name = HashMap::with_capacity(tensors.len());
        for (number, tensor) in tensors.iter().enumerate() {
            if let Some(first) = by_name.insert(tensor.name.as_str(), number) {
                let message = format!("tensor `{}` is also in {}", tensor.name, tensors[first].file);
                return Err(ModelError::format(&tensor.file, tensor.offset, message));
            }
        }
        Ok(Self { tensors, by_name, used: HashSet::new() })
    }

    fn slots(&mut self, config: &ModelConfig, name: &str) -> Result<HashMap<(Role, usize), Slot>> {
        let mut slots = HashMap::new();
        let everywhere = Role::GLOBAL.into_iter().map(|role| (role, 0));
        let layers = (0..config.layers).flat_map(|layer| Role::LAYER.into_iter().map(move |role| (role, layer)));
        for (role, layer) in everywhere.chain(layers).filter(|&(role, layer)| role.exists(config, layer)) {
            let slot = match role.is_expert() {
                true => self.experts(config, name, role, layer)?,
                false => Slot::Whole(self.take(name, &role.canonical(layer), &role.shape(config))?),
            };
            slots.insert((role, layer), slot);
        }
        Ok(slots)
    }

    /// A tensor by name, its shape checked, counted as used.
    fn take(&mut self, checkpoint: &str, name: &str, shape: &[usize]) -> Result<usize> {
        let Some(&number) = self.by_name.get(name) else {
            return Err(ModelError::MissingTensor { file: checkpoint.into(), tensor: name.into() });
        };
        let tensor = &self.tensors[number];
        if tensor.shape != shape {
            return Err(ModelError::shape(format!("{}: {name}", tensor.file), &tensor.shape, shape));
        }
        self.used.insert(number);
        Ok(number)
    }

    fn experts(&mut self, config: &ModelConfig, name: &str, role: Role, layer: usize) -> Result<Slot> {
        let shape = role.shape(config);
        let (gate_up, down) = hf_fused(layer);
        if !self.by_name.contains_key(gate_up.as_str()) {
            let numbers = (0..shape[0]).map(|expert| self.take(name, &hf_expert(role, layer, expert), &shape[1..]));
            return Ok(Slot::PerExpert(numbers.collect::<Result<_>>()?));
        }
        let (experts, inner, hidden) = match config.moe.as_ref() {
            Some(moe) => (moe.experts, moe.intermediate, config.hidden),
            None => return Err(ModelError::MissingTensor { file: name.into(), tensor: gate_up }),
        };
        let straight = [[experts, 2 * inner, hidden], [experts, hidden, inner]];
        let transposed = [[experts, hidden, 2 * inner], [experts, inner, hidden]];
        let found = |tensor: &str| self.by_name.get(tensor).map(|&number| self.tensors[number].shape.as_slice());
        // One of the two tensors may look alike both ways round (2I = C or I = C); never both, so together they decide.
        let is_transposed = found(&gate_up) == Some(&transposed[0])
            && found(&down) == Some(&transposed[1])
            && !(found(&gate_up) == Some(&straight[0]) && found(&down) == Some(&straight[1]));
        let [gate_up_shape, down_shape] = if is_transposed { transposed } else { straight };
        let part = |tensor: usize, rows: std::ops::Range<usize>| match is_transposed {
            true => Slot::TransposedPart { tensor, rows },
            false => Slot::Part { tensor, rows },
        };
        Ok(match role {
            Role::ExpertGate => part(self.take(name, &gate_up, &gate_up_shape)?, 0..inner),
            Role::ExpertUp => part(self.take(name, &gate_up, &gate_up_shape)?, inner..2 * inner),
            _ if is_transposed => part(self.take(name, &down, &down_shape)?, 0..hidden),
            _ => Slot::Whole(self.take(name, &down, &down_shape)?),
        })
    }

    fn refuse_rest(&self, config: &ModelConfig) -> Result<()> {
        for (number, tensor) in self.tensors.iter().enumerate() {
            let tied_head = config.tie_embeddings && tensor.name == Role::OutputHead.canonical(0);
            if !self.used.contains(&number) && !tied_head && !hf_ignorable(&tensor.name) {
                let hint = format!("is config.json ({}, {} layers) the one made for it?", config.architecture.hf_name(), config.layers);
                return Err(ModelError::UnexpectedTensor { file: tensor.file.clone(), tensor: tensor.name.clone(), hint });
            }
        }
        Ok(())
    }
}
