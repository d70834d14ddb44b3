"""The parameters of the sanity-check study (sanity_checks.md)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..errors import nearest
from ..params import Parameters
from ..spec import Density, Seed, Share
from .existence_params import network

# What each method takes its mask and its weights from.
METHODS = {
    **dict.fromkeys(("snip", "grasp"), "initial"),
    **dict.fromkeys(("synflow", "magnitude"), "initial"),
    **dict.fromkeys(("lt", "imp"), "initial"),
    **dict.fromkeys(("weight_rewinding", "lr_rewinding"), "partial"),
    **dict.fromkeys(("hybrid", "hybrid_uniform", "hybrid_erk"), "hybrid"),
    **dict.fromkeys(("random", "smart", "balanced", "linear", "cubic", "ascending", "er", "erk"), "random"),
    **dict.fromkeys(("smart+2", "smart-1"), "random"),
}
CHECKS = ("corrupted", "labels", "pixels", "rearranged", "reinit", "inverted", "weights", "halved", "shortened")
PRETRAINED = ("lt", "imp", "weight_rewinding", "lr_rewinding", "hybrid", "hybrid_uniform", "hybrid_erk")


class Params(Parameters):
    """Parameters of `notebooks/sanity_checks.ipynb`; the notebook's cell says what each means."""

    scale: str
    data: str
    networks: tuple[str, ...]
    contrasts: tuple[str, ...] = Field(min_length=0)
    methods: tuple[str, ...]
    unchecked: tuple[str, ...] = Field(min_length=0)
    checks: tuple[str, ...]
    contrast_methods: tuple[str, ...] = Field(min_length=0)
    contrast_checks: tuple[str, ...] = Field(min_length=0)
    densities: tuple[Density, ...]
    check_densities: tuple[Density, ...]
    contrast_densities: tuple[Density, ...]
    lr: Annotated[float, Field(gt=0, le=100)]
    epochs: Annotated[int, Field(ge=2)]
    contrast_epochs: Annotated[int, Field(ge=2)]
    rewind: Share
    partial_length: Literal["rest", "full"]
    batch_size: Annotated[int, Field(ge=1)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    schedule: Literal["constant", "step", "cosine"]
    milestones: tuple[Share, ...]
    crop: Annotated[int, Field(ge=0, le=16)]
    flip: bool
    precision: Literal["fp32", "bf16"]
    per_class: Annotated[int, Field(ge=1)]
    synflow_steps: Annotated[int, Field(ge=1, le=1000)]
    imp_rounds: Annotated[int, Field(ge=1, le=100)]
    prunable: Literal["default", "all", "no_shortcut"]
    empty_layers: Literal["report", "refuse"]
    seeds: tuple[Seed, ...]
    validation: Annotated[float, Field(ge=0, le=0.5)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name in self.networks + self.contrasts:
            network(name)
        for key in ("methods", "unchecked", "contrast_methods", "checks", "contrast_checks"):
            known = tuple(CHECKS) if key.endswith("checks") else tuple(METHODS)
            for name in getattr(self, key):
                if name not in known:
                    raise ValueError(f"{key}: no '{name}'{nearest(name, known)}; known: {', '.join(known)}")
        if twice := set(self.methods) & set(self.unchecked):
            raise ValueError(f"unchecked: {', '.join(sorted(twice))} stands among methods too")
        if extra := set(self.check_densities) - set(self.densities):
            raise ValueError(f"check_densities must be among densities, {min(extra)} isn't in {list(self.densities)}")
        if self.rewind_epoch(self.epochs) >= self.epochs:
            raise ValueError(f"rewind ({self.rewind}) leaves nothing of {self.epochs} epochs")
        return self

    def epochs_of(self, name: str) -> int:
        """Training length of a network."""
        return self.epochs if name in self.networks else self.contrast_epochs

    def rewind_epoch(self, epochs: int) -> int:
        """The epoch that partially-trained tickets go back to, at least 1."""
        return max(1, round(self.rewind * epochs))

    def methods_of(self, name: str) -> tuple[str, ...]:
        """Methods of a network, those without checks included."""
        return self.methods + self.unchecked if name in self.networks else self.contrast_methods

    def checks_of(self, name: str) -> tuple[str, ...]:
        """Checks of a network."""
        return self.checks if name in self.networks else self.contrast_checks

    def densities_of(self, name: str) -> tuple[float, ...]:
        """Densities of a network's tickets."""
        return self.densities if name in self.networks else self.contrast_densities

    def check_densities_of(self, name: str) -> tuple[float, ...]:
        """Densities of a network at which its checks are made."""
        return self.check_densities if name in self.networks else self.contrast_densities
