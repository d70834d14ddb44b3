"""The parameters of the existence study (existence.md), and how studies name networks.

Like all modules of parameters it needs no torch: what a parameter file does wrong is told at once.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..errors import nearest
from ..params import Parameters
from ..spec import Network, Seed, Share

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

    @property
    def lr_short(self) -> float:
        """The claim network's smallest learning rate: that of claims A3a and A3b."""
        return min(self.lrs_of(self.claim_network))

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
