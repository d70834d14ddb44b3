"""The claims of Liu et al. 2021, "Lottery Ticket Preserves Weight Correlation" (arXiv 2102.11068): why do tickets win?

Unless a sentence says otherwise: ResNet-20, CIFAR-10, 150 epochs, the mean of at least 5 seeds, one learning rate η for
mask and ticket, no warm-up. s is the fraction removed; iterative masks are cut layer by layer. LT is the ticket θ_0⊙m,
RR fresh weights θ_0′⊙m, P&FT pruning and fine-tuning: θ_T⊙m trained once more. R_p is the share that two networks have
in common of each layer's p largest weights, p by chance; among kept weights where both have one mask. No margin is
published: 0.5 points is ltkit's (1 on CIFAR-100), the others too, and below 0 they are non-inferiority. Weight decay is
not stated and decides what of θ_0 survives: it is a factor everywhere. Each note gives the value that is judged.
"""

from __future__ import annotations

from .claim import Claim

WEIGHT_CORRELATION: tuple[Claim, ...] = (
    Claim(
        "E1a",
        "weight_correlation",
        "At η = 0.01 tickets beat the same masks on fresh weights, at every s.",
        "difference",
        margin=0.0,
        published="direction only",
        published_mark="paper",
        note="Value: LT − RR, a cell an s; margin 0, beyond the noise of the seeds. Also said of MobileNet-V2 on "
        "CIFAR-100. Short training inflates it: flag fresh weights near chance.",
    ),
    Claim(
        "E1b",
        "weight_correlation",
        "At η = 0.01 the ticket at least matches the dense network near s = 0.62.",
        "difference",
        margin=0.0,
        published=0.42,
        published_mark="derived",
        note="Value: LT − dense, both at η = .01; published 90.04 − 89.62. That dense network is 2.1 below the one at "
        "η = .1. Fails for MobileNet-V2 on CIFAR-100.",
    ),
    Claim(
        "E2a",
        "weight_correlation",
        "At η = 0.1 tickets end level with the same masks on fresh weights, at every s.",
        "equivalence",
        margin=0.5,
        published="no clear gap",
        published_mark="paper",
        note="Value: LT − RR, a cell an s. A replication breaks it by a warm-up: run with and without.",
    ),
    Claim(
        "E2b",
        "weight_correlation",
        "At η = 0.1 tickets stay below the dense network from s = 0.5 on.",
        "difference",
        margin=0.0,
        published="direction only",
        published_mark="paper",
        note="Value: dense − LT, a cell an s of .5 or more. A small s may tie.",
    ),
    Claim(
        "E3",
        "weight_correlation",
        "The larger η trains the dense network better, for every network and data set.",
        "difference",
        margin=1.5,
        published="+1.66 to +4.05 in five pairs",
        published_mark="derived",
        note="Value: dense(.1) − dense(.01), a cell a pair. VGG-11 on CIFAR-10 is not published. Can flip for very "
        "short training: check it first.",
    ),
    Claim(
        "E4a",
        "weight_correlation",
        "Initial and trained weights overlap more at η = 0.01 than at η = 0.1, for every p from .1 to .5.",
        "ordering",
        unit="overlap ratio",
        published="direction only",
        published_mark="paper",
        note="Value: R_p(θ_0, θ_T) at .01 − at .1, dense, the same θ_0, a cell a p. η acts through η · decay · steps: "
        "sweep weight decay over 0, 1e-4, 5e-4, and repeat at an equal product.",
    ),
    Claim(
        "E4b",
        "weight_correlation",
        "At η = 0.1 initial and trained weights overlap hardly more than by chance.",
        "equivalence",
        margin=0.005,
        unit="overlap ratio",
        published="about p; +0.0011 to +0.0041 in pruned networks (E8)",
        published_mark="paper, derived",
        note="Value: R_p(θ_0, θ_T) − p, dense, a cell a p. It tests size, not significance: in a large network a "
        "difference of .004 is many null standard deviations. Negative control: θ_0′.",
    ),
    Claim(
        "E5a",
        "weight_correlation",
        "At η = 0.01 the fine-tuned network overlaps more with the ticket's initial weights than with fresh ones.",
        "difference",
        margin=3.0,
        unit="null standard deviations",
        published="direction only",
        published_mark="paper",
        note="Value: (R_.2 of θ_0⊙m − of θ_0′⊙m, each with (θ_T⊙m)_T) / null sd, at s = .3, .5, .7. θ_0′ near .2 is "
        "the negative control. Count kept weights only: with dense counts a shared mask alone gives .4 at s = .5.",
    ),
    Claim(
        "E5b",
        "weight_correlation",
        "At η = 0.1 that difference vanishes.",
        "equivalence",
        margin=0.005,
        unit="overlap ratio",
        published="direction only",
        published_mark="paper",
        note="Value: R_.2 of θ_0⊙m − of θ_0′⊙m, each with (θ_T⊙m)_T, at s = .3, .5, .7. Size, not significance, as in "
        "E4b.",
    ),
    Claim(
        "E6a",
        "weight_correlation",
        "At η = 0.1, with the same mask and as many epochs, pruning and fine-tuning beats the ticket at every s.",
        "difference",
        margin=0.0,
        published="direction only",
        published_mark="paper",
        note="Value: P&FT − LT, a cell an s and mask method, one-shot masks included; margin 0, beyond the noise of "
        "the seeds. Fine-tuning goes on from pretrained weights: the control is LT trained 2T.",
    ),
    Claim(
        "E6b",
        "weight_correlation",
        "At η = 0.1 fine-tuned networks are at least as good as dense up to s = .70 (iterative), .80 (ADMM masks).",
        "difference",
        margin=-0.5,
        published=1.28,
        published_mark="derived",
        note="Value: P&FT − dense, a cell an s and mask method; not worse by 0.5 (CIFAR-100: 1). Published 76.04 − "
        "74.76 for MobileNet-V2, CIFAR-100, ADMM, s = .39 only. Dense had T epochs and this 2T: add dense trained a "
        "further T.",
    ),
    Claim(
        "E6c",
        "weight_correlation",
        "Fine-tuned networks come close to the dense network or above it, at both η.",
        "difference",
        margin=-0.5,
        published="direction only",
        published_mark="paper",
        note="Value: P&FT − dense at the same η, a cell an η; not worse by 0.5 (CIFAR-100: 1). At .01 much is simply "
        "more training: same control as E6b.",
    ),
    Claim(
        "E7",
        "weight_correlation",
        "At η = 0.1 ADMM masks are better than iterative ones, and these better than one-shot masks.",
        "ordering",
        published="direction only",
        published_mark="paper",
        note="Value: ADMM − iterative and iterative − one-shot, cells for P&FT and for LT, at one s. Existence's A6b "
        "sees no such gain with global masks: run both scopes. ADMM gets extra epochs; assert that its weights come "
        "closer to the mask, since the public code leaves its penalty out.",
    ),
    Claim(
        "E8",
        "weight_correlation",
        "Fine-tuned networks forget the initial weights but not the pretrained ones.",
        "equivalence",
        margin=0.005,
        unit="overlap ratio",
        published="+0.0011 to +0.0041 (θ_0), +0.2808 to +0.4471 (θ_T)",
        published_mark="derived",
        note="Value: R_.2 of (θ_T⊙m)_T with θ_0 − .2; s = .5, ADMM masks, η = .1. Cell of kind difference, margin .25: "
        "with θ_T − .2. The mask alone gives about .40 with θ_T: (θ_0′⊙m)_T is the control.",
    ),
    Claim(
        "E9",
        "weight_correlation",
        "Pruning and fine-tuning beats rewinding to epoch 10, and this beats the ticket.",
        "ordering",
        published="direction only",
        published_mark="paper",
        note="Value: P&FT − rewind and rewind − LT, two cells; CIFAR-100, ADMM masks. Equalise the epochs, vary the "
        "epoch.",
    ),
    Claim(
        "E10",
        "weight_correlation",
        "Tickets win because their initial and trained weights correlate: more overlap, more lead.",
        "trend",
        unit="accuracy points per 0.1 of overlap",
        published="observational only",
        published_mark="paper",
        note="Value: slope of LT − RR over R_p − p across interventions: warm-up, masks of another η, weight decay at "
        "fixed η, an anchor to θ_0. η alone moves overlap, dense accuracy and mask together. A replication has tickets "
        "that win at chance-level R_.2. Record R_p of the final ticket too.",
    ),
    Claim(
        "E11",
        "weight_correlation",
        "Sparse networks too end higher at η = 0.1 than at η = 0.01.",
        "ordering",
        published="direction only",
        published_mark="paper",
        note="Value: LT(.1) − LT(.01), a cell an s. Existence's numbers say the opposite at s = .914, 87.3 against "
        "89.4: expect a crossover in s.",
    ),
)
