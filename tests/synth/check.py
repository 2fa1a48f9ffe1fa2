#!/usr/bin/env python3
"""Computes again what the rows of a synthesised dataset say of themselves, with Python's standard library and none of Longhand's code.

    python3 tests/synth/check.py rows.jsonl [more.jsonl …]

Of each row: the documents' hashes and places in the prompt, the ids and places of facts, the ids of edges, that each link's target is
the name which stands at the said rank in the linking fact, what is computed at the end of a chain, the numbers of tables and the SQL
over them, the reply that is to be repeated, the letter of a choice, and the answer. What it does not know how to compute is counted as
not run. Ends with `N rows, M findings`, and exit code 1 where there is a finding.
"""
import collections
import hashlib
import json
import re
import sqlite3
import sys
import unicodedata

OWN = "own"
SHOWN = 200
SCALES = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
NUMBER = re.compile(r"(?<![\w.,])([-−]?)[^\w\s(),;.]{0,2}((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:\s*(thousand|million|billion|trillion)\b)?")
FACTORS = {"twice": 2.0, "half": 0.5, "tenth_more": 1.1}
RANKS = ("only", "first", "largest", "smallest")
# A link from a fact's value to whom it is about, where a model found the fact.
BACK = "back"
LEADING = "the in at on by to from with for of into near under".split()
FIRMS = "a an the inc incorporated ltd limited llc corp corporation co plc gmbh ag sa".split()


def digest(parts):
    """SHA-256 of the parts, each after its length in eight bytes, the lowest first."""
    out = hashlib.sha256()
    for part in parts:
        data = part.encode()
        out.update(len(data).to_bytes(8, "little") + data)
    return out.hexdigest()


def whole(title):
    """The title of what a part's title names: the same where it is none."""
    return re.sub(r" \(\d+ of \d+\)$", "", title)


def named(kind, parts):
    return f"{kind}:{digest(parts)[:16]}"


class Row:
    """A row with its derivation, and what was counted in it."""

    def __init__(self, row, counts):
        self.row, self.counts = row, counts
        self.prompt = row["prompt"].encode()
        self.question = row["question"]
        self.parts = row["documents"]
        self.derivation = row["derivation"]
        self.facts = {fact["id"]: fact for fact in self.derivation["facts"]}
        self.gold = [part for part in self.parts if part["gold"]]

    def text(self, part):
        return self.prompt[part["start"]:part["end"]].decode(errors="replace")

    def part(self, name):
        return next((part for part in self.parts if part["id"] == name), None)

    def count(self, what, number=1):
        self.counts[what] += number


def check(row):
    """All findings of a row."""
    yield from documents(row)
    yield from facts(row)
    yield from edges(row)
    yield from descriptions(row)
    engine = row.derivation["engine"]
    if engine == "graph":
        answer = chain(row)
    elif engine == "table":
        answer = table(row)
    elif engine == "dialogue":
        answer = dialogue(row)
    else:
        row.count("answers not run (they came from a model)")
        return
    problems, said = answer
    yield from problems
    if said is not None:
        row.count("answers")
        yield from answers(row, said)


def documents(row):
    end = None
    for number, part in enumerate(row.parts, 1):
        row.count("documents")
        head = f"Doc {number}: {part['title']}\n".encode()
        if number > 1 and row.prompt[end:part["start"]] != b"\n\n" + head or not row.prompt[:part["start"]].endswith(head):
            yield f"document {part['id']} does not follow the one before under its heading"
        if not part["start"] < part["end"] <= len(row.prompt):
            yield f"document {part['id']} has no place in the prompt"
        if digest([row.text(part)]) != part["sha256"]:
            yield f"the text of document {part['id']} does not have its hash"
        end = part["end"]
    if len({part["id"] for part in row.parts}) < len(row.parts):
        yield "a document stands in the prompt twice"
    if row.question.encode() not in row.prompt[end or 0:]:
        yield "the question does not stand behind the documents"


def facts(row):
    if len(row.facts) < len(row.derivation["facts"]):
        yield "two facts have one id"
    for fact in row.derivation["facts"]:
        row.count("facts")
        span = fact["span"]
        if fact["id"] != named("fact", [span["doc"], fact["relation"], fact["value"], str(span["start"])]):
            yield f"the id of fact {fact['id']} is not the hash of its fields"
        part = row.part(span["doc"])
        if part is None or not part["gold"]:
            yield f"fact {fact['id']} stands in no document that the answer follows from"
            continue
        inside = row.prompt[part["start"]:part["end"]]
        if not fact["value"] or inside[span["start"]:span["end"]] != fact["value"].encode():
            yield f"“{fact['value']}” does not stand at its place in {span['doc']}"
    if row.row.get("evidence", []) != [fact["span"] for fact in row.derivation["facts"]]:
        yield "the evidence is not the places of the facts"


def edges(row):
    known = set()
    for edge in row.derivation.get("edges", []):
        row.count("edges")
        known.add(edge["id"])
        if edge["id"] != named("edge", [edge["from"], edge["relation"], edge["which"], edge["to"], *edge["facts"]]):
            yield f"the id of edge {edge['id']} is not the hash of its fields"
        for missing in [fact for fact in edge["facts"] if fact not in row.facts]:
            yield f"edge {edge['id']} follows from {missing}, which is no fact"
    for missing in [step for step in row.derivation.get("walk", []) if step not in known]:
        yield f"the walk goes over {missing}, which is no edge"


def descriptions(row):
    for vague in row.derivation.get("obfuscation", []):
        row.count("descriptions")
        fact = row.facts.get(vague["fact"])
        if fact is None or vague["from"] not in (fact["value"], fact["subject"]):
            yield f"“{vague['to']}” describes what no fact has"
        if vague["to"] not in row.question:
            yield f"the question does not say “{vague['to']}”"
    if row.derivation["engine"] != "table":
        for part in row.gold:
            if part["id"] != OWN and re.search(rf"(?<!\w){re.escape(whole(part['title']))}(?!\w)", stem(row)):
                yield f"the question names “{part['title']}”, which it is to find"


# Names and lists


def plain(name):
    """A name without case, accents, articles and punctuation."""
    name = name.translate(str.maketrans("øØłŁđĐðÐıþÞ", "oOlLdDdDitT"))
    name = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    name = re.sub(r"[.'’ʼ]", "", name.replace("&", " and ").replace("æ", "ae").replace("œ", "oe"))
    words = re.sub(r"[^\w]|_", " ", name).split()
    return " ".join(words[1:] if words[:1] == ["the"] and len(words) > 1 else words)


def spellings(name):
    """How a name may be written: without its parentheses, and turned round at its one comma."""
    out = {plain(name), plain(re.sub(r"\s*\(.*\)\s*$", "", name))}
    if name.count(",") == 1:
        head, tail = name.split(",")
        out.add(plain(f"{tail} {head}"))
    return out - {""}


def initials(text):
    return {re.sub(r"\.", "", word) for word in re.findall(r"[A-Z.]{2,12}", text)} | {"".join(word[0] for word in text.split() if word[:1].isupper())}


def entries(value):
    """The parts of a list: cut at semicolons, or at commas where there are none, outside parentheses and not inside numbers."""
    depth, cuts = 0, {";": [], ",": []}
    for at, c in enumerate(value):
        depth += (c in "([") - (c in ")]")
        digits = 0 < at < len(value) - 1 and value[at - 1].isdigit() and value[at + 1].isdigit()
        if c in cuts and depth <= 0 and not (c == "," and digits):
            cuts[c].append(at)
    places = cuts[";"] or cuts[","]
    return [value[a:b].strip() for a, b in zip([0, *[at + 1 for at in places]], [*places, len(value)])]


def outside(value):
    """The text with what stands in parentheses blanked out."""
    depth, out = 0, []
    for c in value:
        depth += c == "("
        out.append(c if depth <= 0 else " ")
        depth -= c == ")"
    return "".join(out)


def amounts(value):
    """(number, where it ends) of all numbers of a text, scaled by `million` and the like."""
    out = []
    for found in NUMBER.finditer(value):
        number = float(found[2].replace(",", "")) * SCALES.get(found[3], 1.0)
        out.append((-number if found[1] else number, found.end()))
    return out


def entry(text):
    """(name, number or None) of a list's part."""
    open_text = re.sub(r"^(and|or)\s+", "", outside(text).strip())
    found = next((found for found in NUMBER.finditer(open_text) if found.start() > 0), None)
    name = open_text[: found.start()] if found else open_text
    number = amounts(open_text[found.start():])[0][0] if found else None
    return name.strip().rstrip(":").strip(), number


def ranked(value, which):
    """The names that may stand at this rank."""
    parts = [entry(part) for part in entries(value)]
    if which == "only":
        return {value.strip(), *([parts[0][0]] if len(parts) == 1 else [])}
    if which == "first":
        return {parts[0][0], entries(value)[0]}
    numbers = [number for _, number in parts if number is not None]
    if len(numbers) < len(parts):
        return set()
    best = max(numbers) if which == "largest" else min(numbers)
    at = [name for name, number in parts if number == best]
    return set(at) if len(at) == 1 else set()


def means(names, edge, alias):
    """Whether one of the names is that of the edge's target, by its title or by what the alias' fact calls it."""
    called = spellings(edge["to"])
    short = initials(edge["to"])
    if alias is not None:
        called |= spellings(alias["value"])
        short |= initials(alias["value"])
    return any(spellings(name) & called or name.replace(".", "") in short for name in names)


def bare(name):
    """A name of prose as it is compared: without what stands before it, a possessive and what says that it is a firm."""
    words = plain(re.sub(r"['’]s$", "", turned(name.strip()))).split()
    while len(words) > 1 and words[0] in LEADING:
        words = words[1:]
    return " ".join(word for word in words if word not in FIRMS) or " ".join(words)


def turned(name):
    """`Smith, John` the other way round."""
    head, comma, tail = name.partition(",")
    firm = all(word in FIRMS for word in plain(tail).split())
    return f"{tail} {head}" if comma and "," not in tail and not firm and len(tail.split()) <= 3 else name


def alike(one, other):
    return bare(one) == bare(other)


# Engines: each gives its problems and the answer that follows, as texts any of which may be said, or a number


def chain(row):
    derivation, problems = row.derivation, []
    edge_of = {edge["id"]: edge for edge in derivation.get("edges", [])}
    begun = []
    for vague in derivation.get("obfuscation", []):
        fact = row.facts.get(vague["fact"])
        if fact is None:
            continue
        told = begins(fact, vague)
        if told is None:
            problems.append(f"“{vague['to']}” does not tell of “{vague['from']}” what its fact says")
        elif not any(told == other or fact.get("call") and alike(told, other) for other in begun):
            begun.append(told)
    used = {vague["fact"] for vague in derivation.get("obfuscation", [])}
    if len(begun) != 1:
        return [*problems, f"the descriptions are of {len(begun)} entities"], None
    at, said, computed = begun.pop(), None, False
    first = edge_of.get(next(iter(derivation.get("walk", [])), None))
    if first and all(row.facts[fact].get("call") for fact in first["facts"] if fact in row.facts) and alike(at, first["from"]):
        at = first["from"]
    visited = {at}
    for step in derivation.get("walk", []):
        edge = edge_of.get(step)
        if edge is None or any(fact not in row.facts for fact in edge["facts"]):
            return problems, None
        of = [row.facts[fact] for fact in edge["facts"]]
        used.update(edge["facts"])
        if edge["which"] not in (*RANKS, BACK):
            computed = True
            if any(fact["subject"] not in visited for fact in of):
                problems.append(f"{edge['which']}: a fact is of what the walk does not pass")
            said = compute(edge["which"], of)
            if said is None:
                row.count("computations not run")
            else:
                row.count("computations")
            continue
        row.count("links")
        if edge["from"] != at:
            problems.append(f"edge {step} leaves {edge['from']}, and the walk is at {at}")
        subject, value = (edge["to"], edge["from"]) if edge["which"] == BACK else (edge["from"], edge["to"])
        if of[0]["subject"] != subject or plain(of[0]["relation"]) != plain(edge["relation"]):
            problems.append(f"edge {step} is of another entity or relation than its fact")
        if len(of) > 1 and of[1]["subject"] != edge["to"]:
            problems.append(f"edge {step}: the other name is not of {edge['to']}")
        prose = of[0].get("call") and len(of) == 1 and alike(of[0]["value"], value)
        if not prose and (edge["which"] == BACK or not means(ranked(of[0]["value"], edge["which"]), edge, of[1] if len(of) > 1 else None)):
            problems.append(f"“{value}” does not stand as the {edge['which']} of “{of[0]['value']}”")
        at = edge["to"]
        visited.add(at)
    left = [fact for fact in derivation["facts"] if fact["id"] not in used]
    if computed:
        return problems, said
    if len(left) == 2 and all(fact["subject"] == at and fact.get("call") for fact in left):
        return problems, ("both", left[0]["value"], left[1]["value"])
    if len(left) > 1 or left and left[0]["subject"] != at:
        problems.append("the facts that are left are not one fact of the chain's end")
    elif left:
        return problems, ("in", left[0]["value"])
    return problems, [at]


def begins(fact, vague):
    """Whom a description tells of: of facts of prose either end, by the other, which stands in its words with the relation's."""
    if vague["kind"] != "entity" or not fact.get("call"):
        return fact["subject"]
    words = set(plain(vague["to"]).split())
    for hidden, other in ((fact["subject"], fact["value"]), (fact["value"], fact["subject"])):
        named = set(bare(other).split()) <= set(bare(vague["to"]).split()) | words
        # A cause is told of in other words than the relation's.
        caused = "is said to have" in vague["to"] or vague["to"].endswith("is said to have led")
        if vague["from"] == hidden and named and (caused or words & set(plain(fact["relation"]).split())):
            return hidden
    return None


def years(value):
    found = {int(year) for year in re.findall(r"(?<![\d,.])(1[0-9]{3}|20[0-9]{2})(?![\d,]|\.\d)", value)}
    return found.pop() if len(found) == 1 else None


def figure(value):
    """The number that a value is, the last year's where it has several."""
    found = amounts(outside(value))
    if not found:
        return None
    if len(found) == 1:
        return found[0][0]
    dated = []
    for number, end in found:
        beside = re.match(r"[^()]*\(([^)]*)\)", value[end:])
        dated.append((max([int(year) for year in re.findall(r"\b[12]\d{3}\b", beside[1])] or [0]) if beside else 0, number))
    dated.sort()
    return dated[-1][1] if dated[-1][0] > dated[-2][0] else None


def compute(which, of):
    values = [fact["value"] for fact in of]
    if which in ("earlier", "later", "years_between"):
        two = [years(value) for value in values]
        if len(two) != 2 or None in two or two[0] == two[1]:
            return None
        if which == "years_between":
            return float(abs(two[0] - two[1]))
        return [of[two.index((min if which == "earlier" else max)(two))]["subject"]]
    kind, _, factor = which.rpartition("if_")
    factor, numbers = FACTORS.get(factor), [figure(value) for value in values]
    if factor is None or None in numbers:
        return None
    if kind == "" and len(numbers) == 1:
        return numbers[0] * factor
    if len(numbers) == 2 and kind == "difference_":
        return abs(numbers[0] * factor - numbers[1])
    if len(numbers) == 2 and kind == "larger_":
        return [of[0 if numbers[0] * factor > numbers[1] else 1]["subject"]]
    return None


def close(a, b, share=1e-9):
    return abs(a - b) <= share * max(abs(a), abs(b), 1e-300)


def table(row):
    derivation, problems = row.derivation, []
    made, sql = derivation["table"], derivation["sql"]
    titles = {part["title"] for part in row.gold} | {whole(part["title"]) for part in row.gold}
    for number, cells in enumerate(made["rows"]):
        if cells[0]["value"] not in titles:
            problems.append(f"row {number} of the table is of no document that the answer follows from")
        for cell, column in list(zip(cells, made["columns"]))[1:]:
            if cell["value"] is None and not cell.get("fact"):
                continue
            row.count("cells")
            fact = row.facts.get(cell.get("fact"))
            if fact is None:
                problems.append(f"a cell of row {number} follows from no fact")
            elif fact["subject"] != cells[0]["value"] or fact["relation"] != column["relation"]:
                problems.append(f"a cell of row {number} follows from another document or relation")
            elif not any(close(cell["value"], amount) for amount, _ in amounts(fact["value"])):
                problems.append(f"{cell['value']} in row {number} is no number of “{fact['value']}”")
    try:
        result = execute(made, sql)
    except sqlite3.Error as error:
        if "no such function" in str(error):
            row.count("SQL not run (this SQLite lacks a function)")
            return problems, None
        return [*problems, f"the SQL fails: {error}"], None
    row.count("SQL results")
    stored = derivation["result"]
    if len(result) != len(stored) or not all(len(a) == len(b) and all(map(same, a, b)) for a, b in zip(result, stored)):
        problems.append(f"SQLite answers {result}, and the row has {stored}")
    flat = [cell for cells in result for cell in cells]
    if flat and all(isinstance(cell, (int, float)) for cell in flat):
        return problems, float(flat[0]) if len(flat) == 1 else None
    return problems, [", ".join(map(str, flat)) or "none"]


def same(a, b):
    numbers = isinstance(a, (int, float)) and isinstance(b, (int, float))
    return close(a, b) if numbers else a == b


def execute(made, sql):
    """The rows that a query finds in the table `t`: it may read and do nothing else, and not for long."""
    base = sqlite3.connect(":memory:")
    try:
        kinds = []
        for at, column in enumerate(made["columns"]):
            values = [cells[at]["value"] for cells in made["rows"] if cells[at]["value"] is not None]
            kinds.append("REAL" if values and all(isinstance(value, (int, float)) for value in values) else "TEXT")
        names = ['"' + column["name"].replace('"', "") + '"' for column in made["columns"]]
        base.execute(f"CREATE TABLE t ({', '.join(f'{name} {kind}' for name, kind in zip(names, kinds))})")
        base.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(names))})", [[cell["value"] for cell in cells] for cells in made["rows"]])
        allowed = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
        base.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in allowed else sqlite3.SQLITE_DENY)
        base.set_progress_handler(lambda: 1, 20_000_000)
        return [list(cells) for cells in base.execute(sql).fetchall()]
    finally:
        base.close()


def dialogue(row):
    part, problems = row.part(OWN), []
    if part is None:
        return ["there is no conversation"], None
    row.count("conversations")
    turns = re.findall(r"(?:^|\n\n)User: (.*)\nAssistant: (.*)(?=\n\n|$)", row.text(part))
    own = [fact for fact in row.derivation["facts"] if fact["span"]["doc"] == OWN]
    asked = [fact["value"] for fact in own if fact["relation"].startswith("user")]
    replies = [fact["value"] for fact in own if fact["relation"].startswith("assistant")]
    at = -1
    for value in asked:
        at = next((turn for turn in range(at + 1, len(turns)) if turns[turn][0] == value), None)
        if at is None:
            return ["a request that is counted does not stand where it is counted"], None
    if not asked or len(replies) != 1 or turns[at][1] != replies[0]:
        return ["the reply is not that to the last request that is counted"], None
    for fact in row.derivation["facts"]:
        described = any(vague["fact"] == fact["id"] for vague in row.derivation["obfuscation"])
        if described and re.search(rf"(?<!\w){re.escape(fact['value'])}(?!\w)", row.text(part)):
            problems.append(f"the conversation gives away “{fact['value']}”")
        if not described and fact["span"]["doc"] != OWN and not (fact["value"] in replies[0] and fact["subject"] in replies[0]):
            problems.append(f"the reply does not tell “{fact['value']}” of {fact['subject']}")
    code = row.row["answers"][0].split(" ")[0]
    if code not in row.question or len(code) < 10:
        problems.append("the question does not say what the repetition is to begin with")
    return problems, [f"{code} {replies[0]}"]


# Answers


def options(row):
    found = re.search(r"\n\(A\) (.*)\n\(B\) (.*)\n\(C\) (.*)\n\(D\) (.*)$", row.question)
    return list(found.groups()) if found else []


def stem(row):
    return row.question.rsplit("\n", 4)[0] if row.row["rule"] == "letter" and options(row) else row.question


def answers(row, said):
    """Whether the row's answer is what follows. `said`: texts one of which it is, a number that it is, or a text that it stands in."""
    given = row.row["answers"][0] if row.row["answers"] else ""
    if row.row["rule"] == "letter":
        row.count("letters")
        choices = options(row)
        at = "ABCD".find(given) if len(given) == 1 else -1
        if at < 0 or at >= len(choices):
            yield f"({given}) is no option"
            return
        right = [choice for choice in choices if follows(choice, said)]
        if not follows(choices[at], said):
            yield f"({given}) is “{choices[at]}”, which does not follow"
        elif len(right) > 1 and not isinstance(said, tuple):
            yield f"{len(right)} options are right"
    elif not follows(given, said):
        yield f"the answer is “{given}”, and {said} follows"


def follows(given, said):
    if isinstance(said, float):
        found = amounts(given)
        # Answers are given to four significant digits.
        return bool(found) and close(found[0][0], said, 6e-4)
    if isinstance(said, tuple) and said[0] == "both":
        parts = given.split(", ", 1)
        return len(parts) == 2 and all(follows(part, ("in", value)) for part, value in zip(parts, said[1:]))
    if isinstance(said, tuple):
        return bool(re.search(rf"(?<!\w){re.escape(given)}(?!\w)", said[1]))
    return given in said


def main(paths):
    counts, findings, rows = collections.Counter(), 0, 0
    for path in paths:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                rows += 1
                name = f"{path}, line {number}"
                try:
                    row = json.loads(line)
                    name = row.get("id", name)
                    found = list(check(Row(row, counts)))
                except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                    found = [f"it cannot be read: {type(error).__name__} {error}"]
                for problem in found:
                    findings += 1
                    if findings <= SHOWN:
                        print(f"{name}: {problem}")
    if findings > SHOWN:
        print(f"and {findings - SHOWN} more findings")
    for what, number in sorted(counts.items()):
        print(f"{number:>9} {what}")
    print(f"{rows} rows, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1:]))
