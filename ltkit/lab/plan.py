"""What is left to train, and in what order. Imports no torch."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..spec import From, Run
from ..store import Damaged, Store

if TYPE_CHECKING:
    from ..train import Trace

log = logging.getLogger("ltkit")


@dataclass
class Work:
    """A run to train. `keep`: epochs whose checkpoints others need; `until`: only those are missing, stop there.

    `traced`: its trace is wanted; `there`: the run itself is in the store already, and stays.
    """

    run: Run
    keep: set[int] = field(default_factory=set)
    until: int | None = None
    waits_for: set[str] = field(default_factory=set)  # names of work that comes first
    height: int = 0  # how long a chain of work waits for this one
    traced: bool = False
    there: bool = False


def finished(store: Store, name: str) -> bool:
    """Whether a run is there and sound at first sight; a damaged one counts as missing and is said to be."""
    try:
        return store.done(name) is not None
    except Damaged as error:
        log.warning("%s: it will be trained again", error)
        return False


def done(work: Work, store: Store, trace: Trace | None) -> bool:
    """Whether all that a work is to make is there by now: another process may have made it."""
    name = work.run.name
    wanted = [name, *(f"{name}@{epoch}" for epoch in work.keep)]
    if work.traced and trace:
        wanted.append(f"{name}@{trace.name}")
    return all(finished(store, each) for each in wanted)


def needs_checkpoint(run: Run) -> int | None:
    """The epoch of the parent's training, strictly inside it, that `run` starts from."""
    start = run.start
    if not isinstance(start, From) or not start.epoch or start.epoch == start.run.recipe.epochs:
        return None
    return start.epoch


def plan(runs: Iterable[Run], store: Store, trace: str | None = None) -> dict[str, Work]:
    """All work that is needed for `runs`, by name: the missing ones, their missing ancestors, missing checkpoints.

    With the name of a `trace` also those of `runs` that were trained without it, once more, to their end.
    """
    todo: dict[str, Work] = {}
    stack = list(dict.fromkeys(runs))[::-1]
    watched = {run.name for run in stack} if trace else set()
    seen: set[str] = set()
    while stack:
        run = stack.pop()
        if run.name in seen:
            continue
        seen.add(run.name)
        untraced = run.name in watched and not finished(store, f"{run.name}@{trace}")
        if run.name not in todo:
            there = finished(store, run.name)
            if there and not untraced:
                continue
            todo[run.name] = Work(run, there=there)
        if untraced:
            todo[run.name].traced, todo[run.name].until = True, None
        epoch = needs_checkpoint(run)
        if epoch is not None and isinstance(run.start, From):
            parent = run.start.run
            if not finished(store, f"{parent.name}@{epoch}"):
                there = parent.name not in todo and finished(store, parent.name)
                work = todo.setdefault(parent.name, Work(parent, until=epoch if there else None, there=there))
                work.keep.add(epoch)
                work.until = max(work.keep) if work.until is not None else None
                seen.discard(parent.name)
        stack.extend(reversed(run.parents))
    for work in todo.values():
        work.waits_for = {parent.name for parent in work.run.parents if parent.name in todo}
    _measure_heights(todo)
    return todo


def _measure_heights(todo: dict[str, Work]) -> None:
    waiting = dict.fromkeys(todo, 0)  # children that aren't measured yet
    children: dict[str, list[str]] = {name: [] for name in todo}
    for name, work in todo.items():
        for parent in work.waits_for:
            children[parent].append(name)
            waiting[parent] += 1
    ready = [name for name, count in waiting.items() if count == 0]
    while ready:
        name = ready.pop()
        for parent in todo[name].waits_for:
            todo[parent].height = max(todo[parent].height, todo[name].height + 1)
            waiting[parent] -= 1
            if waiting[parent] == 0:
                ready.append(parent)
