#!/usr/bin/env python3
"""Reads an exported Parquet file as verl's RLHFDataset does, with pyarrow alone, and compares it with the rows it was made from.

    python3 tests/synth/verl.py train.parquet dataset/rows.jsonl

verl loads the file with `datasets`, whose reader is pyarrow's; gives `prompt`, a list of {role, content}, to the chat template; takes
`extra_info.index`; and calls the reward function with `data_source`, `reward_model.ground_truth` and `extra_info`. Ends with `N rows,
M findings`: exit code 1 where there is a finding, 3 where pyarrow is missing.
"""
import json
import sys

try:
    import pyarrow as pa
    import pyarrow.parquet as pq
except ImportError:
    print("not run: pyarrow is not installed")
    sys.exit(3)

TEXT = pa.string()
COLUMNS = {
    "data_source": TEXT,
    "prompt": pa.list_(pa.struct([("role", TEXT), ("content", TEXT)])),
    "ability": TEXT,
    "reward_model": pa.struct([("style", TEXT), ("ground_truth", TEXT)]),
    "extra_info": pa.struct(
        [("index", pa.int32()), ("id", TEXT), ("answers", pa.list_(TEXT)), ("rule", TEXT), ("hops", pa.int32()), ("question", TEXT)]
    ),
}


def plain(kind):
    """A type without what it says of null values and of the names of a list's elements."""
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return ["list", plain(kind.value_type)]
    if pa.types.is_struct(kind):
        return {field.name: plain(field.type) for field in kind}
    return str(kind)


def wanted(at, row):
    return {
        "data_source": f"longhand/{row['task']}",
        "prompt": [{"role": "user", "content": row["prompt"]}],
        "ability": row["task"],
        "reward_model": {"style": "rule", "ground_truth": row["answers"][0]},
        "extra_info": {
            "index": at, "id": row["id"], "answers": row["answers"], "rule": row["rule"], "hops": row["hops"], "question": row["question"],
        },
    }


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    findings = []
    table = pq.read_table(sys.argv[1])
    if table.column_names != list(COLUMNS):
        findings.append(f"the columns are {table.column_names}")
    for name, kind in COLUMNS.items():
        if name in table.column_names and plain(table.schema.field(name).type) != plain(kind):
            findings.append(f"{name} is {table.schema.field(name).type}, not {kind}")
    with open(sys.argv[2], encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines if line.strip()]
    read = table.to_pylist()
    if len(read) != len(rows):
        findings.append(f"{len(read)} rows of {len(rows)}")
    for at, (found, row) in enumerate(zip(read, rows)):
        for name, value in wanted(at, row).items():
            if found.get(name) != value:
                findings.append(f"row {at}: {name} is {str(found.get(name))[:200]!r}, not {str(value)[:200]!r}")
    # As a worker that takes some columns of some row groups does.
    some = pq.ParquetFile(sys.argv[1]).read_row_group(0, columns=["prompt", "extra_info"]).to_pylist()
    if some and not all(message["role"] == "user" and message["content"] for one in some for message in one["prompt"]):
        findings.append("a row group by itself has no prompts")
    for finding in findings[:20]:
        print(finding)
    print(f"{len(read)} rows, {len(findings)} findings")
    sys.exit(1 if findings else 0)


main()
