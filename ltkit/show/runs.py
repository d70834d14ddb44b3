"""Runs as text: a line a run, or all that is known of one."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from typing import Any

import yaml

from ..errors import UserError, nearest, one_line
from ..store import Damaged, Store, Stored, files

COLUMNS = ("run", "data", "network", "lr", "length", "density", "order", "test accuracy")
Row = tuple[str, ...]

KEPT = ".listing"  # in the store: the rows of the last listing, each with what its files were like
FORM = "1 " + " | ".join(COLUMNS)  # what KEPT begins with; raise the number when a row says something else
MANY = 500  # so many runs are read as quickly as KEPT is written


def listing(store: Store, kind: str | None = None) -> str:
    """A table of the runs in a store, of one kind or all; raises `UserError` for a kind that there is none of."""
    names = store.names()
    kinds = sorted({name.split("-")[0] for name in names})
    if kind and kind not in kinds:
        there = f"there are {', '.join(kinds)}" if kinds else "it is empty"
        raise UserError(f"no run of kind '{kind}' in {store.path}{nearest(kind, kinds)}; {there}")
    chosen = [name for name in names if not kind or name.split("-")[0] == kind]
    rows = _rows(store, chosen, set(names))
    count = f"{len(rows)} runs in {store.path}"
    return f"{_table([COLUMNS, *rows])}\n{count}" if rows else count


def _rows(store: Store, names: Iterable[str], there: set[str]) -> list[Row]:
    """The row of each run; taken from `KEPT` when every file has the size and time that it had then.

    A bit that turned over in a file without its time being set anew isn't seen here: `ltkit verify` reads all content.
    """
    root, kept, rows, fresh = str(store.path), _kept(store), [], 0
    for name in names:
        folder, known = f"{root}/{name}", kept.get(name)
        if known is None or known[1] != _signature(folder, known[0].split(" ")):
            fresh += 1
            inside = _files(folder)
            signature, row = _signature(folder, inside), _row(store, name)
            known = (" ".join(inside), signature, *row)
            if signature and len(row) == len(COLUMNS) and not any(c in "".join(known) for c in "\t\r\n"):
                kept[name] = known
            else:
                kept.pop(name, None)
        rows.append(known[2:])
    if fresh > MANY:
        _keep(store, [row for name, row in kept.items() if name in there])
    return rows


def _files(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


def _signature(folder: str, inside: Iterable[str]) -> str:
    """Sizes and times of a run's files; empty when one isn't there."""
    try:
        states = [os.stat(f"{folder}/{file}") for file in inside]
    except OSError:
        return ""
    return " ".join([f"{state.st_size}.{state.st_mtime_ns}" for state in states])


def _kept(store: Store) -> dict[str, Row]:
    """name -> (files, signature, *row); {} when there is no such file, or it isn't whole."""
    try:
        seal, _, content = (store.path / KEPT).read_bytes().partition(b"\n")
        form, *lines = content.decode().split("\n")
    except (OSError, ValueError):
        return {}
    if form != FORM or seal != files.sha256(content).encode():
        return {}
    return {row[2]: row for row in (tuple(line.split("\t")) for line in lines)}


def _keep(store: Store, rows: Iterable[Row]) -> None:
    content = "\n".join([FORM, *("\t".join(row) for row in rows)]).encode()
    with contextlib.suppress(OSError, UserError):  # a store that can't be written to is only listed more slowly
        files.replace(store.path / KEPT, files.sha256(content).encode() + b"\n" + content)


def _row(store: Store, name: str) -> Row:
    try:
        done, spec = store.about(name)
        cells = _cells(name, done, spec["run"])
        return cells if "".join(cells).isprintable() else tuple(one_line(cell) for cell in cells)
    except (Damaged, OSError) as error:
        return (name, f"damaged: {str(error).removeprefix(f'{name}: ')}")
    except (ValueError, KeyError, TypeError, AttributeError, ArithmeticError, RecursionError):
        return (name, "damaged: spec.json or done.json isn't what a run has")


def _cells(name: str, done: dict[str, Any], run: dict[str, Any]) -> Row:
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


def _table(rows: list[Row]) -> str:
    whole = [row for row in rows if len(row) == len(COLUMNS)]
    wide = [max(map(len, column)) for column in zip(*whole, strict=True)]
    line = "  ".join(f"{{:<{width}}}" for width in wide)
    return "\n".join(
        [(line.format(*row) if len(row) == len(COLUMNS) else f"{row[0]:<{wide[0]}}  {row[1]}").rstrip() for row in rows]
    )


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
