"""Puts a dataset's kept calls into one file, a line a call after the model's, in the order of their keys; and the hashes of what came out:
    python3 pack.py dataset"""

import hashlib
import json
import pathlib
import sys

FILES = ["rows.jsonl", "rejects.jsonl", "documents.jsonl", "README.md", "synth.toml"]
here, dataset = pathlib.Path(__file__).parent, pathlib.Path(sys.argv[1])

lines = [json.dumps(json.loads((dataset / "calls/model.json").read_text()))]
lines += [path.read_text().strip() for path in sorted(dataset.glob("calls/??/*.json"))]
(here / "calls.jsonl").write_text("\n".join(lines) + "\n")
whole = [name for name in FILES if (dataset / name).is_file()]
sums = [f"{hashlib.sha256((dataset / name).read_bytes()).hexdigest()}  {name}\n" for name in whole]
(here / "sha256.txt").write_text("".join(sums))
print(f"{len(lines) - 1} calls, {len(whole)} files")
