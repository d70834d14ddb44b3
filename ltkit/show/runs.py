"""Runs as text: a line a run, or all that is known of one."""

from __future__ import annotations

import json
from typing import Any

import yaml

from ..errors import UserError, nearest
from ..store import Damaged, Store, Stored

COLUMNS = ("run", "data", "network", "lr", "length", "density", "order", "test accuracy")


def listing(store: Store, kind: str | None = None) -> str:
    """A table of the runs in a store, of one kind or all; raises `UserError` for a kind that there is none of."""
    names = store.names()
    kinds = sorted({name.split("-")[0] for name in names})
    if kind and kind not in kinds:
        there = f"there are {', '.join(kinds)}" if kinds else "it is empty"
        raise UserError(f"no run of kind '{kind}' in {store.path}{nearest(kind, kinds)}; {there}")
    chosen = [name for name in names if not kind or name.split("-")[0] == kind]
    rows = [_row(store, name) for name in chosen]
    count = f"{len(rows)} runs in {store.path}"
    return f"{_table([COLUMNS, *rows])}\n{count}" if rows else count


def _row(store: Store, name: str) -> tuple[str, ...]:
    try:
        done = store.done(name) or {}
        run = json.loads(store.content(name, "spec.json"))["run"]
    except (Damaged, OSError, ValueError, KeyError) as error:
        return (name, f"damaged: {str(error).removeprefix(f'{name}: ')}")
    network, recipe = run["network"], run["recipe"]
    width = "" if network["width"] == 1 else f" x{network['width']:g}"
    plain = "" if network["residual"] else " no skips"
    length = f"{recipe['epochs']} epochs" if recipe["epochs"] else f"{recipe['steps']} steps"
    density = done.get("density")
    return (
        name,
        run["task"]["data"][:24],
        network["arch"] + width + plain,
        f"{recipe['lr']:g}",
        length,
        "" if density is None else f"{density:.4g}",
        str(run["order"]),
        accuracy(done),
    )


def accuracy(done: dict[str, Any]) -> str:
    """The test accuracy at the end, or how the training ended instead."""
    score = done.get("final", {}).get("test")
    if done.get("outcome", "finished") != "finished" or not score:
        return str(done.get("outcome", "unknown"))
    return f"{100 * score['correct'] / score['count']:.2f} %"


def _table(rows: list[tuple[str, ...]]) -> str:
    wide = [max(len(row[i]) for row in rows if len(row) == len(COLUMNS)) for i in range(len(COLUMNS))]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(row, wide, strict=False)).rstrip() for row in rows)


def description(stored: Stored) -> str:
    """Everything but the weights of a run, as YAML and a table."""
    about = {
        "run": stored.name,
        "spec": stored.spec.get("run", stored.spec),
        "result": _brief(stored.done),
        "made with": stored.env,
    }
    text = yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=110)
    last = stored.metrics[stored.metrics["epoch"] == stored.metrics["epoch"].max()]
    return text + ("\nlast epoch\n" + last.to_string(index=False) if len(last) else "")


def _brief(done: dict[str, Any]) -> dict[str, Any]:
    files = {name: facts["bytes"] for name, facts in done.get("files", {}).items()}
    return {**{key: value for key, value in done.items() if key != "files"}, "files (bytes)": files}


def size(amount: float) -> str:
    """Bytes as a person says them."""
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.3g} {unit}"
        amount /= 1000
    return f"{amount:.3g} TB"
