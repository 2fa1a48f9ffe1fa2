#!/usr/bin/env python3
"""Fine-tuning steps of PyTorch (eager, the same threads, f32) beside Longhand's, on the same model and rows.

    python3 tests/real/bench_train.py MODEL_FOLDER --longhand target/release/longhand [--length 512] [--batch 4] [--steps 4] [--lora]

MODEL_FOLDER is a Hugging Face folder with f32 weights. Both make the same steps: rows of LENGTH random tokens, all predicted, BATCH of
them a step, one row a pass, AdamW. Prints tokens a second (the best step of each) and the most memory a process had. Needs torch and
transformers; peft with --lora.
"""
import argparse
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time


def pytorch(args):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(args.threads)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32, attn_implementation="eager" if args.eager else "sdpa")
    if args.lora:
        from peft import LoraConfig, get_peft_model

        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, target_modules=names))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-5)
    generator = torch.Generator().manual_seed(0)
    best = float("inf")
    for _ in range(args.steps):
        begun = time.time()
        for _ in range(args.batch):
            ids = torch.randint(0, model.config.vocab_size, (1, args.length), generator=generator)
            (model(input_ids=ids, labels=ids).loss / args.batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        best = min(best, time.time() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps({"tokens_per_second": args.batch * args.length / best, "peak_gib": peak}))


def longhand(args):
    rng = random.Random(0)
    words = "the a mill was sold in year to man of house and river bank no one who had it then they by old".split()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        rows = []
        for _ in range(args.batch * args.steps):
            rows.append({"prompt": "Go on.", "answer": " ".join(rng.choice(words) for _ in range(args.length - 40))})
        (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        lora = "[lora]\nrank = 8\nalpha = 16\ntargets = [\"attention\", \"mlp\"]\n" if args.lora else ""
        (folder / "bench.toml").write_text(
            f'[model]\npath = "{args.model}"\n[data]\nfile = "rows.jsonl"\nmax_length = {args.length}\n'
            f"[train]\nsteps = {args.steps}\nbatch = {args.batch}\nmicro_batch_tokens = {args.length}\nlr = 1e-5\ndtype = \"f32\"\n{lora}"
            f'[checkpoint]\nevery = 1000000\n[device]\nkind = "cpu"\nthreads = {args.threads}\n'
        )
        plan = subprocess.run([args.longhand, "train", str(folder / "bench.toml"), "--plan", "--json"], capture_output=True, text=True)
        if plan.returncode:
            sys.exit(plan.stderr)
        run = [args.longhand, "train", str(folder / "bench.toml"), "--run", str(folder / "run"), "--json"]
        done = subprocess.run(run, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr)
        steps = [json.loads(line) for line in done.stdout.splitlines()]
        steps = [event for event in steps if event["event"] == "step"]
    plan = json.loads(plan.stdout)
    seconds = sorted(step["seconds"] for step in steps)[len(steps) // 2]
    print(json.dumps({
        "tokens_per_second": max(step["tokens_per_second"] for step in steps),
        "peak_gib": steps[-1]["peak_memory"] / 2**30,
        "mfu": max(step["mfu"] for step in steps),
        "plan": {"seconds_per_step": plan["seconds_per_step"], "peak_gib": plan["peak_memory"] / 2**30},
        "seconds_per_step": seconds,
    }))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model")
    args.add_argument("--longhand", default="target/release/longhand")
    args.add_argument("--length", type=int, default=512)
    args.add_argument("--batch", type=int, default=4)
    args.add_argument("--steps", type=int, default=4)
    args.add_argument("--threads", type=int, default=2)
    args.add_argument("--lora", action="store_true")
    args.add_argument("--eager", action="store_true", help="PyTorch's plain attention instead of its fused one")
    args.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    args = args.parse_args()
    if args.peer:
        return pytorch(args)
    print("longhand ", end="", flush=True)
    longhand(args)
    print("pytorch  ", end="", flush=True)
    # A process of its own: its peak memory is its own.
    subprocess.run([sys.executable, __file__, *sys.argv[1:], "--peer"], check=True)


main()
