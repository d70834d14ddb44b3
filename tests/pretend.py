"""A device that isn't there: its tensors compute on the CPU, say that they are elsewhere, and complain as a GPU's do.

An operation on them and on a tensor that is on the CPU is an error, so is NumPy, and on "mps" whatever is float64.
Below, torch takes them for tensors without memory ("meta"): what would slip through has no numbers to go on with.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import return_and_correct_aliasing

from ltkit.train import graph

CPU = torch.device("cpu")
MIXES = {"copy_", "_to_copy", "index", "index_put_"}  # may have tensors of both places: indices may be on the CPU
WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "equal"}  # for the device


class There(Tensor):
    """A tensor on the pretended device; `held` has its numbers."""

    held: Tensor
    where = "cuda"
    capturing = False  # a graph of CUDA's: nothing may move to the device or wait for it meanwhile
    __torch_function__ = torch._C._disabled_torch_function_impl  # that is for the mode below

    @staticmethod
    def __new__(cls, held: Tensor) -> There:
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype}
        new = Tensor._make_wrapper_subclass(cls, held.size(), device="meta", **layout)
        new.held = held
        return new

    @property
    def device(self) -> torch.device:
        return torch.device(There.where, 0)

    def __repr__(self) -> str:
        return f"There({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        kwargs, here = kwargs or {}, list[Tensor]()
        name, writes, views = facts(function)
        args_held = _held(args, here)
        kwargs_held = {key: _held(value, here) for key, value in kwargs.items()}
        target = kwargs.get("device")
        if target is not None:
            kwargs_held["device"] = CPU
        outside = name.startswith("index") and type(args[0]) is not There  # one on the CPU indexed by one there
        if any(t.dim() for t in here) and (outside or name not in MIXES):
            raise RuntimeError(f"{function}: tensors on {There.where} and on the CPU, {[tuple(t.shape) for t in here]}")
        if There.capturing and (any(t.dim() for t in here) or name in WAITS or _counts(name, args_held)):
            raise RuntimeError(f"{function}: operation not permitted when stream is capturing")
        found = function(*args_held, **kwargs_held)
        if writes:
            return args[0] if isinstance(args[0], Tensor) else None
        if target is not None and torch.device(target).type == "cpu":
            return found
        found = _there(found)
        return return_and_correct_aliasing(function, args, kwargs, found) if views else found


@functools.cache
def facts(function: Any) -> tuple[str, bool, bool]:
    """Name of an operation, whether it writes into what it is given, whether it gives a view of that."""
    name, schema = function.overloadpacket.__name__, function._schema
    writes = any(argument.alias_info is not None and argument.alias_info.is_write for argument in schema.arguments)
    views = not writes and any(returned.alias_info is not None for returned in schema.returns)
    return name, writes and (name.endswith("_") or not schema.returns), views


def _counts(name: str, args: Any) -> bool:
    """Whether the size of what an operation gives isn't known before it is done."""
    masks = args[1] if name.startswith("index") and isinstance(args[1], list | tuple) else ()
    return any(isinstance(mask, Tensor) and mask.dtype in (torch.bool, torch.uint8) for mask in masks)


def _held(value: Any, here: list[Tensor]) -> Any:
    """What is held by the tensors of `value`; those on the CPU are noted in `here`."""
    if isinstance(value, There):
        return value.held
    if isinstance(value, Tensor):
        assert value.device.type == "cpu", "a tensor has lost the pretended device"
        here.append(value)
    return type(value)(_held(each, here) for each in value) if type(value) in (list, tuple) else value


def _there(value: Any) -> Any:
    """The tensors of `value` on the device."""
    if isinstance(value, Tensor) and not isinstance(value, There):
        if There.where == "mps" and value.dtype == torch.float64:
            raise TypeError("there is no float64 on mps")
        return There(value)
    return type(value)(_there(each) for each in value) if isinstance(value, list | tuple) else value


class Up(torch.autograd.Function):
    """To the device."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _there(x.detach().clone())

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return Down.apply(grad)


class Down(torch.autograd.Function):
    """To the CPU."""

    @staticmethod
    def forward(ctx: Any, x: There) -> Tensor:
        return x.held.detach().clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return Up.apply(grad)


class Elsewhere(TorchFunctionMode):
    """What Python asks torch for before an operation is reached: new tensors, moves, numbers."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name == "pin_memory":  # memory that a device copies from by itself
            return args[0].clone()
        if name in ("to", "cpu") and isinstance(args[0], Tensor):
            return moved(*args, **({"device": "cpu"} if name == "cpu" else kwargs))
        if args and isinstance(args[0], There):
            x = args[0]
            if There.capturing and name in ("tolist", "new_tensor"):
                raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
            if name in ("numpy", "__array__"):
                raise TypeError(f"can't convert a tensor on {There.where} to numpy, use .cpu() first")
            if name == "tolist":
                return x.held.tolist()
            if name == "new_tensor":
                return _there(torch.tensor(args[1], dtype=kwargs.get("dtype", x.dtype)))
            if function == Tensor.data.__get__:
                return There(x.held.detach())
            if name in ("__getitem__", "__setitem__"):
                args = x, _indices(args[1]), *args[2:]
        elif kwargs.get("device") is not None and torch.device(kwargs["device"]).type == There.where:
            if There.capturing and name in ("tensor", "as_tensor"):
                raise RuntimeError(f"{name}: operation not permitted when stream is capturing")
            return _there(function(*args, **{**kwargs, "device": CPU}))
        return function(*args, **kwargs)


def moved(x: Tensor, *args: Any, copy: bool = False, **kwargs: Any) -> Tensor:
    """`x.to(...)`."""
    if args and isinstance(args[0], Tensor):
        args = args[0].device, args[0].dtype, *args[1:]
    device, dtype, _, memory_format = torch._C._nn._parse_to(*args, **kwargs)
    target = torch.device(device or x.device)
    if dtype not in (None, x.dtype) or copy:
        cast = {"dtype": dtype or x.dtype, "memory_format": memory_format or torch.preserve_format}
        x = torch.ops.aten._to_copy.default(x, **cast)
    if There.capturing and isinstance(x, There) != (target.type == There.where):
        raise RuntimeError("to: operation not permitted when stream is capturing")
    if target.type == There.where:
        return x if isinstance(x, There) else Up.apply(x)
    if isinstance(x, There):
        return Down.apply(x)
    return torch.ops.aten._to_copy.default(x, device=target) if target != x.device else x


def _indices(key: Any) -> Any:
    if isinstance(key, tuple):
        return tuple(_indices(each) for each in key)
    return torch.as_tensor(np.asarray(key)) if isinstance(key, list | np.ndarray) else key


def capture(function: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """Calls `function` under a capture's restrictions; a replay calls it again."""
    There.capturing = True
    try:
        function()
    finally:
        There.capturing = False
    computed = [True]  # unlike a capture, which computes nothing: so the first replay does nothing

    def replay() -> None:
        if not computed:
            function()
        computed.clear()

    return replay


@contextmanager
def pretend(where: str, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has "auto" take a device `where`, cuda or mps, that works as said above."""
    patch.setattr(There, "where", where)
    for module, answers in {
        torch.cuda: {
            "is_available": where == "cuda",
            "get_device_name": "pretended",
            "synchronize": None,
            "is_bf16_supported": True,
        },
        torch.backends.mps: {"is_available": where == "mps"},
        torch.mps: {"synchronize": None},
    }.items():
        for name, answer in answers.items():
            patch.setattr(module, name, functools.wraps(getattr(module, name))(lambda *_, answer=answer: answer))
    patch.setattr(graph, "capture", capture)
    patch.setattr(graph, "warm", lambda function, device: function())
    with Elsewhere():
        yield
