"""Which ltkit this is: its version, the checkout that it runs from, that checkout's commit. Imports nothing heavy."""

from __future__ import annotations

import functools
import hashlib
import subprocess
from pathlib import Path

__version__ = "0.1.0"


def project_root() -> Path | None:
    """The checkout that this package is run from, or None for a package installed elsewhere."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").exists() else None


def commit() -> str | None:
    """The checkout's commit, with a + when files differ from it; None outside a checkout."""
    root = project_root()
    if root is None:
        return None
    try:
        words = ["git", "-C", str(root), "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"]
        return subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None


@functools.cache
def source() -> str:
    """SHA-256 of this package's source, of what is drawn and judged with it left out: that decides no number."""
    package, digest = Path(__file__).resolve().parent, hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        place = file.relative_to(package)
        if place.parts[0] not in ("show", "verdict"):
            digest.update(f"{place.as_posix()}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()
