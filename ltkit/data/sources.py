"""The known data sets as they come: digits from scikit-learn, the others through torchvision's own classes."""

from __future__ import annotations

import contextlib
import http.client
import importlib.util
import os
import pickle
import shutil
import socket
import sys
import tarfile
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UserError, nearest
from ..seeds import generator
from .balance import pick

# Training images (N,C,H,W) uint8, training labels (N,) int64, and the same for the test.
Arrays = tuple[Tensor, Tensor, Tensor, Tensor]

CLASSES = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "CIFAR10", "cifar100": "CIFAR100"}
LABELS = {
    **{"digits": "digits", "mnist": "MNIST", "fashion_mnist": "Fashion-MNIST"},
    **{"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"},
}
DIGITS_TEST = 50  # test images a class, of 174 to 183
PATIENCE = 20.0  # seconds that a server may stay silent
FAILED = (  # what torchvision raises for absent, damaged or cut off files and for an unreachable server
    *(OSError, RuntimeError, ValueError, LookupError, AssertionError, EOFError),
    *(http.client.HTTPException, tarfile.TarError, zlib.error, pickle.UnpicklingError),
)


def cache() -> Path:
    """`ltkit/data` in the user's cache folder: $XDG_CACHE_HOME, else ~/.cache."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute() / "ltkit" / "data"


def folder(root: str | Path | None = None) -> Path:
    """Where the data sets lie: the argument, else $LTKIT_DATA, else the user's cache."""
    chosen = root or os.environ.get("LTKIT_DATA")
    return Path(chosen).expanduser().absolute() if chosen else cache()


def read(name: str, root: str | Path | None = None) -> Arrays:
    """All images and labels of a known data set, in their original order.

    `root` (see `folder`) has torchvision's layout. What it lacks is taken from the user's cache, unpacked into that
    from archives that lie in `root`, or downloaded, into `root` if it can be written to and else into the cache.
    Raises UserError, naming folder and files, when the data can't be had.
    """
    if name == "digits":
        return _digits()
    if name not in CLASSES:
        raise UserError(f"unknown data '{name}'{nearest(name, LABELS)}; known: {', '.join(LABELS)}, npz:PATH")
    import torchvision.datasets  # here, since digits and npz files need none of it

    source = getattr(torchvision.datasets, CLASSES[name])
    place = folder(root)
    for known in dict.fromkeys((place, cache())):
        with contextlib.suppress(*FAILED):
            return _read(source, known)
    return _fetch(name, source, place)


def _digits() -> Arrays:
    """8x8 images, 0..16 scaled to 0..255; 50 of each class, drawn once for all, are the test, 1,297 the training."""
    rows = np.loadtxt(_digits_file(), delimiter=",")
    images = torch.from_numpy((rows[:, :-1].reshape(-1, 8, 8) * 255 / 16).round().astype(np.uint8))[:, None]
    labels = torch.from_numpy(rows[:, -1].astype(np.int64))
    test = pick(labels, [DIGITS_TEST] * 10, generator("digits", "test"))
    return images[~test], labels[~test], images[test], labels[test]


def _digits_file() -> Path:
    """Where scikit-learn keeps them. Importing it to call `load_digits` takes longer than all else here does."""
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise UserError("data 'digits' comes with scikit-learn, which isn't installed: pip install scikit-learn")
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / "digits.csv.gz"


def _read(source: Any, place: Path, download: bool = False) -> Arrays:
    arrays: list[Tensor] = []
    for train in (True, False):
        with warnings.catch_warnings():
            # CIFAR's pickles come from an old NumPy, which a newer one remarks on.
            warnings.filterwarnings("ignore", message=r"dtype\(\): align")
            part = source(str(place), train=train, download=download)
        images = torch.as_tensor(part.data)
        images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
        arrays += [images.contiguous(), torch.as_tensor(part.targets, dtype=torch.int64)]
    return arrays[0], arrays[1], arrays[2], arrays[3]


def _fetch(name: str, source: Any, place: Path) -> Arrays:
    """Lets torchvision verify and unpack archives, or download them, in a folder of its own, then moves the files home.

    Each file is moved in one step, so that racing or interrupted processes leave whole files only.
    """
    archives = _archives(source)
    found = [file for file in archives if (place / file).is_file()]
    home = next((home for home in ([cache()] if found else [place, cache()]) if _writable(home)), None)
    try:
        with tempfile.TemporaryDirectory(dir=home, prefix=".fetch-") as folder_name:
            shop = Path(folder_name)
            for file in found:
                (shop / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(place / file, shop / file)
            with _patience(), contextlib.redirect_stdout(sys.stderr):
                arrays = _read(source, shop, download=True)
            if home is not None:
                _move(shop, home, leave=archives)
            return arrays
    except FAILED as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[-1] if lines else type(error).__name__
    layout = f"{archives[0].parent}/*-ubyte[.gz]" if len(archives) > 1 else f"{source.base_folder}/ or {archives[0]}"
    raise UserError(
        f"no {name} in {place}: {layout} is absent or damaged there, and downloading failed ({reason});"
        " name the folder that holds it by --data or LTKIT_DATA"
    )


def _archives(source: Any) -> list[Path]:
    """The files that torchvision downloads, relative to the root."""
    if hasattr(source, "resources"):
        return [Path(source.__name__, "raw", file) for file, _ in source.resources]
    return [Path(source.filename)]


def _writable(place: Path) -> bool:
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place):
            return True
    except OSError:
        return False


def _move(shop: Path, home: Path, leave: list[Path]) -> None:
    for path in sorted(shop.rglob("*")):
        file = path.relative_to(shop)
        if path.is_file() and file not in leave:
            (home / file).parent.mkdir(parents=True, exist_ok=True)
            path.replace(home / file)


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """A silent network must end in an error, and torchvision sets no time limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
