"""The mode-connectivity study (mode_connectivity.md): which runs it needs.

What is measured on their weights is in `mode_connectivity_paths`, what they say in `mode_connectivity_claims`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

import pandas as pd
from pydantic import Field, model_validator

from ..errors import UserError, nearest
from ..lab import Lab
from ..params import Parameters
from ..prune import tickets
from ..spec import From, Init, Network, Recipe, Run, Seed, Share, Task
from . import existence

Labelled = tuple[dict[str, Any], Run]

CLAIM_DENSITY = 0.134  # the density at which the paper compares tickets with fresh weights
ORDERS = 10_000  # between the data orders of two twins: no two runs of a study share one by accident
WORDS = ("warm", "adam", "steps", "wd0")


class Params(Parameters):
    """Parameters of `notebooks/mode_connectivity.ipynb`; the notebook's cell says what each means."""

    scale: str
    data: str
    networks: tuple[str, ...]
    claim_network: str
    settings: tuple[str, ...]
    stable: str
    unstable: str
    contrast_settings: tuple[str, ...] = Field(min_length=0, max_length=2)
    epochs: Annotated[int, Field(ge=2)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    schedule: Literal["constant", "step", "cosine"]
    milestones: tuple[Share, ...]
    warmup: Annotated[float, Field(ge=0)]
    crop: Annotated[int, Field(ge=0, le=16)]
    flip: bool
    precision: Literal["fp32", "bf16"]
    rate: Share
    rounds: Annotated[int, Field(ge=1, le=100)]
    levels: tuple[Annotated[int, Field(ge=1)], ...]
    rewind_epochs: tuple[Annotated[int, Field(ge=0)], ...]
    repel: Annotated[float, Field(ge=0)]
    attract: Annotated[float, Field(le=0)]
    fine_tune_epochs: Annotated[int, Field(ge=1)]
    points: Annotated[int, Field(ge=3, le=101)]
    batch_norm: Literal["recompute", "interpolate"]
    endpoint_mask: Literal["own", "intersection", "sparser"]
    calibration: Annotated[int, Field(ge=1)]
    measure: Literal["angle", "cosine", "euclidean"]
    seeds: tuple[Seed, ...]
    twins: Annotated[int, Field(ge=2, le=10)]
    validation: Annotated[float, Field(ge=0, le=0.5)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.networks:
            network(name)
        if self.claim_network not in self.networks:
            hint = nearest(self.claim_network, self.networks)
            raise ValueError(f"claim_network '{self.claim_network}' is not among networks{hint}")
        if len(self.networks) > 1 and not self.contrast_settings:
            raise ValueError(
                f"contrast_settings: {self.networks} need the settings of the ones beside {self.claim_network}"
            )
        for name in ("settings", "contrast_settings"):
            self._recipes(name)
        for role in ("stable", "unstable"):
            if getattr(self, role) not in self.settings:
                hint = nearest(getattr(self, role), self.settings)
                raise ValueError(f"{role} '{getattr(self, role)}' is not among settings{hint}")
        if self.stable == self.unstable:
            raise ValueError(f"stable and unstable are one setting, {self.stable}")
        if extra := [level for level in self.levels if level > self.rounds]:
            raise ValueError(f"levels go up to the {self.rounds} rounds, not to {max(extra)}")
        if 0 not in self.rewind_epochs:
            raise ValueError(f"rewind_epochs must begin at epoch 0, not {list(self.rewind_epochs)}")
        length = recipe(self, self.claim_network, self.unstable).epochs or 0
        if max(self.rewind_epochs) >= length:
            raise ValueError(f"rewind_epochs: {max(self.rewind_epochs)} leaves nothing of {self.unstable}'s {length}")
        return self

    def _recipes(self, key: str) -> None:
        seen: dict[Recipe, str] = {}
        for text in getattr(self, key):
            given = setting(text)
            if given.warm and not self.warmup:
                raise ValueError(f"{key}: '{text}' needs a warmup above 0 epochs")
            made = _recipe(self, text, getattr(self, key)[0])
            if made in seen:
                raise ValueError(f"{key}: '{seen[made]}' and '{text}' are one and the same")
            seen[made] = text

    def settings_of(self, name: str) -> tuple[str, ...]:
        """Settings of a network: all for the claim network; for the others their stable and perhaps an unstable one."""
        return self.settings if name == self.claim_network else self.contrast_settings

    def stable_of(self, name: str) -> str:
        """The setting at which a network's training is to be stable."""
        return self.stable if name == self.claim_network else self.contrast_settings[0]

    def unstable_of(self, name: str) -> str | None:
        """The setting at which a network's training is to be unstable; None where it has none."""
        if name == self.claim_network:
            return self.unstable
        return self.contrast_settings[1] if len(self.contrast_settings) > 1 else None

    def density(self, level: int) -> float:
        """Nominal density of a round: (1 - rate)^level."""
        return (1 - self.rate) ** level

    def level_near(self, density: float) -> int:
        """The one of `levels` whose density is closest to this one, as a ratio."""
        return min(self.levels, key=lambda level: abs(math.log(self.density(level) / density)))

    @property
    def claim_level(self) -> int:
        """The one of `levels` closest to the density at which the paper compares tickets with fresh weights."""
        return self.level_near(CLAIM_DENSITY)


@dataclass(frozen=True)
class Setting:
    """What a setting's text says."""

    batch: int
    lr: float
    warm: bool = False
    adam: bool = False
    steps: bool = False
    decay: float | None = None  # None: the study's weight decay


def setting(text: str) -> Setting:
    """`batch/lr[/word...]` as values, such as 512/0.1/warm; UserError for what isn't one.

    Words: `warm` (linear warm-up over the study's `warmup` epochs), `adam`, `steps` (as many steps as the first setting
    of the list, to the nearest epoch, instead of as many epochs), `wd0` (no weight decay; wd0.01: this one).
    """
    form = f"setting '{text}': batch/lr[/word...] is wanted, like 128/0.01 or 512/0.1/warm"
    batch, _, rest = text.partition("/")
    lr, *words = rest.split("/")
    try:
        found: dict[str, Any] = {"batch": int(batch), "lr": float(lr)}
    except ValueError:
        raise UserError(form) from None
    if found["batch"] < 1 or not 0 < found["lr"] <= 100:
        raise UserError(f"{form}, with a batch from 1 on and a learning rate above 0, up to 100")
    for word in words:
        key = "decay" if word.startswith("wd") else word
        if key != "decay" and word not in WORDS:
            raise UserError(f"setting '{text}': no word '{word}'{nearest(word, WORDS)}; known: {', '.join(WORDS)}")
        if key in found:
            raise UserError(f"setting '{text}': '{word}' comes on top of another of its kind")
        found[key] = _decay(text, word) if key == "decay" else True
    return Setting(**found)


def _decay(text: str, word: str) -> float:
    try:
        value = float(word.removeprefix("wd"))
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise UserError(f"setting '{text}': '{word}' is no weight decay from 0 to 1, like wd0 or wd0.01")
    return value


def network(name: str) -> Network:
    """As in the existence study, and `+bn` behind it for BatchNorm: conv4*0.25+bn."""
    body, plus, norm = name.partition("+")
    if plus and norm != "bn":
        raise UserError(f"network '{name}': '+{norm}' is no ending, '+bn' is")
    found = existence.network(body)
    return found.replace(norm="batch") if plus else found


def recipe(params: Params, name: str, text: str) -> Recipe:
    """How a network is trained at a setting."""
    return _recipe(params, text, params.settings_of(name)[0])


def _recipe(params: Params, text: str, first: str) -> Recipe:
    at = setting(text)
    longer = at.batch / setting(first).batch if at.steps else 1
    return Recipe(
        optimizer="adam" if at.adam else "sgd",
        lr=at.lr,
        momentum=params.momentum,
        weight_decay=params.weight_decay if at.decay is None else at.decay,
        epochs=max(1, round(longer * params.epochs)),
        batch_size=at.batch,
        schedule=params.schedule,
        milestones=params.milestones,
        warmup=params.warmup if at.warm else 0.0,
        precision=params.precision,
    )


def dense(params: Params, name: str, text: str, seed: int) -> Run:
    """The dense network of one seed at a setting."""
    task = Task(data=params.data, validation=params.validation, crop=params.crop, flip=params.flip)
    start = Init(seed=seed, scheme="kaiming_uniform" if name.startswith("lenet") else "kaiming_normal")
    return Run(task=task, network=network(name), recipe=recipe(params, name, text), start=start, order=seed)


def twin(run: Run, number: int) -> Run:
    """The same training in its nth other data order, with other crops and flips; 0 is the run itself."""
    return run.replace(order=run.order + ORDERS * number) if number else run


def grid(params: Params) -> list[Labelled]:
    """Every run of the study with its labels: network, setting, arm, level, density, seed, twin, rewind.

    Arms: dense (twin > 0: another data order, from epoch `rewind` on); dense_full (all epochs once more from epoch
    `rewind`); imp (a ticket a round; twin > 0: another data order); reinit (the same masks over θ_0', one draw a seed;
    level 0 is dense); random (the mask shuffled); finetuned (what the round before trained, pruned and trained on at
    the last learning rate); repelled, attracted (chains of rounds with J_r against all earlier ones), repelled_last
    (against the last one); repelled_reinit, attracted_reinit (reinit with J_r against the rounds of imp). Which arms
    belong to which setting: `of`.
    """
    return [
        item
        for name in params.networks
        for text in params.settings_of(name)
        for seed in params.seeds
        for item in of(params, name, text, seed)
    ]


def of(params: Params, name: str, text: str, seed: int) -> Iterator[Labelled]:
    """One network at one setting and seed.

    Every setting has dense, imp and, at `levels`, twins and reinit; the stable and the unstable one have reinit in all
    rounds, and finetuned; the stable one random and repelled (repelled_last on a LeNet); the claim network's unstable
    one dense networks that part later, and attracted.
    """
    whole = dense(params, name, text, seed)
    chain = [whole, *tickets.imp(whole, rounds=params.rounds, rate=params.rate, prunable="all")]
    stable, unstable = text == params.stable_of(name), text == params.unstable_of(name)

    def at(arm: str, level: int = 0, twin: int = 0, rewind: int = 0) -> dict[str, Any]:
        labels = {"network": name, "setting": text, "arm": arm, "level": level, "density": params.density(level)}
        return {**labels, "seed": seed, "twin": twin, "rewind": rewind}

    for number in range(params.twins):
        yield at("dense", twin=number), twin(whole, number)
    for level, winner in enumerate(chain):
        if level:
            yield at("imp", level), winner
        if level in params.levels:
            yield from ((at("imp", level, number), twin(winner, number)) for number in range(1, params.twins))
        if level in params.levels or stable or unstable:
            yield at("reinit", level), tickets.reinit(winner)
        if level in params.levels and stable:
            yield at("random", level), tickets.shuffled(winner)
        if level in params.levels and (stable or unstable):
            yield at("finetuned", level), fine_tuned(params, chain[level - 1], winner)
    if stable and params.repel:
        yield from _pushed(params, "repelled", chain, params.repel, at)
        if name.startswith("lenet"):
            yield from _pushed(params, "repelled_last", chain, params.repel, at)
    if unstable and name == params.claim_network:
        yield from _parted(params, whole, at)
        if params.attract:
            yield from _pushed(params, "attracted", chain, params.attract, at)


def fine_tuned(params: Params, before: Run, winner: Run) -> Run:
    """What a ticket's mask was cut from, pruned and trained on at the last learning rate, with a fresh optimizer."""
    given = before.recipe
    # A cosine ends at 0, where nothing would be trained: a hundredth is where two milestones end.
    drop = {"constant": 1.0, "step": given.gamma ** len(given.milestones), "cosine": 0.01}[given.schedule]
    tuned = given.replace(lr=drop * given.lr, epochs=params.fine_tune_epochs, schedule="constant", warmup=0.0)
    return tickets.fine_tune(before, winner.mask).replace(recipe=tuned)


def _pushed(params: Params, arm: str, chain: list[Run], strength: float, at: Any) -> Iterator[Labelled]:
    last = arm == "repelled_last"
    given: dict[str, Any] = {"rounds": params.rounds, "rate": params.rate, "prunable": "all"}
    for level, run in enumerate(tickets.imp(chain[0], repel=strength, last_only=last, **given), start=1):
        yield at(arm, level), run
        if level in params.levels and not last:
            # On imp's mask and against imp's rounds, so that reinit differs from it by the loss alone.
            yield (
                at(f"{arm}_reinit", level),
                tickets.repelled(tickets.reinit(chain[level]), chain[:level], strength),
            )


def _parted(params: Params, whole: Run, at: Any) -> Iterator[Labelled]:
    for k in params.rewind_epochs:
        for number in range(params.twins) if k else ():
            if number:  # the dense run itself is the one that kept its order
                yield at("dense", twin=number, rewind=k), twin(tickets.ticket(whole, whole.mask, k), number)
            full = whole.replace(start=From(run=whole, epoch=k, resume=0))
            yield at("dense_full", twin=number, rewind=k), twin(full, number)


def every_run(params: Params, root: str | None = None) -> list[Run]:
    """All runs of the study; none depends on where the data lie."""
    return [run for _, run in grid(params)]


def collect(params: Params, lab: Lab) -> pd.DataFrame:
    """Trains what is missing and gives the study's table, a row a run."""
    labelled = grid(params)
    lab.run(run for _, run in labelled)
    return lab.table(labelled)
