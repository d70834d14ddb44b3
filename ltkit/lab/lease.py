"""Who is training what: while a process trains a run, `<store>/leases/<run>` says so, and no other one trains it.

A lease lives as long as its file is touched. Clocks aren't compared: who waits for a lease watches it by its own clock,
and takes it over when it hasn't been touched for so long, or at once when its holder was a process of the same machine
that is gone. When all of this goes wrong a run is trained twice, and the store keeps one of two good copies.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from ..store import files

BEAT = 5.0  # seconds between two touches
PATIENCE = 30.0  # seconds without one after which a holder counts as dead


class Leases:
    """The leases that one caller holds in a store; safe to use from several threads."""

    def __init__(self, store: Path, beat: float = BEAT, patience: float = PATIENCE) -> None:
        self.folder, self.beat, self.patience = store / "leases", beat, patience
        self._held: dict[str, bytes] = {}
        self._seen: dict[str, tuple[tuple[int, bytes], float]] = {}  # what was seen of others', and since when
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._heart: threading.Thread | None = None

    def take(self, names: Iterable[str]) -> set[str]:
        """Those of the runs that are this caller's from now on: nobody held them, or their holder has died."""
        with files.clear_faults(self.folder.parent):
            files.patient(self.folder.mkdir)(exist_ok=True)
            taken = {name for name in names if self._take(name)}
        if taken and self._heart is None:
            self._heart = threading.Thread(target=self._live, daemon=True, name="leases")
            self._heart.start()
        return taken

    def give(self, names: Iterable[str]) -> None:
        """Gives leases back; those that were taken away meanwhile are left alone."""
        for name in names:
            with self._lock:
                content = self._held.pop(name, None)
            if content is not None:
                _drop(self.folder / name, content)

    def close(self) -> None:
        """Gives all leases back and ends the touching."""
        self.give(list(self._held))
        self._over.set()

    @files.patient
    def _take(self, name: str) -> bool:
        file, content = self.folder / name, _words()
        for _ in range(2):
            try:
                _create(file, content)
            except FileExistsError:
                if not self._dead(name) or not _remove(file, self._seen[name][0][1]):
                    return False
            else:
                with self._lock:
                    self._held[name] = content
                self._seen.pop(name, None)
                return True
        return False  # another one was quicker

    def _dead(self, name: str) -> bool:
        """Whether a lease's holder has shown no sign of life for as long as one waits."""
        file = self.folder / name
        content = _read(file)
        with contextlib.suppress(FileNotFoundError):
            sign = file.stat().st_mtime_ns, content
            now = time.monotonic()
            before, since = self._seen.get(name, (None, now))
            self._seen[name] = (sign, since if sign == before else now)
            return _gone(content) or (sign == before and now - since > self.patience)
        self._seen[name] = ((0, content), time.monotonic())
        return True  # given back since we looked

    def _live(self) -> None:
        while not self._over.wait(self.beat):
            with self._lock:
                held = dict(self._held)
            for name, content in held.items():
                with contextlib.suppress(OSError):  # a share that is away: others wait longer than a few touches
                    if _read(self.folder / name) == content:
                        os.utime(self.folder / name)


def _words() -> bytes:
    return json.dumps({"place": _place(), "process": os.getpid(), "lease": uuid.uuid4().hex}).encode()


@cache
def _place() -> str:
    """Where process numbers mean the same: this machine, and on Linux this container and boot."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts.append(str(os.stat("/proc/self/ns/pid").st_ino))
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    return " ".join(parts)


def _gone(content: bytes) -> bool:
    try:
        told = json.loads(content)
        if told["place"] != _place() or os.name != "posix":
            return False
        os.kill(told["process"], 0)
    except ProcessLookupError:
        return True
    except (ValueError, KeyError, TypeError, OverflowError, PermissionError):
        return False  # being written, or somebody else's
    return False


def _read(file: Path) -> bytes:
    with contextlib.suppress(OSError):
        return file.read_bytes()
    return b""


def _create(file: Path, content: bytes) -> None:
    """Writes a file that isn't there yet; leaves none when the disk refuses."""
    with file.open("xb") as new:
        try:
            new.write(content)
            new.flush()
        except OSError:
            with contextlib.suppress(OSError):
                file.unlink()
            raise


@files.patient
def _drop(file: Path, content: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        if file.read_bytes() == content:
            file.unlink()


def _remove(file: Path, content: bytes) -> bool:
    """Takes a dead lease away; what another one has put there meanwhile is put back."""
    aside = file.with_name(f".{file.name}-{uuid.uuid4().hex[:8]}")
    try:
        file.rename(aside)
    except FileNotFoundError:
        return True
    ours = _read(aside) == content
    if not ours:
        with contextlib.suppress(OSError):
            os.link(aside, file)
    aside.unlink(missing_ok=True)
    return ours
