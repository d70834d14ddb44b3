"""What was measured on finished runs is kept beside them: no table is computed twice.

    <store>/measured/<module>.<function>-<8 hex>-<12 hex>.json.gz

The first digits name ltkit's source, the others what the table depends on: the weights of the runs it reads, the
parameters and the other arguments. So a table is never older than what it was made from; `ltkit gc` removes those of
another source.
"""

from __future__ import annotations

import functools
import gzip
import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pandas as pd
from pydantic import BaseModel

from ..spec import Run
from ..store import files
from ..version import source
from .lab import Lab

log = logging.getLogger("ltkit")

Rest = ParamSpec("Rest")
P = TypeVar("P", bound=BaseModel)
Measure = Callable[Concatenate[P, Lab, Rest], pd.DataFrame]


def measured(runs: Callable[[P, str | None], Iterable[Run]]) -> Callable[[Measure[P, Rest]], Measure[P, Rest]]:
    """Keeps the table of a function (params, lab, ...) in the lab's store.

    `runs` names, from parameters and data root, the runs that the table is made from, or more. The function's other
    arguments must be JSON values. TypeError for a table that can't be read back as it is: its cells may be numbers,
    booleans, text, None and tuples of text.
    """

    def decorate(measure: Measure[P, Rest]) -> Measure[P, Rest]:
        name = f"{measure.__module__.rpartition('.')[2]}.{measure.__name__}"

        @functools.wraps(measure)
        def kept(params: P, lab: Lab, *rest: Rest.args, **named: Rest.kwargs) -> pd.DataFrame:
            weights = [_content(lab, run) for run in dict.fromkeys(runs(params, lab.root))]
            what = [name, params.model_dump(mode="json"), rest, named, weights]
            key = files.sha256(json.dumps(what, sort_keys=True).encode())
            path = lab.store.path / "measured" / f"{name}-{source()[:8]}-{key[:12]}.json.gz"
            found = _read(path)
            if found is None:
                found = measure(params, lab, *rest, **named).reset_index(drop=True)
                _write(path, found)
            return found

        return kept

    return decorate


def _content(lab: Lab, run: Run) -> list[str]:
    """What decides a measurement of a run: its name, how it ended, the checksums of its weights and mask."""
    done = lab.store.done(run.name)
    if done is None:
        return [run.name, "missing"]
    sums = [facts["sha256"] for file, facts in sorted(done["files"].items()) if file.endswith(".safetensors")]
    return [run.name, done["outcome"], *sums]


def _read(path: Path) -> pd.DataFrame | None:
    try:
        content = json.loads(gzip.decompress(files.read(path)))
        if content["sha256"] == files.sha256(json.dumps(content["table"]).encode()):
            return _table(content["table"])
        log.warning("%s is damaged: it is measured again", path.name)
    except FileNotFoundError:
        pass
    except (OSError, EOFError, ValueError, KeyError, TypeError):
        log.warning("%s can't be read: it is measured again", path.name)
    return None


def _write(path: Path, table: pd.DataFrame) -> None:
    columns = [[name, str(table[name].dtype), _cells(table[name])] for name in table.columns]
    try:
        pd.testing.assert_frame_equal(_table(columns), table, check_exact=True)
    except AssertionError as error:
        raise TypeError(f"{path.name} can't be kept as it is: {error}") from None
    content = {"sha256": files.sha256(json.dumps(columns).encode()), "table": columns}
    with files.clear_faults(path.parent.parent):
        files.patient(path.parent.mkdir)(exist_ok=True)
        files.replace(path, gzip.compress(json.dumps(content).encode(), compresslevel=1, mtime=0))


def _cells(column: pd.Series) -> list[Any]:
    return [{"of": cell} if isinstance(cell, tuple) else cell for cell in column.tolist()]


def _table(columns: list[list[Any]]) -> pd.DataFrame:
    return pd.DataFrame({name: pd.Series(_uncells(cells), dtype=kind) for name, kind, cells in columns})


def _uncells(cells: list[Any]) -> list[Any]:
    return [tuple(cell["of"]) if isinstance(cell, dict) else cell for cell in cells]
