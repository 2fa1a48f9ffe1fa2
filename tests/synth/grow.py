#!/usr/bin/env python3
"""What a document costs `longhand synth run` without a model, by the number of documents there are.

    python3 tests/synth/grow.py target/release/longhand 1000 5000 10000

Half of the documents are JSON of facts that name each other, half are prose; all are drawn with one seed, so that the first 1,000 of
10,000 are those of 1,000 (the links among them are others). The rows that are asked for are as many whatever the number of documents.
Of each size: seconds of reading (opening, admitting, facts), of making rows, of the whole command, and of processors (which other work
on the machine makes no longer); milliseconds a document; and the last size beside the first, both for all documents and for each that was
added in between.
"""
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

ROWS = """seed = 1
[checks]
searchable = 1.0
[[documents]]
paths = ["documents"]
title = ["/name", "line"]
[[questions]]
engine = "graph"
hops = 1
count = 40
noun = "town"
lengths = [2000, 8000]
[[questions]]
engine = "graph"
hops = 3
count = 40
noun = "town"
lengths = [2000, 8000]
[[questions]]
engine = "choice"
hops = 2
count = 40
noun = "town"
lengths = [2000, 8000]
[[questions]]
engine = "table"
count = 40
lengths = [2000, 8000]
[[questions]]
engine = "dialogue"
count = 40
talk = [500, 1500]
lengths = [2000, 8000]
"""
SYLLABLES = "al be cor dun el far gil hob in jor kel lum mar nev os pel quin ros sil tam ul ver wen yor zan".split()


def name(at):
    """Of every number another, of three or more syllables."""
    out, at = [], at + len(SYLLABLES) ** 2
    while at:
        at, digit = divmod(at, len(SYLLABLES))
        out.append(SYLLABLES[digit])
    return "".join(out).capitalize()


def town(at, of, draw):
    near = [name(draw.randrange(of)) for _ in range(5)]
    year = lambda least, most: f"{draw.randint(1, 28)} May {draw.randint(least, most)}"
    return {
        "name": name(at),
        "size": {
            "area": f"{draw.randint(1000, 900000)} sq km",
            "people": f"{draw.randint(1, 90)}.{draw.randint(101, 999)} million",
            "income": f"${draw.randint(1, 800)}.{draw.randint(11, 99)} billion",
            "roads": f"{draw.randint(1000, 90000)} km",
            "schools": draw.randint(20, 9000),
        },
        "rule": {"mayor": f"{name(draw.randrange(10 * of))} {name(draw.randrange(10 * of))}son", "founded": year(1300, 1600), "freed": year(1601, 1990)},
        "trade": {"partners": f"{near[0]} 30%, {near[1]} 20%, {near[2]} 5%", "road": near[3], "twin": near[4]},
    }


def prose(at, words, draw):
    """About 600 words, the frequent ones more often, in sentences; its first line is its title."""
    sentence = lambda: " ".join(words[int(len(words) ** draw.random()) - 1] for _ in range(draw.randint(6, 18))).capitalize() + "."
    paragraphs = [" ".join(sentence() for _ in range(5)) for _ in range(10)]
    return f"The chronicle of {name(at)}\n\n" + "\n\n".join(paragraphs) + "\n"


def write(folder, count):
    to = folder / "documents"
    to.mkdir()
    words = [name(at).lower() for at in range(20_000)]
    for at in range(count):
        draw = random.Random(at)
        if at % 2 == 0:
            (to / f"{at:06}.json").write_text(json.dumps(town(at // 2, (count + 1) // 2, draw), indent=1))
        else:
            (to / f"{at:06}.txt").write_text(prose(at, words, draw))
    (folder / "synth.toml").write_text(ROWS)


def measured(binary, count):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        write(folder, count)
        processors = lambda: sum(resource.getrusage(resource.RUSAGE_CHILDREN)[:2])
        begun, before = time.monotonic(), processors()
        done = subprocess.run([binary, "synth", "run", "synth.toml", "--out", "set", "--json"], cwd=folder, capture_output=True, text=True)
        whole = time.monotonic() - begun
        if done.returncode != 0:
            sys.exit(done.stderr)
        report = json.loads(done.stdout)
        seconds = report["seconds"]
        return {"reading": seconds["reading"], "making": seconds["making"], "whole": whole, "processor": processors() - before}, report["rows"]["rows"]


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    binary, counts = pathlib.Path(sys.argv[1]).resolve(), [int(count) for count in sys.argv[2:]]
    print(f"{'documents':>10}{'rows':>6}" + "".join(f"{stage + ' s':>13}{'ms a doc.':>11}" for stage in ("reading", "making", "whole", "processor")), flush=True)
    all_of = []
    for count in counts:
        seconds, rows = measured(binary, count)
        all_of.append((count, seconds))
        print(f"{count:>10}{rows:>6}" + "".join(f"{took:>13.2f}{1e3 * took / count:>11.3f}" for took in seconds.values()), flush=True)
    (first, at_first), (last, at_last) = all_of[0], all_of[-1]
    if last > first:
        for stage in at_first:
            before, after = at_first[stage] / first, at_last[stage] / last
            added = (at_last[stage] - at_first[stage]) / (last - first)
            print(f"{stage}: {after / before:.2f} times as much a document at {last} as at {first}; each that was added took {1e3 * added:.3f} ms, {added / before:.2f} times as much")


main()
