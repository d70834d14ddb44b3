"""Durable files: written whole, synced, checked."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import UserError


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


def replace(path: Path, content: bytes) -> None:
    """Writes a file so that readers see the old or the new content, never a part."""
    temporary = path.with_name(f".tmp-{os.getpid()}-{path.name}")
    write(temporary, content)
    temporary.replace(path)
    sync_folder(path.parent)


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
            errno.EDQUOT: "the disk quota is used up",
            errno.EROFS: "the disk is read-only",
            errno.EACCES: "no permission to write there",
            errno.EPERM: "no permission to write there",
            errno.ENOTDIR: "a part of that path is a file, not a folder",
            errno.EEXIST: "a file stands where the store's folder should be",
        }
        if error.errno not in reasons:
            raise
        raise UserError(
            f"store {path}: {reasons[error.errno]}; "
            "finished runs are kept, name another place with --store or LTKIT_STORE"
        ) from error
