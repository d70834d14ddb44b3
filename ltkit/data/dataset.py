"""The data of a task: split, subset and corruption, each class by class, exact in number and fixed by its own seed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UserError
from ..seeds import generator
from ..spec import Task
from . import npz, sources
from .balance import pick, share


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images (N,C,H,W) uint8 and labels (N,) int64 on the CPU; `mean` and `std` (C,) are of pixel/255."""

    train_x: Tensor
    train_y: Tensor
    validation_x: Tensor
    validation_y: Tensor
    test_x: Tensor
    test_y: Tensor
    mean: Tensor
    std: Tensor
    classes: int
    shape: tuple[int, int, int]  # C, H, W
    label: str  # for figures


def load(task: Task, root: str | Path | None = None) -> Dataset:
    """The images and labels of `task`; `root` is where data sets lie (`ltkit.data.sources.folder`).

    In this order: `validation` of the training images is held out; mean and std are taken over the rest; `subset` of
    the rest is kept; labels and pixels of what is kept are corrupted, once, before any augmentation
    (sanity_checks.md section 3, check 1). Validation and test images stay as they are.
    Raises UserError when the data can't be had, or when a split would leave fewer images than classes.
    """
    pool_x, pool_y, test_x, test_y = _source(task.data, root)
    classes = int(pool_y.max()) + 1
    if len(test_y) < classes:
        raise UserError(f"{task.data}: {len(test_y)} test images are too few for {classes} classes")

    held_out = pick(pool_y, share(pool_y, classes, task.validation), generator("validation", task.split_seed))
    if task.validation and int(held_out.sum()) < classes:
        few = f"validation={task.validation} holds out {int(held_out.sum())} of {len(pool_y)} images"
        raise UserError(f"{task.data}: {few}, too few for {classes} classes")
    train_x, train_y = pool_x[~held_out], pool_y[~held_out]
    mean, std = moments(train_x)
    kept = pick(train_y, share(train_y, classes, task.subset), generator("subset", task.subset_seed))
    train_x, train_y = train_x[kept], train_y[kept]
    empty = torch.where(torch.bincount(train_y, minlength=classes) == 0)[0]
    if len(empty):
        left = f"validation={task.validation} and subset={task.subset} leave {len(train_y)} of {len(pool_y)} images"
        raise UserError(f"{task.data}: {left} for training, none of class {int(empty[0])}")

    if task.labels == "random":
        train_y = torch.randint(classes, train_y.shape, generator=generator("labels", task.corruption_seed))
    if task.pixels == "shuffled":
        train_x = shuffle_pixels(train_x, generator("pixels", task.corruption_seed))
    return Dataset(
        train_x=train_x,
        train_y=train_y,
        validation_x=pool_x[held_out],
        validation_y=pool_y[held_out],
        test_x=test_x.clone(),
        test_y=test_y.clone(),
        mean=mean,
        std=std,
        classes=classes,
        shape=(int(pool_x.shape[1]), int(pool_x.shape[2]), int(pool_x.shape[3])),
        label=sources.LABELS[task.data] if task.data in sources.LABELS else Path(task.data[4:]).stem,
    )


def moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (C,) of pixel/255 over images (N,C,H,W) uint8, exact to float32.

    The deviation is at least 1/255, one grey level, so that a constant channel can be divided by it.
    """
    level = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in images.unbind(1):
        weight = torch.bincount(channel.reshape(-1), minlength=256).double() / channel.numel()
        mean.append(float(weight @ level))
        std.append(max(1 / 255, float(weight @ (level - mean[-1]) ** 2) ** 0.5))
    return torch.tensor(mean), torch.tensor(std)


def shuffle_pixels(images: Tensor, stream: torch.Generator) -> Tensor:
    """Each image (C,H,W) with its own permutation of all its C*H*W values, channels mixed."""
    rows = images.flatten(1)
    shuffled = torch.empty_like(rows)
    for target, row in zip(shuffled, rows, strict=True):
        target.copy_(row[torch.randperm(len(row), generator=stream)])
    return shuffled.reshape(images.shape)


def _source(data: str, root: str | Path | None) -> sources.Arrays:
    if data.startswith("npz:"):
        return _arrays(data, "", npz.digest(data[4:]))
    return _arrays(data, "" if data == "digits" else str(sources.folder(root)), "")


@lru_cache(maxsize=4)
def _arrays(data: str, root: str, digest: str) -> sources.Arrays:
    if digest:
        train_x, train_y, test_x, test_y = (torch.from_numpy(array) for array in npz.read(data[4:]))
        return train_x, train_y, test_x, test_y
    return sources.read(data, root or None)
