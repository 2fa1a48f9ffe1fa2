"""Speed of llama.cpp on a GGUF model, to stand beside Longhand's in BENCHMARKS.md.

    pip install llama-cpp-python==0.3.36          # CMAKE_ARGS=-DGGML_NATIVE=ON, or the figures are not its best
    python tests/real/bench_llamacpp.py MODEL.gguf

Prints JSON, all in tokens a second: prefill of 512 tokens in one batch, and decode of 64 tokens after a 64-token prompt, each
after one warm-up, 5 runs. 2 threads, f16 KV cache, no flash attention, decoding by argmax over the logits read back.
"""

import json
import statistics
import sys
import time
from pathlib import Path

import llama_cpp
import numpy as np

RUNS, PREFILL, PROMPT, DECODE, THREADS = 5, 512, 64, 64, 2


def main():
    path = sys.argv[1]
    model = llama_cpp.Llama(
        path, n_ctx=1024, n_batch=512, n_ubatch=512, n_threads=THREADS, n_threads_batch=THREADS, verbose=False
    )
    ids = np.random.default_rng(0).integers(100, 10_000, PREFILL).tolist()

    def prefill():
        model.reset()
        start = time.perf_counter()
        model.eval(ids)
        best_id()
        return PREFILL / (time.perf_counter() - start)

    def best_id():
        logits = llama_cpp.llama_get_logits_ith(model.ctx, -1)  # waits for the computation
        return int(np.ctypeslib.as_array(logits, (model.n_vocab(),)).argmax())

    def decode():
        model.reset()
        model.eval(ids[:PROMPT])
        token = best_id()
        start = time.perf_counter()
        for _ in range(DECODE):
            model.eval([token])
            token = best_id()
        return DECODE / (time.perf_counter() - start)

    result = {"model": Path(path).name, "peer": f"llama-cpp-python {llama_cpp.__version__}", "threads": THREADS}
    for name, once in [("prefill", prefill), ("decode", decode)]:
        once()
        rates = [once() for _ in range(RUNS)]
        result[name] = {"best": round(max(rates), 2), "median": round(statistics.median(rates), 2)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
