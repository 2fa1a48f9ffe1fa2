"""Speed of llama.cpp on a GGUF model, to stand beside Longhand's in BENCHMARKS.md.

    pip install llama-cpp-python==0.3.36          # CMAKE_ARGS=-DGGML_NATIVE=ON, or the figures are not its best
    python tests/real/bench_llamacpp.py MODEL.gguf [SEQUENCES]

Prints JSON, all in tokens a second: prefill of 512 tokens in one batch, decode of 64 tokens after a 64-token prompt, and, with
SEQUENCES, decode of 64 tokens each of so many sequences at once after one shared prompt of 64, all together; each after one
warm-up, 5 runs. 2 threads, f16 KV cache, no flash attention, decoding by argmax over the logits read back.
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

    def together():
        # As llama.cpp's own examples/batched does: one prompt in sequence 0, its cache copied to the others, a row each a step.
        batch = llama_cpp.llama_batch_init(max(PROMPT, count), 0, 1)

        def decode_rows(rows):
            batch.n_tokens = len(rows)
            for i, (token, position, sequence, wanted) in enumerate(rows):
                batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, position, 1, wanted
                batch.seq_id[i][0] = sequence
            assert llama_cpp.llama_decode(shared, batch) == 0

        def best(row):
            logits = llama_cpp.llama_get_logits_ith(shared, row)
            return int(np.ctypeslib.as_array(logits, (model.n_vocab(),)).argmax())

        memory = llama_cpp.llama_get_memory(shared)
        llama_cpp.llama_memory_clear(memory, True)
        decode_rows([(ids[i], i, 0, i == PROMPT - 1) for i in range(PROMPT)])
        tokens = [best(PROMPT - 1)] * count
        for sequence in range(1, count):
            llama_cpp.llama_memory_seq_cp(memory, 0, sequence, -1, -1)
        start = time.perf_counter()
        for step in range(DECODE):
            decode_rows([(token, PROMPT + step, sequence, True) for sequence, token in enumerate(tokens)])
            tokens = [best(row) for row in range(count)]
        seconds = time.perf_counter() - start
        llama_cpp.llama_batch_free(batch)
        return count * DECODE / seconds

    measured = [("prefill", prefill), ("decode", decode)]
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    if count:
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx, settings.n_seq_max, settings.kv_unified = PROMPT + count * (DECODE + 1), count, True
        settings.n_batch = settings.n_ubatch = max(512, count)
        settings.n_threads = settings.n_threads_batch = THREADS
        shared = llama_cpp.llama_init_from_model(model.model, settings)
        measured.append((f"decode of {count}", together))
    result = {"model": Path(path).name, "peer": f"llama-cpp-python {llama_cpp.__version__}", "threads": THREADS}
    for name, once in measured:
        once()
        rates = [once() for _ in range(RUNS)]
        result[name] = {"best": round(max(rates), 2), "median": round(statistics.median(rates), 2)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
