"""Reference traces: what llama.cpp answers, greedily, from a real GGUF model.

    pip install llama-cpp-python==0.3.36
    python tests/real/make_traces.py SmolLM2-135M-Instruct.Q4_1.gguf tests/real/smollm2.json
    python tests/real/make_traces.py qwen2.5-coder-1.5b-instruct-q4_k_m.gguf tests/real/qwen2.5-coder-1.5b.json

With `--f32` the peer runs the same weights dequantised to f32 (by llama.cpp's own quantiser, into a file beside OUT that is removed
again), so that it does not round activations to 8 bits and its gaps mean what they say:

    python tests/real/make_traces.py --f32 SmolLM2-135M-Instruct.Q4_1.gguf tests/real/smollm2-f32.json

Each trace: {"text", "prompt_ids", "ids": [32], "gap": [32], "top2": [32][2]}. `ids` is the argmax of the raw logits, lowest id
on ties, end-of-text a token like any other; `gap` is the best logit minus the second. The prompt is one batch, then one token a
step. CPU, 2 threads, f16 KV cache, no flash attention. llama.cpp rounds activations to 8 bits before it multiplies quantised
weights, so another exact engine agrees only where the gap is wide: compare ids while the gaps are, and stop at a narrow one.
"""

import hashlib
import json
import sys
from pathlib import Path

import llama_cpp
import numpy as np

STEPS = 32


def chat(user, system="You are a helpful assistant."):
    return f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"


PROMPTS = [
    "The capital of France is",
    "Once upon a time, in a small village by the sea, there lived",
    "def quicksort(items):\n    \"\"\"Sorts a list.\"\"\"\n    if len(items) <= 1:\n        return items\n",
    "人工智能的发展历史可以追溯到",
    "1, 1, 2, 3, 5, 8, 13, 21,",
    "The four seasons of the year are spring, summer,",
    chat("What is the largest planet in the solar system?"),
    chat("请用中文介绍一下长城。"),
    chat("Write a Rust function that reverses a string.", "You are a careful programmer. Answer with code only."),
    chat(
        "Read this and answer. The Nile is 6650 km long and flows north through eleven countries. The Amazon is 6400 km long"
        " and carries more water than any other river. The Yangtze is 6300 km long and stays within one country.\n\n"
        "Which river stays within one country, and how long is it?"
    ),
]


def dequantised(path, out):
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype, params.allow_requantize, params.nthread = 0, True, 2  # 0: all f32
    file = str(Path(out).with_suffix(".gguf"))
    if llama_cpp.llama_model_quantize(path.encode(), file.encode(), params) != 0:
        sys.exit(f"llama.cpp could not write {file}")
    return file


def main():
    f32 = sys.argv[1] == "--f32"
    path, out = sys.argv[1 + f32 :]
    file = dequantised(path, out) if f32 else path
    model = llama_cpp.Llama(file, n_ctx=512, n_threads=2, n_threads_batch=2, seed=0, verbose=False)
    traces = []
    for text in PROMPTS:
        prompt = model.tokenize(text.encode(), add_bos=False, special=True)
        model.reset()
        ids, gaps, pairs, new = [], [], [], prompt
        for _ in range(STEPS):
            model.eval(new)
            logits = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(model.ctx, -1), (model.n_vocab(),)).copy()
            first, second = np.argsort(-logits, kind="stable")[:2].tolist()
            ids.append(first)
            gaps.append(round(float(logits[first] - logits[second]), 4))
            pairs.append([first, second])
            new = [first]
        traces.append({"text": text, "prompt_ids": prompt, "ids": ids, "gap": gaps, "top2": pairs})
        print(f"{len(prompt):4} tokens, smallest gap {min(gaps):.3f}: {model.detokenize(ids, special=True).decode(errors='replace')!r}")
    trace = {
        "model": Path(path).name,
        "sha256": hashlib.sha256(Path(path).read_bytes()).hexdigest(),
        "peer": f"llama-cpp-python {llama_cpp.__version__}" + (", weights dequantised to f32" if f32 else ""),
        "traces": traces,
    }
    Path(out).write_text(json.dumps(trace) + "\n")
    if f32:
        Path(file).unlink()


if __name__ == "__main__":
    main()
