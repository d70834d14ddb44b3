"""How many networks train together."""

from __future__ import annotations

import gc
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import torch

from .. import models
from ..spec import Dense, Init, Run
from ..store import files
from ..train import Cohort, Job, cohort_key
from ..train.device import out_of_memory, wait
from ..train.graph import WARM
from ..train.trace import gradients
from .material import frame

log = logging.getLogger("ltkit")

SIZES = (1, 8, 16, 32, 64, 128)  # that are tried on a GPU, none above the number of runs ahead
WORTH = 50_000  # steps ahead, times networks, from which trying takes a small part of the training
ENOUGH = 1.05  # a size is as good as the best one when a network's step takes at most so many times its time
STEPS = 20  # that are timed

Times = dict[str, float | None]  # milliseconds a network and step by the size of the cohort; None: too little memory


def best_size(run: Run, shape: tuple[int, int, int], classes: int, device: torch.device) -> int:
    """How many networks train fastest together, as a rule: see bench/README.md.

    On a GPU as many as keep it busy. On a CPU, a thread a cohort, sixteen where images are small or there are no
    convolutions: an operation's own cost counts there. Else one: a grouped convolution beats single ones on 8x8 maps
    and loses to them on 32x32.
    """
    if device.type != "cpu":
        return 32
    return 16 if run.network.arch == "lenet_300_100" or shape[1] * shape[2] <= 16 * 16 else 1


def measured_size(run: Run, steps: int, alike: int, root: str | None, device: torch.device, store: Path) -> int | None:
    """How many networks like that of `run` train fastest together on `device`, tried out with a few steps of each size.

    Tried are sizes up to `alike`, the number of them that are ahead, as far as the memory goes, if so many times
    `steps` steps are long work. What was found is kept in the store and taken from there however little is left: after
    an interrupt the same cohorts must come together again. None where nothing is known and the work is short.
    """
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    kind = [cohort_key(run), name, str(torch.__version__)]
    file = store / "sizes" / f"{files.sha256(json.dumps(kind).encode())[:12]}.json"
    known = _read(file)
    long = alike >= SIZES[1] and steps * alike > WORTH
    if not (known or long):
        return None
    found = known if not long else attempt(known, alike, lambda members: step_seconds(run, members, root, device))
    if found != known:
        log.info("%s on %s, ms a network and step by the size of the cohort: %s", run.network.arch, name, found)
        with files.clear_faults(store):
            files.patient(file.parent.mkdir)(exist_ok=True)
            files.replace(file, files.dump({"kind": kind, "milliseconds": found}))
    return smallest(found)


def _read(file: Path) -> Times:
    try:
        return dict(json.loads(files.read(file))["milliseconds"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # not there, or damaged: measured again
        return {}


def attempt(known: Times, alike: int, seconds: Callable[[int], float]) -> Times:
    """`known`, and what is missing up to `alike`. Beyond what the memory doesn't hold nothing is tried."""
    found = dict(known)
    for size in (size for size in SIZES if size <= alike and str(size) not in known):
        if None in found.values():
            break
        try:
            found[str(size)] = 1000 * seconds(size) / size
        except (torch.OutOfMemoryError, RuntimeError) as error:
            if not out_of_memory(error):
                raise
            found[str(size)] = None
    return found


def smallest(times: Times) -> int:
    """The smallest size that is as good as the best: a small cohort is ready sooner and loses less when interrupted."""
    each = {int(size): took for size, took in times.items() if took is not None}
    return min((size for size, took in each.items() if took <= ENOUGH * min(each.values())), default=1)


def step_seconds(run: Run, members: int, root: str | None, device: torch.device) -> float:
    """The mean time of a step of so many networks like that of `run`, from fresh weights, half of them masked."""
    run = run.replace(start=Init(), mask=Dense(), extra=None)
    weights = models.init(run.network, *frame(run, root), Init())
    names = models.prunable(run.network, *frame(run, root))
    mask = {name: torch.rand(weights[name].shape) < 0.5 for name in names}
    cohort = Cohort([Job(run, weights, mask)] * members, device, root)
    try:
        cohort.begin_epoch(0)
        for step in range(WARM + 2):
            cohort.step(step)
        wait(device)
        begun = time.perf_counter()
        for step in range(STEPS):
            cohort.step(step)
        wait(device)
        took = (time.perf_counter() - begun) / STEPS
        gradients(cohort, *cohort.batch(0))  # as a trace or an update of masks does, in memory beside the graph's
        return took
    finally:
        del cohort
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
