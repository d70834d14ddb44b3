"""Where the board's verdicts lie: report folders, the fresh one before the kept ones, and how their studies ended."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import field_validator

from ..errors import UserError
from ..params import Parameters
from ..verdict import EXISTENCE, GRADIENT_FLOW, GREEDY_BOUNDS, MODE_CONNECTIVITY, SANITY_CHECKS, WEIGHT_CORRELATION
from ..version import project_root
from . import result
from .result import BOARD

Place = str | Path

# In the order of the papers' letters, A to F.
SIX = (EXISTENCE, SANITY_CHECKS, MODE_CONNECTIVITY, GRADIENT_FLOW, WEIGHT_CORRELATION, GREEDY_BOUNDS)
PAPERS = {claims[0].paper: claims for claims in SIX}
NOT_RUN = "not run"
SCALES = ("smoke", "quick", "mnist", "paper")
STATES = ("scale", "study", "status", "source", "date", "commit", "seconds", "error")


class Params(Parameters):
    """The parameters of notebooks/verdicts.ipynb."""

    reports: tuple[str, ...] = ()

    @field_validator("reports")
    @classmethod
    def _absolute(cls, given: tuple[str, ...]) -> tuple[str, ...]:
        # A kernel works in another folder than the one where the path was typed.
        return tuple(str(Path(place).expanduser().absolute()) for place in given)


def folders(given: Iterable[Place] = ()) -> list[Path]:
    """The report folders to read, the first one wins: those given, or else the fresh one and the kept ones.

    `LTKIT_REPORTS` names fresh ones by absolute paths (`ltkit report` sets it to the folder that it makes); the kept
    ones are `reports/reference/*` of the checkout.
    """
    if chosen := [Path(place) for place in given]:
        return chosen
    fresh = [Path(place) for place in os.environ.get("LTKIT_REPORTS", "").split(os.pathsep) if place]
    return [*fresh, *kept()]


def kept() -> list[Path]:
    """The reference reports of this checkout, a folder a scale."""
    home = (project_root() or Path.cwd()) / "reports" / "reference"
    return sorted(file.parent for file in home.glob("*/verdicts.json"))


def read_verdicts(place: Place) -> list[dict[str, Any]]:
    """The verdicts of a report folder, or of one verdicts.json; each has a `claim`, a `verdict` and a `scale`.

    Raises `UserError` where there are none, where the file is no such list, or where it holds a claim twice.
    """
    path = Path(place).expanduser()
    file = path / "verdicts.json" if path.is_dir() else path
    if not path.exists():
        raise UserError(f"{place}: no such report folder or verdicts.json")
    if not file.exists():
        below = [f"'{found.parent}'" for found in sorted(path.glob("*/verdicts.json"))]
        near = f" (did you mean {' or '.join(below)}?)" if below else "; `ltkit report` writes one"
        raise UserError(f"{place}: holds no verdicts.json{near}")
    try:
        listed = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{file}: {(error.strerror or 'not readable').lower()}") from None
    except ValueError as error:
        raise UserError(f"{file}: not JSON ({error})") from None
    if not isinstance(listed, list) or not all(_is_verdict(one) for one in listed):
        words = ", ".join(result.WORDS)
        raise UserError(f"{file}: not a list of verdicts, each with a 'claim' and a 'verdict' of {words}")
    found = [{**one, "scale": one.get("scale") or file.absolute().parent.name} for one in listed]
    keys = [(one["claim"], one["scale"]) for one in found]
    if twice := [claim for claim, scale in dict.fromkeys(keys) if keys.count((claim, scale)) > 1]:
        raise UserError(f"{file}: {twice[0]} is there twice, and would count as two")
    return found


def _is_verdict(one: Any) -> bool:
    return isinstance(one, dict) and isinstance(one.get("claim"), str) and one.get("verdict") in result.WORDS


def label(place: Place) -> str:
    """A place as readers know it: from the checkout on, else its last two parts; no folder of somebody's machine."""
    path, root = Path(place).expanduser().absolute(), project_root()
    path = path.parent if path.name == "verdicts.json" else path
    return str(path.relative_to(root)) if root and path.is_relative_to(root) else str(Path(*path.parts[-2:]))


def states(places: Iterable[Place]) -> pd.DataFrame:
    """How the studies ended: a row a scale and study of the six papers, with columns `STATES`.

    `status` is done, failed (with its `error`) or "not run". Of several places the first one counts, but where it
    failed there the next one that is done is listed too: its verdicts are those on the board.
    """
    rows: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for place in places:
        for record in _records(place):
            key = (str(record["scale"]), str(record["study"]))
            done = record["status"] == "done"
            if key not in rows or (done and rows[key][-1]["status"] != "done"):
                made = record.get("environment", {})
                told = {"source": label(place), "date": made.get("date", "")[:10], "commit": made.get("commit")}
                rows.setdefault(key, []).append({**{name: record.get(name) for name in STATES}, **told})
    listed = []
    for scale in ordered(scale for scale, _ in rows):
        for study in dict.fromkeys([*PAPERS, *(study for _, study in rows)]):
            listed += rows.get((scale, study), [{"scale": scale, "study": study, "status": NOT_RUN}])
    return pd.DataFrame(listed, columns=list(STATES)).astype(object).where(lambda frame: frame.notna(), None)


def _records(place: Place) -> list[dict[str, Any]]:
    """What is known of each study in a place; of one that only has verdicts, that it is done."""
    path = Path(place).expanduser()
    verdicts = read_verdicts(path)
    read = [result.read(file) for file in sorted(path.glob("*.result.json"))] if path.is_dir() else []
    found = [record for record in read if record and record.get("study") != BOARD]
    known = {(record["scale"], record["study"]) for record in found}
    alone = {(one["scale"], str(one.get("paper"))) for one in verdicts} - known
    return found + [{"scale": scale, "study": study, "status": "done"} for scale, study in sorted(alone)]


def ordered(scales: Iterable[str]) -> list[str]:
    """The names of scales from small to large, unknown ones last."""
    return sorted(set(scales), key=lambda scale: (_rank(scale), scale))


def _rank(scale: str) -> int:
    return SCALES.index(scale) if scale in SCALES else len(SCALES)
