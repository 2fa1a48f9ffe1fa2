"""Writes a GGUF file of Qwen3-30B-A3B's shape with random weights: the speed and memory of that model without its download.

    pip install gguf numpy
    python tests/real/make_random_gguf.py OUT.gguf                              # the full shape, 17.3 GB
    python tests/real/make_random_gguf.py OUT.gguf --layers 2 --experts 16 --vocab 4096
    python tests/real/make_random_gguf.py OUT.gguf --layers 2 --experts 16 --vocab 4096 --f32   # the same weights, unpacked

Matrices are Q4_K and the output head Q6_K, as in published files; norms (all 1) and routers are f32. Weights have mean 0 and
standard deviation 0.02; what is added to the residual stream is smaller by sqrt(2 · layers), as at the start of a training, and
embeddings have deviation 1. With small embeddings the mean that attention adds would soon be all that a row holds: every token
would go to the same few experts, and the file would seem smaller than it is.
There is no vocabulary: both programs are given token ids. Each tensor is made, written and dropped.
"""

import argparse
import zlib

import gguf
import numpy as np
from gguf import GGMLQuantizationType as Type

HIDDEN, INNER, HEADS, KV_HEADS, HEAD, ACTIVE = 2048, 768, 32, 4, 128, 8


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--layers", type=int, default=48)
    parser.add_argument("--experts", type=int, default=128)
    parser.add_argument("--vocab", type=int, default=151936)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--f32", action="store_true", help="unpack the blocks")
    args = parser.parse_args()

    writer = gguf.GGUFWriter(args.out, "qwen3moe")
    metadata(writer, args)
    tensors = list(shapes(args))
    for name, shape, kind in tensors:
        stored = Type.F32 if args.f32 else kind
        block, size = gguf.GGML_QUANT_SIZES[stored]
        bytes_shape = (*shape[:-1], shape[-1] // block * size)
        writer.add_tensor_info(name, bytes_shape if stored != Type.F32 else shape, np.dtype(np.float32 if stored == Type.F32 else np.uint8),
                               int(np.prod(bytes_shape)), None if stored == Type.F32 else stored)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for name, shape, kind in tensors:
        data = values(name, shape, kind, args)
        if args.f32 and kind != Type.F32:
            data = gguf.quants.dequantize(data, kind)
        writer.write_tensor_data(data)
    writer.close()


def metadata(writer, args):
    writer.add_type("model")
    writer.add_name("Qwen3-30B-A3B shape, random weights")
    writer.add_block_count(args.layers)
    writer.add_context_length(40960)
    writer.add_embedding_length(HIDDEN)
    writer.add_feed_forward_length(6144)  # of dense layers, which there are none of
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_rope_freq_base(1e6)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_expert_used_count(ACTIVE)
    writer.add_key_length(HEAD)
    writer.add_value_length(HEAD)
    writer.add_expert_count(args.experts)
    writer.add_expert_feed_forward_length(INNER)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32 if args.f32 else gguf.LlamaFileType.MOSTLY_Q4_K_S)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(args.vocab)
    writer.add_tokenizer_model("none")


def shapes(args):
    """Name, shape (outermost first) and type of each tensor, in a published file's order."""
    yield "output.weight", (args.vocab, HIDDEN), Type.Q6_K
    yield "output_norm.weight", (HIDDEN,), Type.F32
    yield "token_embd.weight", (args.vocab, HIDDEN), Type.Q4_K
    for layer in range(args.layers):
        block = f"blk.{layer}."
        yield block + "attn_k.weight", (KV_HEADS * HEAD, HIDDEN), Type.Q4_K
        yield block + "attn_k_norm.weight", (HEAD,), Type.F32
        yield block + "attn_norm.weight", (HIDDEN,), Type.F32
        yield block + "attn_output.weight", (HIDDEN, HEADS * HEAD), Type.Q4_K
        yield block + "attn_q.weight", (HEADS * HEAD, HIDDEN), Type.Q4_K
        yield block + "attn_q_norm.weight", (HEAD,), Type.F32
        yield block + "attn_v.weight", (KV_HEADS * HEAD, HIDDEN), Type.Q4_K
        yield block + "ffn_down_exps.weight", (args.experts, HIDDEN, INNER), Type.Q4_K
        yield block + "ffn_gate_exps.weight", (args.experts, INNER, HIDDEN), Type.Q4_K
        yield block + "ffn_gate_inp.weight", (args.experts, HIDDEN), Type.F32
        yield block + "ffn_norm.weight", (HIDDEN,), Type.F32
        yield block + "ffn_up_exps.weight", (args.experts, INNER, HIDDEN), Type.Q4_K


def deviation(name, layers):
    if name == "token_embd.weight":
        return 1.0
    return 0.02 / np.sqrt(2 * layers) if "attn_output" in name or "ffn_down" in name else 0.02


def values(name, shape, kind, args):
    if len(shape) == 1:
        return np.ones(shape, np.float32)
    random = np.random.Generator(np.random.SFC64([args.seed, zlib.crc32(name.encode())]))
    std = deviation(name, args.layers)
    if kind == Type.F32:
        return (random.standard_normal(shape, np.float32) * std).astype(np.float32)
    size = gguf.GGML_QUANT_SIZES[kind][1]
    count = int(np.prod(shape)) // 256
    words = random.integers(0, 1 << 64, (count * size + 7) // 8, dtype=np.uint64)
    blocks = words.view(np.uint8)[: count * size].reshape(count, size)
    (q4_k if kind == Type.Q4_K else q6_k)(blocks, random, std)
    return blocks.reshape(*shape[:-1], -1)


def q4_k(blocks, random, std):
    """A weight is d·s·q − dmin·m, q uniform in 0..15. With m = s and dmin = 7.5·d its mean is 0."""
    s = random.integers(32, 64, (len(blocks), 8), dtype=np.uint8)
    low, high = s[:, :4], s[:, 4:]
    # Six bits each; the upper four of the eight are split over two places.
    blocks[:, 4:8] = blocks[:, 8:12] = low | (high >> 4) << 6
    blocks[:, 12:16] = (high & 15) * 17
    d = std / (np.std(np.arange(16)) * np.sqrt(np.mean(np.arange(32, 64) ** 2)))
    d = max(1, round(d / 2**-23)) * 2**-23 if d < 2**-13 else float(np.float16(d))  # so that 7.5·d is an f16 too
    half(blocks, 0, d)
    half(blocks, 2, 7.5 * d)


def q6_k(blocks, random, std):
    """A weight is d·s·(q − 32), q uniform in 0..63, s signed: random signs make the mean 0."""
    s = random.integers(32, 96, (len(blocks), 16), dtype=np.int8)
    s[random.integers(0, 2, s.shape, dtype=np.uint8) == 1] *= -1
    blocks[:, 192:208] = s.view(np.uint8)
    half(blocks, 208, std / np.sqrt(np.mean((np.arange(64) - 32.0) ** 2) * np.mean(np.arange(32, 96) ** 2)))


def half(blocks, at, value):
    blocks[:, at : at + 2] = np.frombuffer(np.float16(value).tobytes(), np.uint8)


if __name__ == "__main__":
    main()
