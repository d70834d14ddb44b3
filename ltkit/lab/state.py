"""What a killed training leaves behind: the state of its cohort in one sealed file of the store, `.state-<16 hex>`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from ..store import files
from ..train import Job

log = logging.getLogger("ltkit")

SEAL = 64  # hex digits of the SHA-256 that a file begins with


def path(store: Path, jobs: Sequence[Job], until: int | None) -> Path:
    """Where the state of these jobs lies: one that lacks a checkpoint or a trace, or went beyond it, is not theirs."""
    words = [job.run.name + "".join(f"@{epoch}" for epoch in sorted(job.keep)) for job in jobs]
    words = [word + (f"@{job.trace.name}" if job.trace else "") for word, job in zip(words, jobs, strict=True)]
    if until is not None:
        words.append(f"until {until}")
    return store / f".state-{files.sha256(' '.join(words).encode())[:16]}"


def write(file: Path, content: bytes) -> None:
    """Replaces the state; `UserError` when the disk refuses."""
    with files.clear_faults(file.parent):
        files.replace(file, files.sha256(content).encode() + content)


def read(file: Path) -> bytes | None:
    """The state, or None when there is none or it isn't whole: then the training begins anew."""
    try:
        whole = files.read(file)
    except FileNotFoundError:
        return None
    seal, content = whole[:SEAL], whole[SEAL:]
    if files.sha256(content).encode() == seal:
        return content
    log.warning("%s, left by an interrupted training, is damaged: the training begins anew", file.name)
    return None


def remove(file: Path) -> None:
    """Takes the state of a training away that is over."""
    files.patient(file.unlink)(missing_ok=True)
