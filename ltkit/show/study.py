"""One study of a report: its notebook executed with checked parameters, rendered, and its record written."""

from __future__ import annotations

import importlib
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import notebook, params
from ..errors import UserError, nearest
from . import result
from .environment import environment
from .execute import Failure, execute
from .render import render
from .result import BOARD

Place = str | Path | None


@dataclass(frozen=True)
class Study:
    """A notebook and its checked parameters."""

    name: str
    notebook: Path
    file: Path
    given: dict[str, Any]


def prepare(file: Path, home: Path) -> Study:
    """A parameter file with its notebook, checked; raises `UserError`."""
    path = home / f"{file.stem}.ipynb"
    if not path.exists():
        near = nearest(file.stem, [other.stem for other in home.glob("*.ipynb")])
        raise UserError(f"{file}: no notebook {path}{near}")
    given = {} if file.stem == BOARD and not file.exists() else params.read(file)
    return Study(file.stem, path, file, notebook.combine(path, given, str(file)))


def run(study: Study, scale: str, target: Path, store: Place, data: Place) -> tuple[dict[str, Any], Failure | None]:
    """Executes and renders one study; writes its notebook, page and record into `target`."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ltkit-") as scratch:
        handed = Path(scratch) / "result.json"
        settings = {"LTKIT_RESULT": str(handed), "LTKIT_REPORTS": str(target), **places(store, data)}
        failure = execute(study.notebook, target / f"{study.name}.ipynb", study.given, settings, _load)
        found = (result.read(handed) if failure is None else None) or {}
    return written(study, scale, target, failure, found, time.perf_counter() - start), failure


def _load() -> None:
    """Imports what the page will be made with: a second or two, best spent while the kernel works."""
    importlib.import_module("nbconvert")
    importlib.import_module("bs4")
    importlib.import_module(".index", __package__)


def written(
    study: Study, scale: str, target: Path, failure: Failure | None, found: dict[str, Any], seconds: float
) -> dict[str, Any]:
    """The record of a study, written beside its page; one whose process died has a page without outputs."""
    title, question = notebook.heading(study.notebook)
    used = {**notebook.defaults(study.notebook), **study.given}
    record: dict[str, Any] = {"environment": environment(), "seeds": used.get("seeds", []), **found}
    record |= {
        "study": study.name,
        "scale": scale,
        "title": title,
        "question": question,
        "status": "failed" if failure else "done",
        "error": str(failure) if failure else None,
        "seconds": round(seconds, 1),
        "params": used,
        "meanings": notebook.meanings(study.notebook),
        "verdicts": [{**verdict, "scale": verdict.get("scale", scale)} for verdict in found.get("verdicts", [])],
    }
    if failure and failure.kind == "JobDied":
        shutil.copy(study.notebook, target / f"{study.name}.ipynb")
    result.write(target / f"{study.name}.result.json", record)
    render(target / f"{study.name}.ipynb", target / f"{study.name}.html", record)
    return record


def places(store: Place, data: Place) -> dict[str, str | None]:
    """The variables that tell a kernel where store and data are, as absolute paths: it works in another folder."""
    named = {"LTKIT_STORE": store or os.environ.get("LTKIT_STORE"), "LTKIT_DATA": data or os.environ.get("LTKIT_DATA")}
    return {key: str(Path(place).expanduser().absolute()) if place else None for key, place in named.items()}
