"""Measures of the greedy-bounds study side by side, in processes of their own.

They are Python for the most part, and threads would wait for each other; besides, recording a network (torch.fx)
changes how every thread of a process calls networks.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.context import BaseContext
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
    pool = _pool(lab.workers)
    try:
        return list(pool.map(_call, work))
    except (BrokenProcessPool, KeyboardInterrupt):  # Ctrl-C reaches the processes too
        _pool.cache_clear()
        pool.shutdown(wait=False, cancel_futures=True)
        raise


def prepare(lab: Lab) -> None:
    """Begins to import, in another process, what those of `side_by_side` need; returns at once."""
    if lab.workers > 1:
        _context()


@functools.lru_cache(maxsize=1)
def _pool(workers: int) -> ProcessPoolExecutor:
    """New processes take a while to be ready, so they stay until the program ends."""
    return ProcessPoolExecutor(workers, _context(), _begin)


@functools.cache
def _context() -> BaseContext:
    """Processes are forked from one that has imported everything, or import it themselves where there is no fork.

    Never from this one: a fork of a process that has computed with several threads crashes sooner or later.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    from multiprocessing import forkserver  # there is none on Windows

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.greedy_bounds_{name}" for name in ("networks", "curves", "picks")])
    if threading.current_thread() is threading.main_thread():
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # inherited: Ctrl-C would show where its imports are
        try:
            forkserver.ensure_running()
        finally:
            signal.signal(signal.SIGINT, before)
    return context


def _begin() -> None:
    signal.signal(signal.SIGINT, _interrupted)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    one_core()


def _end_with_parent() -> None:
    """Where the program is killed (a kernel that is restarted, say) its processes would wait on, a gigabyte each."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this runs in a process of a pool
    parent.join()
    os._exit(1)


def _interrupted(*_: object) -> None:
    """Ctrl-C ends the work at hand and what is left; a process that waits goes on waiting, without a word.

    Notebooks end so too. A process that dies while it waits may take the lock of the queue along.
    """
    global _stopped
    if _busy:
        _stopped = True
        raise KeyboardInterrupt


def one_core() -> None:
    """This process computes with one thread from now on: torch has a pool of its own, NumPy's products another."""
    torch.set_num_threads(1)
    threadpool_limits(1)


_busy = _stopped = False  # of a process that works


def _call(work: Callable[[], Any]) -> Any:
    global _busy
    if _stopped:
        raise KeyboardInterrupt
    _busy = True
    try:
        return work()
    finally:
        _busy = False


def alone(work: Callable[[], Any]) -> Any:
    """The result of what is timed: with one core, and nothing beside it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            return work()
    finally:
        torch.set_num_threads(threads)
