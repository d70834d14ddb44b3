"""From an outcome to the files of a run."""

from __future__ import annotations

import csv
import functools
import io
import logging
import math
import platform
import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from safetensors.torch import save

from ..prune import masks
from ..spec import SCHEMA, Run, plain
from ..store.files import dump
from ..train import Outcome, Trace
from ..train.trace import Record
from ..version import __version__, commit
from . import traces

log = logging.getLogger("ltkit")

Files = tuple[dict[str, bytes], dict[str, Any]]
ANOTHER = 0.01  # relative difference between training losses above which a training isn't the stored one any more


def files(outcome: Outcome, there: bool = False) -> dict[str, Files]:
    """What is published for an outcome, by name: the run itself unless it is `there`, a folder a checkpoint, its trace.

    The run's mask is that of the end, a checkpoint's that of its epoch.
    """
    run, mask = outcome.job.run, outcome.mask
    finished = outcome.diverged is None
    facts = {
        "outcome": "finished" if finished else "diverged",
        "diverged_epoch": outcome.diverged,
        "final": {split: _finite(vars(score)) for split, score in outcome.final.items()},
        "density": masks.density(mask),
        "kept": masks.counts(mask),
        **outcome.facts,
    }
    published: dict[str, Files] = {}
    if not there:
        contents = _contents(run, save(outcome.weights), save(mask), outcome.metrics, outcome.facts)
        published[run.name] = (contents, facts)
    for epoch, tensors in outcome.checkpoints.items():
        about = {"outcome": "checkpoint", "epoch": epoch}
        then = {name.removeprefix("mask/"): t for name, t in tensors.items() if name.startswith("mask/")}
        rest = {name: t for name, t in tensors.items() if not name.startswith("mask/")}
        published[f"{run.name}@{epoch}"] = (_contents(run, save(rest), save(then), [], outcome.facts), about)
    if outcome.job.trace is not None and outcome.record is not None:
        published |= traces.files(run, outcome.job.trace, outcome.record, {**environment(), **outcome.facts, **_now()})
    return published


def say_another(outcome: Outcome, metrics: bytes) -> None:
    """Warns where a run was trained again for a checkpoint or trace and went another way than its stored metrics.csv.

    Another cohort or machine adds up in another order, and some kernels of a GPU do so every time.
    """
    stored, again = _losses(csv.DictReader(io.StringIO(metrics.decode()))), _losses(outcome.metrics)
    if not (common := stored.keys() & again.keys()):
        return
    epoch = max(common)
    first, second = stored[epoch], again[epoch]
    if abs(second - first) <= ANOTHER * abs(first) or not (math.isfinite(first) or math.isfinite(second)):
        return
    log.warning(
        "%s: trained again for a checkpoint or trace, its training loss after epoch %d is %.4g, in the store %.4g:"
        " the new checkpoint or trace is of another training than the stored weights",
        *(outcome.job.run.name, epoch, second, first),
    )


def _losses(rows: Iterable[Mapping[str, Any]]) -> dict[int, float]:
    return {int(row["epoch"]): float(row["loss"]) for row in rows if row["split"] == "train"}


def undefined(run: Run, reason: str, trace: Trace | None = None) -> dict[str, Files]:
    """What is published for a run that can't be trained since its parent's weights are no numbers; an empty trace."""
    facts: dict[str, Any] = {
        "outcome": "undefined",
        "reason": reason,
        "final": {},
        "density": None,
        "kept": {},
        "seconds": 0.0,
    }
    published = {run.name: (_contents(run, save({}), save({}), [], {}), facts)}
    return published | (traces.files(run, trace, Record(), {**environment(), **_now()}) if trace else {})


def _contents(run: Run, weights: bytes, mask: bytes, metrics: list[Any], facts: dict[str, Any]) -> dict[str, bytes]:
    table = io.StringIO()
    writer = csv.DictWriter(table, ["epoch", "split", "loss", "correct", "count"], lineterminator="\n")
    writer.writeheader()
    writer.writerows(metrics)
    return {
        "spec.json": dump({"schema": SCHEMA, "identity": run.identity, "kind": run.kind, "run": plain(run)}),
        "metrics.csv": table.getvalue().encode(),
        "weights.safetensors": weights,
        "mask.safetensors": mask,
        "env.json": dump({**environment(), **facts, **_now()}),
    }


def _now() -> dict[str, str]:
    return {"written": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(v, float) and not math.isfinite(v) else v for key, v in values.items()}


@functools.cache
def environment() -> dict[str, Any]:
    """Versions and hardware: recorded beside a run, not part of what it is."""
    return {
        "ltkit": __version__,
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }
