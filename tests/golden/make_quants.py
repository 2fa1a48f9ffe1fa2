"""ggml block formats: random bytes and the floats that gguf-py says they stand for.

    pip install gguf==0.19.0 safetensors numpy
    python tests/golden/make_quants.py

quant/<format>.safetensors holds `bytes` u8 [4, row bytes] and `values` f32 [4, 512]. Every nibble, high bit and packed 6-bit
scale is random, so all of them occur; only the f16 fields (d, and the min m or dmin) are written with moderate values of
both signs, zero among them. Row 0 opens with blocks of all-zero and of all-one bits around those f16 fields.
"""

from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import save_file

ROWS, COLUMNS = 4, 512
OUT = Path(__file__).resolve().parent / "quant"

# byte offsets of the f16 fields in a block
F16_FIELDS = {
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2],
    "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}


def main():
    OUT.mkdir(exist_ok=True)
    for seed, (name, offsets) in enumerate(F16_FIELDS.items()):
        kind = gguf.GGMLQuantizationType[name]
        per_block, block_bytes = gguf.GGML_QUANT_SIZES[kind]
        random = np.random.default_rng(seed)
        blocks = random.integers(0, 256, (ROWS * COLUMNS // per_block, block_bytes), dtype=np.uint8)
        blocks[0], blocks[1] = 0x00, 0xFF
        for at in offsets:
            field = random.normal(0, 0.05, len(blocks)).astype(np.float16)
            field[-1] = 0.0
            blocks[:, at : at + 2] = field.view(np.uint8).reshape(-1, 2)
        rows = blocks.reshape(ROWS, -1)
        values = gguf.quants.dequantize(rows, kind)
        assert values.shape == (ROWS, COLUMNS) and np.isfinite(values).all()
        path = OUT / f"{name}.safetensors"
        save_file({"bytes": rows, "values": np.ascontiguousarray(values, dtype=np.float32)}, path)
        path.chmod(0o644)
        print(f"{name}: {rows.shape[1]} bytes a row, values in [{values.min():.3f}, {values.max():.3f}]")


if __name__ == "__main__":
    main()
