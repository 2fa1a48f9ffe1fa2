"""Truth for loss masks, by Transformers.

    pip install 'transformers==5.24.*' jinja2 pyarrow
    python crates/train/tests/masks/make_masks.py                   # tokenizer.json, chatml.json, rows-*.parquet
    python crates/train/tests/masks/make_masks.py qwen3 FOLDER      # qwen3.json; FOLDER: Qwen3's tokenizer.json, tokenizer_config.json

chatml.json: {"template", "cases": [{"messages", "ids", "mask"}]}: `apply_chat_template(..., return_assistant_tokens_mask=True)` of the
same template with {% generation %} around the reply and its end.
qwen3.json: {"cases": [{"messages", "turns": [{"turn", "ids", "start"}]}]}: Qwen3's own template; for each reply the ids of the
conversation up to it, and how many of them are those of its prompt (add_generation_prompt=True).
rows-*.parquet: the same four rows as pyarrow writes them, in each compression, in row groups of two.
"""

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

TEXT = """The keeper wrote the log by lamplight, and the wind was from the west.
What does page 3 say? It lists rivers: the Nile, the Amazon, the Yangtze. The table has 12 rows and 4 columns.

    def length(river):
        return river["km"]

A careful reader answers from the text. If the text does not say, the reader says so.
<think>
Page 3 is a table. The longest is the Nile.
</think>

It is the Nile, with 6650 km.

""" * 3

PLAIN = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}{% endfor %}" \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
MARKED = "{% for m in messages %}{% if m.role == 'assistant' %}{{ '<|im_start|>assistant\\n' }}" \
    "{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}" \
    "{% else %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>' + '\\n' }}{% endif %}{% endfor %}" \
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"


def turns(*texts, system=None):
    first = [{"role": "system", "content": system}] if system is not None else []
    return first + [{"role": ["user", "assistant"][i % 2], "content": text} for i, text in enumerate(texts)]


CASES = [
    turns("What does page 3 say?", "It lists rivers."),
    turns("What does page 3 say?", "It lists rivers.", system="You are a careful reader."),
    turns("Which is longest?", "The Nile.", "And then?", "The Amazon.", "How long?", "6400 km, the text says."),
    turns("  spaces  ", "  a reply with spaces  ", "more\n\n", "a reply with line ends\n\nand a last one\n"),
    turns("第３页？", "河流表：尼罗河 6650。😀", "e\u0301?", "é versus e\u0301"),
    turns("Write it.", "    def length(river):\n        return river[\"km\"]\n"),
    turns("assistant", "assistant", "<|im_start", "user\n"),
    turns("x", "x", system=""),
]
THOUGHT = [
    turns("What does page 3 say?", "<think>\nPage 3 is a table.\n</think>\n\nIt lists rivers."),
    turns("Which is longest?", "<think>\nA table.\n</think>\n\nThe Nile.", "And then?", "<think>\nNext.\n</think>\n\nThe Amazon."),
]


def small():
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    split = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(split), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    specials = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=specials, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator([TEXT], trainer)
    tokenizer.save(str(HERE / "tokenizer.json"), pretty=False)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    cases = []
    for messages in CASES + THOUGHT:
        out = fast.apply_chat_template(
            messages, chat_template=MARKED, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
        )
        mask = out.get("assistant_masks") or out["assistant_mask"]
        same = fast.apply_chat_template(messages, chat_template=PLAIN, tokenize=True, return_dict=True)["input_ids"]
        assert same == out["input_ids"] and sum(mask) > 0
        cases.append({"messages": messages, "ids": out["input_ids"], "mask": list(mask)})
    (HERE / "chatml.json").write_text(json.dumps({"template": PLAIN, "cases": cases}, ensure_ascii=False) + "\n")


def parquet():
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = {
        "messages": [CASES[0], CASES[2], CASES[4], CASES[1]],
        "source": ["a", "b", None, "d"],
        "score": [1.0, 2.0, 3.0, 4.0],
    }
    for compression in ["none", "snappy", "zstd", "gzip"]:
        pq.write_table(pa.table(rows), HERE / f"rows-{compression}.parquet", compression=compression, row_group_size=2)
    pair = {"prompt": ["What?", "Who?"], "answer": ["This.", None]}
    pq.write_table(pa.table(pair), HERE / "rows-pairs.parquet", compression="snappy")


def qwen3(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)

    def encode(messages, prompt):
        return tokenizer.apply_chat_template(messages, tokenize=True, return_dict=True, add_generation_prompt=prompt)["input_ids"]

    cases = []
    for messages in CASES + THOUGHT:
        found = []
        for turn, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            prompt, whole = encode(messages[:turn], True), encode(messages[: turn + 1], False)
            start = len(prompt) if whole[: len(prompt)] == prompt else None
            found.append({"turn": turn, "ids": whole, "start": start})
        cases.append({"messages": messages, "turns": found})
    (HERE / "qwen3.json").write_text(json.dumps({"cases": cases}, ensure_ascii=False) + "\n")


if sys.argv[1:2] == ["qwen3"]:
    qwen3(sys.argv[2])
else:
    small()
    parquet()
