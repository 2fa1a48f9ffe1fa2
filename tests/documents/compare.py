#!/usr/bin/env python3
"""Reads every question of questions.json in several modes and prints what each answered, beside the answer checked by hand.

    python3 tests/documents/compare.py --longhand target/release/longhand --model M.gguf --out OUT [--modes memory,truncate]

The logs go to OUT/MODE-N.jsonl, and a read that is already there is not made again; stopped, the script goes on where it was.
`holds` says whether every figure of the answer stands in the reply: a first sight, not a verdict. Verdicts are a person's.
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import time

HERE = pathlib.Path(__file__).parent
MODES = {
    "truncate": ["--mode", "truncate"],
    "retrieve": ["--mode", "retrieve"],
    "memagent": ["--mode", "memagent"],
    "memory": ["--mode", "memory"],
    "quotes": ["--mode", "memory", "--quotes"],
}


def figures(text):
    return set(re.findall(r"\d[\d,.]*\d|\d", text))


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--longhand", default="target/release/longhand")
    args.add_argument("--model", required=True)
    args.add_argument("--window", default="4096")
    args.add_argument("--document", default="hoover-1929.txt", help="only questions on this one")
    args.add_argument("--modes", default="truncate,retrieve,memory,memagent", help=", ".join(MODES))
    args.add_argument("--only", help="numbers of questions, from 1, as 1,4")
    args.add_argument("--out", required=True, type=pathlib.Path)
    args = args.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    questions = json.loads((HERE / "questions.json").read_text())
    questions = [q for q in questions if q["document"] == args.document]
    only = {int(n) for n in args.only.split(",")} if args.only else range(1, len(questions) + 1)
    for mode in args.modes.split(","):
        for number, question in enumerate(questions, 1):
            if number not in only:
                continue
            kept = args.out / f"{mode}-{number}.jsonl"
            if not kept.exists():
                run = args.out / f"run-{mode}-{number}"
                started = time.time()
                # As from the project's root, so that logs name no one's home.
                document = os.path.relpath(HERE / question["document"])
                command = [args.longhand, "read", document, "--ask", question["question"]]
                command += ["--model", args.model, "--window", args.window, "--run", str(run), *MODES[mode]]
                done = subprocess.run(command, capture_output=True, text=True)
                (run / "stdout.txt").write_text(done.stdout)
                (run / "stderr.txt").write_text(done.stderr)
                if done.returncode != 0:
                    print(f"{mode} {number}: exit {done.returncode}\n{done.stderr[-500:]}", flush=True)
                    continue
                (run / "seconds").write_text(f"{time.time() - started:.0f}\n")
                shutil.copy(run / "events.jsonl", kept)
            events = [json.loads(line) for line in kept.read_text().splitlines()]
            answer = events[-1]["text"] if events[-1]["event"] == "answer" else None
            holds = figures(question["answer"].split("(")[0]) <= figures(answer or "")
            print(json.dumps({"mode": mode, "question": number, "holds": holds, "answer": answer, "checked": question["answer"]}), flush=True)


if __name__ == "__main__":
    main()
