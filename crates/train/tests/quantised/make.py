"""Rows of floats and what ggml makes of them: its reference quantisers, called in the library that llama-cpp-python brings.

    pip install llama-cpp-python==0.3.36 gguf==0.19.0 numpy safetensors
    python crates/train/tests/quantised/make.py

Writes ggml.safetensors beside this file: x [8, 512] f32, and for each format its bytes as u32 [8, n] (four bytes to a number,
the first lowest; rows of Q6_K and Q8_0 are padded with zeros to whole numbers). Q8_0 is also compared with gguf-py's own.
"""

import ctypes
import os
import pathlib

import gguf
import llama_cpp
import numpy as np
from safetensors.numpy import save_file

FORMATS = {"Q8_0": (32, 34, "quantize_row_q8_0_ref"), "Q4_K": (256, 144, "quantize_row_q4_K_ref"), "Q6_K": (256, 210, "quantize_row_q6_K_ref")}


def rows():
    rng = np.random.default_rng(20)
    x = rng.standard_normal((8, 512)) * 0.02  # as weights are
    x[1] = rng.standard_t(3, 512) * 0.02  # heavy tails
    x[2] = np.abs(x[2]) + 0.01  # all positive: the minimum stays 0
    x[3] = -np.abs(x[3]) - 0.01
    x[4, :300] = 0.0  # whole groups of zeros, and a block with one
    x[5] = np.where(np.arange(512) % 3 == 0, 0.5, -0.25)
    x[6] *= 10.0 ** rng.uniform(-4, 3, 512)
    x[7, 17] = 30.0  # one outlier
    return x.astype(np.float32)


def main():
    library = ctypes.CDLL(os.path.join(os.path.dirname(llama_cpp.__file__), "lib/libggml-base.so"))
    x = rows()
    tensors = {"x": x}
    for name, (length, size, function) in FORMATS.items():
        out = np.zeros((x.shape[0], x.shape[1] // length * size), np.uint8)
        quantize = getattr(library, function)
        quantize.argtypes, quantize.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64], None
        quantize(x.ctypes.data, out.ctypes.data, x.size)
        if name == "Q8_0":
            assert (gguf.quants.quantize(x, gguf.GGMLQuantizationType.Q8_0) == out).all()
        padded = np.zeros((x.shape[0], -(-out.shape[1] // 4) * 4), np.uint8)
        padded[:, : out.shape[1]] = out
        tensors[name] = padded.view(np.uint32)
    save_file(tensors, pathlib.Path(__file__).parent / "ggml.safetensors")


main()
