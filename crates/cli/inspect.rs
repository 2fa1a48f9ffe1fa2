//! `longhand inspect`: what a model is, and what of it fits where.

use anyhow::{Context, Result};
use kernels::DType;
use kernels::attention::KvDType;
use model::{ModelConfig, Role};
use serde_json::json;

use crate::{load, mapped};

/// WebGPU's default limit of one storage binding, which every adapter has.
const BINDING: u64 = 128 << 20;

/// Architecture, tensors, formats, and the memory that each context length takes.
#[derive(clap::Args)]
#[command(after_help = "Examples:\n  longhand inspect ./Qwen3-4B\n  longhand inspect qwen3-30b-a3b --dtype q4_k")]
pub struct InspectArgs {
    /// A folder, a .gguf file, a hub id, or the name of a published shape: qwen3-0.6b, qwen3-1.7b, qwen3-4b, qwen3-8b, qwen3-30b-a3b.
    model: String,
    /// Format to plan a published shape with.
    #[arg(long, value_name = "DTYPE", default_value = "bf16")]
    dtype: String,
    /// List every tensor.
    #[arg(long)]
    tensors: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// Tensors of one role, over all layers.
struct Group {
    role: String,
    count: usize,
    dtype: DType,
    /// Of one tensor.
    bytes: u64,
    /// Bindings one tensor needs at 128 MiB each.
    shards: u64,
}

/// Runs the verb.
pub fn run(args: &InspectArgs) -> Result<()> {
    let (config, groups, total, listed) = match ModelConfig::known(&args.model) {
        Some(config) => {
            let dtype = DType::WEIGHTS.into_iter().find(|dtype| dtype.name() == args.dtype.to_lowercase());
            let dtype = dtype
                .with_context(|| format!("`{}` is not a weight format: {}", args.dtype, DType::WEIGHTS.map(DType::name).join(", ")))?;
            let groups = planned(&config, dtype)?;
            let total = groups.iter().map(|group| group.bytes * group.count as u64).sum();
            (config, groups, total, vec![])
        }
        None => {
            let (checkpoint, _) = load::checkpoint(&args.model)?;
            if let Some(warning) = load::free_memory().and_then(|free| mapped::warning(&checkpoint, free)) {
                eprintln!("{warning}");
            }
            let config = checkpoint.config().clone();
            let groups = stored(&config, &checkpoint);
            let listed = checkpoint.tensors().iter().map(|t| (t.name.clone(), t.dtype, t.shape.clone())).collect();
            (config, groups, checkpoint.total_bytes(), listed)
        }
    };
    let contexts: Vec<usize> =
        [4, 8, 16, 32, 64, 128, 256].iter().map(|k| k * 1024).filter(|&n| n <= config.max_positions.max(4096)).collect();
    let kv = |dtype: KvDType, context: usize| (config.layers * context * dtype.bytes_per_position(config.kv_heads, config.head_dim)) as u64;
    let q8 = config.head_dim % 32 == 0;
    let free = crate::load::free_memory();
    if args.json {
        let plan: Vec<_> = contexts
            .iter()
            .map(|&n| json!({"context": n, "kv_f32": kv(KvDType::F32, n), "kv_f16": kv(KvDType::F16, n), "kv_q8": q8.then(|| kv(KvDType::Q8, n)), "fits_in_memory": free.map(|free| total + kv(KvDType::F16, n) <= free)}))
            .collect();
        let tensors: Vec<_> = groups
            .iter()
            .map(|g| json!({"role": g.role, "count": g.count, "dtype": g.dtype.name(), "bytes": g.bytes, "bindings": g.shards}))
            .collect();
        println!(
            "{}",
            json!({"architecture": format!("{:?}", config.architecture), "config": format!("{config:?}"), "parameters": config.parameters(), "active_parameters": config.active_parameters(), "weight_bytes": total, "tensors": tensors, "contexts": plan, "free_memory": free})
        );
        return Ok(());
    }
    println!(
        "{:?}: {} layers, hidden {}, {}/{} heads of {}, vocabulary {}, {} positions",
        config.architecture,
        config.layers,
        config.hidden,
        config.heads,
        config.kv_heads,
        config.head_dim,
        config.vocab,
        config.max_positions
    );
    if let Some(moe) = &config.moe {
        println!(
            "{} experts of {}, {} a token{}",
            moe.experts,
            moe.intermediate,
            moe.top_k,
            if moe.dense_layers.is_empty() { String::new() } else { format!(", dense layers {:?}", moe.dense_layers) }
        );
    }
    println!("RoPE base {}, {:?}; embeddings {}", config.rope_theta, config.rope, if config.tie_embeddings { "tied" } else { "not tied" });
    println!(
        "{:.2} B parameters, {:.2} B active a token, {} of weights\n",
        config.parameters() as f64 / 1e9,
        config.active_parameters() as f64 / 1e9,
        size(total)
    );
    println!("{:24} {:>5} {:>6} {:>11} {:>9}", "tensor", "count", "format", "each", "bindings");
    for group in &groups {
        println!("{:24} {:5} {:>6} {:>11} {:9}", group.role, group.count, group.dtype.name(), size(group.bytes), group.shards);
    }
    println!("(bindings: GPU bindings of at most 128 MiB that one tensor is split into)\n");
    println!(
        "{:>9} {:>11} {:>11} {:>11} {}",
        "context",
        "KV f16",
        "KV q8",
        "with f16",
        free.map_or(String::new(), |free| format!("in the {} free here", size(free)))
    );
    for context in contexts {
        let all = total + kv(KvDType::F16, context);
        let fits = free.map_or("", |free| if all <= free { "fits" } else { "does not fit" });
        let eight = if q8 { size(kv(KvDType::Q8, context)) } else { "-".into() };
        println!("{context:9} {:>11} {eight:>11} {:>11} {fits}", size(kv(KvDType::F16, context)), size(all));
    }
    if args.tensors {
        println!();
        for (name, dtype, shape) in listed {
            println!("{name} {} {shape:?}", dtype.name());
        }
    }
    Ok(())
}

/// Every matrix role as it would be stored in `dtype`; vectors and the router as f32.
fn planned(config: &ModelConfig, dtype: DType) -> Result<Vec<Group>> {
    let mut groups = Vec::new();
    for role in Role::ALL {
        let layers = layers_of(role, config);
        let Some(&first) = layers.first() else { continue };
        debug_assert!(role.exists(config, first));
        let shape = role.shape(config);
        let Some((&cols, outer)) = shape.split_last() else { continue };
        let dtype = if outer.is_empty() || role == Role::Router { DType::F32 } else { dtype };
        let rows: usize = outer.iter().product();
        let row_bytes = dtype
            .row_bytes(cols)
            .with_context(|| format!("{} rows of {cols} are not whole {} blocks", role.canonical(first), dtype.name()))?;
        groups.push(group(role, config, layers.len(), dtype, (rows * row_bytes) as u64));
    }
    Ok(groups)
}

fn stored(config: &ModelConfig, checkpoint: &model::Checkpoint) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for role in Role::ALL {
        for layer in layers_of(role, config) {
            let Some((dtype, bytes)) = checkpoint.stored(role, layer) else { continue };
            let next = group(role, config, 1, dtype, bytes);
            match groups.iter_mut().find(|g| g.role == next.role && g.dtype == next.dtype) {
                Some(group) => group.count += 1,
                None => groups.push(next),
            }
        }
    }
    groups
}

fn layers_of(role: Role, config: &ModelConfig) -> Vec<usize> {
    let layers = if role.is_global() { 1 } else { config.layers };
    (0..layers).filter(|&layer| role.exists(config, layer)).collect()
}

fn group(role: Role, config: &ModelConfig, count: usize, dtype: DType, bytes: u64) -> Group {
    // Experts are split between experts, matrices between rows.
    let units = role.shape(config).first().copied().unwrap_or(1).max(1) as u64;
    let unit = bytes.div_ceil(units);
    let shards = units.div_ceil((BINDING / unit.max(1)).max(1));
    Group { role: format!("{role:?}"), count, dtype, bytes, shards }
}

fn size(bytes: u64) -> String {
    match bytes {
        b if b >= 1 << 30 => format!("{:.2} GiB", b as f64 / f64::from(1 << 30)),
        b if b >= 1 << 20 => format!("{:.1} MiB", b as f64 / f64::from(1 << 20)),
        b => format!("{:.1} KiB", b as f64 / 1024.0),
    }
}
