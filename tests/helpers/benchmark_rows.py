"""Made-up CSV files in the format of benchmarks.relations."""

from __future__ import annotations

import csv

GROUPS = ("appearance", "motion", "space", "time", "ends")
PAIRS = ("Solid/Hollow", "Approach/Recede")
HEAD = ("setting", "table", "seed", *GROUPS, *PAIRS, "accuracy", "videos_per_second")
HEAD += ("command", "commit", "machine")
CURVES = ("setting", "seed", "epoch", "loss", "accuracy", "val_accuracy")


def row(setting, seed=0, table="models", **changes):
    """Returns cells by column: 0.5, except for `changes`, in which _ stands for /."""
    cells = dict.fromkeys((*GROUPS, *PAIRS, "accuracy"), 0.5)
    cells.update(setting=setting, table=table, seed=seed, videos_per_second=30.5)
    cells.update(command=f"train {setting}", commit="0123abc", machine="2 cores")
    cells.update({name.replace("_", "/"): value for name, value in changes.items()})
    return cells


def write(path, rows, head=HEAD):
    """Writes rows, dictionaries or sequences of cells, to a CSV file."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(head)
        for cells in rows:
            values = [cells[name] for name in head] if isinstance(cells, dict) else cells
            table.writerow(values)
    return path


def three_networks(path):
    """Writes two-branch and TSN with three seeds, the local branch with one, and an ablation."""
    rows = [row("tsn", seed, motion=m) for seed, m in enumerate((0.48, 0.5, 0.55))]
    rows += [
        row("two_branch", seed, motion=m, Approach_Recede=p, accuracy=a)
        for seed, (m, p, a) in enumerate(((0.9, 0.8, 0.3), (0.95, "", 0.4), (0.97, 0.9, 0.41)))
    ]
    rows.append(row("local", motion=0.93, time=0.6, ends=""))
    rows.append(row("segments=4", table="segments", motion=0.7))
    return write(path, rows)
