"""Tokenizer truth: the same samples through Transformers (Qwen3) and llama.cpp (SmolLM2, Qwen2.5-Coder).

    pip install 'transformers==5.23.*' jinja2          # Qwen3: tokenizer.json and tokenizer_config.json in a folder
    python tests/golden/make_tokenizers.py qwen3 FOLDER
    pip install llama-cpp-python==0.3.36
    python tests/golden/make_tokenizers.py smollm2 SmolLM2-135M-Instruct.Q4_1.gguf
    python tests/golden/make_tokenizers.py qwen2.5-coder qwen2.5-coder-1.5b-instruct-q4_k_m.gguf

tokenizer/<name>.json: {"samples": [{"text", "ids", "decoded"}], "chats": [{"messages", "options", "text", "ids"}]}.
Specials in a text are parsed, none is added. `decoded` keeps specials and replaces broken UTF-8; the GGUF files have no chats.
Qwen3's tokenizer.json normalises to NFC and llama.cpp does not, so three samples differ after a round trip through the former.
"""

import json
import sys
import unicodedata
from pathlib import Path

OUT = Path(__file__).resolve().parent / "tokenizer"

SAMPLES = [
    "", " ", "a", "Hello, world!", " Hello  world ", "The quick brown fox jumps over the lazy dog.",
    "I'm, you're, he'll, we'd, they've; IT'S, DON'T, L'été, o’clock, 'tis",
    "Antidisestablishmentarianism, pneumonoultramicroscopicsilicovolcanoconiosis",
    "camelCaseIdentifier snake_case_name SCREAMING_CASE kebab-case x1y2z3",
    "0 1 12 123 1234 12345 1234567890 3.14159 -42 1,000,000 1e-9 0xDEADBEEF 2024-02-29T23:59:59Z",
    "½ ² Ⅷ ٣٤٥ ४५६ 三十七 ①",
    "line one\nline two\r\nline three\rline four\n\n\n\nafter four\n \n  \n\t\nend\n",
    "\ttab\t\ttwo tabs \t mixed\t",
    "    four spaces\n        eight\n\t    tab and four",
    " " * 2, " " * 3, " " * 17, "x" + " " * 64 + "y", "\n" * 9, " \n \n \n", "trailing spaces   ", "   leading",
    "a\u00a0b\u2003c\u3000d\u200be\ufefff\u2028g\u0085h",
    "中文的分词：我们在阅读一份很长的年度报告，第３７页的表格里有2023年的营业收入。",
    "日本語のテキスト、カタカナとひらがな。한국어 문장입니다. ภาษาไทยไม่มีช่องว่าง",
    "混排 English和中文mixed在一起，没有空格。",
    "Привет, как дела? Ελληνικά γράμματα. Größe, Straße, naïve café, İstanbul, ǆ",
    "العَرَبِيَّةُ مع التشكيل، و עברית עם ניקוד: שָׁלוֹם",
    "हिन्दी में क्षत्रिय, বাংলা, தமிழ்",
    "e\u0301 versus é, A\u030a versus Å, n\u0303\u0323, q\u0307\u0323 and q\u0323\u0307, ﬁ ligature, Ａｆｕｌｌ",
    "Z\u0351\u036b\u0343a\u0326\u0309l\u0363g\u034ao\u0321",
    "\uac00 \u1100\u1161 \u1100\u1161\u11a8",
    "😀 🎉🎉🎉 👍🏽 🇫🇷🇯🇵 ❤️ ☃ ✂️",
    "👨‍👩‍👧‍👦 👩🏾‍🚀 🏳️‍🌈 🧑‍🤝‍🧑",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 𠮷野家 𓀀",
    "\x01\x02\x07\x08\x0b\x0c\x1b[31mred\x1b[0m\x7f",
    "!!! ??? ... --- *** ~~~ ``` \"\"\" ''' ((())) [[]] {{}} <<>> //// \\\\ :: -> => <= >= != ==",
    "$12.50 €3 £4 ¥500 50% #hashtag @user a@b.example https://example.com/a/b?c=d&e=f#g",
    "def fib(n: int) -> int:\n    \"\"\"Fibonacci.\"\"\"\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n",
    "fn main() {\n\tlet x: Vec<u8> = b\"\\x00\\xff\".to_vec();\n\tprintln!(\"{x:?}\");\n}\n",
    "SELECT * FROM t WHERE a = 'b' AND c IS NOT NULL; -- comment",
    "<div class=\"x\">&nbsp;&amp;</div><!-- comment -->",
    "| a | b |\n|---|---:|\n| 1 | 2.5 |\n\n- item\n  - nested\n1. first\n",
    "{\"key\": [1, 2.0, null, true], \"nested\": {\"é\": \"\\u00e9\"}}",
    "$$\\int_0^\\infty e^{-x^2}\\,dx = \\frac{\\sqrt{\\pi}}{2}$$ ∑ ∀x∈ℝ ≠ ≤ ∞",
    "<|im_start|>system\nYou are helpful.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
    "<|endoftext|>", "a<|im_end|>b", " <|im_start|> ", "<|im_start|><|im_start|>", "<|im_start", "<|not_a_token|>",
    "<think>\n\nmaybe\n</think>\n\nyes", "<tool_call>{\"name\": \"f\"}</tool_call>", "<think", "< think>", "<repo_name>x<file_sep>y",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "=" * 80, "-" * 33, "ha" * 40, "哈" * 25,
    "The Project Gutenberg eBook\r\n\r\nCHAPTER I.\r\n\r\n“Well, Prince,—so Genoa and Lucca…”\r\n",
]

SYSTEM = {"role": "system", "content": "You are a careful reader."}
USER = {"role": "user", "content": "What does page 3 say?"}
THOUGHT = {"role": "assistant", "content": "<think>\nPage 3 is a table.\n</think>\n\nIt lists rivers."}
PLAIN = {"role": "assistant", "content": "It lists rivers."}
MORE = {"role": "user", "content": "  Which is longest?\n"}
TOOL = {
    "type": "function",
    "function": {
        "name": "read_page",
        "description": "Returns the text of a page.",
        "parameters": {"type": "object", "properties": {"page": {"type": "integer"}}, "required": ["page"]},
    },
}
CALL = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"type": "function", "function": {"name": "read_page", "arguments": {"page": 3}}}],
}
RESULT = {"role": "tool", "content": "Nile 6650, Amazon 6400"}

CHATS = [
    ([USER], {}),
    ([USER], {"add_generation_prompt": True}),
    ([USER], {"add_generation_prompt": True, "enable_thinking": False}),
    ([USER], {"add_generation_prompt": True, "enable_thinking": True}),
    ([SYSTEM, USER], {"add_generation_prompt": True}),
    ([SYSTEM, USER], {"add_generation_prompt": True, "enable_thinking": False}),
    ([SYSTEM, USER, PLAIN], {}),
    ([SYSTEM, USER, THOUGHT], {}),
    ([SYSTEM, USER, THOUGHT, MORE], {"add_generation_prompt": True}),
    ([SYSTEM, USER, PLAIN, MORE, THOUGHT], {}),
    ([USER, THOUGHT, MORE, PLAIN, USER], {"add_generation_prompt": True, "enable_thinking": False}),
    ([USER, {"role": "assistant", "content": "Rivers.", "reasoning_content": "A table."}], {}),
    ([{"role": "user", "content": "多页报告：第３页？\n\n<|im_end|> in a text 😀"}], {"add_generation_prompt": True}),
    ([{"role": "system", "content": ""}, {"role": "user", "content": ""}], {"add_generation_prompt": True}),
    ([USER], {"add_generation_prompt": True, "tools": [TOOL]}),
    ([SYSTEM, USER, CALL, RESULT], {"add_generation_prompt": True, "tools": [TOOL]}),
    ([SYSTEM, USER, CALL, RESULT, RESULT, PLAIN, MORE], {"add_generation_prompt": True, "tools": [TOOL]}),
]


def by_transformers(folder):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    samples = []
    for text in SAMPLES:
        ids = tokenizer.encode(text, add_special_tokens=False)
        decoded = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        samples.append({"text": text, "ids": ids, "decoded": decoded})
    chats = []
    for messages, options in CHATS:
        text = tokenizer.apply_chat_template(messages, tokenize=False, **options)
        ids = tokenizer.encode(text, add_special_tokens=False)
        chats.append({"messages": messages, "options": options, "text": text, "ids": ids})
    return {"samples": samples, "chats": chats}


def by_llama_cpp(path):
    import ctypes

    from llama_cpp import Llama, llama_token_to_piece

    model = Llama(path, vocab_only=True, verbose=False)

    def piece(token):  # Llama.detokenize cuts tokens of more than 32 bytes
        buffer = ctypes.create_string_buffer(1024)
        size = llama_token_to_piece(model._model.vocab, token, buffer, 1024, 0, True)
        assert size >= 0, f"token {token} is longer than the buffer"
        return buffer.raw[:size]

    samples = []
    for text in SAMPLES:
        ids = model.tokenize(text.encode(), add_bos=False, special=True)
        decoded = b"".join(map(piece, ids)).decode(errors="replace")
        samples.append({"text": text, "ids": ids, "decoded": decoded})
    return {"samples": samples}


def main():
    name, path = sys.argv[1:]
    truth = by_transformers(path) if name == "qwen3" else by_llama_cpp(path)
    for sample in truth["samples"]:
        back = unicodedata.normalize("NFC", sample["text"]) if name == "qwen3" else sample["text"]
        assert sample["decoded"] == back, sample
    OUT.mkdir(exist_ok=True)
    (OUT / f"{name}.json").write_text(json.dumps(truth, ensure_ascii=True, indent=0) + "\n")
    print(f"{name}: {len(truth['samples'])} samples, {len(truth.get('chats', []))} chats, all decode to their text")


if __name__ == "__main__":
    main()
