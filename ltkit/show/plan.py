"""What a scale will take, before anything is trained: a row a study, and one in which shared runs count once."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from .. import notebook
from ..errors import UserError, nearest
from ..lab.cohorts import compose
from ..lab.plan import Work
from ..lab.plan import plan as missing
from ..lab.sizes import best_size
from ..spec import Run
from ..store import Damaged, Store, open_store
from ..store.store import default_path
from ..train import Trace
from ..train.device import pick
from ..version import project_root
from . import plan_time
from .plan_cost import Cost, cost, facts, without_images
from .plan_time import Kind, Load, Rates, kind
from .report import studies
from .runs import size
from .study import Place, prepare

log = logging.getLogger("ltkit")

Call = tuple[list[Run], Trace | None]  # what a study hands to `Lab.run`
COLUMNS = ("study", "runs", "in the store", "to train", "network-epochs", "image passes", "hours", "to be stored")


@dataclass(frozen=True)
class Ahead(Store):
    """A store as it will be when what was planned so far is there."""

    known: dict[str, bool] = field(default_factory=dict)  # names that were looked up
    made: set[str] = field(default_factory=set)

    def done(self, name: str) -> dict[str, Any] | None:
        """{} for what is there or will be, None for the rest; a damaged one is said to be, once."""
        if name not in self.known:
            try:
                self.known[name] = super().done(name) is not None
            except Damaged as error:
                log.warning("%s: it will be trained again", error)
                self.known[name] = False
        return {} if self.known[name] or name in self.made else None


@dataclass
class Row:
    """A line of the table; `loads` says how many passes of each kind of network."""

    study: str
    runs: int = 0
    stored: int = 0
    left: int = 0
    epochs: int = 0
    images: int = 0
    bytes: int = 0
    loads: dict[Kind, Load] = field(default_factory=dict)

    def hours(self, rates: Rates | None) -> float | None:
        """Hours of training; None without a measurement."""
        if rates is None:
            return None
        return sum(load.images * rates.seconds[kind] for kind, load in self.loads.items()) / 3600


def rows(
    params_dir: str | Path, only: Iterable[str] = (), store: Place = None, data: Place = None, device: str = "auto"
) -> list[Row]:
    """A row a study of the folder, in the order in which they are reported, and a last one of all together.

    Every parameter file is checked first: `UserError`. Nothing is read of the data sets, nothing written to the store.
    """
    folder = Path(params_dir)
    names = studies(folder)
    for name in only:
        if name not in names:
            raise UserError(f"{folder}: no study '{name}'{nearest(name, names)}; there are {', '.join(names)}")
    home = (project_root() or Path.cwd()) / "notebooks"
    chosen = [prepare(folder / f"{name}.yaml", home) for name in names if not only or name in set(only)]
    place = Path(store).expanduser().absolute() if store else default_path()
    if (place / "store.json").exists():
        open_store(place)  # one of a newer ltkit is told
    known: dict[str, bool] = {}
    target = pick(device)
    with without_images():
        calls = {study.name: _calls(study.notebook, study.given, data) for study in chosen}
        found = [_row(name, some, Ahead(place, known), target) for name, some in calls.items()]
        every = [call for some in calls.values() for call in some]
        return [*found, _row("all", every, Ahead(place, known), target)]


def _calls(path: Path, given: Mapping[str, Any], data: Place) -> list[Call]:
    """The runs that a study's `collect` hands to the lab, call by call; none of a notebook that is no study's."""
    label = notebook.cells(path)[1].get("ltkit", {})
    if "study" not in label:
        log.warning("%s names no study: which runs it needs isn't known before it runs", path)
        return []
    model = notebook.model_of(path)
    params = model.check({**notebook.defaults(path), **given}, str(path))
    module = importlib.import_module(f"ltkit.studies.{label['study']}")
    root = str(data) if data else None
    every: Callable[..., list[Run]] = getattr(module, "every_run", None) or module.runs
    traced = [run for _, run in module.traced(params, root)] if hasattr(module, "traced") else []
    return [*([(traced, getattr(params, "trace", None))] if traced else []), (every(params, root), None)]


def _row(name: str, calls: list[Call], store: Ahead, device: torch.device) -> Row:
    whole = family(run for runs, _ in calls for run in runs)
    row = Row(name, len(whole), sum(store.done(name) is not None for name in whole))
    trained: set[str] = set()
    for runs, trace in calls:
        todo = missing(runs, store, trace.name if trace else None)
        costs = {name: cost(work, trace) for name, work in todo.items()}
        for cohort in compose(todo, lambda run: _together(run, device)):
            for work in cohort:
                _add(row, work, costs[work.run.name], len(cohort))
        trained |= todo.keys()
        store.made.update(todo)
        store.made.update(f"{name}@{epoch}" for name, work in todo.items() for epoch in work.keep)
        store.made.update(f"{name}@{trace.name}" for name, work in todo.items() if trace and work.traced)
    row.left = len(trained)
    return row


def _add(row: Row, work: Work, took: Cost, members: int) -> None:
    row.epochs += took.epochs
    row.images += took.images
    row.bytes += took.bytes
    row.loads.setdefault(kind(work.run), Load()).add(work.run, took.images + took.beside, members)


def _together(run: Run, device: torch.device) -> int:
    known = facts(run.task)
    return best_size(run, known.shape, known.classes, device)


def family(runs: Iterable[Run]) -> dict[str, Run]:
    """Runs and all their ancestors, by name."""
    found: dict[str, Run] = {}
    stack = list(runs)
    while stack:
        run = stack.pop()
        if run.name not in found:
            found[run.name] = run
            stack.extend(run.parents)
    return found


def plan(
    params_dir: str | Path,
    only: Iterable[str] = (),
    store: Place = None,
    data: Place = None,
    measure: bool = True,
    say: Callable[[str], None] = lambda line: None,
) -> str:
    """The table as text, with what stands behind its hours. `say` hears of a measurement before it begins."""
    made = rows(params_dir, only, store, data)
    ahead = {kind: load for kind, load in made[-1].loads.items() if load.images}
    rates = None
    device = pick()
    workers = torch.get_num_threads() if device.type == "cpu" else 1
    if measure and ahead:
        say(f"training {len(ahead)} kinds of network for a moment each, {plan_time.ALL:.0f} s at most")
        with without_images():
            rates = plan_time.rates(ahead, device, workers)
    elif measure:
        rates = Rates({}, frozenset(), 0.0)
    table = [COLUMNS, *(_cells(row, rates) for row in made)]
    wide = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [
        f"{name:<{wide[0]}}" + "".join(f"  {c:>{w}}" for c, w in zip(rest, wide[1:], strict=True))
        for name, *rest in table
    ]
    return "\n".join([*lines, "", *_notes(ahead, rates, device, workers)])


def _cells(row: Row, rates: Rates | None) -> tuple[str, ...]:
    hours = row.hours(rates)
    told = "not measured" if hours is None else f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"
    counts = (f"{number:,}" for number in (row.runs, row.stored, row.left, row.epochs))
    return row.study, *counts, f"{row.images / 1e6:,.1f} M", told, size(row.bytes)


def _notes(ahead: Mapping[Kind, Load], rates: Rates | None, device: torch.device, workers: int) -> list[str]:
    lines = []
    if rates and ahead:
        whole = sum(load.images * kind.work for kind, load in ahead.items())
        share = 100 * sum(ahead[kind].images * kind.work for kind in rates.measured) / whole
        where = torch.cuda.get_device_name() if device.type == "cuda" else device.type
        side = "a cohort at a time" if workers == 1 else f"{workers} cohorts side by side"
        lines += [
            f"Hours on this machine ({where}, {side}), from {rates.took:.0f} s of training on made-up images:",
            f"{len(rates.measured)} of {len(ahead)} kinds of network were measured, {share:.0f} % of the work; the "
            "others scaled by their multiplications.",
        ]
    return [
        *lines,
        "Not counted: measures after training (paths, Hessians, selections); setting up and storing a run; updates of",
        "masks; what compiling saves.",
    ]
