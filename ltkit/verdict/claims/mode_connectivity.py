"""The claims of Maene et al. 2021, "Towards Understanding Iterative Magnitude Pruning" (arXiv 2106.06955): C1 to C24.

L1 to L4 are from the work it builds on: Frankle et al. 2020, "Linear Mode Connectivity" (LMC, arXiv 1912.05671).

Unless a sentence says otherwise: ResNet-20, CIFAR-10, no warm-up, tickets by iterative magnitude pruning (IMP) with
the survivors reset to their initial values. Density is the fraction kept, reinit the same mask on fresh weights. A
barrier is the highest error on the straight path less the mean of its ends; the instability of a network is the barrier
between two trainings that differ in data order only, below 2 points it is stable. Angles are in right angles: 0 same
direction, 1 orthogonal. Only the margins of 2 points for stable and of 0.2 for matching are published, the others are
ltkit's. Margins below 0 are non-inferiority; factors are judged as log10. Each note gives the value that is judged.
"""

from __future__ import annotations

import math

from .claim import Claim

MODE_CONNECTIVITY: tuple[Claim, ...] = (
    Claim(
        "C1",
        "mode_connectivity",
        "At batch sizes up to 128, iterative tickets are no better than the same masks on fresh weights.",
        "equivalence",
        margin=1.0,
        published=0.0,
        published_mark="derived",
        note="Value: IMP − reinit at density .134, batch 128; read off a figure. No law of small batches: Conv-4 at "
        "128 and LeNet at 60 are stable and have tickets.",
    ),
    Claim(
        "C2",
        "mode_connectivity",
        "At batch sizes from 1024 on, iterative tickets beat the same masks on fresh weights.",
        "difference",
        margin=3.0,
        published=3.8,
        published_mark="derived",
        note="Value: IMP − reinit at density .134, batch 2048; read off a figure. At 512, in between, it is 2.4. Equal "
        "epochs are 16 times fewer steps than at 128: show the twin with equal steps.",
    ),
    Claim(
        "C3",
        "mode_connectivity",
        "Warm-up helps iterative tickets only in the transition between unstable and stable training.",
        "difference",
        margin=1.0,
        published=2.1,
        published_mark="derived",
        note="Value: IMP with − without warm-up at density .134, batch 512; read off a figure. Cell of kind "
        "equivalence, same margin: batch 2048, where it is called little. The transition is batch 256 to 512.",
    ),
    Claim(
        "C4",
        "mode_connectivity",
        "A large-batch ticket beats its own dense network but not the dense network of small batches.",
        "difference",
        margin=0.5,
        published="+1.1 (over dense at batch 2048), +2.6 (dense at batch 128 over it)",
        published_mark="derived",
        note="Two cells: best ticket − dense, both at batch 2048, and dense at 128 − best ticket at 2048. Read off a "
        "figure. Stable is not better. Choose the best density on the validation split.",
    ),
    Claim(
        "C5",
        "mode_connectivity",
        "The instability of iterative tickets collapses as the batch grows.",
        "difference",
        margin=50.0,
        unit="points of error",
        published="72.5 to 79 (batch 64 to 256), 0.1 to 0.2 (1024, 2048)",
        published_mark="paper",
        note="Value: instability at density .107, a cell a batch size up to 256. Cells of kind equivalence, margin 2 "
        "(published): 1024 and 2048; an instability is never negative. Read off a figure. At 512 it spans 0 to 55: "
        "not judged there.",
    ),
    Claim(
        "C6",
        "mode_connectivity",
        "Winning tickets exist exactly where the masked network is stable.",
        "equivalence",
        margin=1.0,
        published="all tabulated cells agree except batch 512",
        published_mark="paper",
        note="Value: IMP − reinit, a cell a batch and density: above 1 point where instability is below 2 points "
        "(published) by its interval; where it is above 2, reinit − IMP, above −1; where its interval is open, the "
        "instability itself. Read off figures. Show batch 512 apart. Controls: LeNet says yes to both, batch 128 no to "
        "both.",
    ),
    Claim(
        "C7",
        "mode_connectivity",
        "Pushing the weights away from all earlier optima removes the ticket's lead under stable training.",
        "equivalence",
        margin=1.0,
        published="0.0 and −0.6 (batch 2048, density .262 and .0687), −0.3 (LeNet, .0047), +0.3 (Conv-4, .134)",
        published_mark="derived",
        note="Value: repelled IMP − plain reinit, a cell a network and density; read off figures. Angles to all "
        "earlier rounds must reach about .9 (here .8), or λ is too weak. LeNet's own lead at .035 is only 0.3, at "
        ".0047 it is 2.2.",
    ),
    Claim(
        "C8",
        "mode_connectivity",
        "The same repulsion leaves fresh weights under these masks as accurate as before.",
        "equivalence",
        margin=1.0,
        published="about 0",
        published_mark="paper",
        note="Value: reinit with − without the repulsion, batch 2048, where it pushes as C7 asks; read off a figure. "
        "Guards C7 against a term that simply hurts.",
    ),
    Claim(
        "C9",
        "mode_connectivity",
        "Pulling the weights towards earlier optima creates the ticket effect under unstable training.",
        "difference",
        margin=2.0,
        published=3.3,
        published_mark="derived",
        note="Value: attracted IMP − IMP at density .134, batch 128, λ = −1; read off a figure. Still below rewinding.",
    ),
    Claim(
        "C10",
        "mode_connectivity",
        "The same attraction does not help fresh weights.",
        "difference",
        margin=-0.5,
        published=1.8,
        published_mark="derived",
        note="Value: reinit without − with attraction at density .134, batch 128; above −0.5 says that it helps by "
        "less than 0.5. Read off a figure.",
    ),
    Claim(
        "C11",
        "mode_connectivity",
        "Pushing away from the last optimum only makes the rounds alternate between two directions.",
        "difference",
        margin=0.3,
        unit="right angles",
        published="+0.55 to +0.65",
        published_mark="derived",
        note="Value: angle to the last round − angle to the one before, LeNet; read off a figure. Tickets survive, "
        "weaker.",
    ),
    Claim(
        "C12",
        "mode_connectivity",
        "Under stable training, consecutive rounds at medium density are far closer than chance and than reinit.",
        "difference",
        margin=0.2,
        unit="right angles",
        published="+0.37 to +0.41 (chance), +0.60 (reinit)",
        published_mark="derived",
        note="Two cells at rounds 10 and 11, batch 2048: null angle − IMP's angle and reinit's − IMP's. Read off a "
        "figure, the null computed. Compare with the null, not with 1. Rounds 0 and 1 are only a little below it.",
    ),
    Claim(
        "C13",
        "mode_connectivity",
        "Under unstable training, consecutive rounds are as far apart as those of reinit.",
        "equivalence",
        margin=0.05,
        unit="right angles",
        published="−0.03 to 0.00",
        published_mark="derived",
        note="Value: IMP's angle − reinit's, a cell a pair of rounds up to 10, batch 128; read off a figure. Later "
        "both angles drop (.82 and .91).",
    ),
    Claim(
        "C14",
        "mode_connectivity",
        "Under stable training, the angle between rounds first falls and then rises again as the density falls.",
        "trend",
        margin=0.1,
        unit="right angles",
        published="+0.30 and +0.15 (batch 2048), +0.42 and +0.38 (1024)",
        published_mark="derived",
        note="Two cells a batch size, one an arm of the U: angle of rounds 0 and 1, and of 20 and 21, less that at the "
        "minimum. Read off a figure. Take the minimum's round from the mean over seeds: each seed's own minimum makes "
        "an arm of noise. Compare each pair with its null.",
    ),
    Claim(
        "C15",
        "mode_connectivity",
        "Under stable training, successive optima at medium density are linearly connected.",
        "equivalence",
        margin=2.0,
        unit="points of error",
        published="about 0",
        published_mark="paper",
        note="Value: barrier between rounds, a cell a pair from density .512 to .035, batch 2048; a barrier is never "
        "negative, so within 2 means below 2 (published). Read off a figure. Control: twins of one seed give 0.",
    ),
    Claim(
        "C16",
        "mode_connectivity",
        "They are not connected from the dense network to the first round.",
        "difference",
        margin=10.0,
        unit="points of error",
        published="38 (batch 2048, 7 to 58), 47.5 (Conv-4)",
        published_mark="paper",
        note="Value: barrier between densities 1 and .8, a cell a network; read off a figure. Wide spread: 3 seeds at "
        "least. Gradient flow's D15 says otherwise for one mask at both ends.",
    ),
    Claim(
        "C17",
        "mode_connectivity",
        "They are not connected at very low density either.",
        "difference",
        margin=10.0,
        unit="points of error",
        published="16.5 to 26",
        published_mark="paper",
        note="Value: barrier between rounds, a cell a density of .0144 or less, batch 2048; read off a figure. Doesn't "
        "hold for Conv-4 down to .012, nor for LeNet. The mean of unequal ends counts as a barrier: report the excess "
        "over the chord.",
    ),
    Claim(
        "C18",
        "mode_connectivity",
        "LeNet-300-100's successive optima are connected at every density.",
        "equivalence",
        margin=2.0,
        unit="points of error",
        published="about 0 (0.4 in the first round)",
        published_mark="paper",
        note="Value: barrier between rounds, a cell a pair; never negative, so within 2 means below 2 (published). "
        "Read off a figure. It is the positive control; alone, LeNet can't show the effect of instability.",
    ),
    Claim(
        "C19",
        "mode_connectivity",
        "The optima of successive masks on fresh weights are not connected.",
        "difference",
        margin=10.0,
        unit="points of error",
        published="75 to 81, falling to 49 (batch 2048), 12 to 54 (LeNet), 51 to 15 to 43 (Conv-4)",
        published_mark="paper",
        note="Value: barrier between reinit's rounds, a cell a network and pair; read off a figure. It is the negative "
        "control of C15 and C18.",
    ),
    Claim(
        "C20",
        "mode_connectivity",
        "Stable iterative pruning leaves weights around two values and few near 0; unstable and reinit do not.",
        "existence",
        unit="ratio of densities",
        published="modes at about ±0.12 (batch 2048), one mode (batch 128, reinit)",
        published_mark="paper",
        note="Value: 0.5 − (how many |w| lie near 0, over how many at the peak away from 0) after 10 rounds, batch "
        "2048. Cells with the opposite sign: batch 128 and reinit. The half is ltkit's. Read off a figure.",
    ),
    Claim(
        "C21",
        "mode_connectivity",
        "Stable iterative pruning raises the pruning threshold faster than reinit does.",
        "difference",
        margin=math.log10(1.5),
        unit="log10 of the ratio",
        published=0.44,
        published_mark="derived",
        note="Value: log10 of IMP's threshold over reinit's at density .134, batch 2048; the margin is ×1.5, published "
        "are .083 and .03. Read off a figure. Control: about equal at batch 128.",
    ),
    Claim(
        "C22",
        "mode_connectivity",
        "Between stable and unstable, leaving out weight decay gives a worse dense network and a longer plateau.",
        "difference",
        margin=0.3,
        published="+0.6 (dense), +0.8 (density .134), +2.9 (.0352)",
        published_mark="derived",
        note="Cells at batch 512: dense with − without weight decay, and tickets without − with. Read off a figure. "
        "Small where training is fully stable.",
    ),
    Claim(
        "C23",
        "mode_connectivity",
        "Conv-4 loses its tickets when its training is made unstable.",
        "difference",
        margin=2.0,
        published="+3.55 (batch 128), 0.0 (batch 16, weight decay .01)",
        published_mark="derived",
        note="Value: IMP − reinit at density .134, batch 128. Cell of kind equivalence, margin 1: batch 16 with weight "
        "decay .01. Read off a figure. The cheapest network that shows the effect.",
    ),
    Claim(
        "C24",
        "mode_connectivity",
        "On ResNet-50 a smaller learning rate loses less by one-shot pruning.",
        "ordering",
        published=0.4,
        published_mark="derived",
        note="Value: (dense − pruned at η .4) − (dense − pruned at η .1), density .3, ImageNet; published 2.4 − 2.0. "
        "Single runs that are not stable: weak.",
    ),
    Claim(
        "L1",
        "mode_connectivity",
        "A dense network becomes stable when the first few percent of its training are shared.",
        "equivalence",
        margin=2.0,
        unit="points of error",
        published="81 (k = 0) to 1.5 (k = 2000, 3 % of training)",
        published_mark="paper",
        note="Value: instability on the test set from step k = 3 % to 20 %; never negative, so within 2 means below 2 "
        "(published). Cell of kind trend, margin 0: its fall, instability at k = 0 − at 3 %. Read off a figure of LMC. "
        "Positive control: about 80 at k = 0, batch 128; one replication finds it stable there. ResNet-50 needs 20 %.",
    ),
    Claim(
        "L2",
        "mode_connectivity",
        "A ticket matches the full network if and only if it is stable.",
        "equivalence",
        margin=0.2,
        published="reported to hold",
        published_mark="replication",
        note="Value: ticket − dense, a cell a network, setting and density: above −0.2 points where instability is "
        "below 2 points (both published) by its interval; where it is above 2, dense − ticket, above 0.2; where its "
        "interval is open, the instability itself. Random masks and fresh weights are unstable at every k, except on "
        "LeNet.",
    ),
    Claim(
        "L3",
        "mode_connectivity",
        "Stability from step k on is no matter of training less: all T steps from there are as stable as T − k.",
        "equivalence",
        margin=2.0,
        unit="points of error",
        published="same",
        published_mark="replication",
        note="Value: instability with T − with T − k steps from the weights of step k, a cell a k.",
    ),
    Claim(
        "L4",
        "mode_connectivity",
        "Stable networks need not end close together: small L2 distance is no condition of stability.",
        "existence",
        margin=0.2,
        unit="distance over distance travelled",
        published=".25 to .45 in four networks",
        published_mark="replication",
        note="Value: L2 distance between the ends of two stable trainings over the distance travelled. Above 0 is true "
        "of any two networks, so it needs a size: the margin is ltkit's, that of C12. Cells that aren't stable don't "
        "count.",
    ),
)
