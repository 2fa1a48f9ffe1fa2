"""Writes scores.json: BM25 scores of a few passages by the Python package rank_bm25 (0.2.2).

    pip install rank_bm25==0.2.2
    python crates/agent/tests/retrieve/make_scores.py

rank_bm25's BM25Okapi has the idf of 1994, which it replaces by a constant where it is negative; ours is Lucene's. So two things are
written: the package's own scores of single words together with its idf of them, whose quotient does not depend on the idf; and scores
of whole questions by its class with nothing but the idf replaced.
"""

import json
import math
import pathlib
import re

from rank_bm25 import BM25Okapi

ROOT = pathlib.Path(__file__).resolve().parents[4]
K1, B = 1.2, 0.75


def words(text):
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text.lower().replace("'", ""))
    return re.findall(r"\d+\.\d+|[a-z0-9]+", text)


class Lucene(BM25Okapi):
    def _calc_idf(self, nd):
        for word, n in nd.items():
            self.idf[word] = math.log(1 + (self.corpus_size - n + 0.5) / (n + 0.5))


def passages():
    """Paragraphs of 8 to 100 plain words: each is one passage of ours."""
    text = (ROOT / "tests/documents/hoover-1929.txt").read_text(encoding="utf-8")
    plain = [p.strip() for p in text.split("\n") if p.isascii() and 8 <= len(words(p)) <= 100 and "--" not in p and "U.S" not in p]
    return plain[:40]


texts = passages()
corpus = [words(text) for text in texts]
okapi, lucene = BM25Okapi(corpus, k1=K1, b=B), Lucene(corpus, k1=K1, b=B)
questions = [
    "What agreement was ratified by the Government of France?",
    "the marines in Nicaragua, the marines in Haiti",
    "How much did the public debt fall since June 30?",
    "tariff on agricultural products and the farmer",
    "public buildings in the District of Columbia",
]
singles = ["government", "france", "the", "agreement", "congress", "of", "1929", "tariff"]
out = {
    "texts": texts,
    "singles": [{"word": w, "idf": okapi.idf[w], "scores": list(okapi.get_scores([w]))} for w in singles if w in okapi.idf],
    "questions": [{"question": q, "scores": list(lucene.get_scores(words(q)))} for q in questions],
}
path = pathlib.Path(__file__).with_name("scores.json")
path.write_text(json.dumps(out, indent=1) + "\n", encoding="utf-8")
print(len(texts), "passages,", len(out["singles"]), "words,", len(questions), "questions")
