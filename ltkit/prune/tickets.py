"""The runs that lottery-ticket studies are made of, as plain functions from runs to runs. Nothing is trained here.

Terms and procedures: existence.md section 3. θ_0 is `dense.start`, m the mask, T the last epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..spec import (
    Admm,
    Distribution,
    From,
    Gradual,
    Grown,
    Magnitude,
    MaskSpec,
    Prunable,
    Random,
    Repel,
    Run,
    Scored,
    Shuffled,
    origin,
)

Scope = Literal["global", "layer"]


def imp(
    dense: Run,
    *,
    rounds: int,
    rate: float = 0.2,
    rewind: int = 0,
    scope: Scope = "global",
    prunable: Prunable = "default",
    repel: float | None = None,
    last_only: bool = False,
) -> list[Run]:
    """Iterative magnitude pruning: one ticket a round; the ticket of round k keeps (1 - rate)^k of the weights.

    Each round prunes what the round before trained, sets what is left back to θ_rewind, and trains it again. Round k's
    training is the ticket LT-IMP at that density, and what round k+1 prunes.

    With `repel` each round is trained away from what all earlier rounds found, the dense network included (below 0:
    towards it; mode_connectivity.md P6), or with `last_only` from the round before alone.
    """
    tickets: list[Run] = []
    trained = dense
    for _ in range(rounds):
        mask = Magnitude(run=trained, rate=rate, scope=scope, prunable=prunable)
        earlier = [trained] if last_only else [dense, *tickets]
        trained = ticket(dense, mask, rewind)
        if repel is not None:
            trained = repelled(trained, earlier, repel)
        tickets.append(trained)
    return tickets


def omp(
    dense: Run,
    *,
    rounds: int,
    rate: float = 0.2,
    rewind: int = 0,
    scope: Scope = "global",
    prunable: Prunable = "default",
) -> list[Run]:
    """One-shot magnitude pruning of θ_T to each count of the IMP ladder: LT-OMP, comparable weight for weight."""
    return [
        ticket(dense, Magnitude(run=dense, rate=rate, rounds=k, scope=scope, prunable=prunable), rewind)
        for k in range(1, rounds + 1)
    ]


def admm(
    dense: Run,
    *,
    density: float,
    rounds: int,
    epochs: int,
    lr: float = 1e-3,
    rho: float = 1e-3,
    scope: Scope = "layer",
    prunable: Prunable = "default",
) -> list[Run]:
    """ADMM's rounds after θ_T, dense networks that come closer and closer to their own `density` (ltkit.prune.admm).

    Each goes on from the weights of the round before, with a fresh optimizer, for `epochs`; lr falls to a tenth after
    each third of them (weight_correlation.md section 3). The paper gives no settings: its sheet takes lr 1e-3, rho 1e-3
    and 9 epochs a round from the code of an earlier paper, and knows no number of rounds. On CIFAR-10 these values move
    a weight by some 1 % of its way to the target in a round (ρ Σ lr / (1 - momentum) = .013), so look at the residual.
    The mask to use is then `Magnitude(run=chain[-1], density, scope, prunable)`.
    """
    thirds = {"schedule": "step", "milestones": (1 / 3, 2 / 3), "gamma": 0.1, "warmup": 0}
    recipe = dense.recipe.replace(lr=lr, epochs=epochs, steps=None, **thirds)
    chain = [dense]
    for _ in range(rounds):
        loss = Admm(runs=tuple(chain), density=density, scope=scope, prunable=prunable, strength=rho)
        chain.append(dense.replace(start=From(run=chain[-1]), recipe=recipe, extra=loss))
    return chain[1:]


def ticket(dense: Run, mask: MaskSpec, rewind: int = 0) -> Run:
    """θ_rewind under `mask`, trained from epoch `rewind` to T on the dense network's schedule and data order."""
    start = From(run=dense, epoch=rewind, resume=rewind) if rewind else dense.start
    return dense.replace(start=start, mask=mask)


def repelled(run: Run, runs: Sequence[Run], strength: float) -> Run:
    """`run` trained away from the final weights of `runs`, towards them with a strength below 0.

    Of a re-initialized ticket it makes the control of P6 (mode_connectivity.md): the same loss over another start.
    """
    return run.replace(extra=Repel(runs=tuple(runs), strength=strength))


def reinit(winner: Run, draw: int = 1) -> Run:
    """RR: the same mask and data order over an independent θ_0', always trained in full (existence.md section 2).

    An extra loss of the winner stays, against the same runs; so does the scale to the mask of a start that has one.
    """
    first = origin(winner)
    return winner.replace(start=first.replace(draw=first.draw + draw, permute=None))


def shuffled(winner: Run, seed: int | None = None) -> Run:
    """The ticket's weights start under its own mask with each layer's positions permuted."""
    if isinstance(winner.mask, Grown | Gradual):
        raise ValueError(f"a {winner.mask.kind} mask changes while training: only one that stays can be shuffled")
    return winner.replace(mask=Shuffled(mask=winner.mask, seed=winner.order if seed is None else seed))


def inverted(winner: Run) -> Run:
    """As many weights, but the lowest-scored instead of the highest (F's inversion, sanity_checks.md check 7)."""
    if not isinstance(winner.mask, Magnitude | Scored):
        raise ValueError(f"only a mask of scores can be inverted, not a {winner.mask.kind} one")
    return winner.replace(mask=winner.mask.replace(keep="smallest"))


def random(
    dense: Run,
    *,
    density: float | None = None,
    rate: float | None = None,
    rounds: int = 1,
    distribution: Distribution = "uniform",
    prunable: Prunable = "default",
) -> Run:
    """θ_0 under random positions, its layer densities from `distribution`."""
    mask = Random(
        density=density, rate=rate, rounds=rounds, distribution=distribution, seed=dense.order, prunable=prunable
    )
    return ticket(dense, mask)


def scored(
    dense: Run,
    method: Literal["magnitude", "snip", "grasp", "synflow"],
    *,
    density: float,
    per_class: int = 10,
    steps: int | None = None,
    prunable: Prunable = "default",
) -> Run:
    """θ_0 under the mask that `method` finds on θ_0 itself (sanity_checks.md section 3); 100 steps for SynFlow."""
    if isinstance(dense.start, From):
        raise ValueError("methods at initialization score fresh weights, not trained ones")
    task = dense.task.replace(crop=0, flip=False) if method in ("snip", "grasp") else None
    mask = Scored(
        method=method,
        start=dense.start,
        task=task,
        density=density,
        per_class=per_class if task else 10,
        steps=steps or (100 if method == "synflow" else 1),
        seed=dense.order,
        prunable=prunable,
    )
    return ticket(dense, mask)


def grown(
    dense: Run,
    method: Literal["set", "rigl", "rigl_inverted"],
    *,
    density: float,
    every: int,
    distribution: Distribution = "erk",
    end: float = 0.75,
    drop: float = 0.3,
    again: bool = True,
    replaces_step: bool = True,
    prunable: Prunable = "default",
) -> Run:
    """θ_0 under random positions that move while training (gradient_flow.md P2, P3): those of `random` to begin with.

    For another beginning, say the mask of a pruned run (P3b), give `ticket` a `Grown` of it.
    """
    mask = Grown(
        method=method,
        mask=Random(density=density, distribution=distribution, seed=dense.order, prunable=prunable),
        every=every,
        end=end,
        drop=drop,
        again=again,
        replaces_step=replaces_step,
        seed=dense.order if method == "set" else 0,
    )
    return ticket(dense, mask)


def gradual(
    dense: Run,
    density: float,
    *,
    every: int,
    begin: float = 0.25,
    end: float = 0.6,
    scope: Literal["layer", "global"] = "layer",
    prunable: Prunable = "default",
) -> Run:
    """θ_0 dense, pruned by magnitude while training (gradient_flow.md P5; D's LeNet-5 from step 3000 to 7000 of 11719).

    D's lottery ticket is `ticket(dense, Magnitude(run=gradual(dense, d, ...), density=d))`.
    """
    return ticket(dense, Gradual(density=density, begin=begin, end=end, every=every, scope=scope, prunable=prunable))


def fine_tune(trained: Run, mask: MaskSpec, resume: int = 0) -> Run:
    """Pruned and trained on: θ_T under `mask`, the learning-rate schedule taken up again at epoch `resume`.

    `resume=0` restarts the whole schedule (weight_correlation.md P&FT); `resume=k` is learning-rate rewinding to k.
    For plain fine-tuning at the last learning rate give the result a recipe of its own.
    """
    return trained.replace(start=From(run=trained, resume=resume), mask=mask)
