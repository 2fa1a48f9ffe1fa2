#!/usr/bin/env python3
"""A read through llama.cpp's own OpenAI-compatible server, killed half way and gone on with; counts what the server was asked.

    python3 tests/real/read_server.py --longhand target/release/longhand --model M.gguf --out OUT

Needs llama-cpp-python with its server extra in this interpreter. Fails (exit 1) if a call that was answered is made again.
"""
import argparse
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT = 8137


def asked(log):
    return len(re.findall(r'"POST /v1/chat/completions', log.read_text()))


def wait(check, seconds, what):
    end = time.time() + seconds
    while not check():
        if time.time() > end:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.2)


def answers():
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{PORT}/v1/models", timeout=2).status == 200
    except OSError:
        return False


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--longhand", default=ROOT / "target/release/longhand", type=pathlib.Path)
    args.add_argument("--model", required=True)
    args.add_argument("--document", default=ROOT / "tests/documents/hoover-1929.txt", type=pathlib.Path)
    args.add_argument("--ask", default="At what did the public debt stand on June 30 this year?")
    args.add_argument("--kill-after", type=int, default=6, help="chunks before the kill")
    args.add_argument("--out", required=True, type=pathlib.Path)
    args = args.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    served = args.out / "server.log"
    command = [sys.executable, "-m", "llama_cpp.server", "--model", args.model, "--model_alias", "peer", "--n_ctx", "4096"]
    command += ["--n_threads", str(os.cpu_count()), "--port", str(PORT)]
    server = subprocess.Popen(command, stdout=served.open("w"), stderr=subprocess.STDOUT)
    try:
        wait(answers, 120, "the server does not start")
        read = [args.longhand.resolve(), "read", args.document.resolve(), "--ask", args.ask, "--window", "4096", "--thinking", "0"]
        read += ["--model", f"openai:http://127.0.0.1:{PORT}/v1#peer", "--save", "run"]
        log = args.out / "run" / "events.jsonl"
        events = lambda: [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        started = time.time()
        first = subprocess.Popen(read, cwd=args.out, stdout=subprocess.DEVNULL, stderr=(args.out / "first.txt").open("w"))
        wait(lambda: len(events()) > args.kill_after or first.poll() is not None, 3000, "the read does not come half way")
        # In the middle of the next call.
        time.sleep(3)
        first.send_signal(signal.SIGKILL)
        first.wait()
        kept, before = len(events()) - 1, asked(served)
        print(f"killed after {time.time() - started:.0f} s: {kept} chunks in the log, {before} calls answered or under way")
        second = subprocess.run(read, cwd=args.out, capture_output=True, text=True)
        (args.out / "second.txt").write_text(second.stderr)
        print(second.stdout)
        if second.returncode != 0:
            sys.exit(second.stderr)
        turns = sum(event["event"] in ("chunk", "answer") for event in events())
        total = asked(served)
        print(f"{turns} turns; the server was asked {total} times, {total - before} of them after the kill; {time.time() - started:.0f} s")
        # The call under way when it was killed has no answer to keep: it alone is made again.
        again = total - turns
        print(f"calls made again: {again} (under way at the kill: {before - kept})")
        third = subprocess.run(read + ["--fresh"], cwd=args.out, capture_output=True, text=True)
        print(f"the whole read once more from the start: {asked(served) - total} calls; {third.stderr.strip().splitlines()[-1]}")
        if again > before - kept or asked(served) != total:
            sys.exit("a call that was answered was made again")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
