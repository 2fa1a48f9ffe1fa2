#!/usr/bin/env python3
"""Notes of real reads with what Longhand says of their source, for labelling by hand; and the precision of each class from the labels.

    python3 tests/documents/notes.py sample --longhand target/release/longhand --number 60 --out notes.jsonl LOG...
    python3 tests/documents/notes.py score notes.jsonl

`sample` takes read logs (events), finds their documents under the paths they name, and writes distinct notes, drawn with a fixed seed:
each sentence of a memory, with its class when it first stood there. A person then gives each line with a source a "label": "right" if the
passage says what the note says, else "wrong" (and "why").
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile


def document(path):
    text = pathlib.Path(path).read_text()
    return {"id": path, "source": pathlib.Path(path).name, "text": text, "lines": True}


def notes_of(longhand, log):
    """Each distinct note of a log, with its citation when it first stood in the memory."""
    events = [json.loads(line) for line in pathlib.Path(log).read_text().splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        documents = [document(named[0]) for named in events[0]["documents"]]
        (folder / "documents.jsonl").write_text("".join(json.dumps(d) + "\n" for d in documents))
        (folder / "events.jsonl").write_text(pathlib.Path(log).read_text())
        done = subprocess.run([longhand, "export", str(folder), "--json", "-"], capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(done.stderr)
        read = json.loads(done.stdout)["reads"][0]
    seen = set()
    for number, turn in enumerate(read["turns"], 1):
        memory = turn["memory"].encode()
        for cited in turn["citations"]:
            citation = cited["citation"]
            support = citation["support"]
            note = memory[citation["start"] : citation["end"]].decode().strip()
            kind = support["kind"]
            if kind == "no_claim" or note in seen:
                continue
            seen.add(note)
            source = citation.get("source") or {}
            yield {
                "log": pathlib.Path(log).name,
                "section": number,
                "note": note,
                "class": kind,
                "score": support.get("score"),
                "place": cited.get("place"),
                "quote": source.get("quote"),
            }


def sample(args):
    notes, seen = [], set()
    for log in args.logs:
        for note in notes_of(args.longhand, log):
            if note["note"] not in seen:
                seen.add(note["note"])
                notes.append(note)
    chosen = notes if len(notes) <= args.number else random.Random(1).sample(notes, args.number)
    pathlib.Path(args.out).write_text("".join(json.dumps(note, ensure_ascii=False) + "\n" for note in chosen))
    print(f"{len(chosen)} of {len(notes)} distinct notes of {len(args.logs)} reads")


def score(args):
    notes = [json.loads(line) for line in pathlib.Path(args.notes).read_text().splitlines()]
    for kind in ("quoted", "supported", "not_found"):
        of = [note for note in notes if note["class"] == kind]
        line = f"{kind:10} {len(of):3} of {len(notes)} ({len(of) / len(notes):.0%})"
        if kind != "not_found" and of:
            unlabelled = [note for note in of if note.get("label") not in ("right", "wrong")]
            if unlabelled:
                sys.exit(f"not labelled: {unlabelled[0]['note']}")
            right = sum(note["label"] == "right" for note in of)
            line += f", right {right} of {len(of)}: precision {right / len(of):.2f}"
        print(line)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = args.add_subparsers(required=True)
    verb = verbs.add_parser("sample")
    verb.add_argument("--longhand", default="target/release/longhand")
    verb.add_argument("--number", type=int, default=60)
    verb.add_argument("--out", required=True)
    verb.add_argument("logs", nargs="+")
    verb.set_defaults(run=sample)
    verb = verbs.add_parser("score")
    verb.add_argument("notes")
    verb.set_defaults(run=score)
    args = args.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
