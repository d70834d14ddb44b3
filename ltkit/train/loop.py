"""The training loop: epochs of steps, with everything else as probes.

A probe is any function `probe(cohort, step)`; it is called before each step (0-based, counted from the beginning of the
schedule) and once more after the last. Recording never changes what is trained: no probe draws from the data's streams.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from safetensors.torch import save
from torch import Tensor

from ..errors import UserError
from ..store.tensors import load
from .change import last_update
from .cohort import Cohort
from .evaluate import Score, evaluate
from .job import Job
from .trace import Record, recorder

Probe = Callable[[Cohort, int], None]
SCORES_A_RUN = 5  # how many times at most held-out images are scored: on digits each takes an eighth of an epoch


@dataclass
class Outcome:
    """What became of one job."""

    job: Job
    weights: dict[str, Tensor]
    mask: dict[str, Tensor]  # at the end of the training
    metrics: list[dict[str, float | int | str]]  # epoch, split, loss, correct, count
    # epoch -> weights, buffers, "slots/..." of the optimizer and "mask/...", the mask of that epoch
    checkpoints: dict[int, dict[str, Tensor]]
    final: dict[str, Score]
    diverged: int | None  # the epoch after which the loss was no number
    facts: dict[str, float | int | str]  # how it was trained: recorded, not part of the identity
    record: Record | None = None  # of a job with a trace


@dataclass
class Progress:
    """What a long training has so far; whole epochs only."""

    epoch: int
    metrics: list[list[dict[str, float | int | str]]]  # a list a member
    checkpoints: list[dict[int, dict[str, Tensor]]]
    diverged: list[int | None]
    seconds: float = 0.0
    records: dict[int, Record] = field(default_factory=dict)  # of the members with a trace


def train(
    jobs: Sequence[Job],
    device: torch.device,
    root: str | None = None,
    *,
    compile: bool = False,
    until: int | None = None,
    probes: Sequence[Probe] = (),
    state: bytes | None = None,
    save_state: Callable[[bytes], None] | None = None,
    save_seconds: float = 60.0,
    tick: Callable[[int, int, float], None] | None = None,
) -> list[Outcome]:
    """Trains a cohort to its end and scores it.

    `state` is what `save_state` was last given by a killed training of the same jobs: the training goes on from there,
    to the same weights. `save_state` is called at the end of an epoch at most every `save_seconds`, and so that saving
    takes a tenth of the time at most (large cohorts have gigabytes); 0: after every epoch. `tick` hears of
    (epochs done, epochs in all, mean accuracy so far in percent). `until` stops after that epoch, for its checkpoint.
    Jobs with a trace share one. Raises UserError for a training that is over before it begins, for a checkpoint outside
    of it, and for a mask that is to change but has no update in it.
    """
    cohort = Cohort(jobs, device, root, compile)
    _check(cohort)
    records = {r: Record() for r, job in enumerate(jobs) if job.trace is not None}
    so_far = Progress(cohort.first_epoch, [[] for _ in jobs], [{} for _ in jobs], [None] * len(jobs), records=records)
    if state is not None:
        so_far = restore(cohort, state)
    begun, before = time.monotonic(), so_far.seconds
    due = begun + save_seconds
    clock = cohort.time
    last = min(clock.epochs, until or clock.epochs)
    watchers = [_checkpoints(so_far), *_trace(cohort, so_far), *probes]
    for epoch in range(so_far.epoch, last):
        cohort.begin_epoch(epoch)
        for step in range(epoch * clock.per_epoch, min((epoch + 1) * clock.per_epoch, clock.total)):
            for watch in watchers:
                watch(cohort, step)
            cohort.step(step)
        so_far.epoch, so_far.seconds = epoch + 1, before + time.monotonic() - begun
        accuracy = _record(cohort, so_far)
        if tick:
            tick(so_far.epoch, last, accuracy)
        if save_state and so_far.epoch < last and (start := time.monotonic()) >= due:
            save_state(snapshot(cohort, so_far))
            now = time.monotonic()
            due = now + (max(save_seconds, 9 * (now - start)) if save_seconds else 0)
    for watch in watchers:
        watch(cohort, min(last * clock.per_epoch, clock.total))
    return _outcomes(cohort, so_far)


def _check(cohort: Cohort) -> None:
    """What a spec can't tell without its data: a recipe may count in steps, and a parent may begin late."""
    first, last = cohort.first_epoch, cohort.time.epochs
    for job in cohort.jobs:
        if first >= last:
            raise UserError(f"{job.run.name}: nothing is left to train from epoch {first} of {last}")
        if missed := [epoch for epoch in job.keep if not first <= epoch <= last]:
            raise UserError(f"{job.run.name} is trained from epoch {first} to {last}: no run can start at {missed[0]}")
    for r, spec in cohort.changing.items():
        final = last_update(spec, cohort.time.total)
        if final is None or final < first * cohort.time.per_epoch:
            name, begin, end = cohort.jobs[r].run.name, first * cohort.time.per_epoch, cohort.time.total
            raise UserError(f"{name}: its mask would never change from step {begin} to {end}, look at every and end")


def _checkpoints(so_far: Progress) -> Probe:
    def probe(cohort: Cohort, step: int) -> None:
        if step % cohort.time.per_epoch and step != cohort.time.total:
            return
        epoch = -(-step // cohort.time.per_epoch)
        for r, job in enumerate(cohort.jobs):
            if epoch in job.keep:
                slots = {f"slots/{name}": t for name, t in cohort.member_slots(r).items()}
                mask = {f"mask/{name}": t for name, t in cohort.member_mask(r).items()}
                so_far.checkpoints[r][epoch] = {**cohort.member(r), **slots, **mask}

    return probe


def _trace(cohort: Cohort, so_far: Progress) -> list[Probe]:
    traces = {job.trace for job in cohort.jobs if job.trace is not None}
    if len(traces) > 1:
        raise ValueError("the jobs of a cohort share one trace")
    if not traces:
        return []
    probe, listener = recorder(cohort, traces.pop(), so_far.records)
    cohort.listeners.append(listener)
    return [probe]


def is_scored(epoch: int, epochs: int) -> bool:
    """Whether held-out images are scored after `epoch` (from 1) of `epochs`: now and then, and at the end."""
    return epoch == epochs or epoch % -(-epochs // SCORES_A_RUN) == 0


def _record(cohort: Cohort, so_far: Progress) -> float:
    """Writes down the epoch that has ended; the one place in an epoch where the device is waited for."""
    epoch, clock = so_far.epoch, cohort.time
    steps = min(epoch * clock.per_epoch, clock.total) - (epoch - 1) * clock.per_epoch
    losses, hits = (cohort.epoch_loss / steps).tolist(), cohort.epoch_hits.tolist()
    for r, (loss, hit) in enumerate(zip(losses, hits, strict=True)):
        so_far.metrics[r].append(_row(epoch, "train", Score(loss, hit, steps * clock.batch)))
        if so_far.diverged[r] is None and not loss < float("inf"):
            so_far.diverged[r] = epoch
    if is_scored(epoch, clock.epochs):
        for split, (x, y) in cohort.held_out.items():
            for r, score in enumerate(evaluate(cohort.net, x, y, cohort.members, cohort.recipe.precision)):
                so_far.metrics[r].append(_row(epoch, split, score))
                if so_far.diverged[r] is None and not score.loss < float("inf"):  # by the epoch's last update
                    so_far.diverged[r] = epoch
    return 100 * sum(hits) / (len(hits) * steps * clock.batch)


def _row(epoch: int, split: str, score: Score) -> dict[str, float | int | str]:
    return {"epoch": epoch, "split": split, "loss": score.loss, "correct": score.correct, "count": score.count}


def _outcomes(cohort: Cohort, so_far: Progress) -> list[Outcome]:
    outcomes = []
    for r, job in enumerate(cohort.jobs):
        rows = {str(row["split"]): row for row in so_far.metrics[r]}  # the last of each split stays
        final = {s: Score(float(f["loss"]), int(f["correct"]), int(f["count"])) for s, f in rows.items()}
        facts: dict[str, float | int | str] = {
            "seconds": round(so_far.seconds / cohort.members, 4),
            "cohort": cohort.members,
            "device": cohort.device.type,
        }
        outcomes.append(
            Outcome(
                job,
                cohort.member(r),
                cohort.member_mask(r),
                so_far.metrics[r],
                so_far.checkpoints[r],
                final,
                so_far.diverged[r],
                facts,
                so_far.records.get(r),
            )
        )
    return outcomes


def snapshot(cohort: Cohort, so_far: Progress) -> bytes:
    """The whole state of a cohort between two epochs, as safetensors."""
    tensors = {f"net/{name}": t.detach().cpu().contiguous() for name, t in cohort.state().items()}
    for slot, each in cohort.slots.items():
        tensors |= {f"slot/{slot}/{name}": t.cpu().contiguous() for name, t in each.items()}
    if cohort.changing:
        tensors |= {f"mask/{name}": t.cpu().contiguous() for name, t in cohort.masks.items()}
    for r, record in so_far.records.items():
        tensors |= {f"traced/{r}/{name}": t.contiguous() for name, t in record.tensors.items()}
    for r, epochs in enumerate(so_far.checkpoints):
        for epoch, kept in epochs.items():
            tensors |= {f"kept/{r}/{epoch}/{name}": t.contiguous() for name, t in kept.items()}
    about = {"epoch": so_far.epoch, "updates": cohort.updates, "seconds": so_far.seconds}
    rows = {r: record.rows for r, record in so_far.records.items()}
    facts = {**about, "metrics": so_far.metrics, "diverged": so_far.diverged, "traced": rows}
    return save(tensors, {"state": json.dumps(facts)})


def restore(cohort: Cohort, state: bytes) -> Progress:
    """Puts a cohort back to where `snapshot` was taken."""
    tensors = load(state)
    header = json.loads(state[8 : 8 + int.from_bytes(state[:8], "little")])
    facts = json.loads(header["__metadata__"]["state"])
    with torch.no_grad():
        cohort.load_state({name: tensors[f"net/{name}"] for name in cohort.state()})
        for slot, each in cohort.slots.items():
            for name, target in each.items():
                target.copy_(tensors[f"slot/{slot}/{name}"])
        for name in cohort.masks if cohort.changing else {}:
            cohort.masks[name] = tensors[f"mask/{name}"].to(cohort.device)
    cohort.updates = facts["updates"]
    kept: list[dict[int, dict[str, Tensor]]] = [{} for _ in cohort.jobs]
    for name, tensor in tensors.items():
        if name.startswith("kept/"):
            _, r, epoch, key = name.split("/", 3)
            kept[int(r)].setdefault(int(epoch), {})[key] = tensor
    records = {int(r): Record(rows) for r, rows in facts.get("traced", {}).items()}
    for name, tensor in tensors.items():
        if name.startswith("traced/"):
            _, traced, key = name.split("/", 2)
            records[int(traced)].tensors[key] = tensor
    return Progress(facts["epoch"], facts["metrics"], kept, facts["diverged"], facts["seconds"], records)
