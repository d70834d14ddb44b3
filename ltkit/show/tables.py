"""What figures take from a study's table: which rows, and differences paired by seed."""

from __future__ import annotations

import pandas as pd

from ..errors import UserError, nearest


def full(table: pd.DataFrame) -> pd.DataFrame:
    """The finished or diverged runs that trained as long as their network does; A3's short ones are left out."""
    rows = table
    if "epochs" in rows.columns:
        rows = rows[rows["epochs"] == rows.groupby("network")["epochs"].transform("max")]
    if "outcome" in rows.columns:
        rows = rows[rows["outcome"] != "missing"]
    return rows.assign(density=rows["density"].astype(float).round(9))


def minus(table: pd.DataFrame, a: str, b: str) -> pd.DataFrame:
    """Accuracy of arm `a` minus that of arm `b` in points, paired by seed: network, lr, density, seed, value.

    `b` dense is the same at every density. NaN where a run diverged; what only one arm has is left out.
    """
    rows = full(table)
    on = ["network", "lr", "seed"] + (["density"] if b != "dense" else [])
    left = rows.loc[rows["arm"] == a, ["network", "lr", "density", "seed", "accuracy"]]
    right = rows.loc[rows["arm"] == b, [*on, "accuracy"]]
    both = left.merge(right, on=on, suffixes=("", "_other"), validate="many_to_one")
    return both.assign(value=both["accuracy"] - both["accuracy_other"]).drop(columns=["accuracy", "accuracy_other"])


def of(table: pd.DataFrame, network: str) -> pd.DataFrame:
    """The `full` runs of a network; UserError for one that the table doesn't have."""
    if network not in set(table["network"]):
        known = list(dict.fromkeys(table["network"]))
        raise UserError(f"no network '{network}' in the table{nearest(network, known)}; there are {', '.join(known)}")
    rows = full(table)
    return rows[rows["network"] == network]
