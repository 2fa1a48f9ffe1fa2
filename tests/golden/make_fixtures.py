"""Golden fixtures: tiny random models run by Hugging Face Transformers.

    pip install 'torch==2.15.*' 'transformers==5.23.*' safetensors numpy gguf
    python tests/golden/make_fixtures.py [case ...]

Every case is a folder beside this file:

    config.json, model*.safetensors | model.gguf    what Longhand loads
    case.json      {"ids": [T], "loss_mask": [T]}   loss_mask[t] = 1: token t is a target (row t-1 predicts it)
    expected.safetensors                            logits [T, V], logprobs [T-1], entropy [T] (nats), loss []
    case_long.json, expected_long.safetensors       the same past two 256-key chunks; of the logits only logits_tail [8, V]
    greedy.json    {"prompt", "ids": [32], "gap"}   argmax, lowest id on ties, EOS is a token like any other
    batch.json     8 ragged prompts, 12 greedy ids each, every prompt run alone
    gradients.safetensors                           of the loss of case.json, by the names of the model file
    train.json     ten AdamW losses from these weights on case.json

Weights are read back from the written files before anything is computed, and the model runs in float64 where
Transformers lets it (it keeps RoPE angles, RMSNorm and the softmaxes in float32), eager attention, no cache.
The loss is the mean of -logprob over the targets.
"""

import json
import shutil
import sys
from pathlib import Path

import torch
import transformers
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config, Qwen3MoeConfig

GOLDEN = Path(__file__).resolve().parent
GREEDY_STEPS, BATCH_STEPS, TAIL_ROWS, LONG_T = 32, 12, 8, 600
BATCH_LENGTHS = [1, 23, 7, 2, 16, 11, 5, 19]
ADAMW = dict(lr=3e-3, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1)

# ---------------------------------------------------------------------------------------------------- the cases


def qwen3_moe(out):
    """Odd shapes, saved as Transformers 5 saves: fused in memory, per-expert on disk."""
    model = lively(QWEN3_MOE_ODD, seed=101)
    model.save_pretrained(out)
    describe(out, seed=21, long=True, train=True)


def qwen3_moe_fused(out):
    """The weights of qwen3_moe as Transformers 5 holds them in memory.

    mlp.experts.gate_up_proj [E, 2I, H], gate rows first, then up; mlp.experts.down_proj [E, H, I]. Both are laid out as
    nn.Linear is, [out, in]: y = x @ W.T. The router stays mlp.gate.weight [E, H].
    """
    model = lively(QWEN3_MOE_ODD, seed=101)
    model.config.save_pretrained(out)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, out / "model.safetensors", {"format": "pt"})
    describe(out, seed=21)


def qwen3_moe_v4(out):
    """A config.json and tensors as Transformers 4 wrote them; dense first layer, top-3 not renormalised, tied."""
    model = lively(
        Qwen3MoeConfig(
            **shape(vocab=257, hidden=48, layers=3, heads=4, kv_heads=2, head_dim=16, ffn=40),
            num_experts=8, num_experts_per_tok=3, moe_intermediate_size=20, norm_topk_prob=False,
            mlp_only_layers=[0], decoder_sparse_step=1, tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        ),
        seed=102,
    )
    model.save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    for new in ["rope_parameters", "num_local_experts", "dtype", "layer_types", "pad_token_id"]:
        config.pop(new, None)
    config |= {
        "num_experts": 8, "rope_theta": 1000000.0, "rope_scaling": None, "torch_dtype": "float32",
        "transformers_version": "4.51.0", "use_sliding_window": False, "sliding_window": None, "max_window_layers": 3,
    }
    write_json(out / "config.json", dict(sorted(config.items())), indent=2)
    describe(out, seed=2, train=True)


def qwen3_moe_bf16(out):
    """bf16 tensors in two shards with an index; what is expected comes from the rounded weights."""
    model = lively(
        Qwen3MoeConfig(
            **shape(vocab=257, hidden=32, layers=2, heads=4, kv_heads=1, head_dim=16, ffn=48),
            num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24, norm_topk_prob=True,
            tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        ),
        seed=114,
    ).to(torch.bfloat16)
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    model.save_pretrained(out, max_shard_size=int(size * 0.6))
    assert len(list(out.glob("model-*.safetensors"))) == 2
    describe(out, seed=3)


def qwen3(out):
    model = lively(
        Qwen3Config(
            **shape(vocab=320, hidden=64, layers=2, heads=4, kv_heads=2, head_dim=32, ffn=96),
            tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        ),
        seed=104,
    )
    model.save_pretrained(out)
    describe(out, seed=4, long=True, train=True)


def qwen3_odd(out):
    model = lively(
        Qwen3Config(
            **shape(vocab=131, hidden=36, layers=2, heads=3, kv_heads=1, head_dim=14, ffn=50),
            tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        ),
        seed=105,
    )
    model.save_pretrained(out)
    describe(out, seed=5)


def qwen2(out):
    """Biases on q, k and v; tied. Qwen2 has no head_dim of its own: it is hidden / heads."""
    model = lively(
        Qwen2Config(
            **shape(vocab=257, hidden=48, layers=2, heads=4, kv_heads=2, ffn=80),
            tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
        ),
        seed=106,
    )
    model.save_pretrained(out)
    describe(out, seed=6, train=True)


def qwen2_odd(out):
    """YaRN, factor 4 over 64 positions: T = 150 passes the original window."""
    yarn = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64}
    model = lively(
        Qwen2Config(
            **shape(vocab=131, hidden=42, layers=2, heads=3, kv_heads=1, ffn=50) | {"max_position_embeddings": 256},
            tie_word_embeddings=False, rope_parameters=yarn,
        ),
        seed=107,
    )
    model.save_pretrained(out)
    describe(out, seed=7, t=150)


def llama(out):
    """Llama 3 rope scaling; untied."""
    llama3 = {
        "rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }
    model = lively(
        LlamaConfig(
            **shape(vocab=320, hidden=64, layers=2, heads=4, kv_heads=2, head_dim=16, ffn=88),
            tie_word_embeddings=False, rope_parameters=llama3,
        ),
        seed=108,
    )
    model.save_pretrained(out)
    describe(out, seed=8, t=100, long=True, train=True)


def llama_linear(out):
    """Linear rope scaling; tied; heads wider than hidden / heads."""
    model = lively(
        LlamaConfig(
            **shape(vocab=131, hidden=40, layers=2, heads=4, kv_heads=1, head_dim=24, ffn=56),
            tie_word_embeddings=True, rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0},
        ),
        seed=109,
    )
    model.save_pretrained(out)
    describe(out, seed=9)


def llama_f16(out):
    """f16 tensors, with a Transformers 4 config.json and its rope_scaling."""
    model = lively(
        LlamaConfig(
            **shape(vocab=131, hidden=32, layers=2, heads=2, kv_heads=2, head_dim=16, ffn=48),
            tie_word_embeddings=False, attention_bias=False,
            rope_parameters={"rope_type": "default", "rope_theta": 1e4},
        ),
        seed=110,
    ).to(torch.float16)
    model.save_pretrained(out)
    config = json.loads((out / "config.json").read_text())
    for new in ["rope_parameters", "dtype"]:
        config.pop(new, None)
    config |= {
        "rope_theta": 10000.0, "torch_dtype": "float16", "transformers_version": "4.45.0",
        "rope_scaling": {
            "rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    }
    write_json(out / "config.json", dict(sorted(config.items())), indent=2)
    describe(out, seed=10)


def gguf_llama(out):
    """F32 and Q8_0, q and k permuted as llama.cpp's converter does for this architecture alone."""
    config = LlamaConfig(
        **shape(vocab=320, hidden=64, layers=2, heads=4, kv_heads=2, head_dim=16, ffn=96),
        tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 1e4},
    )
    describe(out, seed=11, model=write_gguf(out, config, "llama", seed=111))


def gguf_qwen2(out):
    config = Qwen2Config(
        **shape(vocab=320, hidden=64, layers=2, heads=4, kv_heads=2, ffn=96),
        tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    describe(out, seed=12, model=write_gguf(out, config, "qwen2", seed=112))


def gguf_qwen3moe(out):
    config = Qwen3MoeConfig(
        **shape(vocab=320, hidden=64, layers=2, heads=4, kv_heads=2, head_dim=32, ffn=96),
        num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32, norm_topk_prob=True,
        tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
    )
    describe(out, seed=13, model=write_gguf(out, config, "qwen3moe", seed=113))


CASES = [
    qwen3_moe, qwen3_moe_fused, qwen3_moe_v4, qwen3_moe_bf16, qwen3, qwen3_odd, qwen2, qwen2_odd, llama, llama_linear,
    llama_f16, gguf_llama, gguf_qwen2, gguf_qwen3moe,
]

# --------------------------------------------------------------------------------------------------- the models


def shape(vocab, hidden, layers, heads, kv_heads, ffn, head_dim=None):
    fields = dict(
        vocab_size=vocab, hidden_size=hidden, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=kv_heads, intermediate_size=ffn, max_position_embeddings=1024, rms_norm_eps=1e-6,
        bos_token_id=1, eos_token_id=2,
    )
    return fields if head_dim is None else fields | {"head_dim": head_dim}


QWEN3_MOE_ODD = Qwen3MoeConfig(
    **shape(vocab=257, hidden=48, layers=2, heads=6, kv_heads=2, head_dim=10, ffn=64),
    num_experts=5, num_experts_per_tok=2, moe_intermediate_size=22, norm_topk_prob=True, mlp_only_layers=[],
    decoder_sparse_step=1, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 1e6},
)


def lively(config, seed):
    """A model whose every parameter matters: logits of spread ~3, norms off 1, biases off 0."""
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in sorted(model.named_parameters()):
            noise = torch.randn(p.shape, generator=random)
            if name.endswith("norm.weight"):
                p.copy_(1.1 + 0.3 * noise)
            elif name.endswith("bias"):
                p.copy_(0.5 * noise)
            elif "embed_tokens" in name or "lm_head" in name:
                p.copy_(3.0 * p.shape[-1] ** -0.5 * noise)
            else:
                p.copy_(1.6 * p.shape[-1] ** -0.5 * noise)
    return model


def write_gguf(out, config, arch, seed):
    """Writes model.gguf and returns the model with the weights the file holds."""
    import gguf

    model = lively(config, seed)
    w = gguf.GGUFWriter(out / "model.gguf", arch)
    head_dim = model.model.layers[0].self_attn.head_dim
    w.add_context_length(config.max_position_embeddings)
    w.add_embedding_length(config.hidden_size)
    w.add_block_count(config.num_hidden_layers)
    w.add_feed_forward_length(config.intermediate_size)
    w.add_head_count(config.num_attention_heads)
    w.add_head_count_kv(config.num_key_value_heads)
    w.add_rope_freq_base(config.rope_parameters["rope_theta"])
    w.add_layer_norm_rms_eps(config.rms_norm_eps)
    w.add_vocab_size(config.vocab_size)
    if arch == "llama":
        w.add_rope_dimension_count(head_dim)
    if arch == "qwen3moe":
        w.add_key_length(head_dim)
        w.add_value_length(head_dim)
        w.add_expert_count(config.num_experts)
        w.add_expert_used_count(config.num_experts_per_tok)
        w.add_expert_feed_forward_length(config.moe_intermediate_size)
    add_vocabulary(w, config.vocab_size)

    def permute(x, heads):  # rotate-half order → interleaved pairs, rows of each head
        return x.reshape(heads, 2, head_dim // 2, -1).swapaxes(1, 2).reshape(x.shape)

    def store(name, p, rows=slice(None), heads=None):
        """Stores p, Q8_0 if it is a matrix of a projection, and puts back what a reader would dequantise."""
        x = p.detach()[:, rows].numpy() if p.ndim == 3 else p.detach().numpy()
        if x.ndim == 1 or "ffn_gate_inp" in name:
            w.add_tensor(name, x)
            return
        # a row keeps its blocks when rows are permuted, so quantising before or after is the same
        blocks = gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0)
        back = torch.from_numpy(gguf.quants.dequantize(blocks, gguf.GGMLQuantizationType.Q8_0).reshape(x.shape))
        with torch.no_grad():
            (p[:, rows] if p.ndim == 3 else p).copy_(back)
        blocks = blocks if heads is None else permute(blocks, heads)
        w.add_tensor(name, blocks, raw_dtype=gguf.GGMLQuantizationType.Q8_0)

    store("token_embd.weight", model.model.embed_tokens.weight)
    store("output_norm.weight", model.model.norm.weight)
    if not config.tie_word_embeddings:
        store("output.weight", model.lm_head.weight)
    for i, layer in enumerate(model.model.layers):
        a, m, to = layer.self_attn, layer.mlp, f"blk.{i}."
        store(to + "attn_norm.weight", layer.input_layernorm.weight)
        store(to + "ffn_norm.weight", layer.post_attention_layernorm.weight)
        permuted = arch == "llama"
        store(to + "attn_q.weight", a.q_proj.weight, heads=config.num_attention_heads if permuted else None)
        store(to + "attn_k.weight", a.k_proj.weight, heads=config.num_key_value_heads if permuted else None)
        store(to + "attn_v.weight", a.v_proj.weight)
        store(to + "attn_output.weight", a.o_proj.weight)
        if arch == "qwen2":
            for x, proj in [("q", a.q_proj), ("k", a.k_proj), ("v", a.v_proj)]:
                store(to + f"attn_{x}.bias", proj.bias)
        if arch == "qwen3moe":
            store(to + "attn_q_norm.weight", a.q_norm.weight)
            store(to + "attn_k_norm.weight", a.k_norm.weight)
            store(to + "ffn_gate_inp.weight", m.gate.weight)
            inner = config.moe_intermediate_size
            store(to + "ffn_gate_exps.weight", m.experts.gate_up_proj, rows=slice(0, inner))
            store(to + "ffn_up_exps.weight", m.experts.gate_up_proj, rows=slice(inner, None))
            store(to + "ffn_down_exps.weight", m.experts.down_proj)
        else:
            store(to + "ffn_gate.weight", m.gate_proj.weight)
            store(to + "ffn_up.weight", m.up_proj.weight)
            store(to + "ffn_down.weight", m.down_proj.weight)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()
    return model


def add_vocabulary(w, size):
    """Byte-level BPE: three specials, the 256 bytes, then merges until `size`."""
    import gguf

    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [b for b in range(256) if b not in visible]
    bytes_ = [chr(b) for b in visible] + [chr(256 + i) for i in range(len(hidden))]
    tokens = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", *bytes_]
    kinds = [gguf.TokenType.CONTROL] * 3 + [gguf.TokenType.NORMAL] * 256
    pairs = ["Ġ t", "h e", "i n", "a n", "r e", "Ġt he", "o n", "e r", "Ġ a", "n d"]
    merges = pairs + [f"{a} {b}" for a in "stlmc" for b in "aeiouyhrst"][: size - len(tokens) - len(pairs)]
    tokens += [m.replace(" ", "") for m in merges]
    kinds += [gguf.TokenType.NORMAL] * len(merges)
    while len(tokens) < size:
        tokens.append(f"[PAD{len(tokens)}]")
        kinds.append(gguf.TokenType.UNUSED)
    assert len(set(tokens)) == len(tokens) == size
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges(merges)
    w.add_bos_token_id(1)
    w.add_eos_token_id(2)
    w.add_add_bos_token(False)


# ------------------------------------------------------------------------------------------------ what is expected


def describe(out, seed, t=40, long=False, train=False, model=None):
    """Runs the model that the folder holds, and writes what Longhand has to reproduce."""
    if model is None:
        model = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, attn_implementation="eager")
    model = model.double().eval()
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    (out / "generation_config.json").unlink(missing_ok=True)
    vocab = model.config.vocab_size
    random = torch.Generator().manual_seed(seed)

    ids = torch.randint(vocab, (t,), generator=random).tolist()
    ids[t // 2 : t // 2 + 4] = ids[3:7]  # something to look back at
    mask = [int(i >= 9 and i % 11 != 4) for i in range(t)]  # a prompt, then a completion with holes
    write_json(out / "case.json", {"ids": ids, "loss_mask": mask})
    logits = run(model, ids)
    logprobs, entropy = score(logits, ids)
    loss = -(logprobs * torch.tensor(mask[1:])).sum() / sum(mask[1:])
    save(out / "expected.safetensors", logits=logits, logprobs=logprobs, entropy=entropy, loss=loss)

    prompt = ids[:12]
    chosen, gap = greedy(model, prompt, GREEDY_STEPS)
    write_json(out / "greedy.json", {"prompt": prompt, "ids": chosen, "gap": gap})
    prompts = [torch.randint(vocab, (n,), generator=random).tolist() for n in BATCH_LENGTHS]
    runs = [greedy(model, p, BATCH_STEPS) for p in prompts]
    write_json(out / "batch.json", {"prompts": prompts, "ids": [r[0] for r in runs], "gap": [r[1] for r in runs]})
    if long:
        ids_long = torch.randint(vocab, (LONG_T,), generator=random).tolist()
        mask_long = [int(i >= LONG_T // 3) for i in range(LONG_T)]
        write_json(out / "case_long.json", {"ids": ids_long, "loss_mask": mask_long})
        logits = run(model, ids_long)
        logprobs, entropy_long = score(logits, ids_long)
        loss_long = -(logprobs * torch.tensor(mask_long[1:])).sum() / sum(mask_long[1:])
        tail = logits[-TAIL_ROWS:]
        save(out / "expected_long.safetensors", logits_tail=tail, logprobs=logprobs, entropy=entropy_long, loss=loss_long)

    smallest = min(gap + [g for r in runs for g in r[1]])
    print(
        f"{out.name:16} loss {loss:.4f}  entropy {entropy.mean():.2f} of {torch.tensor(vocab).log():.2f}"
        f"  smallest greedy gap {smallest:.4f}  distinct greedy ids {len(set(chosen))}"
        f"  smallest routing margin {run.margin:.1e}",
        flush=True,
    )
    assert smallest > 5e-4 and run.margin > 2e-5 and len(set(chosen)) > 8, "take another seed"

    if train:
        write_training(out, model, ids, mask)


def run(model, ids):
    """→ logits [T, V]. Also notes how near any router came to choosing another expert."""
    margins = []

    def note(module, _inputs, output):
        ordered = output[0].detach().reshape(-1, module.weight.shape[0]).sort(-1, descending=True).values
        k = model.config.num_experts_per_tok
        margins.append((ordered[:, k - 1] - ordered[:, k]).min().item())

    routers = [m for name, m in model.named_modules() if name.endswith("mlp.gate")]
    hooks = [r.register_forward_hook(note) for r in routers]
    with torch.no_grad():
        logits = model(torch.tensor([ids]), use_cache=False).logits[0].double()
    for h in hooks:
        h.remove()
    run.margin = min([run.margin, *margins])
    return logits


run.margin = float("inf")


def score(logits, ids):
    """logits [T, V] → logprobs [T-1] of the next tokens, entropy [T] in nats."""
    logp = logits.log_softmax(-1)
    return logp[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0], -(logp.exp() * logp).sum(-1)


def greedy(model, prompt, steps):
    ids, gap = list(prompt), []
    for _ in range(steps):
        row = run(model, ids)[-1].float()
        best = row.topk(2).values
        gap.append(round((best[0] - best[1]).item(), 5))
        ids.append(int((row == best[0]).nonzero()[0]))
    return ids[len(prompt) :], gap


def write_training(out, model, ids, mask):
    """Gradients of the loss, then ten AdamW losses. Decay touches every tensor; no clipping, no schedule."""
    x, m = torch.tensor([ids]), torch.tensor(mask[1:])
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    losses = []
    for step in range(10):
        optimizer.zero_grad()
        logp = model(x, use_cache=False).logits[0].double().log_softmax(-1)
        loss = -(logp[:-1].gather(-1, x[0, 1:, None])[:, 0] * m).sum() / m.sum()
        loss.backward()
        if step == 0:
            save(out / "gradients.safetensors", **per_expert({n: p.grad for n, p in model.named_parameters()}))
        optimizer.step()
        losses.append(loss.item())
    write_json(out / "train.json", {"optimizer": "AdamW", **ADAMW, "losses": losses})


def per_expert(tensors):
    """Fused expert tensors under the names that the model file uses."""
    names = {}
    for name, x in tensors.items():
        if not name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            names[name] = x
            continue
        stem, kind = name.rsplit(".", 1)
        for e, expert in enumerate(x):
            if kind == "down_proj":
                names[f"{stem}.{e}.down_proj.weight"] = expert
            else:
                names[f"{stem}.{e}.gate_proj.weight"], names[f"{stem}.{e}.up_proj.weight"] = expert.chunk(2)
    return names


def save(path, **tensors):
    save_file({k: v.detach().float().contiguous().clone() for k, v in tensors.items()}, path)


def write_json(path, value, indent=None):
    path.write_text(json.dumps(value, indent=indent) + "\n")


def main():
    print(f"torch {torch.__version__}, transformers {transformers.__version__}")
    torch.set_num_threads(1)
    wanted = sys.argv[1:] or [c.__name__ for c in CASES]
    for case in CASES:
        if case.__name__ in wanted:
            out = GOLDEN / case.__name__
            shutil.rmtree(out, ignore_errors=True)
            out.mkdir()
            run.margin = float("inf")
            case(out)
            for file in out.iterdir():
                file.chmod(0o644)


if __name__ == "__main__":
    main()
