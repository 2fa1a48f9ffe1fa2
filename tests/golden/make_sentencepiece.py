"""SentencePiece truth: a small vocabulary in a GGUF file, and what llama.cpp makes of texts with it.

    pip install gguf==0.19.0                  # one environment
    python tests/golden/make_sentencepiece.py vocabulary FILE.gguf
    pip install llama-cpp-python==0.3.36      # another will do
    python tests/golden/make_sentencepiece.py samples FILE.gguf

tokenizer/sentencepiece.json: {"tokens", "scores", "types", "samples": [{"text", "ids", "with_specials"}]}.
"""

import json
import random
import sys
from collections import Counter
from pathlib import Path

OUT = Path(__file__).resolve().parent / "tokenizer" / "sentencepiece.json"
TEXT = (
    "the memory agent reads the long report, page by page; then it answers with the page where the answer was. "
    "It remembers, it plans, it reads again: a river, another river, the longest river of them all. "
    "Größe, naïve café, 中文的分词 和 中文的句子"
)


def vocabulary():
    rng = random.Random(7)
    tokens = [("<unk>", 0.0, 2), ("<s>", 0.0, 3), ("</s>", 0.0, 3)]
    tokens += [(f"<0x{byte:02X}>", 0.0, 6) for byte in range(256)]
    tokens += [("<mask>", 0.0, 4)]
    escaped = "▁" + TEXT.replace(" ", "▁")
    pieces = Counter(escaped[at : at + n] for n in range(2, 7) for at in range(len(escaped) - n + 1))
    pieces = sorted(piece for piece, count in pieces.items() if count > 1 or rng.random() < 0.2)
    # Few different scores, so that there are ties.
    tokens += [(piece, -float(rng.randrange(1, 60)), 1) for piece in pieces]
    tokens += [(char, -100.0, 1) for char in sorted(set(escaped)) if rng.random() < 0.9 and char != "文"]
    return tokens


def texts():
    rng = random.Random(8)
    words = TEXT.split()
    texts = ["", " ", "  ", "the", " the", "the ", "the  river", "\n", "a\nb\n\n", "\t", "Größe", "文", "中文", "😀 river", "x" * 40, "▁the▁"]
    texts += ["<s>the</s>", "a<mask>b", "<mask> the", "the <mask>the<unk>", "<0x41>", "<s> <s>", "</s"]
    texts += [" ".join(rng.choice(words) for _ in range(rng.randrange(1, 12))) for _ in range(40)]
    texts += ["".join(rng.choice(TEXT + "xyzÄ\n é") for _ in range(rng.randrange(1, 60))) for _ in range(60)]
    return texts


def write_gguf(path):
    import gguf

    tokens = vocabulary()
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(8)
    writer.add_block_count(1)
    writer.add_feed_forward_length(8)
    writer.add_head_count(1)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([token for token, _, _ in tokens])
    writer.add_token_scores([score for _, score, _ in tokens])
    writer.add_token_types([kind for _, _, kind in tokens])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_samples(path):
    from llama_cpp import Llama

    model = Llama(path, vocab_only=True, verbose=False)
    ids = lambda text, special: model.tokenize(text.encode(), add_bos=False, special=special)
    samples = [{"text": text, "ids": ids(text, False), "with_specials": ids(text, True)} for text in texts()]
    tokens, scores, types = zip(*vocabulary())
    OUT.write_text(json.dumps({"tokens": tokens, "scores": scores, "types": types, "samples": samples}) + "\n")
    print(f"{len(tokens)} tokens, {len(samples)} samples")


if __name__ == "__main__":
    verb, path = sys.argv[1:]
    {"vocabulary": write_gguf, "samples": write_samples}[verb](path)
