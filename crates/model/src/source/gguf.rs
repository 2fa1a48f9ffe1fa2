//! GGUF checkpoints: experts come stacked, Llama's q and k rows interleaved.

use std::collections::{HashMap, HashSet};

use kernels::Extent;

use super::assemble::Slot;
use super::{Checkpoint, GgufTokenizer, Origin, TokenizerMaterial};
use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::gguf::Gguf;
use crate::names::{Role, gguf_ignorable, interleaved_heads};

pub(super) fn checkpoint(gguf: &Gguf, bytes: Extent) -> Result<Checkpoint> {
    let config = ModelConfig::from_gguf(gguf)?;
    let numbers: HashMap<&str, usize> = gguf.tensors.iter().enumerate().map(|(number, tensor)| (tensor.name.as_str(), number)).collect();
    let mut slots = HashMap::new();
    let mut used = HashSet::new();
    let everywhere = Role::GLOBAL.into_iter().map(|role| (role, 0));
    let layers = (0..config.layers).flat_map(|layer| Role::LAYER.into_iter().map(move |role| (role, layer)));
    for (role, layer) in everywhere.chain(layers).filter(|&(role, layer)| role.exists(&config, layer)) {
        let name = role.gguf(layer);
        let Some(&number) = numbers.get(name.as_str()) else {
            return Err(ModelError::MissingTensor { file: gguf.file.clone(), tensor: name });
        };
        let (tensor, shape) = (&gguf.tensors[number], role.shape(&config));
        if tensor.shape != shape {
            return Err(ModelError::shape(format!("{}: {name}", gguf.file), &tensor.shape, &shape));
        }
        used.insert(number);
        let slot = match interleaved_heads(&config, role) {
            Some(heads) => Slot::Interleaved { tensor: number, heads },
            None => Slot::Whole(number),
        };
        slots.insert((role, layer), slot);
    }
    if let Some((_, extra)) = gguf.tensors.iter().enumerate().find(|(n, tensor)| !used.contains(n) && !gguf_ignorable(&tensor.name)) {
        let hint = format!("the file calls itself {} with {} layers", config.architecture.gguf_name(), config.layers);
        return Err(ModelError::UnexpectedTensor { file: gguf.file.clone(), tensor: extra.name.clone(), hint });
    }
    let tokenizer = match GgufTokenizer::read(gguf)? {
        Some(vocab) => TokenizerMaterial::Gguf(vocab),
        None => TokenizerMaterial::None,
    };
    let (name, tensors) = (gguf.file.clone(), gguf.tensors.clone().into());
    Ok(Checkpoint { config, tokenizer, origin: Origin::Gguf(bytes), name, tensors, slots, trusted: false })
}
