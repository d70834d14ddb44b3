"""The parameters of the weight-correlation study (weight_correlation.md)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..errors import nearest
from ..params import Parameters
from ..spec import Prunable, Seed, Share
from .existence_params import network

Rate = Annotated[float, Field(gt=0, le=100)]
Decay = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[int, Field(ge=1, le=100)]

P = 0.2  # at which tickets and their starts are compared (weight_correlation.md section 2)
DECIMALS = 9  # of densities and decays in tables, so that floats of one value meet


class Params(Parameters):
    """Parameters of `notebooks/weight_correlation.ipynb`; the notebook's cell says what each means."""

    scale: str
    data: str
    networks: tuple[str, ...]
    contrasts: tuple[str, ...] = Field(min_length=0)
    claim_network: str
    lrs: tuple[Rate, ...]
    lr_small: Rate
    lr_large: Rate
    decays: tuple[Decay, ...]
    decay: Decay
    epochs: Annotated[int, Field(ge=2)]
    contrast_epochs: Annotated[int, Field(ge=2)]
    batch_size: Annotated[int, Field(ge=1)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    schedule: Literal["constant", "step", "cosine"]
    milestones: tuple[Share, ...]
    crop: Annotated[int, Field(ge=0, le=16)]
    flip: bool
    precision: Literal["fp32", "bf16"]
    rate: Share
    levels: tuple[Level, ...]
    contrast_levels: tuple[Level, ...] = Field(min_length=0)
    claim_level: Level
    method_levels: tuple[Level, ...]
    global_levels: tuple[Level, ...] = Field(min_length=0)
    prunable: Prunable
    rewind_epoch: Annotated[int, Field(ge=1)]
    lr_rewind_epoch: Annotated[int, Field(ge=1)]
    warmup: Annotated[float, Field(ge=0)]
    long_epochs: Annotated[int, Field(ge=0)]
    matched_decay: Decay
    pull: Annotated[float, Field(ge=0)]
    push: Annotated[float, Field(le=0)]
    admm_rounds: Annotated[int, Field(ge=1, le=100)]
    admm_epochs: Annotated[int, Field(ge=1)]
    admm_lr: Rate
    admm_rho: Annotated[float, Field(gt=0)]
    admm_start: Literal["dense", "admm"]
    ps: tuple[Share, ...]
    seeds: tuple[Seed, ...]
    validation: Annotated[float, Field(ge=0, le=0.5)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in (*self.networks, *self.contrasts, self.claim_network):
            network(name)
        if self.claim_network not in self.networks:
            hint = nearest(self.claim_network, self.networks)
            raise ValueError(f"claim_network '{self.claim_network}' is not among networks{hint}")
        if twice := set(self.networks) & set(self.contrasts):
            raise ValueError(f"contrasts: {', '.join(sorted(twice))} stands among networks too")
        if bool(self.contrasts) != bool(self.contrast_levels):
            raise ValueError("contrasts and contrast_levels go together: give both or neither")
        for key, values, among in (
            ("lr_small", (self.lr_small,), "lrs"),
            ("lr_large", (self.lr_large,), "lrs"),
            ("decay", (self.decay,), "decays"),
            ("claim_level", (self.claim_level,), "method_levels"),
            ("method_levels", self.method_levels, "levels"),
            ("ps", (P,), "ps"),
        ):
            if missing := [value for value in values if value not in getattr(self, among)]:
                raise ValueError(f"{key}: {missing[0]} must be among {among} {list(getattr(self, among))}")
        if self.lr_small >= self.lr_large:
            raise ValueError(f"lr_small ({self.lr_small}) must be below lr_large ({self.lr_large})")
        if self.matched_decay and self.matched_decay not in self.decays:
            raise ValueError(f"matched_decay: {self.matched_decay} must be among decays {list(self.decays)}, or 0")
        for key in ("rewind_epoch", "lr_rewind_epoch", "warmup"):
            if getattr(self, key) >= self.epochs:
                raise ValueError(f"{key} ({getattr(self, key)}) must be below epochs ({self.epochs})")
        if 0 < self.long_epochs <= self.epochs:
            raise ValueError(f"long_epochs ({self.long_epochs}) must be above epochs ({self.epochs}), or 0")
        return self

    def lrs_of(self, name: str) -> tuple[float, ...]:
        """Learning rates of a network: all for `networks`, the small and the large one for `contrasts`."""
        return self.lrs if name in self.networks else (self.lr_small, self.lr_large)

    def decays_of(self, name: str) -> tuple[float, ...]:
        """Weight decays of a network: all for `networks`, the main one for `contrasts`."""
        return self.decays if name in self.networks else (self.decay,)

    def levels_of(self, name: str) -> tuple[int, ...]:
        """Rounds of the iterative masks at which a network's other arms are trained."""
        return self.levels if name in self.networks else self.contrast_levels

    def epochs_of(self, name: str) -> int:
        """Training length T of a network."""
        return self.epochs if name in self.networks else self.contrast_epochs

    def density(self, level: int) -> float:
        """Nominal density of a level: (1 - rate)^level."""
        return round((1 - self.rate) ** level, DECIMALS)

    @property
    def lower_decay(self) -> float:
        """The weight decay that does at `lr_large` what `matched_decay` does at `lr_small`: lr·decay·steps is equal."""
        return round(self.matched_decay * self.lr_small / self.lr_large, DECIMALS)
