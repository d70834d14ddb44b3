"""A user's own images in an `.npz` file: x_train, x_test (N,H,W) or (N,H,W,C) uint8; y_train, y_test (N,) integers."""

from __future__ import annotations

import hashlib
import os
import stat
import tokenize
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError, nearest, one_line

KEYS = ("x_train", "y_train", "x_test", "y_test")
DAMAGED = (  # what numpy raises for files that are cut off, altered, encrypted or something else altogether
    *(ValueError, OSError, EOFError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, tokenize.TokenError, ArithmeticError, LookupError, TypeError, SyntaxError),
)

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint8], NDArray[np.int64]]


def digest(path: str | Path, kind: str = "npz") -> str:
    """SHA-256 of the file's content, 64 hex digits. Hashed once for each path, inode, modification time and size.

    Raises UserError when there is no such file; `kind` is npz, file (a mask) or py (a network).
    """
    try:
        file = Path(path).expanduser()
        state = file.stat()
        if stat.S_ISREG(state.st_mode) or stat.S_ISDIR(state.st_mode):
            return _digest(str(file.absolute()), state.st_mtime_ns, state.st_size, state.st_ino)
        why = "it is no regular file"  # and may have no end, as /dev/zero
    except (OSError, ValueError, RuntimeError) as error:  # the last two: a name with a NUL, `~nobody/x`
        why = getattr(error, "strerror", None) or str(error)
    wanted = {"npz": f"data npz:{path}", "file": f"mask {path}", "py": f"network py:{path}"}[kind]
    expected = "; expected an .npz file" if kind == "npz" else ""
    raise UserError(one_line(f"{wanted}: can't read it ({why}){expected}"))


@lru_cache(maxsize=64)
def _digest(path: str, mtime_ns: int, size: int, inode: int) -> str:  # times are coarse, `given` replaces the file
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read(path: str | Path) -> Arrays:
    """Training images (N,C,H,W) uint8, training labels (N,) int64, and the same for the test.

    Labels are 0..K-1, where K-1 is the largest training label and every one of them occurs in training.
    Raises UserError, naming file and key, for whatever isn't so. Pickled objects are never loaded.
    """
    digest(path)  # its error for a missing file is the clear one
    with open(Path(path).expanduser(), "rb") as stream:
        try:
            archive = np.load(stream, allow_pickle=False)
        except DAMAGED:
            archive = None
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UserError(f"{path}: no .npz file, or a damaged one; write it by numpy.savez with {', '.join(KEYS)}")
        with archive:
            x_train, y_train, x_test, y_test = (_member(archive, key, path) for key in KEYS)
    train_x, test_x = _images(x_train, "x_train", path), _images(x_test, "x_test", path)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise UserError(f"{path}: x_test holds images of {x_test.shape[1:]}, x_train of {x_train.shape[1:]}")
    train_y = _labels(y_train, "y_train", len(train_x), path)
    test_y = _labels(y_test, "y_test", len(test_x), path)
    classes = int(train_y.max()) + 1
    if classes > len(train_y):
        raise UserError(
            f"{path}: y_train has label {classes - 1} but only {len(train_y)} images; labels must be 0..K-1"
        )
    missing = np.flatnonzero(np.bincount(train_y, minlength=classes) == 0)
    if len(missing):
        raise UserError(
            f"{path}: y_train has no image of class {missing[0]}; labels must be 0..{classes - 1} without gaps"
        )
    if test_y.max() >= classes:
        raise UserError(f"{path}: y_test has label {test_y.max()}, but the training labels are 0..{classes - 1}")
    return train_x, train_y, test_x, test_y


def _member(archive: np.lib.npyio.NpzFile, key: str, path: str | Path) -> NDArray[np.generic]:
    if key not in archive.files:
        hint = nearest(key, [name for name in archive.files if name not in KEYS])
        has = one_line(", ".join(archive.files) or "nothing", 200)
        raise UserError(f"{path}: key '{key}' is missing{hint}; it holds {has}, expected are {', '.join(KEYS)}")
    members = archive.zip.infolist() if archive.zip else []
    size, most = max(info.file_size for info in members if info.filename in (key, f"{key}.npy")), memory()
    if size > most:
        raise UserError(f"{path}: {key} unpacks to {size / 1e9:,.1f} GB, and this machine has {most / 1e9:,.1f} GB")
    try:
        array = archive[key]
    except DAMAGED as error:
        if "allow_pickle" in str(error):
            raise UserError(f"{path}: {key} holds pickled Python objects, which are never loaded") from None
        raise UserError(f"{path}: {key} is damaged or cut off") from None
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: {key} isn't an array written by numpy.savez")
    return array


def memory() -> int:
    """Bytes of memory that this machine has; as much as one likes where it doesn't tell (Windows)."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 2**63


def _images(array: NDArray[np.generic], key: str, path: str | Path) -> NDArray[np.uint8]:
    if array.dtype != np.uint8:
        raise UserError(f"{path}: {key} must be uint8 (pixels 0..255), not {array.dtype}")
    if array.ndim not in (3, 4) or 0 in array.shape:
        raise UserError(f"{path}: {key} must have shape (N,H,W) or (N,H,W,C) and hold images, not {array.shape}")
    if array.ndim == 4 and array.shape[3] > 4 >= array.shape[1]:
        raise UserError(f"{path}: {key} must have shape (N,H,W,C); {array.shape} looks like (N,C,H,W)")
    stacked = array[:, None] if array.ndim == 3 else array.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(stacked, dtype=np.uint8)


def _labels(array: NDArray[np.generic], key: str, images: int, path: str | Path) -> NDArray[np.int64]:
    if array.dtype.kind not in "iu":
        raise UserError(f"{path}: {key} must be integers, not {array.dtype}")
    if array.ndim != 1:
        raise UserError(f"{path}: {key} must have shape (N,), not {array.shape}")
    if len(array) != images:
        raise UserError(f"{path}: {key} has {len(array)} labels for the {images} images of x_{key[2:]}")
    labels = array.astype(np.int64)
    if labels.min() < 0:
        raise UserError(f"{path}: {key} has label {labels.min()}; labels must be 0..K-1")
    return labels
