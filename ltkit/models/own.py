"""A user's own network: a class in a Python file, `py:PATH:CLASS`, that a run's identity knows by the file's content.

The class is made like ltkit's own: `CLASS(network, shape, classes, members)` with the layers of `ltkit.models.layers`,
images (R, B, C, H, W) in, logits (R, B, classes) out. The file runs as it is when the network is first built.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from torch import nn

from ..data.npz import digest
from ..errors import UserError, nearest

PREFIX = "py:"


def network_class(arch: str) -> type[nn.Module]:
    """The class that `arch`, `py:PATH:CLASS`, names.

    UserError where there is no such file or class, and for a file that changed after it was loaded: a Python process
    keeps what it has loaded, and a run would be stored under the name of other code.
    """
    path, _, name = arch.removeprefix(PREFIX).rpartition(":")
    loaded, content = _load(str(Path(path).expanduser().absolute()))
    if content != digest(path, "py"):
        raise UserError(f"{path} has changed since it was loaded: restart Python (in a notebook, the kernel)")
    found = loaded.get(name)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        classes = [key for key, value in loaded.items() if isinstance(value, type) and issubclass(value, nn.Module)]
        raise UserError(f"{path} has no network '{name}'{nearest(name, classes)}")
    return found


@lru_cache(maxsize=32)
def _load(path: str) -> tuple[dict[str, object], str]:
    content = digest(path, "py")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return vars(module), content
