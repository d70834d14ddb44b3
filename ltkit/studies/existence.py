"""The existence study (existence.md): which runs it needs. What they say is in `existence_claims`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from .. import models
from ..analyze.overlap import null_sd, overlap_ratio
from ..errors import nearest
from ..lab import Lab
from ..lab.material import frame
from ..lab.measured import measured
from ..params import Parameters
from ..prune import tickets
from ..prune.masks import counts
from ..spec import Init, Magnitude, Network, Recipe, Run, Seed, Share, Task

Labelled = tuple[dict[str, Any], Run]
Rate = Annotated[float, Field(gt=0, le=100)]


class Params(Parameters):
    """Parameters of `notebooks/existence.ipynb`; the notebook's cell says what each means."""

    scale: str
    data: str
    networks: tuple[str, ...]
    contrasts: tuple[str, ...] = Field(min_length=0)
    claim_network: str
    lrs: tuple[Rate, ...]
    lr_small: Rate
    lr_large: Rate
    epochs: Annotated[int, Field(ge=2)]
    contrast_epochs: Annotated[int, Field(ge=2)]
    short_epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    schedule: Literal["constant", "step", "cosine"]
    milestones: tuple[Share, ...]
    warmup_control: Annotated[float, Field(ge=0)]
    crop: Annotated[int, Field(ge=0, le=16)]
    flip: bool
    precision: Literal["fp32", "bf16"]
    rate: Share
    levels: tuple[Annotated[int, Field(ge=1, le=100)], ...]
    contrast_levels: tuple[Annotated[int, Field(ge=1, le=100)], ...]
    claim_level: Annotated[int, Field(ge=1)]
    overlap_level: Annotated[int, Field(ge=1)]
    rewind_epoch: Annotated[int, Field(ge=0)]
    seeds: tuple[Seed, ...]
    validation: Annotated[float, Field(gt=0, le=0.5)]
    condition_3: Literal["max", "same_lr"]
    select: Literal["validation", "test"]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        every = self.networks + self.contrasts
        for name in (*every, self.claim_network):
            network(name)
        if self.claim_network not in every:
            raise ValueError(
                f"claim_network '{self.claim_network}' is not among networks and contrasts"
                f"{nearest(self.claim_network, every)}"
            )
        for lr in (self.lr_small, self.lr_large):
            if lr not in self.lrs:
                raise ValueError(f"lr_small and lr_large must be among lrs, {lr} isn't in {list(self.lrs)}")
        if self.lr_small >= self.lr_large:
            raise ValueError(f"lr_small ({self.lr_small}) must be below lr_large ({self.lr_large})")
        levels = self.levels_of(self.claim_network)
        if not {self.claim_level, self.overlap_level} <= set(levels):
            raise ValueError(
                f"claim_level and overlap_level must be among {self.claim_network}'s levels {list(levels)}"
            )
        least = self.epochs_of(self.claim_network)
        if self.short_epochs >= least:
            raise ValueError(f"short_epochs ({self.short_epochs}) must be below {self.claim_network}'s {least} epochs")
        if self.rewind_epoch >= min(self.epochs, self.contrast_epochs):
            raise ValueError(f"rewind_epoch ({self.rewind_epoch}) must be below epochs and contrast_epochs")
        return self

    def lrs_of(self, name: str) -> tuple[float, ...]:
        """Learning rates of a network: all for `networks`, the small and the large one for `contrasts`."""
        return self.lrs if name in self.networks else (self.lr_small, self.lr_large)

    def levels_of(self, name: str) -> tuple[int, ...]:
        """Rounds of IMP at which a network's controls are trained."""
        return self.levels if name in self.networks else self.contrast_levels

    def epochs_of(self, name: str) -> int:
        """Training length of a network."""
        return self.epochs if name in self.networks else self.contrast_epochs

    def density(self, level: int) -> float:
        """Nominal density of an IMP round: (1 - rate)^level."""
        return (1 - self.rate) ** level


def network(name: str) -> Network:
    """`arch`, `arch*width`, and `-plain` behind either for no residual connections: resnet8*0.5-plain."""
    body, plain, rest = name.partition("-plain")
    arch, _, width = body.partition("*")
    try:
        factor = float(width or 1)
    except ValueError:
        factor = 0.0
    if rest or factor <= 0:
        raise ValueError(f"network '{name}': a name is arch, arch*width or arch*width-plain, like resnet8*0.5-plain")
    return Network(arch=arch, width=factor, residual=not plain)


def dense(params: Params, name: str, lr: float, seed: int, epochs: int | None = None, warmup: float = 0.0) -> Run:
    """The dense network of one cell of the grid."""
    recipe = Recipe(
        lr=lr,
        momentum=params.momentum,
        weight_decay=params.weight_decay,
        epochs=epochs or params.epochs_of(name),
        batch_size=params.batch_size,
        schedule=params.schedule,
        milestones=params.milestones,
        warmup=warmup,
        precision=params.precision,
    )
    task = Task(data=params.data, validation=params.validation, crop=params.crop, flip=params.flip)
    # The LeNets as in the first lottery-ticket paper; the others by fan-in, which is paper A's fan-out wherever a
    # convolution keeps its width and, unlike it, doesn't blow up the logits of a ten-unit classifier.
    start = Init(seed=seed, scheme="glorot_normal" if name.startswith("lenet") else "kaiming_normal")
    return Run(task=task, network=network(name), recipe=recipe, start=start, order=seed)


def grid(params: Params, root: str | None = None) -> list[Labelled]:
    """Every run of the study with its labels: network, lr, epochs, arm, level, density, seed, and the mask's own lr.

    Arms: dense; lt_imp, lt_omp (tickets), rr_imp, rr_omp (the same masks over other weights), sdt (a dense network as
    small as the ticket), lt_shuffled (the ticket's start under permuted positions), lt_rewound (from rewind_epoch, on
    the ticket's own mask), lt_decoupled_imp and _omp (mask from one learning rate, ticket at another), and with warm-up
    dense_warm, lt_warm, rr_warm. The networks among `contrasts` have no rr_omp and lt_shuffled, and only the claim
    network and the full `networks` have lt_rewound.
    """
    found: list[Labelled] = []
    for name in params.networks + params.contrasts:
        for seed in params.seeds:
            for lr in params.lrs_of(name):
                found += cell(params, name, lr, seed, root)
    return [*found, *short(params), *decoupled(params), *warmed(params)]


def cell(params: Params, name: str, lr: float, seed: int, root: str | None) -> Iterator[Labelled]:
    """One network at one learning rate and seed: the dense run, its tickets a level, and each ticket's controls."""
    whole, levels, full = dense(params, name, lr, seed), params.levels_of(name), name in params.networks
    labels = {"network": name, "lr": lr, "mask_lr": lr, "seed": seed, "epochs": params.epochs_of(name)}
    yield {**labels, "arm": "dense", "level": 0, "density": 1.0}, whole
    imp = tickets.imp(whole, rounds=max(levels), rate=params.rate)
    omp = tickets.omp(whole, rounds=max(levels), rate=params.rate)
    for level, (winner, oneshot) in enumerate(zip(imp, omp, strict=True), 1):
        at = {**labels, "level": level, "density": params.density(level)}
        yield {**at, "arm": "lt_imp"}, winner
        if level not in levels:
            continue
        yield {**at, "arm": "rr_imp"}, tickets.reinit(winner)
        yield {**at, "arm": "lt_omp"}, oneshot
        yield {**at, "arm": "sdt"}, small_dense(whole, params.rate, level, root)
        if full:
            yield {**at, "arm": "rr_omp"}, tickets.reinit(oneshot)
            yield {**at, "arm": "lt_shuffled"}, tickets.shuffled(winner)
        if params.rewind_epoch and (full or name == params.claim_network):
            yield {**at, "arm": "lt_rewound"}, tickets.ticket(whole, winner.mask, params.rewind_epoch)


def small_dense(whole: Run, rate: float, level: int, root: str | None) -> Run:
    """The narrower dense network with the ticket's number of prunable weights (existence.md section 3, SDT)."""
    at = frame(whole, root)
    kept = Magnitude(run=whole, rate=rate, rounds=level).kept(models.prunable_count(whole.network, *at))
    narrow, _ = models.small_dense(whole.network, *at, kept)
    return whole.replace(network=narrow)


def short(params: Params) -> Iterator[Labelled]:
    """The claim network at the small rate, trained for short_epochs: dense, tickets, re-initialized twins (A3)."""
    for seed in params.seeds:
        whole = dense(params, params.claim_network, params.lr_small, seed, params.short_epochs)
        labels = {
            "network": params.claim_network,
            "lr": params.lr_small,
            "mask_lr": params.lr_small,
            "seed": seed,
            "epochs": params.short_epochs,
        }
        yield {**labels, "arm": "dense", "level": 0, "density": 1.0}, whole
        level = params.claim_level
        winner = tickets.imp(whole, rounds=level, rate=params.rate)[-1]
        for arm, run in (("lt_imp", winner), ("rr_imp", tickets.reinit(winner))):
            yield {**labels, "arm": arm, "level": level, "density": params.density(level)}, run


def decoupled(params: Params) -> Iterator[Labelled]:
    """Tickets of the claim network whose mask comes from lr_small or lr_large and that train at every rate (A9)."""
    level = params.claim_level
    epochs = params.epochs_of(params.claim_network)
    for seed in params.seeds:
        for mask_lr in (params.lr_small, params.lr_large):
            source = dense(params, params.claim_network, mask_lr, seed)
            masks = {
                "lt_decoupled_imp": tickets.imp(source, rounds=level, rate=params.rate)[-1].mask,
                "lt_decoupled_omp": tickets.omp(source, rounds=level, rate=params.rate)[-1].mask,
            }
            for lr in params.lrs_of(params.claim_network):
                whole = dense(params, params.claim_network, lr, seed)
                labels = {"network": params.claim_network, "lr": lr, "mask_lr": mask_lr, "seed": seed}
                at = {**labels, "epochs": epochs, "level": level, "density": params.density(level)}
                yield from (({**at, "arm": arm}, tickets.ticket(whole, mask)) for arm, mask in masks.items())


def warmed(params: Params) -> Iterator[Labelled]:
    """A1a's control: at the large rate with warm-up, mask and ticket both, tickets may win again."""
    if not params.warmup_control:
        return
    for seed in params.seeds:
        whole = dense(params, params.claim_network, params.lr_large, seed, warmup=params.warmup_control)
        labels = {"network": params.claim_network, "lr": params.lr_large, "mask_lr": params.lr_large, "seed": seed}
        labels = {**labels, "epochs": params.epochs_of(params.claim_network)}
        yield {**labels, "arm": "dense_warm", "level": 0, "density": 1.0}, whole
        winner = tickets.imp(whole, rounds=params.claim_level, rate=params.rate)[-1]
        at = {**labels, "level": params.claim_level, "density": params.density(params.claim_level)}
        yield {**at, "arm": "lt_warm"}, winner
        yield {**at, "arm": "rr_warm"}, tickets.reinit(winner)


def every_run(params: Params, root: str | None = None) -> list[Run]:
    """All runs of the study."""
    return [run for _, run in grid(params, root)]


def collect(params: Params, lab: Lab) -> pd.DataFrame:
    """Trains what is missing and gives the study's table, a row a run."""
    labelled = grid(params, lab.root)
    lab.run(run for _, run in labelled)
    return lab.table(labelled)


@measured(every_run)
def overlap(params: Params, lab: Lab, p: float = 0.1) -> pd.DataFrame:
    """R_p of a ticket's start with the masked dense weights θ_T⊙m at the overlap level (A11); two rows a run.

    `start` is own (θ_0⊙m) or fresh (θ_0'⊙m), the negative control; `null_sd` the width of chance.
    """
    rows = []
    for name in dict.fromkeys((params.claim_network, *params.networks)):
        for lr in params.lrs_of(name):
            for seed in params.seeds:
                whole = dense(params, name, lr, seed)
                ticket = tickets.imp(whole, rounds=params.overlap_level, rate=params.rate)[-1]
                mask, trained = lab.mask(ticket), lab.weights(whole)
                sd = null_sd(p, sum(counts(mask).values()))
                for start, run in (("own", ticket), ("fresh", tickets.reinit(ticket))):
                    ratio = overlap_ratio(lab.weights(run, 0), trained, p, mask, mask)
                    labels = {"network": name, "lr": lr, "seed": seed, "start": start, "runs": (run.name, whole.name)}
                    rows.append({**labels, "p": p, "ratio": ratio, "null_sd": sd})
    return pd.DataFrame(rows)
