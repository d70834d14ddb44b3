"""A training step as one CUDA graph: all of its kernels are launched at once, and nothing waits for Python.

A graph works on the memory that it was captured with. So a step's own tensors (which images, which labels, their crops)
are copied to where the captured step looks, and everything else that it reads or writes stays in its place from step to
step: weights, optimizer slots, masks in the rates, BatchNorm's statistics, sums of loss and hits.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache, partial
from weakref import WeakMethod

import torch
from torch import Tensor

from .device import out_of_memory

log = logging.getLogger("ltkit")

Replay = Callable[[], None]
WARM = 3  # steps before the capture, in which libraries choose their kernels and code is compiled


class Graphed:
    """A method of tensors as a graph: what it is called with may differ in its numbers; of other shapes it is captured
    anew.

    The first calls run as they are, of any shapes; the next one is captured, and from then on replayed. What can't be
    captured runs as it is for good, and that is said. The method's object isn't kept alive.
    """

    def __init__(self, method: Callable[..., None], device: torch.device) -> None:
        self._method, self.device = WeakMethod(method), device
        self._calls, self.failed = 0, False
        self._fed: list[Tensor | None] = []
        self._replay: Replay | None = None

    def __call__(self, *given: Tensor | None) -> None:
        function = self._method()
        assert function is not None  # it is called by the object itself
        if self._replay and [_shape(tensor) for tensor in self._fed] != [_shape(tensor) for tensor in given]:
            self.forget()
        self._calls += 1
        if self.failed:
            function(*given)
        elif self._calls <= WARM:
            warm(partial(function, *given), self.device)
        elif self._replay is None:
            self._capture(function, given)
        else:
            for place, tensor in zip(self._fed, given, strict=True):
                if place is not None and tensor is not None:
                    place.copy_(tensor)
            self._replay()

    def forget(self) -> None:
        """Has a later call captured anew: something that isn't given has moved. Compiled code may have to follow it."""
        self._calls, self._fed, self._replay = 0, [], None

    def _capture(self, function: Callable[..., None], given: tuple[Tensor | None, ...]) -> None:
        self._fed = [None if tensor is None else tensor.clone() for tensor in given]
        try:
            self._replay = capture(partial(function, *self._fed), self.device)
        except RuntimeError as error:
            if out_of_memory(error):
                raise
            self.failed = True
            log.warning("the step can't be captured as a CUDA graph, it runs without (slower): %s", error)
        if self._replay:
            self._replay()  # the capture itself computes nothing
        else:  # not in `except`, where the traceback would hold the memory of the capture
            function(*given)


def _shape(tensor: Tensor | None) -> torch.Size | None:
    return None if tensor is None else tensor.shape


def warm(function: Callable[[], None], device: torch.device) -> None:
    """Calls `function` on another stream, as a capture will."""
    ours, side = torch.cuda.current_stream(device), _side(device)
    side.wait_stream(ours)
    with torch.cuda.stream(side):
        function()
    ours.wait_stream(side)


@cache
def _side(device: torch.device) -> torch.cuda.Stream:
    """The same one for all: memory that the allocator keeps for a stream serves no other."""
    return torch.cuda.Stream(device)


def capture(function: Callable[[], None], device: torch.device) -> Replay:
    """The kernels that `function` launches, as one launch."""
    graph = torch.cuda.CUDAGraph()
    # torch leaves the capture's stream only after a capture that went well; the outer context leaves it in any case.
    with torch.cuda.stream(torch.cuda.current_stream(device)), torch.cuda.graph(graph, stream=_side(device)):
        function()
    return graph.replay
