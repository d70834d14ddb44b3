"""The parameters of the mode-connectivity study (mode_connectivity.md), with the grammar of its settings."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from ..errors import UserError, nearest
from ..params import Parameters
from ..spec import Network, Recipe, Seed, Share
from . import existence_params as existence
from . import recipes

CLAIM_DENSITY = 0.134  # the density at which the paper compares tickets with fresh weights
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
    return recipes.recipe(
        params,
        at.lr,
        max(1, round(longer * params.epochs)),
        optimizer="adam" if at.adam else "sgd",
        weight_decay=params.weight_decay if at.decay is None else at.decay,
        batch_size=at.batch,
        warmup=params.warmup if at.warm else 0.0,
    )
