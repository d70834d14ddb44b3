"""The report of a scale: its notebooks executed, rendered and listed; the index is made of the record each leaves.

The board, `verdicts.ipynb`, comes last, when verdicts.json is there to be read. It needs no parameter file: its kernel
finds this report's folder in `LTKIT_REPORTS`, and takes the kept reference reports for the other scales.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .. import notebook
from ..errors import UserError, nearest
from ..store import open_store
from ..version import project_root
from . import outlook, result
from .execute import Failure
from .result import BOARD
from .study import Place, Study, prepare, run, written

Say = Callable[[str], None]


@dataclass(frozen=True)
class Report:
    """What came of it: the index page, one record a study, and the failures of this call by study.

    The board has a record of its own, `board`; None where there is no notebook of it. Its failure is among the others.
    """

    index: Path
    records: list[dict[str, Any]]
    failures: dict[str, Failure]
    board: dict[str, Any] | None = None


def _quiet(line: str) -> None:
    pass


def report(
    params_dir: str | Path,
    only: Iterable[str] = (),
    out: Place = None,
    store: Place = None,
    data: Place = None,
    notebooks: Place = None,
    say: Say = _quiet,
    jobs: int = 1,
    progress: Say = _quiet,
    log: Say = _quiet,
) -> Report:
    """Runs the studies of `params_dir` (one `<study>.yaml` each) and writes `<out>/<scale>/`, the scale being its name.

    `out`: default `reports` beside the project. Every file is checked before the first notebook starts, and raises
    `UserError`; a notebook that fails is rendered up to there, listed, and stops no other one. Studies left out by
    `only` keep their earlier result; the board runs too where `only` is empty or names `verdicts`. With several `jobs`
    that many notebooks run side by side. `say` gets the lines of starts and ends, `progress` one that sums up, `log`
    what side-by-side notebooks write.
    """
    folder = Path(params_dir)
    names = studies(folder)
    home = Path(notebooks) if notebooks else (project_root() or Path.cwd()) / "notebooks"
    known = [*names, BOARD] if (home / f"{BOARD}.ipynb").exists() else names
    for name in only:
        if name not in known:
            raise UserError(f"{folder}: no study '{name}'{nearest(name, known)}; there are {', '.join(known)}")
    wanted = [name for name in known if not only or name in set(only)]
    chosen = [prepare(folder / f"{name}.yaml", home) for name in wanted if name != BOARD]
    board = prepare(folder / f"{BOARD}.yaml", home) if BOARD in wanted else None
    open_store(store)  # an unusable one is told before the first notebook starts
    scale = folder.resolve().name
    target = (Path(out) if out else (project_root() or Path.cwd()) / "reports").absolute() / scale
    try:
        target.mkdir(parents=True, exist_ok=True)
        failures = _run_all(chosen, jobs, scale, target, store, data, (say, progress, log))
        from .index import write_index  # pandas, which no kernel needs to wait for

        records = [_record(target, name, home, scale) for name in names]
        if board:
            write_index(target, scale, [*records, *_known(target)])
            say(f"{BOARD}: running with this report and the kept ones")
            told, failure = run(board, scale, target, store, data)
            failures |= {BOARD: failure} if failure else {}
            say(f"{BOARD}: {'failed' if failure else 'done'} after {told['seconds']:.0f} s")
        kept = _known(target)
        return Report(write_index(target, scale, [*records, *kept]), records, failures, kept[0] if kept else None)
    except OSError as error:
        raise UserError(
            f"report {target}: {(error.strerror or str(error)).lower()}; name another place with --out"
        ) from error


def _known(target: Path) -> list[dict[str, Any]]:
    found = result.read(target / f"{BOARD}.result.json")
    return [found] if found else []


def _run_all(
    chosen: list[Study], jobs: int, scale: str, target: Path, store: Place, data: Place, ears: tuple[Say, Say, Say]
) -> dict[str, Failure]:
    """Runs the studies, `jobs` at a time; the failures by study."""
    say, progress, log = ears
    by_name = {study.name: study for study in chosen}
    earlier = {name: result.read(target / f"{name}.result.json") or {} for name in by_name}
    before = {name: record["seconds"] for name, record in earlier.items() if record.get("status") == "done"}
    started: dict[str, float] = {}
    done: dict[str, float] = {}
    failures: dict[str, Failure] = {}

    def begin(name: str) -> None:
        started[name] = time.perf_counter()
        say(f"{name}: running with {by_name[name].file}")

    def end(name: str, record: dict[str, Any] | None, failure: Failure | None) -> None:
        done[name] = time.perf_counter() - started[name]
        if failure:
            failures[name] = failure
        if record is None:
            record = written(by_name[name], scale, target, failure, {}, done[name])
        say(f"{name}: {'failed' if failure else 'done'} after {record['seconds']:.0f} s{_runs(record)}")

    def tell() -> None:
        now = time.perf_counter()
        running = {name: now - since for name, since in started.items() if name not in done}
        left = [name for name in by_name if name not in started]
        seconds = outlook.remaining(left, running, done, before, max(1, min(jobs, len(chosen))))
        progress(outlook.line(left, running, done, len(failures), seconds))

    if jobs > 1 and len(chosen) > 1:
        from .jobs import side_by_side

        shared = {"scale": scale, "target": str(target), "store": _text(store), "data": _text(data)}
        works = {study.name: {**_plain(study), **shared} for study in chosen}
        side_by_side(works, min(jobs, len(chosen)), begin, end, tell, log)
    else:
        for study in chosen:
            begin(study.name)
            tell()
            end(study.name, *run(study, scale, target, store, data))
    return failures


def _text(place: Place) -> str | None:
    return str(place) if place else None


def _plain(study: Study) -> dict[str, Any]:
    told = {"notebook": str(study.notebook.absolute()), "file": str(study.file)}
    return {"name": study.name, "given": study.given, **told}


def studies(folder: Path) -> list[str]:
    """The names of the parameter files in a scale's folder; raises `UserError` when there are none."""
    if not folder.is_dir():
        near = nearest(str(folder), [str(d) for d in sorted(folder.parent.glob("*/"))])
        raise UserError(f"{folder}: no such folder of parameter files{near}")
    names = sorted(path.stem for path in folder.glob("*.yaml") if path.stem != BOARD)
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
