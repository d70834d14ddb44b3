"""Durable files: written whole, synced, checked."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ..errors import UserError

log = logging.getLogger("ltkit")

P = ParamSpec("P")
T = TypeVar("T")

AWAY = (errno.EIO, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT)  # what a network share says that has vanished
PATIENCE = 60.0  # seconds that one may stay away
PAUSE = 1.0  # seconds between two attempts


def patient(act: Callable[P, T]) -> Callable[P, T]:
    """`act`, which can be done over again, tried until a network share that vanished is back.

    It says so once, and after `PATIENCE` seconds raises UserError. By the monotonic clock: the other one may be set.
    """

    @functools.wraps(act)
    def tried(*args: P.args, **named: P.kwargs) -> T:
        since: float | None = None
        while True:
            try:
                return act(*args, **named)
            except OSError as error:
                if error.errno not in AWAY:
                    raise
                what = f"{error.filename or 'the store'}: {(error.strerror or '').lower()}"
                if since is None:
                    since = time.monotonic()
                    log.warning("%s; trying again for up to %.0f s", what, PATIENCE)
                elif time.monotonic() - since > PATIENCE:
                    text = f"{what}, for {PATIENCE:.0f} s; is its disk or network share there? finished runs are kept"
                    raise UserError(text) from error
            time.sleep(PAUSE)

    return tried


def sha256(content: bytes) -> str:
    """The checksum of `content`, as hex."""
    return hashlib.sha256(content).hexdigest()


def dump(value: Any) -> bytes:
    """`value` as JSON for people and programs: indented, sorted, no NaN."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def write(path: Path, content: bytes) -> None:
    """Writes a file and waits until it is on the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@patient
def read(path: Path) -> bytes:
    """A file's content."""
    return path.read_bytes()


@patient
def replace(path: Path, content: bytes) -> None:
    """Writes a file so that readers see the old or the new content, never a part. Leaves nothing when it fails."""
    temporary = temporary_for(path)
    try:
        write(temporary, content)
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def temporary_for(path: Path) -> Path:
    """A name beside `path` that no other writer has, on whichever machine; it ends with this process's number."""
    return path.with_name(f".tmp-{path.name}-{uuid.uuid4().hex[:8]}-{os.getpid()}")


def has_living_writer(temporary: Path) -> bool:
    """Whether the process that a name of `temporary_for` ends with is there, as far as this machine can tell."""
    number = temporary.name.rpartition("-")[2]
    if os.name != "posix" or not number.isdecimal():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def sync_folder(path: Path) -> None:
    """Makes renames in `path` durable (where the system can: not on Windows)."""
    if hasattr(os, "O_DIRECTORY"):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def clear_faults(path: Path) -> Iterator[None]:
    """Turns the disk's refusals (full, read-only, no permission, no folder) into one clear line."""
    try:
        yield
    except OSError as error:
        reasons = {
            errno.ENOSPC: "the disk is full",
            errno.EFBIG: "a file would be larger than is allowed",
            errno.EDQUOT: "the disk quota is used up",
            errno.EROFS: "the disk is read-only",
            errno.EACCES: "no permission to write there",
            errno.EPERM: "no permission to write there",
            errno.ENOENT: "its folder is gone",
            errno.ENAMETOOLONG: "that name is too long",
            errno.ENOTDIR: "a part of that path is a file, not a folder",
            errno.EEXIST: "a file stands where the store's folder should be",
        }
        if error.errno not in reasons:
            raise
        raise UserError(
            f"store {path}: {reasons[error.errno]}; "
            "finished runs are kept, name another place with --store or LTKIT_STORE"
        ) from error
