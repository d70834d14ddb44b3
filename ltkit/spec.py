"""What one training is: a frozen value with an identity.

A `Run` holds everything that decides the result of one training and nothing else. Starts, masks and extra losses refer
to other runs, so a study is a graph of runs. The identity is the SHA-256 of the canonical JSON of the validated value
in which each run that is referred to stands as its own identity (a Merkle graph: the cost doesn't grow with the depth).

Not part of it: device, storage, paths, worker counts, how runs were grouped into cohorts, commit.
"""

from __future__ import annotations

import hashlib
import json
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .errors import UserError, nearest, one_line, shown

SCHEMA = 1  # raise it whenever the meaning of a training changes: every identity changes with it

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Density = Annotated[float, Field(gt=0, le=1)]
Share = Annotated[float, Field(gt=0, lt=1)]

ARCHITECTURES = (
    *("lenet_300_100", "lenet_5", "conv2", "conv4", "conv6"),
    *("resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet18", "resnet50"),
    *("vgg11", "vgg13", "vgg16", "vgg19", "mobilenet_v1", "mobilenet_v2"),
)
DATA = ("digits", "mnist", "fashion_mnist", "cifar10", "cifar100")


MANY = 6  # mistakes that are told at once


class Value(BaseModel):
    """A frozen value: unknown keys are refused, a user's mistake is one readable line."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    # Fields that came after runs had been stored: at their default they are left out of the identity, so that what was
    # trained before keeps its name.
    later: ClassVar[tuple[str, ...]] = ()

    def __init__(self, /, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise UserError(explain(error, type(self))) from None

    def replace(self, **changes: Any) -> Self:
        """This value with some fields changed, validated anew."""
        return type(self)(**{name: getattr(self, name) for name in type(self).model_fields} | changes)


def explain(error: ValidationError, model: type[BaseModel], where: str = "") -> str:
    """One line for all that pydantic found: key, what is wrong, and the nearest right name."""
    lines, found = [], error.errors()
    for item in found[:MANY]:
        path = ".".join(str(part) for part in item["loc"])
        if item["type"] == "extra_forbidden":
            key = str(item["loc"][-1])
            lines.append(f"unknown key '{path}'{nearest(key, model.model_fields)}")
        elif item["type"] == "value_error":
            lines.append((f"{path}: " if path else "") + str(item["ctx"]["error"]))
        elif item["type"] == "missing":
            lines.append(f"'{path}' is missing")
        else:
            hint = nearest(item["input"], ARCHITECTURES + DATA) if isinstance(item["input"], str) else ""
            lines.append(f"{path}: {item['msg'][0].lower()}{item['msg'][1:]}, not {shown(item['input'])}{hint}")
    more = f"; and {len(found) - MANY} more" if len(found) > MANY else ""
    return (where or model.__name__) + ": " + "; ".join(one_line(line, 200) for line in lines) + more


class Task(Value):
    """The data of a training: which images, split, subset, corruption, augmentation.

    `validation` is the fraction of the training pool held out, class by class; `subset` the fraction of the remaining
    training images that is used. Corruption touches training images and labels only, never validation or test ones.
    """

    data: str = "digits"  # one of DATA, or npz:PATH
    validation: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    split_seed: Seed = 0
    subset: Annotated[float, Field(gt=0, le=1)] = 1.0
    subset_seed: Seed = 0
    labels: Literal["true", "random"] = "true"  # random: every training label drawn anew, uniformly, once
    pixels: Literal["true", "shuffled"] = "true"  # shuffled: each training image gets its own permutation of all values
    corruption_seed: Seed = 0
    crop: Annotated[int, Field(ge=0, le=16)] = 0  # random crop after padding by so many pixels on each side
    flip: bool = False  # random horizontal flip

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.data not in DATA and not self.data.startswith("npz:"):
            raise ValueError(
                f"unknown data '{self.data}'{nearest(self.data, DATA)}; known: {', '.join(DATA)}, npz:PATH"
            )
        return self


class Network(Value):
    """An architecture. `width` multiplies every layer's width but the output's; counts are rounded, at least 1."""

    arch: str = "lenet_300_100"  # one of ARCHITECTURES, or py:PATH:CLASS (ltkit.models.own)
    width: Annotated[float, Field(gt=0, le=64)] = 1.0
    residual: bool = True  # False removes every skip addition (and so its downsample branch) from a ResNet
    norm: Literal["batch", "none"] | None = None  # None: what the architecture is known with

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        # Resolved before freezing, so that `norm=None` and the architecture's own norm are one identity.
        if isinstance(values, dict) and values.get("norm") is None:
            arch = str(values.get("arch", "lenet_300_100"))
            values = {**values, "norm": "none" if arch.startswith(("lenet", "conv", "py:")) else "batch"}
        return values

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.arch.startswith("py:"):
            if not all(self.arch.removeprefix("py:").rpartition(":")[::2]):
                raise ValueError(f"a network of one's own is py:PATH:CLASS, not '{self.arch}'")
        elif self.arch not in ARCHITECTURES:
            raise ValueError(f"unknown architecture '{self.arch}'{nearest(self.arch, ARCHITECTURES)}")
        if not self.residual and not self.arch.startswith("resnet"):
            raise ValueError(f"residual=False needs a ResNet, {self.arch} has no residual connections")
        if self.arch == "lenet_300_100" and self.norm == "batch":
            raise ValueError("lenet_300_100 has no BatchNorm variant; norm must be 'none'")
        if self.norm == "none" and self.arch in ("mobilenet_v1", "mobilenet_v2"):
            raise ValueError(f"{self.arch} has no variant without BatchNorm; norm must be 'batch'")
        return self


class Recipe(Value):
    """How the weights are trained. Milestones are fractions of the whole training, `warmup` is in epochs.

    The last, incomplete batch of an epoch is left out (another remainder each epoch, since the order is redrawn).
    """

    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: Annotated[float, Field(gt=0, le=100)] = 0.1
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.0
    epochs: Annotated[int, Field(ge=1, le=100_000)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None  # instead of epochs
    batch_size: Annotated[int, Field(ge=1)] = 128
    schedule: Literal["constant", "step", "cosine"] = "constant"
    milestones: tuple[Share, ...] = (0.5, 0.75)
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.1
    warmup: Annotated[float, Field(ge=0)] = 0.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    precision: Literal["fp32", "bf16"] = "fp32"  # of the products; weights, updates and statistics are always fp32

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        if list(self.milestones) != sorted(set(self.milestones)):
            raise ValueError(f"milestones must rise, not {self.milestones}")
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError("nesterov needs optimizer 'sgd' with momentum above 0")
        if self.epochs is not None and self.warmup > self.epochs:
            raise ValueError(f"warmup ({self.warmup} epochs) is longer than the training ({self.epochs})")
        return self


class Init(Value):
    """Fresh weights. `draw` 0 is θ_0 of this seed, 1 the independent θ_0' of its re-initialized control, and so on.

    `permute`, a seed: in each prunable tensor the weights that the mask keeps change places among themselves.
    `fan`: what the weights are scaled to once the mask is known (ltkit.models.sparse_initial), the last thing done.
    """

    later: ClassVar[tuple[str, ...]] = ("permute", "fan")

    kind: Literal["init"] = "init"
    seed: Seed = 0
    draw: Annotated[int, Field(ge=0, lt=1000)] = 0
    scheme: Literal["kaiming_normal", "kaiming_normal_out", "kaiming_uniform", "glorot_normal", "glorot_uniform"] = (
        "kaiming_normal"
    )
    permute: Seed | None = None
    fan: Literal["dense", "layer", "layer_out", "neuron"] = "dense"


class From(Value):
    """Weights and buffers of another run: after its epoch `epoch` (None: its last), the schedule going on at `resume`.

    Rewinding to epoch k is `epoch=k, resume=k` and takes the optimizer's state along; learning-rate rewinding is
    `epoch=None, resume=k` and fine-tuning `epoch=None, resume=0` with a recipe of its own, both with a fresh optimizer.
    `permute`, a seed: in each prunable tensor the weights that the mask keeps change places among themselves.
    """

    later: ClassVar[tuple[str, ...]] = ("permute",)

    kind: Literal["from"] = "from"
    run: Run
    epoch: Annotated[int, Field(ge=0)] | None = None
    resume: Annotated[int, Field(ge=0)] = 0
    permute: Seed | None = None


class Dense(Value):
    """No mask."""

    kind: Literal["dense"] = "dense"


Prunable = Literal["default", "all", "no_shortcut", "no_first"]  # see ltkit.models.prunable
# How a mask's weights are shared out over the layers: see ltkit.prune.distribution.
Distribution = Literal[
    "uniform", "er", "erk", "smart", "smart+2", "smart-1", "balanced", "linear", "cubic", "ascending"
]


class _Amount(Value):
    """How many weights stay: `density` keeps round(density*N), `rate` walks n -> n - floor(rate*n) `rounds` times."""

    density: Density | None = None
    rate: Share | None = None
    rounds: Annotated[int, Field(ge=1, le=1000)] = 1

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.density is None) == (self.rate is None):
            raise ValueError("give either density or rate")
        return self

    def kept(self, count: int, alive: int | None = None) -> int:
        """Weights kept of `count`, of which `alive` (default: all) are kept so far.

        `density` counts from `count`, `rate` from `alive`. Python's exact integers and fractions: no float floor.
        """
        if self.density is not None:
            return round_half_up(Fraction(str(self.density)) * count)
        left, rate = count if alive is None else alive, Fraction(str(self.rate))
        for _ in range(self.rounds):
            left -= int(rate * left)
        return left


def round_half_up(value: Fraction) -> int:
    """The nearest integer, halves upwards, so that the count doesn't depend on the parity of its neighbour."""
    return int(value + Fraction(1, 2))


class Magnitude(_Amount):
    """Keeps the largest (or smallest) |weights| of a trained run, among those that its own mask kept.

    `scope`: one ranking over all layers; in each layer the same share; or in each layer what a distribution gives it
    (with "smart" and a start from trained weights, the hybrid ticket of sanity_checks.md). Of a `Gradual` run at that
    run's own density it is that run's mask, however its layers were rounded.
    """

    kind: Literal["magnitude"] = "magnitude"
    run: Run
    scope: Literal["global", "layer"] | Distribution = "global"
    keep: Literal["largest", "smallest"] = "largest"  # smallest: the inverted mask
    prunable: Prunable = "default"


class Random(_Amount):
    """Positions at random, layer densities by a distribution (gradient_flow.md P7, sanity_checks.md section 2)."""

    kind: Literal["random"] = "random"
    distribution: Distribution = "uniform"
    seed: Seed = 0
    prunable: Prunable = "default"


class Scored(_Amount):
    """Keeps what a method scores highest (or lowest) before any training (sanity_checks.md sections 2 and 3).

    `start` are the weights that are scored: those that will be trained, or the mask says nothing about them. `task`
    gives the samples of SNIP and GraSP, `per_class` training images of each class, drawn by `seed`, not augmented; the
    other methods see no data. `steps` > 1 prunes gradually, scoring what is left (SynFlow).
    """

    kind: Literal["scored"] = "scored"
    method: Literal["magnitude", "snip", "grasp", "synflow"]
    start: Init
    task: Task | None = None
    per_class: Annotated[int, Field(ge=1)] = 10
    batch_norm: Literal["train", "eval"] = "train"  # whose statistics the scoring batch is normalised by: its own
    halves: Literal["mixed", "sorted"] = (
        "mixed"  # of GraSP's batch: all classes in each, or half of them as in its code
    )
    steps: Annotated[int, Field(ge=1, le=1000)] = 1
    keep: Literal["largest", "smallest"] = "largest"  # smallest: the inverted mask
    seed: Seed = 0
    prunable: Prunable = "default"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.task is not None) != (self.method in ("snip", "grasp")):
            raise ValueError(f"{self.method} {'sees no data' if self.task else 'needs a task to take samples from'}")
        if self.steps > 1 and self.method != "synflow":
            raise ValueError(f"{self.method} scores once; steps is for synflow")
        return self


class Given(Value):
    """A mask from a file, `file:PATH`, that the user made (ltkit.prune.given)."""

    kind: Literal["given"] = "given"
    file: Annotated[str, Field(pattern="^file:.")]


class Shuffled(Value):
    """Another mask with the positions of each layer permuted: the layer's counts stay."""

    kind: Literal["shuffled"] = "shuffled"
    mask: FixedMask
    seed: Seed = 0


class Grown(Value):
    """Begins with `mask` and moves while training, each layer's count fixed (gradient_flow.md P2, P3, P4).

    An update drops the smallest active |weights| of each layer and grows as many: at random (set), where the dense
    gradient of the batch is largest (rigl) or smallest (rigl_inverted). It comes every `every` steps, first at step
    `every`, and before `end`, a fraction of the steps. The share that is dropped falls from `drop` to 0 at `end` as a
    half cosine; with `end=1` that is the course of D's code, which follows a cosine learning rate.
    """

    kind: Literal["grown"] = "grown"
    method: Literal["set", "rigl", "rigl_inverted"]
    mask: Annotated[Random | Magnitude | Scored | Shuffled, Field(discriminator="kind")]
    every: Annotated[int, Field(ge=1)]
    end: Annotated[float, Field(gt=0, le=1)] = 0.75
    drop: Annotated[float, Field(gt=0, le=1)] = 0.3
    decay: Literal["cosine"] = "cosine"
    again: bool = True  # what was just dropped may grow again, with its value and optimizer state
    replaces_step: bool = True  # an update stands in place of the optimizer's step (RigL); False: follows it (D's code)
    seed: Seed = 0  # of SET's chance

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.seed and self.method != "set":  # or the same training would have two names
            raise ValueError(f"{self.method} leaves nothing to chance; seed is for set")
        return self


class Gradual(Value):
    """Begins dense and is pruned by magnitude while training, on the cubic schedule (gradient_flow.md section 2, P5).

    Between the fractions `begin` and `end` of the steps 1 - kept share = (1 - density)(1 - (1 - x)^3), x from 0 to 1;
    updates come every `every` steps from `begin`, and at `end`, each after the optimizer's step. `scope`: in each
    layer that share, rounded, at least 1 weight; or one ranking over all layers.
    """

    kind: Literal["gradual"] = "gradual"
    density: Density
    begin: Annotated[float, Field(ge=0, lt=1)] = 0.25
    end: Annotated[float, Field(gt=0, le=1)] = 0.6
    every: Annotated[int, Field(ge=1)]
    scope: Literal["layer", "global"] = "layer"
    prunable: Prunable = "default"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.begin >= self.end:
            raise ValueError(f"begin must lie before end, not {self.begin} and {self.end}")
        return self


class Repel(Value):
    """J_r of mode_connectivity.md section 2: strength / K times the sum of squared cosines to K runs' final weights.

    The angle is that of the prunable tensors as one vector, under the mask of the run that is trained. Above 0 it
    repels (the paper's 2), below 0 it attracts (its -1).
    """

    kind: Literal["repel"] = "repel"
    runs: tuple[Run, ...]
    strength: float

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.runs:
            raise ValueError("repel needs at least one run")
        if len(set(self.runs)) < len(self.runs):
            raise ValueError("repel names a run twice")
        _has_strength(self.strength)
        return self


class Anchor(Value):
    """strength / 2 times the squared distance of the kept prunable weights to `run`'s final ones (None: to the start).

    Above 0 it pulls towards them, below 0 it pushes away.
    """

    kind: Literal["anchor"] = "anchor"
    run: Run | None = None
    strength: float

    @model_validator(mode="after")
    def _some(self) -> Self:
        _has_strength(self.strength)
        return self


class Admm(Value):
    """strength / 2 (ADMM's ρ / 2) times the squared distance of the prunable weights to Z - U (ltkit.prune.admm).

    `runs` are the dense network and the rounds before this one, in this order: Z and U follow from their final weights.
    The projection keeps the weights that a `Magnitude` of this density, scope and prunable set would keep.
    """

    kind: Literal["admm"] = "admm"
    runs: tuple[Run, ...]
    density: Density
    scope: Literal["global", "layer"] | Distribution = "layer"
    prunable: Prunable = "default"
    strength: Annotated[float, Field(gt=0)]

    @model_validator(mode="after")
    def _chain(self) -> Self:
        if not self.runs:
            raise ValueError("admm needs at least one run, the dense one")
        if len(set(self.runs)) < len(self.runs):
            raise ValueError("admm names a run twice")
        if masked := [run for run in self.runs if not isinstance(run.mask, Dense)]:
            raise ValueError(f"admm's runs are dense, {masked[0].name} has a {masked[0].mask.kind} mask")
        return self


def _has_strength(strength: float) -> None:
    # Or the same training would have two names.
    if strength == 0:
        raise ValueError("a strength of 0 is no extra loss: leave it out")


StartSpec = Annotated[Init | From, Field(discriminator="kind")]
FixedMask = Annotated[Dense | Magnitude | Random | Scored | Given | Shuffled, Field(discriminator="kind")]
MaskSpec = Annotated[
    Dense | Magnitude | Random | Scored | Given | Shuffled | Grown | Gradual, Field(discriminator="kind")
]
ExtraSpec = Annotated[Repel | Anchor | Admm, Field(discriminator="kind")]


class Run(Value):
    """One training. `order` is the seed of data order and augmentation: twins that share it see the same batches.

    `extra` is a loss that is added to the cross-entropy.
    """

    later: ClassVar[tuple[str, ...]] = ("extra",)

    task: Task
    network: Network
    recipe: Recipe
    start: StartSpec = Init()
    mask: MaskSpec = Dense()
    order: Seed = 0
    extra: ExtraSpec | None = None

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for parent in self.parents:
            if parent.network != self.network:
                raise ValueError(
                    f"weights and masks come from the same network, not {parent.network.arch} to {self.network.arch}"
                )
        if isinstance(self.start, From) and self.start.epoch is not None and self.start.run.recipe.epochs is not None:
            last = self.start.run.recipe.epochs
            if self.start.epoch > last:
                raise ValueError(f"can't start from epoch {self.start.epoch} of a training of {last} epochs")
        if isinstance(self.start, From) and self.recipe.epochs is not None and self.start.resume >= self.recipe.epochs:
            raise ValueError(f"nothing is left to train from epoch {self.start.resume} of {self.recipe.epochs}")
        if isinstance(self.extra, Admm) and not isinstance(self.mask, Dense):
            raise ValueError(f"admm trains a dense network: it can't join a {self.mask.kind} mask")
        if self.extra is not None and isinstance(self.mask, Grown | Gradual):
            raise ValueError(f"an extra loss looks at one mask: it can't join a {self.mask.kind} one, which changes")
        drawn = self.mask
        while isinstance(drawn, Shuffled | Grown):
            drawn = drawn.mask
        if isinstance(drawn, Given):  # the next run's mask may be written to the same file
            _ = self.identity
        return self

    @cached_property
    def files(self) -> dict[str, str]:
        """The user's files that this run names, each with its content's digest when the run was named."""
        return user_files(self)

    @cached_property
    def identity(self) -> str:
        """SHA-256 of the canonical JSON of this run, 64 hex digits."""
        _ = self.files  # as they are now
        return hashlib.sha256(canonical(self).encode()).hexdigest()

    @cached_property
    def name(self) -> str:
        """`<kind>-<12 hex>`: the name of the run's folder in the store."""
        return f"{self.kind}-{self.identity[:12]}"

    @property
    def kind(self) -> str:
        """A word for the eye: dense, ticket, reinit, rewound, finetuned, random, scored, given, shuffled or inverted.

        Under a mask that changes: grown or gradual. With an extra loss, whatever mask and start: repelled, attracted,
        anchored or admm.
        """
        if isinstance(self.extra, Repel):
            return "repelled" if self.extra.strength > 0 else "attracted"
        if isinstance(self.extra, Anchor):
            return "anchored"
        if isinstance(self.extra, Admm):
            return "admm"
        if isinstance(self.mask, Magnitude | Scored) and self.mask.keep == "smallest":
            return "inverted"
        if self.mask.kind in ("random", "scored", "given", "shuffled", "grown", "gradual"):
            return self.mask.kind
        if isinstance(self.start, From):
            return "rewound" if self.start.epoch is not None else "finetuned"
        if isinstance(self.mask, Magnitude):
            return "ticket" if self.start == origin(self.mask.run) else "reinit"
        return "dense"

    @cached_property
    def parents(self) -> tuple[Run, ...]:
        """The runs whose weights or masks this one needs, each once: of its start, its mask, its extra loss."""
        found: dict[Run, None] = {}
        if isinstance(self.start, From):
            found[self.start.run] = None
        mask: MaskSpec = self.mask
        while isinstance(mask, Shuffled | Grown):
            mask = mask.mask
        if isinstance(mask, Magnitude):
            found[mask.run] = None
        if isinstance(self.extra, Repel | Admm):
            found |= dict.fromkeys(self.extra.runs)
        if isinstance(self.extra, Anchor) and self.extra.run is not None:
            found[self.extra.run] = None
        return tuple(found)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.identity == other.identity

    def __hash__(self) -> int:
        return hash(self.identity)

    def __repr__(self) -> str:  # the default would print all ancestors, once for each path that leads to them
        return f"<{self.name} {self.network.arch} on {self.task.data}, lr {self.recipe.lr}, order {self.order}>"

    __str__ = __repr__


def origin(run: Run) -> Init:
    """The fresh weights that `run` goes back to, through however many rewindings."""
    while isinstance(run.start, From):
        run = run.start.run
    return run.start


USER_FILES = ("npz:", "file:", "py:")  # what names of a user's own data, masks and networks begin with


def plain(value: Any, *, top: bool = True) -> Any:
    """`value` as JSON types; a run inside another one stands as its identity, a user's file as its content's digest."""
    if isinstance(value, Run) and not top:
        return value.identity
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        late = {key for key in getattr(value, "later", ()) if getattr(value, key) == fields[key].default}
        return {key: plain(getattr(value, key), top=False) for key in fields if key not in late}
    if isinstance(value, tuple):
        return [plain(item, top=False) for item in value]
    if isinstance(value, str) and value.startswith(USER_FILES):
        from .data.npz import digest  # here, since reading data is no business of most specs

        kind, _, path = value.partition(":")
        path, _, name = path.rpartition(":") if kind == "py" else (path, "", "")
        return ":".join(filter(None, (kind, digest(path, kind), name)))
    return value


def user_files(value: Any, *, top: bool = True) -> dict[str, str]:
    """The user's files that `value` names, each with its content's digest; those of a run inside it are left out."""
    if isinstance(value, str) and value.startswith(USER_FILES):
        return {value: plain(value)}
    if isinstance(value, BaseModel) and (top or not isinstance(value, Run)):
        value = tuple(getattr(value, key) for key in type(value).model_fields)
    found: dict[str, str] = {}
    for item in value if isinstance(value, tuple) else ():
        found |= user_files(item, top=False)
    return found


def canonical(run: Run) -> str:
    """The text that is hashed: sorted keys, no spaces, numbers as validated (1, 1.0 and "1" are one value)."""
    body = {"schema": SCHEMA, "run": plain(run)}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


for model in (From, Magnitude, Shuffled, Grown, Repel, Anchor, Admm, Run):
    model.model_rebuild()


class Trace(Value):
    """What is recorded of a training: at its first step, every `every` steps, at its end, and around each mask update.

    `images`: how many training images the fixed batch has (at most all), the first in an order of their own, not
    augmented, with the labels that are trained on. `snapshots`: the steps at which weights and mask are kept.
    """

    every: Annotated[int, Field(ge=1)]
    images: Annotated[int, Field(ge=1)] = 1000
    snapshots: tuple[Annotated[int, Field(ge=0)], ...] = ()

    @model_validator(mode="after")
    def _one_order(self) -> Self:
        if list(self.snapshots) != sorted(set(self.snapshots)):
            raise ValueError(f"snapshots must rise, not {self.snapshots}")
        return self

    @cached_property
    def name(self) -> str:
        """`trace-<12 hex>` of the canonical JSON: what a run's name is followed by in the store."""
        body = {"schema": SCHEMA, "trace": plain(self)}
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return f"trace-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
