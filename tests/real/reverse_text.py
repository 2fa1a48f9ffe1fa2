#!/usr/bin/env python3
"""Reversing words: a task for reinforcement learning whose reward is a command.

    python3 tests/real/reverse_text.py data --from tests/documents/hoover-1929.txt --out DIR    # DIR/train.jsonl, DIR/held.jsonl
    longhand train configs/rl/smollm2-reverse-text.toml                                         # reward = "exec:python3 … reward"

The reward is twice the length of the longest common subsequence of reply and answer by the sum of their lengths, in letters: 1 only for
the answer itself. Words of the two files are disjoint.
"""
import argparse
import json
import pathlib
import random
import re
import sys


def rows(words, count, rng, name):
    for number in range(count):
        chosen = rng.sample(words, 2)
        text = " ".join(chosen)
        yield {
            "id": f"{name}-{number}",
            "task": "reverse",
            "prompt": f"Reverse the letters of each word: {text}",
            "answers": [" ".join(word[::-1] for word in chosen)],
            "rule": "exact",
        }


def data(args):
    text = pathlib.Path(args.source).read_text()
    words = sorted({word.lower() for word in re.findall(r"[A-Za-z]+", text) if 3 <= len(word) <= 6})
    rng = random.Random(7)
    rng.shuffle(words)
    held, train = words[: len(words) // 5], words[len(words) // 5 :]
    out = pathlib.Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    for name, words, count in [("train", train, 400), ("held", held, 60)]:
        (out / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows(words, count, rng, name)))
        print(f"{out / name}.jsonl: {count} rows of {len(words)} words")


def common(a, b):
    """Length of the longest common subsequence."""
    line = [0] * (len(b) + 1)
    for x in a:
        before = 0
        for j, y in enumerate(b, 1):
            before, line[j] = line[j], before + 1 if x == y else max(line[j], line[j - 1])
    return line[-1]


def reward(_):
    for line in sys.stdin:
        row = json.loads(line)
        reply, answer = row["reply"].strip().strip('"').lower(), row["answers"][0]
        print(json.dumps({"id": row["id"], "reward": 2 * common(reply, answer) / max(len(reply) + len(answer), 1)}))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = args.add_subparsers(required=True)
    make = verbs.add_parser("data")
    make.add_argument("--from", dest="source", required=True)
    make.add_argument("--out", required=True)
    make.set_defaults(run=data)
    verbs.add_parser("reward").set_defaults(run=reward)
    args = args.parse_args()
    args.run(args)


main()
