"""The lab: a store, a device, and the one function that makes missing runs."""

from __future__ import annotations

import atexit
import contextlib
import gc
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import torch
from torch import Tensor

from .. import models
from ..errors import UserError
from ..models.cost import multiplications
from ..prune.masks import Mask
from ..spec import Gradual, Run
from ..store import Damaged, open_store
from ..store.tensors import load
from ..train import Job, Outcome, Trace, cohort_key, train
from ..train.device import can_compile, keep_memory, out_of_memory, pick
from ..train.job import resume_epoch
from ..train.schedule import clock
from . import material, record, state, traces
from .cluster import HERE, Cluster, order_of
from .clusters import connect
from .cohorts import Stopped, compose, each
from .lease import Leases
from .material import ParentDiverged, frame
from .plan import Work, done, plan
from .progress import Progress
from .session import Session
from .sizes import best_size, measured_size

log = logging.getLogger("ltkit")

Compile = Literal["auto", "always", "never"]

if os.environ.get("LTKIT_HEADLESS"):  # a report's kernel ends a second sooner without a last search for garbage
    atexit.register(gc.freeze)


@dataclass
class Tally:
    """What a call of `Lab.run` did."""

    needed: int = 0
    trained: int = 0
    seconds: float = 0.0

    @property
    def reused(self) -> int:
        """Runs that were in the store already."""
        return self.needed - self.trained

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.needed + other.needed, self.trained + other.trained, self.seconds + other.seconds)

    def __str__(self) -> str:
        return f"{self.needed} runs: {self.trained} trained in {self.seconds:.0f} s, {self.reused} found in the store"


class Lab:
    """Runs by their specs: `run` makes what is missing, `table`, `weights` and `mask` read what is there.

    `store` and `data` default to LTKIT_STORE and LTKIT_DATA; `device` is cpu, cuda, mps or auto (LTKIT_DEVICE, else
    cuda, mps or cpu, the first that is there); `members` bounds the size of a cohort (None: what is fastest for the
    network and device; before long work on CUDA it is tried out); `workers` is how many cohorts train side by side
    (None: one a CPU thread, each computing with that thread alone, which is faster than sharing every operation out,
    and makes results independent of the number of cores; one on a GPU, and on CUDA always one, since threads can't
    capture graphs side by side). A mask that keeps nothing of a layer is reported, or refused before anything is
    trained with it: `collapse`. `executor` says where cohorts are trained: on a Dask cluster (`connect`: local, slurm,
    or a scheduler's address), by default that of LTKIT_CLUSTER, or "here".
    """

    def __init__(
        self,
        store: str | Path | None = None,
        data: str | Path | None = None,
        device: str = "auto",
        *,
        members: int | None = None,
        workers: int | None = None,
        compile: Compile = "auto",
        progress: bool = True,
        save_seconds: float = 60.0,
        collapse: Literal["report", "refuse"] = "report",
        executor: str | Cluster | None = None,
    ) -> None:
        self.store = open_store(store)
        self.root = str(data) if data else None
        self.executor = connect(executor or os.environ.get("LTKIT_CLUSTER") or HERE)
        self._asked = device
        self.device = pick(device)
        keep_memory()
        self.members, self.compile, self.progress, self.save_seconds = members, compile, progress, save_seconds
        self.collapse = collapse
        most = {"cpu": torch.get_num_threads()}.get(self.device.type, 1)
        self.workers = 1 if self.device.type == "cuda" else workers or most
        self.tally = Tally()
        self._fit: dict[str, int] = {}  # how many networks of a kind the memory holds, where it was once too little

    def run(self, runs: Iterable[Run], trace: Trace | None = None) -> Tally:
        """Makes sure that all `runs` are in the store: trains what is missing, parents first, in cohorts.

        With a `trace` that of each of `runs` too: a run that was trained without it is trained again, and what is
        stored of it stays. An interrupted call loses nothing that was finished; the next one goes on from there. What
        another process is training at that moment is waited for.
        """
        wanted = list(dict.fromkeys(runs))
        begun, made, whole = time.monotonic(), set[str](), False
        while not whole:
            whole = self._make(plan(wanted, self.store, trace.name if trace else None), trace, made)
        tally = Tally(len(wanted), sum(run.name in made for run in wanted), time.monotonic() - begun)
        self.tally += tally
        return tally

    def _make(self, todo: dict[str, Work], trace: Trace | None, made: set[str]) -> bool:
        """Trains all of `todo`; False when a parent turned out to be damaged only when it was opened."""
        bar = Progress(len(todo), sum(self._epochs(work) for work in todo.values()), self.progress and bool(todo))
        alike = Counter(cohort_key(work.run) for work in todo.values())
        session = Session(Leases(self.store.path), bar, trace, made=made)

        def train_cohort(cohort: list[Work]) -> list[Work]:
            return self.train_free(cohort, alike[cohort_key(cohort[0].run)], session)

        try:
            cohorts = compose(todo, lambda run: self._size(run, alike[cohort_key(run)]))
            threads = torch.get_num_threads() // self.workers or 1
            if self.executor and cohorts:
                order = order_of(str(self.store.path), self._options(), trace)
                self.executor.train(cohorts, lambda cohort: alike[cohort_key(cohort[0].run)], order, session)
            else:
                each(cohorts, train_cohort, session.stop, self.workers, threads)
        except Damaged as error:
            log.warning("%s: it will be trained again", error)
            self.store.discard(error.name)
            return False
        finally:
            session.leases.close()
            bar.close()
        return True

    def train_free(self, cohort: Sequence[Work], alike: int, session: Session) -> list[Work]:
        """Trains of a cohort what no other process is training at this moment, and gives the rest.

        `alike` is how many of the runs ahead share a compiled program. With nothing to train it waits for a moment.
        """
        taken = session.leases.take(work.run.name for work in cohort)
        try:
            mine = [work for work in cohort if work.run.name in taken]
            if left := [work for work in mine if not done(work, self.store, session.trace)]:
                self._train(left, alike, session)
                session.made |= {work.run.name for work in left}
            session.bar.finished(len(mine))
        finally:
            session.leases.give(taken)
        if not taken and session.stop.wait(WAIT):
            raise Stopped
        return [work for work in cohort if work.run.name not in taken]

    def _size(self, run: Run, alike: int) -> int:
        """How many of `alike` runs like this one train together."""
        if self.members:
            return self.members
        if self.device.type == "cuda" and not self.executor:
            steps = clock(run.recipe, material.images(run, self.root)).total
            if size := measured_size(run, steps, alike, self.root, self.device, self.store.path):
                return size
        device = self.executor.device() if self.executor and self._asked == "auto" else self.device
        return best_size(run, *frame(run, self.root), device)

    def _options(self) -> dict[str, Any]:
        """What this lab was opened with, for another one on the same store."""
        root = str(Path(self.root).expanduser().absolute()) if self.root else None
        there = {"data": root, "device": self._asked, "compile": self.compile}
        return {**there, "save_seconds": self.save_seconds, "collapse": self.collapse}

    def _epochs(self, work: Work) -> int:
        return max(1, (work.until or work.run.recipe.epochs or 1) - resume_epoch(work.run))

    def _train(self, cohort: Sequence[Work], alike: int, session: Session) -> None:
        trace = session.trace
        jobs: list[Job] = []
        lost: dict[str, record.Files] = {}
        there = {work.run.name for work in cohort if work.there}
        for work in cohort:
            try:
                job = material.job(work.run, self.store, self.root, frozenset(work.keep), self.collapse == "refuse")
                jobs.append(replace(job, trace=trace if work.traced else None))
            except ParentDiverged as error:
                lost |= record.undefined(work.run, str(error), trace if work.traced else None)
        if lost:
            self.store.publish(lost)
        if not jobs:
            return
        saved = state.path(self.store.path, jobs, cohort[0].until)
        outcomes: list[Outcome] = []
        worth = self._worth_compiling(jobs[0].run, alike)
        expected = 1 + resume_epoch(jobs[0].run)  # the next epoch to hear of: a later one comes if a state is taken up

        def tick(epoch: int, of: int, accuracy: float) -> None:
            nonlocal expected
            session.bar.epoch(len(jobs), accuracy, epoch - expected)
            expected = epoch + 1
            if session.stop.is_set() and epoch < of:
                raise Stopped

        kind = cohort_key(jobs[0].run)
        try:
            if len(jobs) <= self._fit.get(kind, len(jobs)):
                outcomes = train(
                    jobs,
                    self.device,
                    self.root,
                    compile=worth,
                    until=cohort[0].until,
                    state=state.read(saved),
                    save_state=lambda content: state.write(saved, content),
                    save_seconds=self.save_seconds,
                    tick=tick,
                )
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if len(jobs) == 1 or not out_of_memory(error):
                raise
            self._fit[kind] = len(jobs) // 2
            log.warning("%d networks don't fit the memory together: trying halves", len(jobs))
        if not outcomes:  # not in `except`, where the traceback would hold the memory that the halves need
            gc.collect()  # what refers to itself would hold it too
            half = len(cohort) // 2
            for part in (cohort[:half], cohort[half:]):
                self._train(part, alike, session)
            return
        published: dict[str, record.Files] = {}
        for outcome in outcomes:
            if isinstance(outcome.job.run.mask, Gradual):  # the others' counts were known at the start
                material.say_collapse(outcome.job.run, outcome.mask)
            published |= record.files(outcome, outcome.job.run.name in there)
        self.store.publish(published)
        state.remove(saved)
        for outcome in outcomes:
            if (name := outcome.job.run.name) in there:
                with contextlib.suppress(Damaged, FileNotFoundError):  # that is said where it is read
                    record.say_another(outcome, self.store.content(name, "metrics.csv"))

    def _worth_compiling(self, run: Run, alike: int) -> bool:
        if self.compile != "auto":
            return self.compile == "always"
        time = clock(run.recipe, material.images(run, self.root))
        seen = float(time.total * time.batch * alike)  # images, by all the runs that share the compiled program
        work = seen * multiplications(run.network, *frame(run, self.root))
        quick = run.network.arch == "lenet_300_100"  # without convolutions, only the update is compiled: in seconds
        return work * (10 if quick else 1) > WORTH_COMPILING[self.device.type] and can_compile(self.device.type)

    def weights(self, run: Run, epoch: int | None = None) -> dict[str, Tensor]:
        """A finished run's weights and buffers at its end, its start (0), or after an epoch it has a checkpoint of."""
        if epoch is None:
            return load(self._content(run.name, "weights.safetensors"))
        if epoch == 0:
            return dict(material.job(run, self.store, self.root).weights)
        tensors = load(self._content(f"{run.name}@{epoch}", "weights.safetensors"))
        return {name: t for name, t in tensors.items() if not name.startswith("slots/")}

    def mask(self, run: Run) -> Mask:
        """The mask of a finished run at the end of its training, in the order of the layers; {} for a dense one."""
        return self._ordered(run, load(self._content(run.name, "mask.safetensors")))

    def _ordered(self, run: Run, found: Mapping[str, Tensor]) -> Mask:
        names = models.prunable(run.network, *frame(run, self.root), "all") if found else []
        return {name: found[name] for name in names if name in found}  # a file's tensors come in any order

    def trace(self, run: Run, trace: Trace) -> pd.DataFrame:
        """What was traced of a run's training, a row a record: see `ltkit.train.trace.Record`."""
        return traces.read(self._content(traces.name(run, trace), "trace.csv"))

    def snapshot(self, run: Run, trace: Trace, step: int, moment: str) -> tuple[dict[str, Tensor], Mask]:
        """Weights, buffers and mask of a run at one of its trace's `snapshots`.

        `moment` is "before" or "after" the mask update in that step, or "step" where the run has none.
        """
        content = self._content(traces.name(run, trace), "weights.safetensors")
        weights, mask = traces.at(content, step, moment)
        return weights, self._ordered(run, mask)

    def _content(self, name: str, file: str) -> bytes:
        try:
            return self.store.content(name, file)
        except Damaged as error:
            raise UserError(f"{error}; `ltkit gc --yes` removes it, and the next call trains it again") from None
        except FileNotFoundError:
            raise UserError(f"{name} has no {file} in {self.store.path}: train it first, with lab.run") from None

    def table(self, labelled: Iterable[tuple[Mapping[str, Any], Run]]) -> pd.DataFrame:
        """A row a run: its labels, then what became of it. Accuracies are of the last epoch, in percent."""
        rows = []
        for labels, run in labelled:
            told = self.store.done(run.name) or {}
            final = told.get("final", {})
            percent = {s: 100 * f["correct"] / f["count"] for s, f in final.items()}
            good = told.get("outcome") == "finished"
            rows.append(
                {
                    **labels,
                    "accuracy": percent.get("test") if good else float("nan"),
                    "validation": percent.get("validation", float("nan")) if good else float("nan"),
                    "train_loss": final["train"]["loss"] if good else float("nan"),
                    "outcome": told.get("outcome", "missing"),
                    "run": run.name,
                }
            )
        return pd.DataFrame(rows)


WAIT = 0.2  # seconds until a run that another process is training is asked for again
# Multiplications of forward passes ahead above which compiling has paid for itself: see bench/README.md.
WORTH_COMPILING = {"cpu": 2e13, "cuda": 1e14, "mps": float("inf")}
