"""What figures and pages take from a study's table: which rows, differences paired by seed, and in which words."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import UserError, nearest
from .style import arm, named

if TYPE_CHECKING:
    from pandas.io.formats.style import Styler

_TEXTS: dict[str, Callable[[str], str]] = {"network": named, "control": named, "arm": lambda name: arm(name).label}


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


def shown(rows: pd.DataFrame, precision: int = 2, words: Mapping[str, str] | None = None) -> Styler:
    """A table as a page shows it: without its index, in the figures' words, numbers with `precision` decimals.

    Networks (`network`, `control`) have the names that people write, `arm` its label; any other text or heading that
    is a key of `words` is its value. The table itself stays as it is.
    """

    known = words or {}

    def word(column: str, value: object) -> object:
        if not isinstance(value, str):
            return value
        return _TEXTS[column](value) if column in _TEXTS else known.get(value, value)

    texts = rows.select_dtypes(["object", "str"])
    told = rows.assign(**{column: [word(column, value) for value in texts[column]] for column in texts})
    told.columns = [known.get(column, column.replace("_", " ")) for column in told.columns]
    return told.style.hide(axis="index").format(precision=precision, na_rep="–")
