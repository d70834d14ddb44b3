"""Measures of the greedy-bounds study side by side, in processes of their own.

They are Python for the most part, and threads would wait for each other; besides, recording a network (torch.fx)
changes how every thread of a process calls networks.
"""

from __future__ import annotations

import functools
import multiprocessing
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from ..lab import Lab


def side_by_side(work: Iterable[Callable[[], Any]], lab: Lab) -> list[Any]:
    """The results in order, a process a worker of the lab, each computing with one core; one after the other on a GPU.

    Work and results must be picklable: a `functools.partial` of a module's function.
    """
    work = list(work)
    if lab.workers == 1 or len(work) < 2:
        return [one() for one in work]
    try:
        return list(_pool(lab.workers).map(_call, work))
    except BrokenProcessPool:
        _pool.cache_clear()
        raise


@functools.lru_cache(maxsize=1)
def _pool(workers: int) -> ProcessPoolExecutor:
    """New processes import all of torch, so they stay until the program ends."""
    # Spawned: a fork of a process that has computed with several threads crashes sooner or later.
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), one_core)


def one_core() -> None:
    """This process computes with one thread from now on: torch has a pool of its own, NumPy's products another."""
    torch.set_num_threads(1)
    threadpool_limits(1)


def _call(work: Callable[[], Any]) -> Any:
    return work()


def alone(work: Callable[[], Any]) -> Any:
    """The result of what is timed: with one core, and nothing beside it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            return work()
    finally:
        torch.set_num_threads(threads)
