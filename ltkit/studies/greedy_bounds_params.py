"""The parameters of the greedy-bounds study (greedy_bounds.md)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..errors import nearest
from ..params import Parameters
from ..spec import Seed, Share
from .existence_params import network

Counts = tuple[Annotated[int, Field(ge=1)], ...]

# "local_original" is local imitation of what a layer gave before anything was pruned; which target F has isn't known.
LOCAL = ("local", "negative", "one_over_k", "no_repeats", "random", "norm", "backward")
ORIGINAL = "local_original"
SEEING = ("global", "better", "label_loss")  # these look at what the whole network answers: most of the time goes here
CONTRASTS = ("local", ORIGINAL, "random", "norm", *SEEING)


class Params(Parameters):
    """Parameters of `notebooks/greedy_bounds.ipynb`; the notebook's cell says what each means."""

    scale: str
    data: str
    networks: tuple[str, ...]
    contrasts: tuple[str, ...] = Field(min_length=0)
    lr: Annotated[float, Field(gt=0, le=100)]
    epochs: Annotated[int, Field(ge=1)]
    contrast_epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    schedule: Literal["constant", "step", "cosine"]
    milestones: tuple[Share, ...]
    precision: Literal["fp32", "bf16"]
    neurons: Annotated[int, Field(ge=40)]
    dimensions: Counts
    few_neurons: Annotated[int, Field(ge=40)]
    many_dimensions: Annotated[int, Field(ge=2)]
    steps: Annotated[int, Field(ge=30)]
    widths: tuple[Annotated[int, Field(ge=16)], ...]
    ranks: Counts
    layer_images: Annotated[int, Field(ge=2)]
    layer_rows: Annotated[int, Field(ge=2)]
    budgets: tuple[Share, ...]
    error: Share
    calibration: Annotated[int, Field(ge=2)]
    shortlist: Annotated[int, Field(ge=1)]
    tune_lr: Annotated[float, Field(gt=0, le=100)]
    tune_epochs: Annotated[int, Field(ge=1)]
    picks: Annotated[int, Field(ge=2)]
    toy_width: Annotated[int, Field(ge=4)]
    toy_sizes: Counts
    seeds: tuple[Seed, ...]
    validation: Annotated[float, Field(gt=0, le=0.5)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        groups = {"networks": self.networks, "contrasts": self.contrasts}
        seen: dict[str, str] = {}
        for group, names in groups.items():
            for name in names:
                network(name)
                if name in seen:
                    raise ValueError(f"{group}: {name} stands among {seen[name]} already{nearest(name, seen)}")
                seen[name] = group
        for key in ("dimensions", "widths", "ranks", "toy_sizes", "budgets"):
            values = getattr(self, key)
            if len(set(values)) < len(values):
                raise ValueError(f"{key} names a value twice: {list(values)}")
        if max(self.dimensions) >= self.neurons:
            raise ValueError(f"dimensions must be below neurons ({self.neurons}), not {max(self.dimensions)}")
        if self.few_neurons > self.many_dimensions:
            raise ValueError(
                f"few_neurons ({self.few_neurons}) must be at most many_dimensions ({self.many_dimensions})"
            )
        if list(self.toy_sizes) != sorted(self.toy_sizes) or len(self.toy_sizes) < 2:
            raise ValueError(f"toy_sizes must rise, from at least two sizes, not {list(self.toy_sizes)}")
        if max(self.toy_sizes) >= self.toy_width:
            raise ValueError(f"toy_sizes must be below toy_width ({self.toy_width}), not {max(self.toy_sizes)}")
        return self

    @property
    def every(self) -> tuple[str, ...]:
        """All networks, of whichever group."""
        return self.networks + self.contrasts

    def epochs_of(self, name: str) -> int:
        """Training length of a network."""
        return self.epochs if name in self.networks else self.contrast_epochs

    def rules_of(self, name: str, budget: float) -> tuple[str, ...]:
        """The rules that a network is pruned by at a budget: all of them for `networks` at the first."""
        if name in self.contrasts:
            return CONTRASTS
        return (*LOCAL, ORIGINAL, *(SEEING if budget == self.budgets[0] else SEEING[:1]))

    def budgets_of(self, name: str) -> tuple[float, ...]:
        """The shares of its multiply-adds that a network is pruned to: all for `networks`, the first for the others."""
        return self.budgets if name in self.networks else self.budgets[:1]
