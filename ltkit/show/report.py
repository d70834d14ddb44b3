"""The report of a scale: its notebooks executed, rendered and listed; the index is made of the record each leaves."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import notebook, params
from ..errors import UserError, nearest
from ..store import open_store
from ..version import project_root
from . import result
from .environment import environment
from .execute import Failure, execute
from .index import write_index
from .render import render

Place = str | Path | None


@dataclass(frozen=True)
class Report:
    """What came of it: the index page, one record a study, and the failures of this call by study."""

    index: Path
    records: list[dict[str, Any]]
    failures: dict[str, Failure]


@dataclass(frozen=True)
class Study:
    """A notebook and its checked parameters."""

    name: str
    notebook: Path
    file: Path
    given: dict[str, Any]


def report(
    params_dir: str | Path,
    only: Iterable[str] = (),
    out: Place = None,
    store: Place = None,
    data: Place = None,
    notebooks: Place = None,
    say: Callable[[str], None] = lambda line: None,
) -> Report:
    """Runs the studies of `params_dir` (one `<study>.yaml` each) and writes `<out>/<scale>/`, the scale being its name.

    `out`: default `reports` beside the project. Every file is checked before the first notebook starts, and raises
    `UserError`; a notebook that fails is rendered up to there, listed, and stops no other one. Studies left out by
    `only` keep their earlier result.
    """
    folder = Path(params_dir)
    names = studies(folder)
    for name in only:
        if name not in names:
            raise UserError(f"{folder}: no study '{name}'{nearest(name, names)}; there are {', '.join(names)}")
    home = Path(notebooks) if notebooks else (project_root() or Path.cwd()) / "notebooks"
    chosen = [prepare(folder / f"{name}.yaml", home) for name in names if not only or name in set(only)]
    open_store(store)  # an unusable one is told before the first notebook starts
    scale = folder.resolve().name
    target = (Path(out) if out else (project_root() or Path.cwd()) / "reports").absolute() / scale
    try:
        target.mkdir(parents=True, exist_ok=True)
        failures = {}
        for study in chosen:
            say(f"{study.name}: running with {study.file}")
            record, failure = run(study, scale, target, store, data)
            if failure:
                failures[study.name] = failure
            say(f"{study.name}: {'failed' if failure else 'done'} after {record['seconds']:.0f} s{_runs(record)}")
        records = [_record(target, name, home, scale) for name in names]
        return Report(write_index(target, scale, records), records, failures)
    except OSError as error:
        raise UserError(
            f"report {target}: {(error.strerror or str(error)).lower()}; name another place with --out"
        ) from error


def studies(folder: Path) -> list[str]:
    """The names of the parameter files in a scale's folder; raises `UserError` when there are none."""
    if not folder.is_dir():
        near = nearest(str(folder), [str(d) for d in sorted(folder.parent.glob("*/"))])
        raise UserError(f"{folder}: no such folder of parameter files{near}")
    names = sorted(path.stem for path in folder.glob("*.yaml"))
    if not names:
        raise UserError(f"{folder}: holds no parameter file; one is named after its notebook, like existence.yaml")
    return names


def find_notebook(name: str) -> Path:
    """A notebook by its path, or by its name among the project's; raises `UserError`."""
    if Path(name).is_file():
        return Path(name)
    home = (project_root() or Path.cwd()) / "notebooks"
    known = [path.stem for path in sorted(home.glob("*.ipynb"))]
    if name in known:
        return home / f"{name}.ipynb"
    raise UserError(f"{name}: no such notebook{nearest(Path(name).stem, known)}")


def prepare(file: Path, home: Path) -> Study:
    """A parameter file with its notebook, checked; raises `UserError`."""
    path = home / f"{file.stem}.ipynb"
    if not path.exists():
        near = nearest(file.stem, [other.stem for other in home.glob("*.ipynb")])
        raise UserError(f"{file}: no notebook {path}{near}")
    return Study(file.stem, path, file, notebook.combine(path, params.read(file), str(file)))


def run(study: Study, scale: str, target: Path, store: Place, data: Place) -> tuple[dict[str, Any], Failure | None]:
    """Executes and renders one study; writes its notebook, page and record into `target`."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="ltkit-") as scratch:
        handed = Path(scratch) / "result.json"
        executed = target / f"{study.name}.ipynb"
        failure = execute(study.notebook, executed, study.given, {"LTKIT_RESULT": str(handed), **places(store, data)})
        found = (result.read(handed) if failure is None else None) or {}
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
        "seconds": round(time.perf_counter() - start, 1),
        "params": used,
        "meanings": notebook.meanings(study.notebook),
        "verdicts": [{**verdict, "scale": verdict.get("scale", scale)} for verdict in found.get("verdicts", [])],
    }
    result.write(target / f"{study.name}.result.json", record)
    render(executed, target / f"{study.name}.html", record)
    return record, failure


def places(store: Place, data: Place) -> dict[str, str | None]:
    """The variables that tell a kernel where store and data are, as absolute paths: it works in another folder."""
    named = {"LTKIT_STORE": store or os.environ.get("LTKIT_STORE"), "LTKIT_DATA": data or os.environ.get("LTKIT_DATA")}
    return {key: str(Path(place).expanduser().absolute()) if place else None for key, place in named.items()}


def _record(target: Path, name: str, home: Path, scale: str) -> dict[str, Any]:
    kept = result.read(target / f"{name}.result.json")
    if kept is not None:
        return kept
    path = home / f"{name}.ipynb"
    title, question = notebook.heading(path) if path.exists() else (name, "")
    return {"study": name, "scale": scale, "title": title, "question": question, "status": "not run", "verdicts": []}


def _runs(record: dict[str, Any]) -> str:
    runs = record.get("runs")
    return f"; {runs['trained']} runs trained, {runs['reused']} found in the store" if runs else ""
