#!/usr/bin/env python3
"""Rows made by hand for check.py, as they should be and with a fault each.

    python3 tests/synth/test_check.py
"""
import collections
import copy
import contextlib
import io
import json
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True

import check  # noqa: E402: next to this file, without leaving a compiled copy

MALI = "Mali\ncapital: Bamako\nborders: Niger 838 km, Senegal (river) 489 km, Chad 1,200 km\narea: 1.24 million sq km\n"
CHAD = "capital: N'Djamena\narea: 1,284,000 sq km\nfounded: 11 August 1960\nlong form: Republic of Chad\n"
TOGO = "capital: Lomé\narea: 56,785 sq km (2014 est.)\nfounded: 1894\n"
TITLES = {"m": ("Mali", MALI), "c": ("The Chad", CHAD), "t": ("Togo", TOGO)}


def fact(doc, relation, value, subject=None, text=None):
    text = text if text is not None else TITLES[doc][1]
    start = len(text[: text.index(value)].encode())
    span = {"doc": doc, "start": start, "end": start + len(value.encode())}
    return {"id": check.named("fact", [doc, relation, value, str(start)]), "subject": subject or TITLES[doc][0], "relation": relation, "value": value, "span": span}


def edge(start, relation, which, to, facts):
    ids = [fact["id"] for fact in facts]
    return {"id": check.named("edge", [start, relation, which, to, *ids]), "from": start, "relation": relation, "which": which, "to": to, "facts": ids}


def row(engine, question, answer, rule, facts, gold, own=None, **derivation):
    prompt, parts = "Read — please.\n\n<text>\n", []
    shown = [(name, *TITLES[name]) for name in TITLES] + ([("own", "Conversation", own)] if own else [])
    for number, (name, title, text) in enumerate(shown, 1):
        prompt += ("\n\n" if number > 1 else "") + f"Doc {number}: {title}\n"
        start = len(prompt.encode())
        prompt += text
        parts.append({"id": name, "title": title, "sha256": check.digest([text]), "start": start, "end": len(prompt.encode()), "gold": name in gold})
    prompt += f"\n</text>\n\n{question}\n"
    derived = {"version": 1, "engine": engine, "paradigm": "", "facts": facts, "checks": [], "obfuscation": [], **derivation}
    return {"id": "r", "task": "t", "prompt": prompt, "answers": [answer], "rule": rule, "evidence": [fact["span"] for fact in facts],
            "question": question, "documents": parts, "derivation": derived}


def vague(of, to, as_subject=False):
    return {"fact": of["id"], "kind": "entity", "from": of["subject"] if as_subject else of["value"], "to": to}


def chain(which="largest", rest=None, answer="N'Djamena", compute=None):
    start, borders = fact("m", "capital", "Bamako"), fact("m", "borders", MALI.split("borders: ")[1].split("\n")[0])
    last = rest or [fact("c", "capital", "N'Djamena")]
    edges = [edge("Mali", "borders", which, "The Chad", [borders])]
    if compute:
        edges.append(edge(last[0]["subject"], "x", compute, last[-1]["subject"], last))
    question = "What is the capital of the largest neighbour of the place with a capital of 6 letters?"
    return row("graph", question, answer, "contain", [start, borders, *last], "mc" if not compute else "mct", edges=edges,
               walk=[edge["id"] for edge in edges], obfuscation=[vague(start, "6 letters")])


def table():
    facts = [fact("c", "area", "1,284,000 sq km"), fact("t", "area", "56,785 sq km (2014 est.)")]
    cells = [[{"value": "The Chad"}, {"value": 1284000, "fact": facts[0]["id"]}], [{"value": "Togo"}, {"value": 56785, "fact": facts[1]["id"]}]]
    columns = [{"name": "name", "relation": ""}, {"name": "area", "relation": "area", "unit": "sq km"}]
    return row("table", "Of The Chad and Togo: what is the area of both?", "1.341 million", "numeric", facts, "ct",
               table={"columns": columns, "rows": cells}, sql="SELECT SUM(area) FROM t", result=[[1340785.0]])


def talk():
    told = fact("t", "area", "56,785 sq km (2014 est.)")
    reply = "As for Togo, area: “56,785 sq km (2014 est.)”."
    own = f"User: Area of Togo?\nAssistant: It is large.\n\nUser: Area of Mali?\nAssistant: Larger.\n\nUser: Area of Togo?\nAssistant: {reply}"
    own_fact = lambda value, start, relation: {"id": check.named("fact", ["own", relation, value, str(start)]), "subject": "turn", "relation": relation,
                                               "value": value, "span": {"doc": "own", "start": start, "end": start + len(value.encode())}}
    second = own.rindex("Area of Togo?")
    said = [own_fact("Area of Togo?", 6, "user › area"), own_fact("Area of Togo?", second, "user › area"), own_fact(reply, own.index(reply), "assistant › area")]
    start = fact("t", "capital", "Lomé")
    question = "Write AbCdEfGh12 and then repeat the second reply about the area of the one that has “Lomé”."
    return row("dialogue", question, f"AbCdEfGh12 {reply}", "mrcr", [start, told, *said], ["t", "own"], own=own, obfuscation=[vague(start, "the one that has “Lomé”", True)])


def choice(answer="C"):
    made = chain()
    made["question"] += "\n(A) Lomé\n(B) Bamako\n(C) N'Djamena\n(D) Niamey"
    made["prompt"] = made["prompt"].rsplit("\n\n", 1)[0] + "\n\n" + made["question"]
    return {**made, "rule": "letter", "answers": [answer]}


def computed(which, relation, answer, rule):
    values = {"founded": ("11 August 1960", "1894"), "area": ("1,284,000 sq km", "56,785 sq km (2014 est.)")}[relation]
    two = [fact("c", relation, values[0]), fact("t", relation, values[1])]
    made = chain(rest=two, answer=answer, compute=which)
    # The walk has to pass Togo.
    borders = fact("c", "long form", "Republic of Chad")
    step = edge("The Chad", "long form", "only", "Togo", [borders])
    step_alias = [borders]
    made["derivation"]["facts"] += step_alias
    made["evidence"] += [borders["span"]]
    made["derivation"]["edges"].insert(1, step)
    made["derivation"]["walk"].insert(1, step["id"])
    return {**made, "rule": rule}


def prose(which="back", value="N'Djamena", two=False):
    """Chad, whose capital is told, from its long form back to it; then one or two of its facts. A model found them all."""
    told = fact("c", "capital", value)
    link = fact("c", "long form", "Republic of Chad")
    last = [fact("c", "founded", "11 August 1960")] + ([fact("c", "area", "1,284,000 sq km")] if two else [])
    for of in [told, link, *last]:
        of["call"] = "c"
    start = {"fact": told["id"], "kind": "entity", "from": value, "to": "given under \"capital\" for The Chad"}
    edges = [edge(value, "capital", which, "The Chad", [told])]
    question = "Let A be the entity given under \"capital\" for The Chad. In which year was the one that has it founded?"
    answer = "1960, 1,284,000 sq km" if two else "1960"
    made = row("graph", question, answer, "contain", [told, *last], "c", edges=edges, walk=[edges[0]["id"]], obfuscation=[start])
    # It names its document, which is not what is looked at here.
    made["documents"][1]["title"] = "Sheet"
    made["prompt"] = made["prompt"].replace("Doc 2: The Chad", "Doc 2: Sheet")
    shift = len("The Chad") - len("Sheet")
    for part in made["documents"][1:]:
        part["start"] -= shift
        part["end"] -= shift
    return made


def found(made):
    return list(check.check(check.Row(made, collections.Counter())))


class Check(unittest.TestCase):
    def test_rows_as_they_should_be(self):
        for made in [chain(), table(), talk(), choice(), prose(), prose(two=True)]:
            self.assertEqual(found(made), [], made["question"])
        for which, relation, answer in [("earlier", "founded", "Togo"), ("later", "founded", "The Chad"), ("years_between", "founded", "66"),
                                        ("larger_if_half", "area", "The Chad"), ("difference_if_twice", "area", "2.511 million")]:
            problems = found(computed(which, relation, answer, "contain"))
            # The one link that is made up is the only thing that is wrong.
            self.assertEqual(problems, ["“Togo” does not stand as the only of “Republic of Chad”"], which)
            wrong = found(computed(which, relation, {"Togo": "The Chad", "The Chad": "Togo"}.get(answer, answer + "9"), "contain"))
            self.assertEqual(len(wrong), 2, (which, wrong))

    def test_every_fault_is_found(self):
        faults = [
            (chain, lambda r: r.update(prompt=r["prompt"].replace("N'Djamena", "N-Djamena")), "does not have its hash"),
            (chain, lambda r: r.update(prompt=r["prompt"].replace("Doc 2:", "Doc 3:")), "under its heading"),
            (chain, lambda r: r["derivation"]["facts"][2].update(value="N-Djamena"), "not the hash of its fields"),
            (chain, lambda r: r["derivation"]["facts"][2]["span"].update(start=0), "does not stand at its place"),
            (chain, lambda r: r["derivation"]["edges"][0].update(to="Togo"), "not the hash of its fields"),
            (chain, lambda r: r["derivation"].update(walk=["edge:0"]), "which is no edge"),
            (chain, lambda r: r["evidence"].pop(), "evidence"),
            (chain, lambda r: r.update(answers=["Lomé"]), "follows"),
            (chain, lambda r: r["documents"][0].update(gold=False), "no document that the answer follows from"),
            (chain, lambda r: r["derivation"]["obfuscation"][0].update(to="7 letters"), "does not say"),
            (chain, lambda r: (r.update(prompt=r["prompt"].replace("What is", "In Mali, what is"), question=r["question"].replace("What is", "In Mali, what is"))), "names “Mali”"),
            (lambda: chain("smallest"), lambda r: None, "does not stand as the smallest"),
            (lambda: chain("first"), lambda r: None, "does not stand as the first"),
            (lambda: prose("only"), lambda r: None, "another entity or relation"),
            (prose, lambda r: r["derivation"]["obfuscation"][0].update({"from": "The Chad"}), "does not tell of"),
            (prose, lambda r: r["derivation"]["facts"][0].pop("call"), "does not stand as the back"),
            (prose, lambda r: r.update(answers=["1961"]), "follows"),
            (lambda: prose(two=True), lambda r: r.update(answers=["1960, 1,284,001 sq km"]), "follows"),
            (table, lambda r: r["derivation"]["table"]["rows"][0][1].update(value=1284001), "is no number of"),
            (table, lambda r: r["derivation"]["table"]["rows"][0][0].update(value="Niger"), "of no document"),
            (table, lambda r: r["derivation"]["table"]["rows"][0][1].update(fact="fact:0"), "follows from no fact"),
            (table, lambda r: r["derivation"].update(result=[[1340786.0]]), "SQLite answers"),
            (table, lambda r: r["derivation"].update(sql="SELECT MAX(area) FROM t"), "SQLite answers"),
            (table, lambda r: r["derivation"].update(sql="DROP TABLE t"), "the SQL fails"),
            (table, lambda r: r.update(answers=["1.342 million"]), "follows"),
            (talk, lambda r: r.update(answers=["AbCdEfGh12 It is large."]), "follows"),
            (talk, lambda r: r["derivation"]["facts"].pop(2), "not that to the last request"),
            (talk, lambda r: r.update(answers=["short As for Togo"]), "is to begin with"),
            (lambda: choice("B"), lambda r: None, "which does not follow"),
            (lambda: choice("E"), lambda r: None, "is no option"),
        ]
        for make, plant, words in faults:
            made = copy.deepcopy(make())
            plant(made)
            problems = found(made)
            self.assertTrue(any(words in problem for problem in problems), (words, problems))

    def test_a_file_ends_with_its_counts(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "rows.jsonl"
            path.write_text("\n".join(map(json.dumps, [chain(), table(), talk()])) + "\n")
            for text, code, end in [("", 0, "3 rows, 0 findings"), ("{}\nno row\n", 1, "5 rows, 2 findings")]:
                with open(path, "a") as file:
                    file.write(text)
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    self.assertEqual(check.main([str(path)]), code)
                self.assertEqual(out.getvalue().splitlines()[-1], end)


if __name__ == "__main__":
    unittest.main()
