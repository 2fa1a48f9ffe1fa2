"""Memory and time of a merge, ours and mergekit's.

    pip install 'mergekit==0.1.5' 'torch==2.15.*' 'transformers==5.24.*'
    cargo build --release
    python tests/real/bench_merge.py target/release/longhand [FOLDER]

Makes a Qwen3 of 302 million parameters and two fine-tunes of it from a seed (bf16, two shards of about 300 MB each), merges them by each
method, and prints seconds and the most memory that was resident, mapped pages of files included (VmHWM, so Linux only). Then mergekit
does the same (float32, as Longhand computes), and the weights are compared.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

THREADS = os.environ.get("THREADS", "2")
CONFIG = dict(
    architectures=["Qwen3ForCausalLM"], model_type="qwen3", vocab_size=65536, hidden_size=1024, num_hidden_layers=15, num_attention_heads=16,
    num_key_value_heads=8, head_dim=128, intermediate_size=3072, max_position_embeddings=4096, rms_norm_eps=1e-6, rope_theta=1e6,
    tie_word_embeddings=True, torch_dtype="bfloat16", hidden_act="silu", attention_bias=False, bos_token_id=None, eos_token_id=1,
)
METHODS = {
    "sce": (["--select-topk", "0.5"], {"select_topk": 0.5}, {}),
    "ties": (["--density", "0.5"], {}, {"weight": 1.0, "density": 0.5}),
    "linear": ([], {}, {"weight": 1.0}),
}


def main():
    longhand = Path(sys.argv[1]).resolve()
    place = Path(sys.argv[2] if len(sys.argv) > 2 else tempfile.mkdtemp())
    names = ["base", "one", "two"]
    for number, name in enumerate(names):
        if not (place / name).exists():
            make(place / name, number)
    size = sum(file.stat().st_size for file in (place / "base").glob("*.safetensors"))
    print(f"a checkpoint: {size / 1e6:.0f} MB in {len(list((place / 'base').glob('*.safetensors')))} shards; three are read")
    for method, (options, parameters, each) in METHODS.items():
        ours, theirs = place / f"ours-{method}", place / f"mergekit-{method}"
        if not ours.exists():
            command = [longhand, "merge", "--method", method, "--base", place / "base", "--models", place / "one", place / "two"]
            run(f"longhand {method}", [*command, *options, "--out", ours, "--json"])
        if not theirs.exists():
            config = {
                "merge_method": method, "dtype": "float32", "out_dtype": "bfloat16", "parameters": parameters,
                "models": [{"model": str(place / name), "parameters": each} for name in names[1:]],
            } | ({} if method == "linear" else {"base_model": str(place / "base")})
            file = place / f"{method}.yaml"
            file.write_text(json.dumps(config))
            program = Path(sys.executable).parent / "mergekit-yaml"
            run(f"mergekit {method}", [program, file, theirs, "--no-copy-tokenizer", "--no-write-model-card", "--quiet"])
        compare(ours, theirs)


def make(folder, number):
    """The base's weights, and for a fine-tune deltas of its own."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(CONFIG))
    c, i, q, kv = CONFIG["hidden_size"], CONFIG["intermediate_size"], 16 * 128, 8 * 128
    layer = dict(
        input_layernorm=[c], post_attention_layernorm=[c], **{
            "self_attn.q_proj": [q, c], "self_attn.k_proj": [kv, c], "self_attn.v_proj": [kv, c], "self_attn.o_proj": [c, q],
            "self_attn.q_norm": [128], "self_attn.k_norm": [128], "mlp.gate_proj": [i, c], "mlp.up_proj": [i, c], "mlp.down_proj": [c, i],
        },
    )
    shapes = {"model.embed_tokens.weight": [CONFIG["vocab_size"], c], "model.norm.weight": [c]}
    shapes |= {f"model.layers.{n}.{name}.weight": shape for n in range(CONFIG["num_hidden_layers"]) for name, shape in layer.items()}
    random, own = torch.Generator().manual_seed(1), torch.Generator().manual_seed(100 + number)
    shards, index = [{}, {}], {}
    for at, (name, shape) in enumerate(shapes.items()):
        tensor = torch.randn(shape, generator=random) * (0.02 if len(shape) > 1 else 0.1)
        if number:
            tensor += torch.randn(shape, generator=own) * 0.004 * number
        shard = int(at > len(shapes) // 3)
        shards[shard][name] = tensor.to(torch.bfloat16)
        index[name] = f"model-0000{shard + 1}-of-00002.safetensors"
    for number, tensors in enumerate(shards):
        save_file(tensors, folder / f"model-0000{number + 1}-of-00002.safetensors", {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))


def run(what, command):
    environment = os.environ | {"RAYON_NUM_THREADS": THREADS, "OMP_NUM_THREADS": THREADS}
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen([str(word) for word in command], env=environment, stdout=subprocess.DEVNULL, stderr=said)
        begun, peak = time.monotonic(), 0
        # Not the child's ru_maxrss: that begins at this process's own size.
        while child.poll() is None:
            peak = max(peak, resident(child.pid))
            time.sleep(0.02)
        said.seek(0)
        if child.returncode:
            sys.exit(f"{what} failed: {said.read().decode()[-2000:]}")
    cpu = sum(os.times()[2:4]) - run.cpu
    run.cpu += cpu
    print(f"{what:16} {time.monotonic() - begun:6.1f} s ({cpu:.1f} s of CPU), at most {peak / 1e6:6.0f} MB", flush=True)


run.cpu = 0


def resident(pid):
    """The most that was resident so far, in bytes."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def compare(ours, theirs):
    def tensors(folder):
        return {name: tensor for file in sorted(folder.glob("*.safetensors")) for name, tensor in load_file(file).items()}

    ours, theirs = tensors(ours), tensors(theirs)
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    differ = sum(int((ours[name] != theirs[name]).sum()) for name in ours)
    most = max(float((ours[name].float() - theirs[name].float()).abs().max()) for name in ours)
    count = sum(tensor.numel() for tensor in ours.values())
    print(f"{differ} of {count} weights differ from mergekit's after rounding to bf16, by {most:.1e} at most")


main()
