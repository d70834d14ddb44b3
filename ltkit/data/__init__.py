"""Images as tensors: reading them, splitting and corrupting them, cropping and flipping them."""

from __future__ import annotations

from .batch import augment, flips, normalise, order, shifts
from .dataset import Dataset, load

__all__ = ["Dataset", "augment", "flips", "load", "normalise", "order", "shifts"]
