"""The store: `runs/<kind>-<12 hex>/{spec.json, metrics.csv, {weights,mask}.safetensors, env.json, done.json}`.

A run is written under a temporary name, synced, and renamed; `done.json`, with the checksums, is its last file. A
folder without it is no run. Racing writers leave one good copy. A checkpoint on the way stands beside its run as
`<name>@<epoch>`, what was traced of its training as `<name>@trace-<12 hex>`; tables that were measured on runs
(`ltkit.lab.measured`) in `measured/`, how long cohorts of which size take (`ltkit.lab.sizes`) in `sizes/`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import UserError, nearest, shown
from ..version import project_root, source
from . import files

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1  # of the folder's layout; the meaning of a training has its own number, in ltkit.spec

NAME = re.compile(r"[a-z]+-[0-9a-f]{12}(@(\d+|trace-[0-9a-f]{12}))?")
METRICS = ("epoch", "split", "loss", "correct", "count")  # columns of metrics.csv
STALE_SECONDS = 3600  # a temporary folder younger than this may have a living writer


class Damaged(UserError):
    """A run whose files are not those that were published; `name` says which."""

    def __init__(self, name: str, what: str) -> None:
        super().__init__(name, what)  # as it is, so that it can be sent to another process
        self.name, self.what = name, what

    def __str__(self) -> str:
        return f"{self.name}: {self.what}"


@dataclass(frozen=True)
class Stored:
    """What the store knows of a run without opening its weights."""

    name: str
    spec: dict[str, Any]
    metrics: pd.DataFrame  # columns METRICS
    env: dict[str, Any]
    done: dict[str, Any]


@dataclass(frozen=True)
class Store:
    """A folder of runs."""

    path: Path

    def folder(self, name: str) -> Path:
        """Where the run `name` lies or would lie; refuses anything that is no run's name."""
        if not NAME.fullmatch(name):
            raise UserError(f"{shown(name)} is no run: a name looks like ticket-0123456789ab")
        return self.path / name

    @files.patient
    def names(self) -> list[str]:
        """All finished runs (not their checkpoints and traces), sorted."""
        with os.scandir(self.path) as entries:
            found = [e.name for e in entries if NAME.fullmatch(e.name) and "@" not in e.name]
        root = str(self.path)  # paths as text here and in `done`: making a Path takes longer than what is done with it
        return sorted(name for name in found if _there(f"{root}/{name}/done.json"))

    def find(self, prefix: str) -> str:
        """The one run whose name, or whose hash, begins with `prefix`."""
        names = self.names()
        if prefix in names:
            return prefix
        hits = [name for name in names if name.startswith(prefix) or name.split("-")[1].startswith(prefix)]
        if len(hits) == 1 and prefix:
            return hits[0]
        if hits and prefix:
            several = f"{shown(prefix)} means {len(hits)} runs, the first {hits[0]} and {hits[1]}"
            raise UserError(f"{several}: give more digits")
        raise UserError(f"no run {shown(prefix)} in {self.path}{nearest(prefix, names)}; `ltkit ls` lists them")

    @files.patient
    def done(self, name: str) -> dict[str, Any] | None:
        """The completion record, or None when the run isn't there; raises `Damaged` when it isn't what was published.

        Cheap: reads one small file and the other files' sizes. Content is checked when it is read.
        """
        folder = str(self.folder(name))
        try:
            with open(f"{folder}/done.json", "rb", buffering=0) as stream:
                raw = stream.read()
            done = json.loads(raw)
            claimed = done.pop("digest")
            # What was published without its digest, by cutting the line out: writing it anew takes ten times as long.
            if claimed != files.sha256(raw.replace(f' "digest": "{claimed}",\n'.encode(), b"", 1)):
                raise Damaged(name, "done.json was altered")
            for file, facts in done["files"].items():
                if os.path.basename(file) != file:
                    raise Damaged(name, f"done.json names a file elsewhere, {shown(file)}")
                if os.stat(f"{folder}/{file}").st_size != facts["bytes"]:
                    raise Damaged(name, f"{file} has another size than was published")
        except (FileNotFoundError, NotADirectoryError):
            if _there(f"{folder}/done.json"):
                raise Damaged(name, "a file is missing") from None
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise Damaged(name, "done.json can't be read") from None
        return dict(done)

    @files.patient
    def content(self, name: str, file: str) -> bytes:
        """A file of a finished run, checked against its checksum; raises `Damaged`, FileNotFoundError."""
        return self._checked(name, file, self.done(name))

    @files.patient
    def about(self, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The completion record and spec.json of a finished run; raises `Damaged`, FileNotFoundError.

        One look where `done` and `content` would take two: what lists all runs needs it.
        """
        done = self.done(name)
        return done or {}, json.loads(self._checked(name, "spec.json", done))

    def _checked(self, name: str, file: str, done: Mapping[str, Any] | None) -> bytes:
        place = f"{self.folder(name)}/{file}"
        if done is None or file not in done["files"]:
            raise FileNotFoundError(place)
        with open(place, "rb", buffering=0) as stream:
            content = stream.read()
        if files.sha256(content) != done["files"][file]["sha256"]:
            raise Damaged(name, f"{file} isn't what was published (checksum)")
        return content

    def read(self, name: str) -> Stored:
        """Everything but the weights of a finished run; raises `Damaged`, or `UserError` when there is none."""
        import pandas as pd  # here, since listing needs none of it and it takes half a second to import

        done = self.done(name)
        if done is None:
            raise UserError(f"no run {shown(name)} in {self.path}; `ltkit ls` lists them")
        try:
            metrics = pd.read_csv(io.BytesIO(self.content(name, "metrics.csv")))
            spec, env = (dict(json.loads(self.content(name, file))) for file in ("spec.json", "env.json"))
            if tuple(metrics.columns) != METRICS:
                raise ValueError
        except FileNotFoundError as error:
            raise Damaged(name, f"it has no {Path(error.filename or error.args[0]).name}") from None
        except (ValueError, TypeError, RecursionError):
            raise Damaged(name, "spec.json, env.json or metrics.csv can't be read") from None
        return Stored(name, spec, metrics, env, done)

    def verify(self, name: str) -> str | None:
        """None for a sound run, else what is wrong with it. Reads every byte."""
        try:
            done = self.done(name)
            if done is None:
                return f"{name}: not finished"
            for file in done["files"]:
                self.content(name, file)
        except Damaged as error:
            return str(error)
        return None

    @files.patient
    def publish(self, runs: Mapping[str, tuple[Mapping[str, bytes], Mapping[str, Any]]]) -> None:
        """Publishes runs: name -> (files, facts for done.json). All are synced before the first is renamed.

        A run that is there already stays; a damaged one is replaced.
        """
        with files.clear_faults(self.path):
            written: list[tuple[Path, str]] = []
            try:
                for name, (contents, facts) in runs.items():
                    temporary = files.temporary_for(self.folder(name))
                    written.append((temporary, name))
                    temporary.mkdir()
                    for file, content in contents.items():
                        files.write(temporary / file, content)
                    sums = {file: {"sha256": files.sha256(c), "bytes": len(c)} for file, c in contents.items()}
                    done = {**facts, "schema": SCHEMA, "files": sums}
                    done["digest"] = files.sha256(files.dump(done))
                    files.write(temporary / "done.json", files.dump(done))
                for temporary, name in written:
                    self._rename(temporary, name)
                files.sync_folder(self.path)
            finally:
                for temporary, _ in written:
                    shutil.rmtree(temporary, ignore_errors=True)

    @files.patient
    def discard(self, name: str) -> None:
        """Puts a run aside that turned out to be damaged, so that it is missing from now on."""
        with contextlib.suppress(FileNotFoundError):
            self.folder(name).rename(self.path / f".trash-{name}-{uuid.uuid4().hex[:8]}")

    def _rename(self, temporary: Path, name: str) -> None:
        target = self.folder(name)
        for _ in range(3):
            try:
                temporary.rename(target)
                return
            except OSError:
                if not target.exists():
                    raise
                if self.verify(name) is None:
                    return  # another writer was first, with the same content
                self.discard(name)  # and if another writer is replacing it at this moment, try once more
        raise OSError(f"could not publish {name}: other writers keep getting in between")

    def sweep(self, apply: bool, now: float | None = None) -> list[tuple[Path, int, str]]:
        """Leftovers as (path, bytes, why): dead writers' folders, replaced or damaged runs, states of killed trainings,
        tables that another version of ltkit measured.

        Removed when `apply`. What a living writer may still need (younger than an hour, or a process of this number is
        there: a clock that was set makes things look old) stays.
        """
        now = time.time() if now is None else now
        found: list[tuple[Path, int, str]] = []
        for entry in sorted([*self.path.iterdir(), *self.path.glob("measured/*"), *self.path.glob("leases/*")]):
            try:
                old = now - entry.stat().st_mtime > STALE_SECONDS
            except FileNotFoundError:
                continue  # its writer was done with it
            why = ""
            if entry.parent.name == "leases":
                why = "says that a process is training a run, which died" if old else ""
            elif entry.name.startswith(".tmp-") and old and not files.has_living_writer(entry):
                why = "left by a writer that died"
            elif entry.name.startswith(".trash-"):
                why = "a damaged run that was replaced"
            elif entry.name.startswith(".state-") and old:
                why = "the state of a training that was interrupted"
            elif NAME.fullmatch(entry.name):
                why = self.verify(entry.name) or ""
            elif entry.parent.name == "measured" and f"-{source()[:8]}-" not in entry.name:
                why = "a table that another version of ltkit measured"
            if why:
                found.append((entry, _size(entry), why))
                if apply:
                    shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        return found


def _there(path: str) -> bool:
    """Whether a file is there. An OSError where that can't be told, since a share is away: `os.path.exists` says no."""
    try:
        os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def _size(path: Path) -> int:
    return sum(f.stat().st_size for f in [path, *path.rglob("*")] if f.is_file())


def default_path() -> Path:
    """`LTKIT_STORE`, else `runs` beside the project, else in the user's data folder; never the current directory."""
    if named := os.environ.get("LTKIT_STORE"):
        return Path(named).expanduser().absolute()
    if root := project_root():
        return root / "runs"
    return Path(os.environ.get("XDG_DATA_HOME", "~/.local/share")).expanduser() / "ltkit" / "runs"


@files.patient
def open_store(path: str | Path | None = None) -> Store:
    """Opens the store at `path` (default: `default_path`), making it when it isn't there.

    Raises `UserError` for a place that can't be made, or one that a newer ltkit wrote.
    """
    place = Path(path).expanduser().absolute() if path else default_path()
    with files.clear_faults(place):
        place.mkdir(parents=True, exist_ok=True)
        label = place / "store.json"
        if not label.exists():
            files.replace(label, files.dump({"schema": SCHEMA, "what": "a store of ltkit runs"}))
    try:
        schema = int(json.loads(label.read_bytes())["schema"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise UserError(
            f"store {place}: store.json can't be read; if this is a store, put back {{'schema': {SCHEMA}}}"
        ) from None
    if schema > SCHEMA:
        raise UserError(
            f"store {place} was written by a newer ltkit (schema {schema}, this one knows {SCHEMA}): update ltkit"
        )
    return Store(place)
