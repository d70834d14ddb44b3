"""The parameters of the gradient-flow study (gradient_flow.md)."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..errors import UserError, nearest
from ..params import Parameters
from ..spec import Network, Prunable, Seed, Share, Trace
from .existence_params import network as plain_network

PAPER_STEPS = 11_719  # of LeNet-5's training in paper D: claims that name a step are read at the same share of training
NORMS = {"bn": "batch", "nobn": "none"}
SPAN = (-0.2, 1.2)  # of α on the way to the pruned solution (P10)


class Params(Parameters):
    """Parameters of `notebooks/gradient_flow.ipynb`; the notebook's cell says what each means."""

    scale: str
    data: str
    networks: tuple[str, ...]
    contrasts: tuple[str, ...] = Field(min_length=0)
    claim_network: str
    start: Literal["dense_glorot", "dense_he"]
    density: Share
    dynamic_density: Share
    spectra_density: Share
    lr: Annotated[float, Field(gt=0, le=100)]
    epochs: Annotated[int, Field(ge=1)]
    contrast_epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    momentum: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: Annotated[float, Field(ge=0, le=1)]
    schedule: Literal["constant", "step", "cosine"]
    milestones: tuple[Share, ...]
    crop: Annotated[int, Field(ge=0, le=16)]
    flip: bool
    precision: Literal["fp32", "bf16"]
    prunable: Prunable
    prune_begin: Annotated[float, Field(ge=0, lt=1)]
    prune_end: Annotated[float, Field(gt=0, le=1)]
    prune_every: Annotated[int, Field(ge=1)]
    imp_rounds: Annotated[int, Field(ge=1, le=100)]
    layouts: tuple[Literal["uniform", "er", "erk"], ...]
    every: Annotated[int, Field(ge=1)]
    end: Annotated[float, Field(gt=0, le=1)]
    drop: Annotated[float, Field(gt=0, le=1)]
    replaces_step: bool
    longer: Annotated[int, Field(ge=0, le=20)]
    twins: Annotated[int, Field(ge=1, le=10)]
    trace_every: Annotated[int, Field(ge=1)]
    trace_images: Annotated[int, Field(ge=1)]
    spectra_updates: tuple[Annotated[int, Field(ge=1)], ...] = Field(min_length=0)
    spectra_images: Annotated[int, Field(ge=1)]
    spectra_exact: Annotated[int, Field(ge=0)]
    points: Annotated[int, Field(ge=8)]
    path_images: Annotated[int, Field(ge=1)]
    sparsities: tuple[Annotated[float, Field(ge=0, lt=1)], ...]
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
        if self.prune_begin >= self.prune_end:
            raise ValueError(f"prune_begin ({self.prune_begin}) must be below prune_end ({self.prune_end})")
        if len(set(self.layouts)) < len(self.layouts):
            raise ValueError(f"layouts names one twice: {', '.join(self.layouts)}")
        if list(self.spectra_updates) != sorted(set(self.spectra_updates)):
            raise ValueError(f"spectra_updates must rise, not {list(self.spectra_updates)}")
        if (self.points - 1) % 7:
            raise ValueError(f"points must be a multiple of 7 and 1 more, so that α meets 0 and 1, not {self.points}")
        if self.longer == 1:
            raise ValueError("longer is how many times as long: 2 or more, or 0 to leave it out")
        return self

    def epochs_of(self, name: str) -> int:
        """Training length of a network."""
        return self.epochs if name in self.networks else self.contrast_epochs

    @property
    def trace(self) -> Trace:
        """What is recorded of the traced runs; snapshots stand at the mask updates whose spectra are wanted."""
        steps = tuple(self.every * number for number in self.spectra_updates)
        return Trace(every=self.trace_every, images=self.trace_images, snapshots=steps)

    @property
    def alphas(self) -> list[float]:
        """`points` even values of α, 0 and 1 among them."""
        first, last = SPAN
        return [round(first + (last - first) * place / (self.points - 1), 9) for place in range(self.points)]


def network(name: str) -> Network:
    """As in the existence study, with `+bn` or `+nobn` behind it for BatchNorm or none: lenet_5+bn, vgg16+nobn."""
    body, plus, norm = name.partition("+")
    if plus and norm not in NORMS:
        raise UserError(f"network '{name}': '+{norm}' is no ending, '+bn' and '+nobn' are")
    found = plain_network(body)
    return found.replace(norm=NORMS[norm]) if plus else found
