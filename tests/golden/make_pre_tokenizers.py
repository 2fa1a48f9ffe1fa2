"""Pre-tokenizer truth: SmolLM2's vocabulary under every `tokenizer.ggml.pre` Longhand knows, through llama.cpp.

    pip install gguf==0.19.0                  # one environment
    python tests/golden/make_pre_tokenizers.py vocabularies SmolLM2-135M-Instruct.Q4_1.gguf FOLDER
    pip install llama-cpp-python==0.3.36      # another will do
    python tests/golden/make_pre_tokenizers.py samples FOLDER

tokenizer/pre.json: {pre: [{"text", "ids"}]}. Specials in a text are parsed, none is added.
"""

import json
import sys
from pathlib import Path

from make_tokenizers import OUT, SAMPLES

PRES = ["default", "gpt-2", "smollm", "llama-bpe", "qwen2", "qwen35"]


def write_vocabularies(source, folder):
    import gguf

    fields = gguf.GGUFReader(source).fields
    get = lambda key: fields[f"tokenizer.ggml.{key}"].contents()
    tokens, types, merges = get("tokens"), get("token_type"), get("merges")
    for pre in PRES:
        writer = gguf.GGUFWriter(Path(folder) / f"{pre}.gguf", "llama")
        writer.add_context_length(512)
        writer.add_embedding_length(8)
        writer.add_block_count(1)
        writer.add_feed_forward_length(8)
        writer.add_head_count(1)
        writer.add_head_count_kv(1)
        writer.add_layer_norm_rms_eps(1e-5)
        writer.add_vocab_size(len(tokens))
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types(types)
        writer.add_token_merges(merges)
        writer.add_bos_token_id(get("bos_token_id"))
        writer.add_eos_token_id(get("eos_token_id"))
        writer.add_add_bos_token(False)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def write_samples(folder):
    from llama_cpp import Llama

    truth = {}
    for pre in PRES:
        model = Llama(str(Path(folder) / f"{pre}.gguf"), vocab_only=True, verbose=False)
        ids = lambda text: model.tokenize(text.encode(), add_bos=False, special=True)
        truth[pre] = [{"text": text, "ids": ids(text)} for text in SAMPLES]
    (OUT / "pre.json").write_text(json.dumps(truth) + "\n")
    print({pre: sum(len(sample["ids"]) for sample in samples) for pre, samples in truth.items()})


if __name__ == "__main__":
    verb, *paths = sys.argv[1:]
    {"vocabularies": write_vocabularies, "samples": write_samples}[verb](*paths)
