"""Which runs train together, and several such cohorts side by side.

Who trains with whom is settled before anything is trained and doesn't depend on how fast what came out: the bits of a
result depend, a little, on the company that it was computed in.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from threading import Event

import torch

from ..spec import Run
from ..train import cohort_key
from .plan import Work


class Stopped(Exception):
    """Another cohort failed, or Ctrl-C was pressed: this one ends at the end of its epoch."""


def compose(todo: Mapping[str, Work], size: Callable[[Run], int]) -> list[list[Work]]:
    """The work as cohorts of at most `size(run)` runs, each after those it waits for.

    What the longest chain waits for goes first, whatever may join it fills it up; equals stay in the order of `todo`.
    """
    place = {name: number for number, name in enumerate(todo)}
    open_parents = {name: len(work.waits_for) for name, work in todo.items()}
    children: dict[str, list[str]] = {name: [] for name in todo}
    for name, work in todo.items():
        for parent in work.waits_for:
            children[parent].append(name)
    groups: dict[tuple[str, int | None], list[tuple[int, int, str]]] = {}  # heaps: tallest first, then as asked for

    def ready(name: str) -> None:
        work = todo[name]
        group = groups.setdefault((cohort_key(work.run), work.until), [])
        heapq.heappush(group, (-work.height, place[name], name))

    for name, count in open_parents.items():
        if not count:
            ready(name)
    cohorts: list[list[Work]] = []
    while groups:
        key = min(groups, key=lambda key: groups[key][0])
        group = groups[key]
        most = size(todo[group[0][2]].run)
        names = [heapq.heappop(group)[2] for _ in range(min(most, len(group)))]
        if not group:
            del groups[key]
        cohorts.append([todo[name] for name in names])
        for child in (child for name in names for child in children[name]):
            open_parents[child] -= 1
            if not open_parents[child]:
                ready(child)
    return cohorts


def each(
    cohorts: Sequence[list[Work]], train: Callable[[list[Work]], list[Work]], stop: Event, workers: int, threads: int
) -> None:
    """Calls `train(cohort)` for every cohort, parents before children, up to `workers` at a time.

    `train` gives what it left, since another process is training it: that comes once more, behind all others. Each
    worker is a thread of this process that computes with `threads` threads of its own. With one worker everything
    happens here, in order. An error, Ctrl-C included, sets `stop` and is raised when the others have ended.
    """
    waiting, missing = list(cohorts), {work.run.name for cohort in cohorts for work in cohort}

    def free() -> list[Work] | None:
        found = next((one for one in waiting if not any(work.waits_for & missing for work in one)), None)
        if found is not None:
            waiting.remove(found)
        return found

    def trained(cohort: list[Work], left: list[Work]) -> None:
        missing.difference_update({work.run.name for work in cohort} - {work.run.name for work in left})
        if left:
            waiting.append(left)

    if workers == 1:
        while (cohort := free()) is not None:
            trained(cohort, train(cohort))
        return
    running: dict[Future[list[Work]], list[Work]] = {}
    with ThreadPoolExecutor(workers, "cohort", torch.set_num_threads, (threads,)) as pool:
        try:
            while waiting or running:
                while len(running) < workers and (cohort := free()) is not None:
                    running[pool.submit(train, cohort)] = cohort
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    trained(running.pop(future), future.result())
        except RuntimeError as error:
            # Python's own waiting releases a lock twice when a second Ctrl-C comes while it takes note of the first.
            if isinstance(error.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from error
            raise
        finally:
            stop.set()
