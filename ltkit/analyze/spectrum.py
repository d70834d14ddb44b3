"""Spectra of symmetric matrices that are known as products with vectors, and what gradient_flow.md P8 asks of them.

Lanczos with full reorthogonalisation finds the ends of a spectrum, stochastic Lanczos quadrature (Ubaru, Chen and Saad
2017; for Hessians Ghorbani, Krishnan and Xiao, arXiv 1901.10159) all of it, blurred: each random probe sees the matrix
through a small tridiagonal one, whose eigenvalues stand for shares of the spectrum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from .hessian import Product

ZERO = 1e-6  # of the largest |eigenvalue|: below that float32 products don't know a sign, and dead units give 0


@dataclass(frozen=True)
class Spectrum:
    """Eigenvalues `values` (K,), each standing for `counts` (K,) of the matrix's own: 1 where they are exact."""

    values: Tensor
    counts: Tensor


@dataclass(frozen=True)
class Summary:
    """The ends of a spectrum, how many eigenvalues are negative, and their mass: the sum of their |values|.

    `total` is the sum of all |values|, so mass / total is the scale-free share. Counts from quadrature aren't whole.
    """

    lambda_min: float
    lambda_max: float
    negative: float
    mass: float
    total: float


def whole(eigenvalues: Tensor) -> Spectrum:
    """The spectrum whose eigenvalues are all known, as from `ltkit.analyze.hessian.exact`."""
    return Spectrum(eigenvalues, torch.ones_like(eigenvalues))


def lanczos(
    product: Product, size: int, steps: int, generator: torch.Generator, device: torch.device | str = "cpu"
) -> tuple[Tensor, Tensor]:
    """Ritz values (K,), ascending, and how far each is at most from an eigenvalue, (K,); K <= steps. float64, CPU.

    The first and the last come to the extreme eigenvalues soonest, always from inside. K is below `steps` where the
    start vector's Krylov space is used up, which then holds each distinct eigenvalue once, without error.
    """
    start = torch.randn(size, dtype=torch.float64, generator=generator)
    diagonal, beside, left = _tridiagonal(product, start.to(device), steps)
    values, vectors = _eigen(diagonal, beside)
    return values, left * vectors[-1].abs()


def quadrature(
    product: Product,
    size: int,
    steps: int,
    probes: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Spectrum:
    """Stochastic Lanczos quadrature: `probes` random sign vectors, `steps` products with each.

    Moments up to 2 * steps - 1 are those of the probes, so the trace has Hutchinson's error, a share of about
    sqrt(2 / probes) ||H|| / |trace| or less. A sharp peak at 0 is smeared to both sides: trust the mass of negative
    eigenvalues before their count.
    """
    values, shares = [], []
    for _ in range(probes):
        signs = 2.0 * torch.randint(2, (size,), generator=generator).double() - 1
        diagonal, beside, _left = _tridiagonal(product, signs.to(device), steps)
        nodes, vectors = _eigen(diagonal, beside)
        values.append(nodes)
        shares.append(vectors[0].square())
    return Spectrum(torch.cat(values), torch.cat(shares) * size / probes)


def summary(spectrum: Spectrum, zero: float = ZERO) -> Summary:
    """Ends, count and mass of the eigenvalues below -`zero` times the largest |eigenvalue|: the rest counts as 0."""
    values, counts = spectrum.values, spectrum.counts
    below = values < -zero * values.abs().max()
    return Summary(
        float(values.min()),
        float(values.max()),
        float(counts[below].sum()),
        float((counts * values.abs())[below].sum()),
        float((counts * values.abs()).sum()),
    )


def density(spectrum: Spectrum, grid: Tensor, width: float) -> Tensor:
    """The spectral density on `grid` (G,): a Gaussian of standard deviation `width` an eigenvalue, area 1 in all."""
    apart = (grid.double().unsqueeze(1) - spectrum.values) / width
    bells = torch.exp(-apart.square() / 2) / (width * math.sqrt(2 * math.pi))
    return bells @ (spectrum.counts / spectrum.counts.sum())


def _tridiagonal(product: Product, start: Tensor, steps: int) -> tuple[Tensor, Tensor, float]:
    """Diagonal (K,) and off-diagonal (K - 1,) of the matrix in the Krylov basis of `start`, and what is left out."""
    basis = start.new_zeros(min(steps, len(start)), len(start))
    diagonal: list[float] = []
    beside: list[float] = []
    v = start / start.norm()
    while True:
        basis[len(diagonal)] = v
        w = product(v)
        reach = float(w.norm())
        diagonal.append(float(w @ v))
        known = basis[: len(diagonal)]
        for _ in range(2):  # twice is enough, once is not
            w = w - known.T @ (known @ w)
        left = float(w.norm())
        if left <= 1e-10 * max(reach, max(map(abs, diagonal))):  # rounding: the space is used up
            left = 0.0
        if left == 0 or len(diagonal) == len(basis):
            return torch.tensor(diagonal, dtype=start.dtype), torch.tensor(beside, dtype=start.dtype), left
        beside.append(left)
        v = w / left


def _eigen(diagonal: Tensor, beside: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(diagonal.diag() + beside.diag(1) + beside.diag(-1))
    return values, vectors
