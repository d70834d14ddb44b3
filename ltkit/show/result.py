"""What a notebook hands to the report: its verdicts, and the facts behind them, in one JSON file."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from .environment import environment

BOARD = "verdicts"  # the board's notebook, which is no study, and its record
WORDS = ("supported", "refuted", "undecided", "untested")


def save(verdicts: Iterable[Any], params: Any = None, **facts: Any) -> None:
    """Writes the result to the file that `LTKIT_RESULT` names; does nothing where it names none (JupyterLab, nbval).

    Each verdict is a mapping or a dataclass in DESIGN's form, with at least `claim` and a `verdict` of `WORDS`. Facts
    that the report knows: `seeds` (list), `runs` (the lab's tally: `needed`, `trained`), `device`.
    """
    listed = [plain(verdict) for verdict in verdicts]
    for number, verdict in enumerate(listed):
        if not isinstance(verdict, dict) or "claim" not in verdict or verdict.get("verdict") not in WORDS:
            raise ValueError(f"verdict {number} needs a 'claim' and a 'verdict' of {', '.join(WORDS)}: {verdict!r}")
    given = plain(params) if params is not None else {}
    if "runs" in facts:  # a lab's tally knows what it needed and what it trained
        runs = plain(facts["runs"])
        facts["runs"] = {**runs, "reused": runs["needed"] - runs["trained"]}
    result = {"verdicts": listed, "params": given, "seeds": given.get("seeds", []), **plain(facts)}
    target = os.environ.get("LTKIT_RESULT")
    if target:
        write(Path(target), {**result, "environment": environment()})


def plain(value: Any) -> Any:
    """`value` as JSON types: models and dataclasses as mappings, numpy's values as Python's, NaN as None."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def write(path: Path, value: Any) -> None:
    """Writes JSON so that a reader finds the old or the new file, never a part."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    temporary.replace(path)


def read(path: Path) -> dict[str, Any] | None:
    """The JSON mapping in a file; None when there is none or it can't be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None
