#!/usr/bin/env python3
"""An adapter that Longhand trained, loaded by PEFT over the same base: equal logits?

    python3 tests/real/peft_adapter.py --base BASE_FOLDER --adapter RUN/adapter --merged MERGED_FOLDER --longhand target/release/longhand

BASE_FOLDER is the base as f32 safetensors (`longhand export BASE --to safetensors --type f32`), MERGED_FOLDER the run exported the same
way. Compares PEFT's logits with Longhand's of the merged model, and plants a fault: the base alone, and α doubled, must be seen.
"""
import argparse
import json
import pathlib
import subprocess
import tempfile

import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

IDS = [1, 504, 2365, 282, 253, 4521, 2017, 8, 28, 339, 429, 1184, 99, 1000, 42, 7, 300, 2500, 61]


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ["base", "adapter", "merged"]:
        args.add_argument(f"--{name}", required=True)
    args.add_argument("--longhand", default="target/release/longhand")
    args = args.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        (folder / "case.json").write_text(json.dumps({"ids": IDS}))
        out = folder / "out.safetensors"
        subprocess.run([args.longhand, "logits", "--model", args.merged, "--ids", str(folder / "case.json"), "--out", str(out)], check=True)
        ours = load_file(out)["logits"]
    base = AutoModelForCausalLM.from_pretrained(args.base, dtype=torch.float32)
    ids = torch.tensor([IDS])
    with torch.no_grad():
        alone = base(ids).logits[0]
        model = PeftModel.from_pretrained(base, args.adapter)
        theirs = model(ids).logits[0]
        for module in model.modules():
            if isinstance(getattr(module, "scaling", None), dict):
                module.scaling = {key: 2 * value for key, value in module.scaling.items()}
        doubled = model(ids).logits[0]
    far = lambda other: (ours - other).abs().max().item()
    print(f"largest difference: PEFT {far(theirs):.2e}; planted: base alone {far(alone):.2e}, alpha doubled {far(doubled):.2e}")
    assert far(theirs) <= 1e-2 < min(far(alone), far(doubled))


main()
