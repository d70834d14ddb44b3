"""What ltkit finds on this machine."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..store import open_store
from ..version import commit
from .environment import cores, cpu, environment
from .runs import size

Place = str | Path | None


def findings(store: Place = None, data: Place = None) -> list[tuple[str, str]]:
    """Names and facts, in the order in which they are told."""
    import torch

    from ..train.device import compiler, lacking, pick

    made = environment()
    device = str(pick("auto"))
    kind = device.split(":")[0]
    missing = lacking(kind)
    return [
        *({"python": made["python"], **made["versions"]}.items()),
        ("commit", commit() or "not in a git checkout"),
        ("device", device + (f" ({made['gpu']})" if made["gpu"] else "")),
        ("cpu", f"{cpu()}, {cores()} cores, {torch.get_num_threads()} threads for torch"),
        (
            "compiler",
            f"{missing}: long trainings run eagerly (same results, slower)" if missing else str(compiler(kind)),
        ),
        *_data(data),
        ("store", _store(store)),
    ]


def _data(root: Place) -> list[tuple[str, str]]:
    import torchvision.datasets

    from ..data import sources

    facts = [("digits", "comes with scikit-learn")]
    homes = dict.fromkeys((sources.folder(root), sources.cache()))
    for name, label in sources.CLASSES.items():
        signs = _signs(getattr(torchvision.datasets, label))
        found = next((home for home in homes if any((home / sign).exists() for sign in signs)), None)
        absent = f"not in {' or '.join(map(str, homes))}; downloaded when a study first needs it"
        facts.append((name, f"found in {found}" if found else absent))
    return facts


def _signs(source: Any) -> list[Path]:
    """Where a data set's first file lies in torchvision's layout: unpacked, or as the archive."""
    if hasattr(source, "resources"):
        packed = Path(source.__name__, "raw", source.resources[0][0])
        return [packed.with_suffix(""), packed]
    return [Path(source.base_folder, source.train_list[0][0]), Path(source.filename)]


def _store(place: Place) -> str:
    try:
        store = open_store(place)
    except UserError as error:
        return str(error)
    taken = sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    return f"{store.path}: {len(store.names())} runs, {size(taken)}, {size(shutil.disk_usage(store.path).free)} free"
