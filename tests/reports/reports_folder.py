"""A made-up run folder: what a run of 60 rounds with 100 clients leaves behind."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

SPEC = """seed = 0
rounds = 60
[data]
name = "cifar10"
[partition]
kind = "dirichlet"
clients = 100
alpha = 0.1
[cohort]
share = 0.1
[model]
name = "lenet"
[local]
epochs = 5
lr = 0.05
[method]
name = "disue"
k = 5
"""
LOCALS = (
    "group_local",
    "expert_local",
    "average_local",
    "group_prior_local",
    "expert_prior_local",
    "average_prior_local",
)


def minimal(folder: Path, **summary: object) -> Path:
    """The three files that every run leaves."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "spec.toml").write_text("rounds = 1\n")
    (folder / "rounds.csv").write_text("round,served_global\n0,10.0\n1,20.0\n")
    whole = {
        "format": 1,
        "method": "fedavg",
        "metrics": {"served_global": {"final": 20.0, "last10": 15.0}},
        **summary,
    }
    (folder / "summary.json").write_text(json.dumps(whole))
    return folder


def full(
    folder: Path,
    *,
    method: str = "disue",
    rounds: int = 60,
    clients: int = 100,
    lift: float = 0.0,
    seed: int = 0,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    classes, groups = 10, 5
    has_expert = method != "fedavg"
    group = np.sort(rng.integers(0, groups, clients)) if has_expert else np.zeros(clients, int)
    priors = rng.dirichlet(np.full(classes, 0.12), groups)
    counts = np.stack(
        [rng.multinomial(150, 0.8 * priors[g] + 0.2 * rng.dirichlet(np.full(classes, 0.1))) for g in group]
    )
    ids = rng.permutation(9000)[:clients]
    majority = 100 * counts.max(1) / counts.sum(1)
    names = [n for n in LOCALS if has_expert or n.startswith("group")]
    level = {
        "group_local": 57,
        "expert_local": 50,
        "average_local": 45,
        "group_prior_local": 74,
        "expert_prior_local": 83,
        "average_prior_local": 81,
    }

    def per_client(name: str, t: float) -> np.ndarray:
        prior = "prior" in name
        base = majority + (100 - majority) * 0.45 if prior else rng.normal(level[name], 16, clients)
        return np.clip(base * t + rng.normal(0, 4, clients), 0, 100)

    every = [r for r in range(rounds + 1) if r % 10 == 0 or r > rounds - 10]
    rows, client_rows, group_rows = [], [], []
    for r in range(rounds + 1):
        row: dict[str, object] = {
            "round": r,
            "seconds_local": 6.1 + rng.random(),
            "seconds_server": 0.3,
            "seconds_expert": 0.8 if has_expert else 0.0,
            "seconds_evaluate": 1.9 if r in every else 0.0,
            "bytes_up": 2_468_240,
            "bytes_down": 2_468_240,
            "cohort": 10,
            "answered": 10,
        }
        if r in every:
            t = 1 - np.exp(-(r + 1) / 18)
            average = 10 + 36 * t + rng.normal(0, 1.5)
            if has_expert:
                expert = average + 6 * t + rng.normal(0, 0.6) + lift
                row |= {
                    "served_global": expert,
                    "expert_global": expert,
                    "average_global": average,
                    "expert_effect": expert - average,
                }
            else:
                row["served_global"] = average
            mine = {name: per_client(name, 0.6 + 0.4 * t) for name in names} | {"majority_local": majority}
            for name, values in mine.items():
                row |= {
                    name: values.mean(),
                    f"{name}_p10": np.percentile(values, 10),
                    f"{name}_p50": np.percentile(values, 50),
                    f"{name}_worst": values.min(),
                }
                half = values - 2
                row |= {
                    f"{name}_split": half.mean(),
                    f"{name}_split_p10": np.percentile(half, 10),
                    f"{name}_split_worst": half.min(),
                }
            for at in range(clients):
                client_rows.append(
                    {
                        "round": r,
                        "client": int(ids[at]),
                        "samples": 150,
                        "group": int(group[at]),
                        **{n: v[at] for n, v in mine.items()},
                    }
                )
            for g in np.unique(group):
                who = group == g
                group_rows.append(
                    {
                        "round": r,
                        "group": int(g),
                        "parent": -1,
                        "members": int(who.sum()),
                        "samples": int(150 * who.sum()),
                        "group_local": mine["group_local"][who].mean(),
                    }
                )
        rows.append(row)
    for name, table in (("rounds", rows), ("clients", client_rows), ("groups", group_rows)):
        columns = list(dict.fromkeys(key for row in table for key in row))
        with open(folder / f"{name}.csv", "w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(table)
    tail = [row for row in rows if int(row["round"]) > rounds - 10]  # type: ignore[call-overload]
    metrics = {
        name: {"final": float(tail[-1][name]), "last10": float(np.mean([row[name] for row in tail]))}  # type: ignore[arg-type]
        for name in tail[-1]
        if name not in ("round", "cohort", "answered") and not name.startswith(("seconds", "bytes"))
    }
    metrics["groups"] = {"final": float(len(np.unique(group))), "last10": float(len(np.unique(group)))}
    if has_expert:
        metrics |= {
            "newcomer_0": {"final": 50.9, "last10": 50.9},
            "newcomer_1": {"final": 79.9, "last10": 79.9},
            "newcomer_prior": {"final": 82.3, "last10": 82.3},
        }
    summary = {
        "format": 1,
        "disue": "0.1.0",
        "method": method,
        "metrics": metrics,
        "totals": {
            "bytes_up": 2_468_240 * rounds,
            "bytes_down": 2_468_240 * rounds,
            "seconds_local": 402.0,
            "seconds_server": 18.0,
            "seconds_expert": 48.0 if has_expert else 0.0,
            "seconds_evaluate": 36.1,
            "rounds_to_40": 21,
            "bytes_to_40": 103_666_080,
            "rounds_to_60": None,
        },
        "data": {
            "name": "cifar10",
            "variant": "prepared",
            "sizes": [15000, 10000],
            "hash": "9f2c51e07ab344d1c0ffee5e6b1d2a90",
            "citation": "Krizhevsky: Learning Multiple Layers of Features from Tiny Images. 2009.",
            "note": "15,000 of the 50,000 training images, 1,500 of each class",
        },
        "partition": {
            "kind": "dirichlet",
            "hash": "41d7aa90b2c3e5f60718293a4b5c6d7e",
            "stats": {
                "clients": clients,
                "samples_min": 150,
                "samples_max": 150,
                "top_share": 0.677,
                "classes_present": 4.59,
            },
        },
        "events": [
            "The model was left out of the spec: lenet was chosen for images of 32×32.",
            "client 4042 left out of round 17: its update holds 3 NaN, the first in fc1.weight[12, 4]",
        ],
        "cite": [
            "Leng, Zhang, Long, Xia, Yang: Distilling A Universal Expert. IJCAI 2025.",
            "Krizhevsky: Learning Multiple Layers of Features from Tiny Images. 2009.",
        ],
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "spec.toml").write_text(SPEC.replace('"disue"', f'"{method}"'))
    (folder / "env.json").write_text(
        json.dumps(
            {
                "disue": "0.1.0",
                "python": "3.12.4",
                "torch": "2.13.0+cpu",
                "numpy": "2.4.1",
                "cores": 2,
                "backend": "lean",
            }
        )
    )
    centres = rng.normal(size=(groups, 40))
    updates = centres[group] + rng.normal(size=(clients, 40)) * 1.3
    updates /= np.linalg.norm(updates, axis=1, keepdims=True)
    mix = rng.permutation(clients)
    arrays = {"labels": counts[mix], "label_ids": ids[mix]}
    if has_expert:
        grid = np.stack(np.meshgrid(np.linspace(-2, 2, 32), np.linspace(-2, 2, 32)))
        samples = np.stack(
            [
                np.stack([np.sin((c % 5 + 1) * grid[0] + k + ch) * np.cos(grid[1] * (ch + 1)) for ch in range(3)])
                + rng.normal(0, 0.2, (3, 32, 32))
                for c in range(10)
                for k in range(4)
            ]
        )
        arrays |= {
            "similarity": (updates @ updates.T)[np.ix_(mix, mix)],
            "similarity_ids": ids[mix],
            "similarity_groups": group[mix],
            "samples": samples.astype(np.float32),
            "samples_labels": np.repeat(np.arange(10), 4),
        }
    np.savez_compressed(folder / "arrays.npz", **arrays)
    return folder
