"""Golden merges: fine-tunes of tiny random models, merged by mergekit.

    pip install 'mergekit==0.1.5' 'torch==2.15.*' 'transformers==5.24.*'
    python tests/golden/make_merges.py

merge/dense (Qwen3, tied) and merge/moe (Qwen3-MoE, an expert per tensor) hold

    base, one, two, three    config.json, model.safetensors: what is merged
    expected/<what>.safetensors    what mergekit makes of it, in float32

    sce_half, sce_all    select_topk 0.5 and 1.0
    ties                 weights 0.5, 1, 0.8; densities 0.4, 0.7, 1; normalised
    ties_plain           the same, not normalised
    linear               weights 0.5, 1, 0.8

Weights have a spread of 1, deltas of 0.45, 0.3 and 0.2, so that none of mergekit's absolute epsilons (1e-6) is near. A third of every
tensor's elements is the base's in all three, and a few differ from the base by the same in all: their variance is 0. No score is tied
with another at the bar of its selection (asserted), for mergekit leaves the choice among equals open.

The dense models go through mergekit's program (`run_merge`). Of Qwen3-MoE it first fuses the experts of a layer, as Transformers 5 holds
them, and so selects and weighs over all of them at once. What is published has a tensor for each expert, and that is what is merged here:
mergekit's `merge_state_dicts` on the checkpoint's own tensors, which for dense models is asserted to be what the program writes.
"""

import shutil
import tempfile
from pathlib import Path

import torch
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.merge_methods.api import merge_state_dicts
from mergekit.options import MergeOptions
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, Qwen3Config, Qwen3MoeConfig

OUT = Path(__file__).resolve().parent / "merge"
MODELS = ["one", "two", "three"]
SPREAD = dict(one=0.45, two=0.3, three=0.2)
WEIGHTS = dict(one=0.5, two=1.0, three=0.8)
DENSITY = dict(one=0.4, two=0.7, three=1.0)
SMALL = dict(
    vocab_size=24, hidden_size=16, num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=64,
    rope_parameters={"rope_type": "default", "rope_theta": 1e4}, bos_token_id=None, eos_token_id=1, pad_token_id=None, dtype="float32",
)
DENSE = Qwen3Config(**SMALL, num_hidden_layers=2, intermediate_size=16, tie_word_embeddings=True)
MOE = Qwen3MoeConfig(
    **SMALL, num_hidden_layers=1, intermediate_size=20, moe_intermediate_size=12, num_experts=3, num_experts_per_tok=2,
    norm_topk_prob=True, tie_word_embeddings=False,
)


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    for name, config, seed in [("dense", DENSE, 11), ("moe", MOE, 12)]:
        models(OUT / name, config, seed)
        expected = OUT / name / "expected"
        expected.mkdir()
        merge(OUT / name, expected / "sce_half", "sce", {"select_topk": 0.5})
        merge(OUT / name, expected / "sce_all", "sce", {"select_topk": 1.0})
        merge(OUT / name, expected / "ties", "ties", {}, weight=WEIGHTS, density=DENSITY)
        merge(OUT / name, expected / "ties_plain", "ties", {"normalize": False}, weight=WEIGHTS, density=DENSITY)
        merge(OUT / name, expected / "linear", "linear", {}, weight=WEIGHTS)
    print(sum(path.stat().st_size for path in OUT.rglob("*") if path.is_file()) / 1024, "KiB")


def models(out, config, seed):
    """The base, and fine-tunes of it."""
    torch.manual_seed(seed)
    AutoModelForCausalLM.from_config(config).save_pretrained(out / "base")
    (out / "base" / "generation_config.json").unlink(missing_ok=True)
    shapes = {name: tensor.shape for name, tensor in load_file(out / "base" / "model.safetensors").items()}
    base = {name: torch.randn(shape) for name, shape in sorted(shapes.items())}
    tuned = {model: {} for model in MODELS}
    for name, tensor in base.items():
        same = torch.rand(tensor.shape)
        together = 0.3 * torch.randn(tensor.shape)
        for model in MODELS:
            delta = SPREAD[model] * torch.randn(tensor.shape)
            # In all models alike: a third not moved at all, a tenth moved by the same.
            delta = torch.where(same < 0.33, torch.zeros(()), torch.where(same < 0.43, together, delta))
            tuned[model][name] = tensor + delta
        no_ties(name, tensor, [tuned[model][name] for model in MODELS])
    for name, tensors in [("base", base), *tuned.items()]:
        (out / name).mkdir(exist_ok=True)
        if name != "base":
            shutil.copy(out / "base" / "config.json", out / name)
        save_file(tensors, out / name / "model.safetensors", {"format": "pt"})


def no_ties(name, base, tuned):
    deltas = torch.stack([tensor - base for tensor in tuned])
    variances = deltas.var(dim=0, unbiased=False).flatten()
    scores = [(variances, int(variances.count_nonzero() * 0.5))]
    scores += [(delta.abs().flatten(), max(1, int(DENSITY[model] * delta.numel()))) for model, delta in zip(MODELS, deltas)]
    for values, k in scores:
        values = values.sort(descending=True).values
        # Equal zeros may be chosen as they come: they add nothing.
        assert k == len(values) or values[k - 1] > values[k] * (1 + 1e-5) or values[k - 1] == 0, name


def merge(folder, out, method, parameters, **each):
    """One merge by mergekit."""
    base = None if method == "linear" else "base"
    tensors = {model: load_file(folder / model / "model.safetensors") for model in ([base] if base else []) + MODELS}
    merged = merge_state_dicts(tensors, method, parameters=parameters | each, base=base)
    if folder.name == "dense":
        whole = by_program(folder, method, base, parameters, each)
        assert merged.keys() == whole.keys(), merged.keys() ^ whole.keys()
        assert all(torch.equal(tensor, whole[name]) for name, tensor in merged.items())
    assert all(tensor.dtype == torch.float32 for tensor in merged.values())
    save_file(merged, out.with_suffix(".safetensors"))


def by_program(folder, method, base, parameters, each):
    config = MergeConfiguration.model_validate({
        "merge_method": method,
        "base_model": base and str(folder / base),
        "dtype": "float32",
        "parameters": parameters,
        "models": [
            {"model": str(folder / model), "parameters": {key: values[model] for key, values in each.items()}} for model in MODELS
        ],
    })
    with tempfile.TemporaryDirectory() as place:
        run_merge(config, place, MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True))
        return {name: tensor for file in sorted(Path(place).glob("*.safetensors")) for name, tensor in load_file(file).items()}


main()
