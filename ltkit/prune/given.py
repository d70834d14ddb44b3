"""A mask that the user made, kept in a file: any criterion and any distribution of one's own becomes a run this way."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from ..errors import UserError
from ..spec import Given
from ..store import files
from ..store.tensors import load
from .masks import Mask


def given(mask: Mapping[str, Tensor], path: str | Path) -> Given:
    """Writes a mask, bool tensors by the names of prunable weights, to `path` and names it, for a run's `mask`.

    The identity of a run knows the mask by its content; the file must stay as it is until the run is trained: another
    mask takes another file. ValueError for tensors that aren't bool.
    """
    if wrong := [name for name, tensor in mask.items() if tensor.dtype != torch.bool]:
        raise ValueError(f"a mask is made of bool tensors, {', '.join(wrong)} isn't")
    file = Path(path).expanduser().absolute()
    with files.clear_faults(file.parent):
        file.parent.mkdir(parents=True, exist_ok=True)
        files.replace(file, save({name: tensor.contiguous() for name, tensor in mask.items()}))
    return Given(file=f"file:{file}")


def read(spec: Given, shapes: Mapping[str, tuple[int, ...]]) -> Mask:
    """The mask of `spec` for a network whose prunable weights have `shapes`; a tensor that it lacks isn't pruned.

    UserError for a file that is missing or no mask, and for a mask of another network.
    """
    path = spec.file.removeprefix("file:")
    try:
        mask = load(Path(path).expanduser().read_bytes())
    except OSError as error:
        raise UserError(f"mask {path}: can't read it ({error.strerror})") from None
    except SafetensorError:
        raise UserError(f"mask {path}: no safetensors file, or a damaged one") from None
    for name, tensor in mask.items():
        if name not in shapes:
            raise UserError(f"mask {path}: the network has no prunable weight '{name}'; it has {', '.join(shapes)}")
        if tensor.dtype != torch.bool or tuple(tensor.shape) != shapes[name]:
            what = f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"
            raise UserError(f"mask {path}: {name} must be bool {shapes[name]}, not {what}")
    return {name: mask[name] for name in shapes if name in mask}
