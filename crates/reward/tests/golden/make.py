"""Writes mrcr.json, squad.json and numbers.json: what Python's own difflib, re and float say.

    python3 crates/reward/tests/golden/make.py

Only the standard library; the same bytes on every run.
"""

import json
import math
import pathlib
import random
import re
import string
from difflib import SequenceMatcher

HERE = pathlib.Path(__file__).parent
random.seed(20512)

ENGLISH = (
    "The committee met in the spring and found that the harbour would need new walls before winter; the cost was put at 1,240 pounds, "
    "of which the town could pay a third. Nobody asked who had built the old ones. "
)
CHINESE = "春眠不觉晓处处闻啼鸟夜来风雨声花落知多少床前明月光疑是地上霜举头望明月低头思故乡"
ASTRAL = "😀😁🎉𝔘𝔫𝔦𐍈e\u0301\u200d"


def words(count):
    return " ".join(random.choice(ENGLISH.split()) for _ in range(count))


def noise(alphabet, count):
    return "".join(random.choice(alphabet) for _ in range(count))


def edited(text, edits):
    """Insertions, deletions, replacements, moves."""
    out = list(text)
    for _ in range(edits):
        at = random.randrange(len(out) + 1)
        kind = random.randrange(4)
        if kind == 0:
            out.insert(at, random.choice(ENGLISH + ASTRAL))
        elif kind == 1 and out:
            del out[min(at, len(out) - 1)]
        elif kind == 2 and out:
            out[min(at, len(out) - 1)] = random.choice("xyz日")
        elif out:
            size = random.randrange(1, 20)
            piece = out[at : at + size]
            del out[at : at + size]
            to = random.randrange(len(out) + 1)
            out[to:to] = piece
    return "".join(out)


def pairs():
    texts = []
    # Short ones, where nothing is popular.
    short = ["", "a", "ab", "aaaa", "abcabcabc", "The quick brown fox", "the quick brown dog", "日本語", "e\u0301", "é", "😀", "\n\t ", "\x00"]
    short += [noise("ab", random.randrange(30)) for _ in range(15)]
    short += [noise("abcdef ", random.randrange(50)) for _ in range(10)]
    short += [noise(ASTRAL, random.randrange(20)) for _ in range(4)]
    # Around the length from which frequent characters are left out, and around their bound (len // 100 + 1).
    edge = [noise("abc", size) for size in (198, 199, 200, 201, 299, 300)]
    edge += ["ab" * 100, "x" + "ab" * 100, "ab" * 99 + "a", "a" * 199, "a" * 200, "a" * 201]
    for size in (199, 200, 201, 300):
        for count in (2, 3, 4, 5):
            # One character exactly `count` times, all others once.
            rare = [chr(0x4E00 + at) for at in range(size - count)]
            for _ in range(count):
                rare.insert(random.randrange(len(rare) + 1), "Q")
            edge.append("".join(rare))
    # Like replies and golds: prose, verses, lists, other scripts, a copy with faults.
    prose = [words(random.randrange(40, 90)) for _ in range(8)]
    prose += [noise(CHINESE, random.randrange(150, 400)) for _ in range(3)]
    prose += [noise(ENGLISH + CHINESE + ASTRAL, random.randrange(150, 500)) for _ in range(3)]
    prose += ["\n".join(f"- {words(4)}" for _ in range(12)), ENGLISH, ENGLISH * 2]
    prose += [edited(random.choice(prose), random.randrange(1, 25)) for _ in range(16)]
    texts = short + edge + prose
    few = lambda group, more, count: [(random.choice(group), random.choice(more)) for _ in range(count)]
    chosen = [(a, b) for a in short for b in short][:900]
    chosen += [(a, b) for a in edge for b in edge] + [(a, b) for a in prose for b in prose]
    chosen += few(short, edge + prose, 60) + few(edge + prose, short, 60) + few(edge, prose, 60) + few(prose, edge, 60)
    index = {text: at for at, text in enumerate(dict.fromkeys(texts))}
    rows, seen = [], set()
    for a, b in chosen:
        key = (index[a], index[b])
        if key not in seen:
            seen.add(key)
            # As text: a reader of JSON may round the last bit.
            rows.append([*key, repr(SequenceMatcher(None, a, b).ratio())])
    return {"texts": list(index), "pairs": rows}


def squad(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad_rows():
    pieces = ["The", "the", "a", "AN", "an-", "A.", "theory", "e\u0301a", "caf\u00e9", "ΑΣ", "İ", "ß", "don't", "3.5", "$1,000", "—a—", "_a_",
              "日本", "\u00a0", "\u2003", "\t", "\n", "\x1d", "“the”", "", "U.S.", "(an)", "a\u0301", "１２", "the\u200bthe", "ǅ"]
    texts = ["".join(random.choice(pieces) + random.choice(["", " ", " ", ", ", "/"]) for _ in range(random.randrange(1, 9))) for _ in range(400)]
    return [[text, squad(text)] for text in dict.fromkeys(texts)]


def number_rows():
    """[text, the float's repr]."""
    rows = []
    for _ in range(150):
        x = random.choice([random.uniform(-10, 10), random.uniform(-1e7, 1e7), float(random.randrange(-10**6, 10**9)), random.gauss(0, 1e-3)])
        for form in ("{:,.2f}", "{:.3f}", "{:.6g}", "{:e}", "{:,.0f}", "{}", "{:_.1f}"):
            text = form.format(x).replace("_", "'")
            value = float(text.replace(",", "").replace("'", ""))
            wrap = random.choice(["{}", "{}.", "about {}", "= {}", "({})", "{} units", "**{}**", "\\boxed{{{}}}"])
            rows.append([wrap.format(text), repr(value)])
    return rows


def close_rows():
    """[answer, gold, tolerance, whether |answer - gold| <= tolerance * |gold|], away from the bound itself."""
    rows = []
    for _ in range(300):
        gold = random.choice([random.uniform(-100, 100), random.uniform(-1e6, 1e6), 10 ** random.uniform(-6, 6)])
        tolerance = random.choice([0.0015, 0.01, 0.1])
        share = random.choice([-1, 1]) * random.choice([0, 0.5, 0.9, 1.1, 2, 100]) * tolerance
        said = gold * (1 + share)
        rows.append([repr(said), repr(gold), tolerance, abs(share) < tolerance])
        for slip in (100, 0.01, 1000, -1):
            right = math.isclose(gold * slip, gold, rel_tol=tolerance)
            rows.append([repr(gold * slip), repr(gold), tolerance, right])
    return rows


def write(name, data):
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("],[", "],\n[")
    (HERE / name).write_text(text + "\n", encoding="utf-8", newline="\n")


write("mrcr.json", pairs())
write("squad.json", squad_rows())
write("numbers.json", {"read": number_rows(), "close": close_rows()})
