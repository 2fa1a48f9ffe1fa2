//! A checkpoint as one thing, whatever files it came in: configuration, tensors by role, tokenizer material.
//!
//! Everything is checked when a checkpoint opens: each tensor the architecture needs is there with the right shape, and none is
//! there that would go unused. Afterwards [`Checkpoint::tensor`] only hands out bytes, copied only where the layout must
//! change or experts must come in one piece. Of files that are not in memory ([`Extent`]) only headers are read until a tensor is asked for.

mod assemble;
mod convert;
mod gguf;
mod hf;
mod material;
#[cfg(not(target_arch = "wasm32"))]
mod open;

use std::collections::HashMap;
use std::sync::Arc;

use kernels::{Bytes, DType, Extent, Inspect};

use crate::config::ModelConfig;
use crate::error::{ModelError, Result};
use crate::gguf::Gguf;
pub use crate::names::Role;
use crate::tensor::first_non_finite;
pub use crate::tensor::{TensorData, TensorInfo, TensorParts};
use assemble::Slot;
pub use convert::Converted;
pub use material::{GgufTokenizer, TokenizerMaterial};
#[cfg(not(target_arch = "wasm32"))]
pub use open::free_memory;

/// What a checkpoint's files say beyond weights and tokenizer, as bytes: for writing another like it.
#[derive(Clone)]
pub enum Origin {
    /// A Hugging Face folder.
    HuggingFace {
        /// config.json
        config_json: Bytes,
        /// generation_config.json
        generation_config: Option<Bytes>,
    },
    /// A GGUF file, all of it, shared; [`Gguf::entries`] lists its metadata.
    Gguf(Extent),
}

/// An opened checkpoint. Cloning bytes out of it shares them.
pub struct Checkpoint {
    config: ModelConfig,
    tokenizer: TokenizerMaterial,
    origin: Origin,
    /// Folder or file, for messages.
    name: String,
    tensors: Arc<[TensorInfo]>,
    slots: HashMap<(Role, usize), Slot>,
    trusted: bool,
}

/// How a checkpoint holds a layer's experts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpertStorage {
    /// One tensor [E, N, K] per role: shared with the file, not copied.
    Stacked,
    /// A tensor per expert: shared; joined for a GPU.
    PerExpert,
    /// Gate and up in one tensor [E, 2I, C]: shared; gate and up joined for a GPU.
    Fused,
    /// As fused, each expert transposed ([E, C, 2I] and [E, I, C]): copied and turned.
    FusedTransposed,
}

impl Checkpoint {
    /// A Hugging Face checkpoint from its files: config.json, and every safetensors file with its name.
    pub fn from_parts(config_json: Bytes, safetensors: Vec<(String, Extent)>) -> Result<Self> {
        hf::checkpoint("checkpoint", &config_json, safetensors)
    }

    /// A GGUF checkpoint from a file.
    pub fn from_gguf(file: Extent) -> Result<Self> {
        gguf::checkpoint(&Gguf::parse("model.gguf", &file)?, file)
    }

    /// Adds what a Hugging Face folder has beside its weights, as bytes: tokenizer.json, tokenizer_config.json,
    /// chat_template.jinja, generation_config.json (its end-of-text ids join the configuration's).
    pub fn with_files(
        mut self,
        tokenizer_json: Option<Bytes>,
        tokenizer_config: Option<Bytes>,
        chat_template: Option<Bytes>,
        generation_config: Option<Bytes>,
    ) -> Result<Self> {
        if let Some(bytes) = generation_config {
            self.config.add_eos(material::generation_eos(bytes.as_slice())?);
            if let Origin::HuggingFace { generation_config, .. } = &mut self.origin {
                *generation_config = Some(bytes);
            }
        }
        self.tokenizer = TokenizerMaterial::HuggingFace { tokenizer_json, tokenizer_config, chat_template };
        Ok(self)
    }

    /// Sizes and constants.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// What a tokenizer is built from.
    pub fn tokenizer(&self) -> &TokenizerMaterial {
        &self.tokenizer
    }

    /// What its files say beyond weights and tokenizer.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Folder or file it came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every tensor of the files, as stored.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.tensors
    }

    /// Bytes of all tensors.
    pub fn total_bytes(&self) -> u64 {
        self.tensors.iter().map(|tensor| tensor.bytes.len()).sum()
    }

    /// The tensor for a role; `None` where this model has none (a tied head, absent biases). Global roles take layer 0.
    ///
    /// Its bytes are in memory, read if they are not. Experts come stacked, [E·N, K], copied together if they lie apart. Rows of q and k that a GGUF file interleaves come back in half-split order.
    pub fn tensor(&self, role: Role, layer: usize) -> Result<Option<TensorData>> {
        match self.slots.get(&(role, layer)) {
            None => Ok(None),
            Some(slot) => Ok(Some(assemble::assemble(slot, &self.tensors)?.joined()?)),
        }
    }

    /// Storage format and bytes of a role, without assembling it; `None` where this model has none.
    pub fn stored(&self, role: Role, layer: usize) -> Option<(DType, u64)> {
        let dtype = self.tensors.get(*self.slots.get(&(role, layer))?.tensors().first()?)?.dtype;
        let shape = role.shape(&self.config);
        let (&cols, outer) = shape.split_last()?;
        Some((dtype, outer.iter().product::<usize>() as u64 * dtype.row_bytes(cols)? as u64))
    }

    /// Whether there is a tensor for the role.
    pub fn has(&self, role: Role, layer: usize) -> bool {
        self.slots.contains_key(&(role, layer))
    }

    /// How the experts of a layer are stored; `None` for a dense layer.
    pub fn expert_storage(&self, layer: usize) -> Option<ExpertStorage> {
        Some(match self.slots.get(&(Role::ExpertGate, layer))? {
            Slot::Whole(_) | Slot::Interleaved { .. } => ExpertStorage::Stacked,
            Slot::PerExpert(_) => ExpertStorage::PerExpert,
            Slot::Part { .. } => ExpertStorage::Fused,
            Slot::TransposedPart { .. } => ExpertStorage::FusedTransposed,
        })
    }

    /// The error for a role that should have been there.
    pub fn missing(&self, role: Role, layer: usize) -> ModelError {
        ModelError::MissingTensor { file: self.name.clone(), tensor: role.canonical(layer) }
    }

    /// File and tensor a role comes from, for messages.
    pub fn name_of(&self, role: Role, layer: usize) -> String {
        match self.slots.get(&(role, layer)).and_then(|slot| self.tensors.get(*slot.tensors().first()?)) {
            Some(tensor) => format!("{}: {}", tensor.file, tensor.name),
            None => format!("{}: {}", self.name, role.canonical(layer)),
        }
    }

    /// As [`Checkpoint::name_of`], the tensor of one expert where each has its own.
    pub fn name_of_expert(&self, role: Role, layer: usize, expert: usize) -> String {
        let own = match self.slots.get(&(role, layer)) {
            Some(Slot::PerExpert(numbers)) => numbers.get(expert).and_then(|&number| self.tensors.get(number)),
            _ => None,
        };
        own.map_or_else(|| self.name_of(role, layer), |tensor| format!("{}: {}", tensor.file, tensor.name))
    }

    /// [`Checkpoint::tensor`], its bytes first searched for NaN and infinity unless the checkpoint is trusted.
    pub fn finite_tensor(&self, role: Role, layer: usize) -> Result<Option<TensorData>> {
        self.finite_parts(role, layer)?.map(TensorParts::joined).transpose()
    }

    /// As [`Checkpoint::finite_tensor`], left where it lies: in pieces if those lie apart, and in files that are not in memory.
    pub fn finite_parts(&self, role: Role, layer: usize) -> Result<Option<TensorParts>> {
        let Some(slot) = self.slots.get(&(role, layer)) else { return Ok(None) };
        if !self.trusted {
            slot.tensors().iter().try_for_each(|&number| finite(&self.tensors[number]))?;
        }
        assemble::assemble(slot, &self.tensors).map(Some)
    }

    /// A layer's experts as [`Checkpoint::finite_tensor`] gives them, but where they lie in the files and unread: the search is
    /// handed out instead, to be made on each expert before its first use. Only transposed experts are read, turned and copied.
    ///
    /// A token uses a few experts of many, so reading all of them first would keep it waiting for most of the file. Where nothing can be
    /// mapped a device reads all of them when it is given them, so they are searched at once.
    pub fn unread_experts(&self, role: Role, layer: usize) -> Result<Option<(TensorParts, Option<Inspect>)>> {
        let is_mapped = |slot: &Slot| slot.tensors().iter().all(|&number| self.tensors[number].bytes.in_memory().is_some());
        let Some(slot) = self.slots.get(&(role, layer)).filter(|slot| slot.is_shared() && is_mapped(slot)) else {
            return Ok(self.finite_parts(role, layer)?.map(|parts| (parts, None)));
        };
        let data = assemble::assemble(slot, &self.tensors)?;
        let (slot, tensors, dtype) = (slot.clone(), self.tensors.clone(), data.dtype);
        let inspect = move |expert: usize, bytes: &[u8]| {
            let index = first_non_finite(dtype, bytes)?;
            let elements = bytes.len() / dtype.block_bytes() * dtype.block_len();
            Some(match slot.begin(expert, elements, &tensors) {
                Some((tensor, begin)) => non_finite(tensor, begin + index).to_string(),
                None => format!("expert {expert} holds a NaN or infinity at its element {index}"),
            })
        };
        Ok(Some((data, (!self.trusted).then(|| Arc::new(inspect) as Inspect))))
    }

    /// Bytes of the experts that are used where they lie in the file; what a layout needs copied is not among them.
    pub fn shared_expert_bytes(&self) -> u64 {
        let shared = self.slots.iter().filter(|((role, _), slot)| role.is_expert() && slot.is_shared());
        shared.filter_map(|(&(role, layer), _)| self.stored(role, layer)).map(|(_, bytes)| bytes).sum()
    }

    /// Loads without the search: for weights known to be sound, where the pass over their bytes is not wanted.
    pub fn trust(&mut self) {
        self.trusted = true;
    }

    /// Reads every tensor once and refuses NaN and infinity, in weights or in scales of blocks.
    ///
    /// A damaged or diverged checkpoint otherwise shows only as nonsense in an answer. It costs one pass over the bytes,
    /// which a loader is about to make anyway.
    pub fn check_finite(&self) -> Result<()> {
        self.tensors.iter().try_for_each(finite)
    }
}

fn finite(tensor: &TensorInfo) -> Result<()> {
    let (len, bytes) = (tensor.dtype.block_len(), tensor.dtype.block_bytes());
    let mut buffer = vec![];
    for range in tensor.bytes.pieces(bytes) {
        let before = range.start as usize / bytes * len;
        if let Some(index) = first_non_finite(tensor.dtype, tensor.bytes.get(range, &mut buffer)?) {
            return Err(non_finite(tensor, before + index));
        }
    }
    Ok(())
}

fn non_finite(tensor: &TensorInfo, index: usize) -> ModelError {
    ModelError::NonFinite {
        file: tensor.file.clone(),
        tensor: tensor.name.clone(),
        index,
        offset: tensor.offset + (index / tensor.dtype.block_len() * tensor.dtype.block_bytes()) as u64,
    }
}
