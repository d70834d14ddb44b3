"""Where a cohort is trained, and what can be had there."""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import logging
import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

import torch

from ..errors import UserError

log = logging.getLogger("ltkit")


def pick(name: str = "auto") -> torch.device:
    """`auto` takes LTKIT_DEVICE, else cuda, then mps, then cpu; UserError if a device that was named isn't there.

    On cuda fp32 is fp32 from then on, in convolutions too.
    """
    if name == "auto":
        name = os.environ.get("LTKIT_DEVICE") or name
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        name = next(kind for kind, works in there.items() if works)
    if not there.get(name.split(":")[0]):
        raise UserError(f"device '{name}' isn't there; this machine has {', '.join(k for k, v in there.items() if v)}")
    device = torch.device(name)
    if device.type == "cuda":  # torch lets convolutions, unlike products, round what they multiply to 10 bits (TF32)
        torch.backends.cudnn.allow_tf32 = False
    return device


def wait(device: torch.device) -> None:
    """Until the device has done all that it was told to: before and after what is timed."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory didn't suffice, on any device."""
    # What torch says on Windows, on Linux, on mps and CUDA; cuBLAS and cuDNN.
    words = ("not enough memory", "can't allocate memory", "out of memory", "STATUS_ALLOC_FAILED")
    return isinstance(error, torch.OutOfMemoryError) or any(text in str(error) for text in words)


@functools.cache
def can_compile(kind: str) -> bool:
    """Whether torch.compile has what it needs on this kind of device; says once what is missing."""
    if missing := lacking(kind):
        log.warning("%s: long trainings run eagerly (same results, slower)", missing)
    return not missing


def lacking(kind: str) -> str:
    """What torch.compile lacks on this kind of device, "" if nothing."""
    if kind not in ("cpu", "cuda") or (kind == "cuda" and importlib.util.find_spec("triton") is None):
        return f"torch.compile isn't used on {kind} here"
    if compiler(kind) is None:
        return f"no {'C++' if kind == 'cpu' else 'C'} compiler found"
    # What is compiled is a module for Python. Apple's own Python has its headers elsewhere, where torch looks for them.
    if sys.platform != "darwin" and not Path(sysconfig.get_path("include"), "Python.h").exists():
        return "no Python.h found (Debian has it in python3-dev)"
    return ""


def compiler(kind: str) -> str | None:
    """Where the compiler is that torch.compile (cpu) or triton (cuda) calls."""
    if kind == "cuda":
        names = [os.environ["CC"]] if "CC" in os.environ else ["gcc", "clang"]
    else:
        names = [os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")]
    words = [word for name in names for word in shlex.split(name)[:1]]  # none of a name that is set but empty
    return next((found for word in words if (found := shutil.which(word))), None)


@functools.cache
def keep_memory() -> None:
    """Has glibc keep the memory that tensors free, for the next step's tensors, instead of giving it back.

    Given back and asked for anew in every step, each page of it costs a fault: 14 to 29 % of LeNet-5's training time on
    28x28 images (bench/README.md). Up to 1 GB stays with the process. Dask sets the opposite for its workers.
    """
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none, or one that does nothing
    if mallopt:
        mallopt(TRIM_THRESHOLD, 2**30)
        mallopt(MMAP_THRESHOLD, 2**25)  # the most that glibc takes


TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of malloc.h
