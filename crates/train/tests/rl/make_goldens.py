"""Goldens of the RL recipe's formulas, written down a second time with numpy: python3 make_goldens.py > goldens.json

Advantages: eq. 7 and its variants. Weights: eq. 4. Masks: eq. 11 and the interval rule of the public code. Clips: section 4.3.
"""

import json

import numpy as np

EPS = 1e-6
rng = np.random.default_rng(20)


def batch(dense, singles, turns):
    """Rows of groups of 8 (or 1) over five tasks; with `turns`, a rollout has one to four rows."""
    rows = []
    for group in range(int(rng.integers(6, 12))):
        task = ["mc", "multihop", "reading", "dialogue", "numeric"][int(rng.integers(0, 5))]
        size = 1 if singles and group % 4 == 3 else 8
        solved = rng.random() if group % 5 else 1.0
        for member in range(size):
            if dense and task in ("dialogue", "reading"):
                reward = round(float(rng.random()), 4)
            else:
                reward = float(rng.random() < solved)
            for turn in range(int(rng.integers(1, 5)) if turns else 1):
                rows.append(
                    {
                        "group": f"g{group}",
                        "task": task,
                        "reward": reward,
                        "trajectory": f"t{member}" if turns else None,
                        "tokens": int(rng.integers(1, 400)),
                    }
                )
    return rows


def advantages(rows, center, scale):
    # A rollout counts once: the last row of each trajectory.
    units = {}
    for at, row in enumerate(rows):
        key = (row["group"], row["trajectory"]) if row["trajectory"] is not None else at
        units[key] = row
    values = {}
    for key, unit in units.items():
        group = np.array([u["reward"] for u in units.values() if u["group"] == unit["group"]])
        chosen = {
            "task": np.array([u["reward"] for u in units.values() if u["task"] == unit["task"]]),
            "group": group,
            "batch": np.array([u["reward"] for u in units.values()]),
            "none": None,
        }[scale]
        if center == "group":
            # A group of one has no mean to differ from (the public code leaves its reward as it is).
            value = unit["reward"] - group.mean() if len(group) > 1 else 0.0
        else:
            value = unit["reward"]
        if chosen is not None:
            # Too few, or all the same: 0 instead of a division by EPS alone.
            deviation = np.std(chosen, ddof=1) if len(chosen) > 1 and np.ptp(chosen) > 0 else None
            value = value / (deviation + EPS) if deviation is not None else 0.0
        values[key] = float(value)
    return [
        values[(row["group"], row["trajectory"]) if row["trajectory"] is not None else at] for at, row in enumerate(rows)
    ]


def weights(rows, values, norm):
    tokens = np.array([row["tokens"] for row in rows], dtype=np.float64)
    groups = np.array([row["group"] for row in rows])
    names = list(dict.fromkeys(groups))
    loss = np.zeros(len(rows))
    for name in names:
        inside = groups == name
        if norm == "group":
            loss[inside] = -np.array(values)[inside] / tokens[inside].sum() / len(names)
        else:
            loss[inside] = -np.array(values)[inside] / tokens.sum()
    return loss.tolist()


def latch(entropies, low, high):
    on, out = False, []
    for entropy in entropies:
        if not on and entropy > high:
            on = True
        elif on and entropy < low:
            on = False
        out.append(on)
    return out


def clip(values, entropies, unit, side, q):
    """Which tokens count, and the quantile that was the threshold."""
    negative = [i for i, a in enumerate(values) if a < 0]
    if unit == "token":
        pool = np.concatenate([entropies[i] for i in negative])
    else:
        pool = np.array([np.mean(entropies[i]) for i in negative])
    tau = float(np.quantile(pool, q))
    keep = []
    for i, tokens in enumerate(entropies):
        if values[i] >= 0:
            keep.append([True] * len(tokens))
            continue
        by = np.array(tokens) if unit == "token" else np.full(len(tokens), np.mean(tokens))
        keep.append([bool(k) for k in (by <= tau if side == "high" else by >= tau)])
    return {"keep": keep, "threshold": tau}


out = {"batches": [], "latches": [], "starts": [], "clips": []}
for number in range(6):
    rows = batch(dense=number % 2 == 1, singles=number % 3 == 2, turns=number >= 3)
    cases = []
    for center in ("group", "none"):
        for scale in ("task", "group", "batch", "none"):
            cases.append({"center": center, "scale": scale, "values": advantages(rows, center, scale)})
    eq7 = cases[0]["values"]
    out["batches"].append(
        {"rows": rows, "cases": cases, "group_weights": weights(rows, eq7, "group"), "batch_weights": weights(rows, eq7, "batch")}
    )
for _ in range(4):
    walk = np.abs(0.15 + np.cumsum(rng.normal(0, 0.03, 60))).tolist()
    low, high = 0.13, 0.2
    out["latches"].append(
        {"entropies": walk, "low": low, "high": high, "latch": latch(walk, low, high), "band": [low < h < high for h in walk]}
    )
for spread in (0.001, 0.02, 0.1):
    start = np.abs(rng.normal(0.123, spread, 10))
    low = 1.05 * max(float(np.median(start)), 0.01)
    high = max(1.7 * max(float(np.median(start)), 0.01), low + 4 * float(np.std(start, ddof=1)))
    out["starts"].append({"entropies": start.tolist(), "low": low, "high": high})
for number in range(6):
    values = rng.normal(0, 1, 10).tolist()
    # Multiples of 2^-10: exact as 32-bit numbers too.
    entropies = [(rng.integers(0, 2048, int(rng.integers(1, 30))) / 1024).tolist() for _ in values]
    q = [0.0, 0.2, 0.5, 0.8, 0.9, 1.0][number]
    cases = [
        {"unit": unit, "side": side, **clip(values, entropies, unit, side, q)}
        for unit in ("token", "sequence")
        for side in ("high", "low")
    ]
    out["clips"].append({"advantages": values, "entropies": entropies, "quantile": q, "cases": cases})
print(json.dumps(out))
