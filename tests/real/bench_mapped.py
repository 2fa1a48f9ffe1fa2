"""First use of a GGUF model that lies on disk, Longhand beside llama.cpp: load, first token, decode, resident memory.

    pip install llama-cpp-python==0.3.36 numpy      # CMAKE_ARGS=-DGGML_NATIVE=ON, or the figures are not its best
    python tests/real/make_random_gguf.py MODEL.gguf
    python tests/real/bench_mapped.py MODEL.gguf --longhand target/release/longhand
    python tests/real/bench_mapped.py MODEL.gguf --longhand target/release/longhand --free 8   # GiB, as root on Linux

Each line is a fresh process, nothing warmed up: a prompt of 16 tokens, then 16 tokens by argmax. `cold`: none of the file's pages
in memory; `warm`: as the line before left them. `--free` takes memory away (locked, so not swapped) until only so much is
available, and gives it back at the end, or at once when others need it. 2 threads, f16 KV cache.

llama.cpp copies quantised weights into a layout of its own by default (`repacked`), which takes the model's size in memory;
`mapped` is its run from the file.
"""

import argparse
import ctypes
import json
import mmap
import os
import subprocess
import sys
import threading
import time

DECODE, THREADS, GIB = 16, 2, 1 << 30


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--longhand", help="the binary; may be given with different names, separated by commas")
    parser.add_argument("--free", type=float, help="GiB that stay available")
    parser.add_argument("--states", default="cold,warm")
    parser.add_argument("--peers", default="mapped,repacked", help="how llama.cpp holds the weights, or nothing")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        return print(json.dumps(peer(args.model, args.peer == "repacked")))
    programs = {path: longhand(path, args.model) for path in filter(None, (args.longhand or "").split(","))}
    for how in filter(None, args.peers.split(",")):
        programs[f"llama.cpp, {how}"] = [sys.executable, os.path.abspath(__file__), args.model, "--peer", how]
    hog = Hog(args.free) if args.free else None
    for name, command in programs.items():
        for state in args.states.split(","):
            if state == "cold":
                forget(args.model)
            if hog:
                hog.adjust()
            report(name, state, watched(command))
    if hog:
        hog.release()


def longhand(path, model):
    return [path, "bench", "--model", model, "--first", "--decode", str(DECODE), "--threads", str(THREADS), "--kv", "f16", "--json"]


def peer(path, repack):
    """The same measurement in llama.cpp, through the C interface of its Python package."""
    import llama_cpp
    import numpy as np

    llama_cpp.llama_backend_init()
    start = time.perf_counter()
    options = llama_cpp.llama_model_default_params()
    options.use_extra_bufts = repack
    model = llama_cpp.llama_model_load_from_file(path.encode(), options)
    settings = llama_cpp.llama_context_default_params()
    settings.n_ctx = settings.n_batch = settings.n_ubatch = 64
    settings.n_threads = settings.n_threads_batch = THREADS
    context = llama_cpp.llama_init_from_model(model, settings)
    loaded = time.perf_counter()
    vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    ids = []

    def step(tokens):
        tokens = (llama_cpp.llama_token * len(tokens))(*tokens)
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(tokens))) != 0:
            sys.exit("llama_decode failed")
        logits = llama_cpp.llama_get_logits_ith(context, -1)  # waits for the computation
        ids.append(int(np.ctypeslib.as_array(logits, (vocab,)).argmax()))

    step([(i * 7919 + 13) % vocab for i in range(DECODE)])
    first = time.perf_counter()
    for _ in range(DECODE):
        step([ids[-1]])
    end = time.perf_counter()
    return {
        "load_seconds": loaded - start,
        "first_token_seconds": first - loaded,
        "decode": DECODE / (end - first),
        "ids": ids,
        "memory": memory("self"),
    }


def memory(pid):
    """Bytes, as /proc says."""
    with open(f"/proc/{pid}/status") as status:
        fields = dict(line.split(":", 1) for line in status)
    sizes = {"peak": "VmHWM", "anonymous": "RssAnon", "mapped": "RssFile"}
    return {name: int(fields[key].split()[0]) * 1024 for name, key in sizes.items()}


def watched(command):
    """Runs a command; its JSON with the bytes it caused to be read from the disk."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    read = [0]

    def poll():
        while process.poll() is None:
            try:
                with open(f"/proc/{process.pid}/io") as io:
                    read[0] = max(read[0], int(next(line for line in io if line.startswith("read_bytes")).split()[1]))
            except OSError:
                return
            time.sleep(0.1)

    watcher = threading.Thread(target=poll)
    watcher.start()
    out = process.communicate()[0]
    watcher.join()
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed with {process.returncode}")
    return json.loads(out.strip().splitlines()[-1]) | {"disk": read[0]}


def report(name, state, run):
    sizes = " ".join(f"{key} {run['memory'][key] / GIB:.2f}" for key in ("peak", "anonymous", "mapped"))
    print(
        f"{name} {state}: load {run['load_seconds']:.2f} s, first token {run['first_token_seconds']:.2f} s, "
        f"decode {run['decode']:.2f} tokens/s; GiB: {sizes}, read from disk {run['disk'] / GIB:.2f}; ids {run['ids']}",
        flush=True,
    )


def forget(path):
    """Takes the file's pages out of memory; others' stay."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


class Hog:
    """Locked memory, in a process that the kernel stops before any other if memory runs out."""

    BLOCK, RESERVE = 1 << 28, 3 * GIB // 2

    def __init__(self, free):
        self.free, self.blocks, self.lock, self.done = free * GIB, [], threading.Lock(), False
        with open("/proc/self/oom_score_adj", "w") as score:
            score.write("1000")
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.mlock.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        threading.Thread(target=self.guard, daemon=True).start()

    def available(self):
        with open("/proc/meminfo") as info:
            return int(next(line for line in info if line.startswith("MemAvailable")).split()[1]) * 1024

    def adjust(self):
        while self.available() > self.free + self.BLOCK:
            block = mmap.mmap(-1, self.BLOCK)
            if self.libc.mlock(ctypes.addressof(ctypes.c_char.from_buffer(block)), self.BLOCK) != 0:
                sys.exit(f"mlock: {os.strerror(ctypes.get_errno())}")
            with self.lock:
                self.blocks.append(block)
        print(f"{self.available() / GIB:.1f} GiB available", file=sys.stderr)

    def guard(self):
        """Others come first: gives back when little is available."""
        while not self.done:
            with self.lock:
                while self.blocks and self.available() < self.RESERVE:
                    self.blocks.pop()
            time.sleep(0.05)

    def release(self):
        self.done = True
        with self.lock:
            self.blocks.clear()


if __name__ == "__main__":
    main()
