"""A study kit for the lottery ticket hypothesis.

To read in an evening, in this order:

    spec.py               what one training is: a frozen value, named by what decides its result
    prune/tickets.py      runs from runs: IMP, one-shot pruning, re-initialization, rewinding
    prune/masks.py        scores to masks, with exact counts
    train/job.py          which runs can train together
    train/cohort.py       the state of many networks as one
    train/loop.py         their training, everything else as probes
    lab/material.py       from a run's words to tensors
    lab/lab.py            which runs are missing? parents first
    verdict/stats.py      intervals over seeds
    verdict/judge.py      a claim and one value a seed make a verdict
    studies/existence.py  a study: the runs of a grid

The rest: `data` and `models` (images, networks), `analyze` (barriers, correlations, curvature, bounds), `store` (runs
on disk), the other `studies` (each with its parameters, claims and controls), `show` (figures, explorers, reports, the
board), and `cli.py`. A study's claims are data in `verdict/claims`, their tests stand in `studies/*_claims.py`.
"""
