"""Cohorts as tasks of a Dask cluster: `Lab(executor=...)`. Parents are dependencies, the store is a shared folder.

What is trained together is settled as ever, by the caller, and each worker trains as a lab of one worker does: the runs
are the same. Resuming comes from the store. `distributed` isn't needed by anything else: pip install 'ltkit[cluster]'.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..errors import UserError
from ..store import Damaged
from ..train import Trace
from ..train.device import pick
from .cohorts import Stopped
from .lease import Leases
from .plan import Work
from .session import Session

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger("ltkit")

TELL_SECONDS = 0.5  # between two messages of a worker
HERE = "here"  # the executor that trains in this process
NEEDED = "a cluster needs Dask: pip install 'ltkit[cluster]' into this environment"
PATIENCE = 10  # seconds until a scheduler must have answered
RETRIES = 1  # a share may have been away


@dataclass(frozen=True)
class Order:
    """What a worker needs to train cohorts as the caller's lab would: arguments of `Lab`, and the `Session`'s."""

    store: str
    options: tuple[tuple[str, Any], ...]
    trace: Trace | None
    topic: str  # names the call: where workers tell how far they are


@dataclass(frozen=True)
class Cluster:
    """A Dask cluster by the address of its scheduler."""

    address: str

    @property
    def client(self) -> Client:
        """The connection; UserError when nobody answers."""
        return _client(self.address, os.getpid())

    def device(self) -> torch.device:
        """Of a worker; waits until there is one."""
        return torch.device(_device(self.address, os.getpid()))

    def train(
        self, cohorts: Sequence[list[Work]], alike: Callable[[list[Work]], int], order: Order, to: Session
    ) -> None:
        """Trains all cohorts. One that fails is said to, once, what waits for it is left out, and the rest is finished.

        Then the first failure is raised, a damaged parent before others. On Ctrl-C the workers end what they are at
        after its epoch. UserError when the cluster goes away.
        """
        from distributed import as_completed

        client = self.client
        of = {work.run.name: number for number, cohort in enumerate(cohorts) for work in cohort}
        futures: list[Any] = []
        client.subscribe_topic(order.topic, functools.partial(_hear, to))
        try:
            for cohort in cohorts:
                parents = [futures[n] for n in sorted({of[name] for work in cohort for name in work.waits_for})]
                words: dict[str, Any] = {"key": f"cohort-{uuid.uuid4().hex}", "pure": False, "retries": RETRIES}
                futures.append(client.submit(train_there, cohort, alike(cohort), order, parents, **words))
            number = {future.key: place for place, future in enumerate(futures)}
            failed: dict[int, BaseException] = {}
            for future in as_completed(futures, loop=client.loop, raise_errors=False):
                place = number[future.key]
                if future.status == "finished":
                    to.made |= future.result()
                    to.bar.finished(len(cohorts[place]))
                elif future.status == "error":
                    failed[place] = future.exception()
                else:
                    raise UserError(f"the cluster at {self.address} went away; {AGAIN}")
            if failed:
                _tell(failed, cohorts, of)
        finally:
            if client.status == "running":
                if not all(future.done() for future in futures):
                    client.cancel(futures)
                    client.run(stop_there, order.topic)
                client.unsubscribe_topic(order.topic)


AGAIN = "finished runs are kept, and the same call goes on from there"


def order_of(store: str, options: dict[str, Any], trace: Trace | None) -> Order:
    """An order of its own topic."""
    return Order(store, tuple(options.items()), trace, f"ltkit-{uuid.uuid4().hex}")


@functools.cache
def _client(address: str, process: int) -> Client:
    try:
        from distributed import Client
    except ImportError:
        raise UserError(NEEDED) from None
    try:
        return Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError) as error:
        raise UserError(
            f"no Dask scheduler answers at '{address}' ({error}); start one with `dask scheduler`"
        ) from None


@functools.cache
def _device(address: str, process: int) -> str:
    client = _client(address, process)
    if not client.scheduler_info(n_workers=1)["workers"]:
        log.warning("waiting for a worker of %s", address)
    return str(client.submit(_own_device, pure=False).result())


def _hear(to: Session, event: tuple[Any, dict[str, Any]]) -> None:
    for epoch in event[1]["epochs"]:
        to.bar.epoch(*epoch)


def _tell(failed: dict[int, BaseException], cohorts: Sequence[list[Work]], of: dict[str, int]) -> None:
    """Says once what failed and what was left out for it, and raises the first error."""
    began = [n for n in sorted(failed) if not any(of[name] in failed for work in cohorts[n] for name in work.waits_for)]
    lost = sum(len(cohorts[n]) for n in failed if n not in began)
    damaged = [failed[n] for n in began if isinstance(failed[n], Damaged)]
    if damaged:
        raise damaged[0]
    for n in began:
        names = ", ".join(work.run.name for work in cohorts[n])
        log.error("couldn't train %s: %s: %s", names, type(failed[n]).__name__, failed[n])
    error = failed[began[0]]
    said = f"{sum(len(cohorts[n]) for n in began)} runs couldn't be trained; {lost} that wait for them are left out"
    if isinstance(error, UserError):
        raise UserError(f"{error} ({said})")
    error.add_note(f"{said}; all others are finished")
    raise error


def train_there(cohort: list[Work], alike: int, order: Order, parents: list[Any]) -> set[str]:
    """On a worker: trains a cohort when its parents are there, and gives the names of what it trained."""
    from .lab import Lab

    options = dict(order.options)
    if options["device"] == "auto":
        options["device"] = _own_device()
    lab = Lab(order.store, workers=1, progress=False, executor=HERE, **options)
    leases, ears = Leases(lab.store.path), Told(order.topic)
    session = Session(leases, ears, order.trace, stop=_stops.setdefault(order.topic, threading.Event()))
    left = cohort
    try:
        while left:
            left = lab.train_free(left, alike, session)
    except Stopped:
        return session.made
    finally:
        leases.close()
        ears.close()
    return session.made


_stops: dict[str, threading.Event] = {}  # of a worker's process, by topic


def stop_there(topic: str) -> None:
    """On a worker: ends what it trains for a caller after the epoch that it is at."""
    _stops.setdefault(topic, threading.Event()).set()


def _own_device() -> str:
    """A worker's device: of several GPUs the one of the worker's number, since one machine has a worker a GPU."""
    from distributed import get_worker

    if (device := pick("auto")).type != "cuda" or torch.cuda.device_count() == 1:
        return str(device)
    name = str(get_worker().name)
    return f"cuda:{int(name) % torch.cuda.device_count()}" if name.isdecimal() else "cuda"


class Told:
    """A worker's bar: it tells the caller now and then."""

    def __init__(self, topic: str) -> None:
        from distributed import get_worker

        self.worker, self.topic = get_worker(), topic
        self.epochs: list[tuple[int, float, int]] = []  # of `epoch`
        self.told = time.monotonic()

    def epoch(self, networks: int, accuracy: float, earlier: int = 0) -> None:
        self.epochs.append((networks, accuracy, earlier))
        if time.monotonic() - self.told > TELL_SECONDS:
            self.close()

    def finished(self, runs: int) -> None:
        """The caller hears that from the task itself."""

    def close(self) -> None:
        """Tells what isn't told yet."""
        told, self.epochs, self.told = self.epochs, [], time.monotonic()
        if told:
            self.worker.log_event(self.topic, {"epochs": told})
