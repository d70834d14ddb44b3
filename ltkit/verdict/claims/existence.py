"""The claims of Ma et al. 2021, "Sanity Checks for Lottery Tickets" (arXiv 2107.00166): do winning tickets exist?

Unless a sentence says otherwise: CIFAR-10, 160 epochs, the mean of at least 3 seeds, mask and ticket trained at one
learning rate η. LT is the ticket θ_0⊙m, RR the same mask on fresh weights θ_0′⊙m, IMP and OMP iterative and one-shot
magnitude pruning, s the fraction removed, M_X the best over η. Each note gives the value that is judged.
"""

from __future__ import annotations

from .claim import Claim

EXISTENCE: tuple[Claim, ...] = (
    Claim(
        "A1a",
        "existence",
        "At η = 0.1, ResNet-20's iterative tickets end level with the same masks on fresh weights, at every s ≥ 0.59.",
        "equivalence",
        margin=0.5,
        published="no clear gap",
        published_mark="paper",
        note="Value: LT − RR, a cell a sparsity from .59 to .956. Said to fail with a warm-up: run that as a control.",
    ),
    Claim(
        "A1b",
        "existence",
        "At η = 0.1, ResNet-20's iterative tickets stay below the dense network from s = 0.5 on.",
        "difference",
        margin=0.5,
        published=5.1,
        published_mark="derived",
        note="Value: dense − LT; published 92.4 − 87.3 at s = .914. Control: dense − dense of other seeds is near 0.",
    ),
    Claim(
        "A2",
        "existence",
        "At η = 0.005 or 0.01, ResNet-20's iterative tickets clearly beat the same masks on fresh weights.",
        "difference",
        margin=0.5,
        published=4.5,
        published_mark="derived",
        note="Value: LT − RR at s = .59, .832, .914; published for η = .005, s = .914 only. Depends on weight decay.",
    ),
    Claim(
        "A3a",
        "existence",
        "Training twice as long widens the gap between dense and ticket (η = 0.005, s = 0.914, 160 against 78 epochs).",
        "ordering",
        published=1.3,
        published_mark="derived",
        note="Value: (dense − LT at 160) − (dense − LT at 78); published 2.2 − 0.9. Scale the milestones; check that "
        "dense improves too.",
    ),
    Claim(
        "A3b",
        "existence",
        "The same longer training narrows the ticket's lead over fresh weights.",
        "ordering",
        published=2.3,
        published_mark="derived",
        note="Value: (LT − RR at 78) − (LT − RR at 160); published 6.8 − 4.5. The lead stays above 0.5.",
    ),
    Claim(
        "A4",
        "existence",
        "ResNet-20 holds no jackpot ticket: the best dense network beats the best ticket, each at its own best η.",
        "difference",
        margin=0.5,
        published=2.7,
        published_mark="derived",
        note="Value: M_dense − M_LT at s = .914; published 92.4 − 89.7 with decoupled η. A small s may pass: report "
        "the largest s whose gap is within τ_sim.",
    ),
    Claim(
        "A5",
        "existence",
        "Tickets at small η match dense networks that fall short themselves: dense at η = 0.1 beats dense at 0.01.",
        "difference",
        margin=0.5,
        published=2.1,
        published_mark="derived",
        note="Value: dense(.1) − dense(.01); published 92.4 − 90.3, margin τ_sim. Short training shrinks or flips it: "
        "check it first.",
    ),
    Claim(
        "A6a",
        "existence",
        "With residual connections and a small η, iterative pruning finds better tickets than one-shot pruning.",
        "ordering",
        published="+2.9 (ResNet-20, s = .914), +1.1 (ResNet-32 ×2, s = .945)",
        published_mark="derived, paper-early",
        note="Value: LT-IMP − LT-OMP at η = .01. Needs a high s; both masks come from the same θ_T.",
    ),
    Claim(
        "A6b",
        "existence",
        "With residual connections and η = 0.1, iterative pruning gains nothing over one-shot pruning.",
        "equivalence",
        margin=0.5,
        published="+0.1 (ResNet-20, s = .914), −0.2 (ResNet-32 ×2, s = .945)",
        published_mark="derived, paper-early",
        note="Value: LT-IMP − LT-OMP at η = .1; the margin is ltkit's. Layer-wise masks are reported to differ: run "
        "both scopes.",
    ),
    Claim(
        "A7",
        "existence",
        "Without residual connections, iterative pruning is no better than one-shot pruning.",
        "ordering",
        published="+0.3 (η = .01), +1.1 (η = .1)",
        published_mark="paper-early",
        note="Value: LT-OMP − LT-IMP, ResNet-32 ×2 without skips, s = .945; a cell a network that was trained with and "
        "without them. Check that the skip-less network trains.",
    ),
    Claim(
        "A8",
        "existence",
        "The best ticket needs the small η with residual connections and the large one without them.",
        "ordering",
        published="+1.5 (with, IMP), +1.0 (without, OMP)",
        published_mark="paper-early",
        note="Value: LT(.01) − LT(.1) with residuals, LT(.1) − LT(.01) without, each with its better pruning method. A "
        "crossover in s and with a wider η grid is expected.",
    ),
    Claim(
        "A9",
        "existence",
        "Training the ticket at another η than its mask moves the best ticket by less than one point.",
        "equivalence",
        margin=1.0,
        published="+0.3 (IMP, mask at .01), +0.7 (OMP, mask at .01), +0.2 (OMP, mask at .1)",
        published_mark="derived",
        note="Value: best LT over η for a fixed mask − LT at the mask's own η; s = .914. Four η a mask in the paper.",
    ),
    Claim(
        "A10a",
        "existence",
        "ResNet-20 holds a secondary prize at some non-trivial sparsity.",
        "existence",
        published="up to s = .914",
        published_mark="paper",
        note="Judged by the conditions: ①–④ hold and ⑤ doesn't. The published gaps break ④ at τ_sim = .5, so expect "
        "undecided or refuted.",
    ),
    Claim(
        "A10b",
        "existence",
        "The larger the network, the sparser the tickets that still win the secondary prize.",
        "trend",
        unit="sparsity per doubling of the parameters",
        published=".914 (ResNet-20), .945 or more (larger networks)",
        published_mark="paper",
        note="Value: slope of the largest s at which ① to ④ hold (a jackpot counts) over log2 of the number of "
        "prunable weights, over networks trained equally long. Weakly sourced.",
    ),
    Claim(
        "A11",
        "existence",
        "A ticket's initial and trained weights correlate above chance at small η, and near chance at large η.",
        "difference",
        margin=3.0,
        unit="null standard deviations",
        published="direction only",
        published_mark="paper",
        note="Value: (R_p(θ_0⊙m, θ_T⊙m) − p) / null sd at p = .1, s = .832, at small η. Cells of kind equivalence, "
        "same margin: large η, and θ_0′ at every η as negative control. Ask for an effect-size floor too; sweep weight "
        "decay over 0, 1e-4, 5e-4. The margin is ltkit's.",
    ),
    Claim(
        "A12",
        "existence",
        "Rewinding to epoch 8 is at least as good as rewinding to the start, at every s and for every network.",
        "ordering",
        published="direction only",
        published_mark="paper",
        note="Value: (θ_8⊙m trained 152 epochs) − (θ_0⊙m trained 160), the same masks for both.",
    ),
    Claim(
        "A13a",
        "existence",
        "VGG-16 has capacity to spare: at s = 0.914 its ticket matches dense, and fresh weights match the ticket.",
        "equivalence",
        margin=0.5,
        published="LT − RR < 0.5",
        published_mark="paper",
        note="Two cells: dense − LT and LT − RR. With 75 epochs of warm-up.",
    ),
    Claim(
        "A13b",
        "existence",
        "MobileNet-v1 at s = 0.832 is a borderline case: both of its gaps sit near the threshold.",
        "equivalence",
        margin=0.5,
        published="both about 0.5",
        published_mark="paper",
        note="Two cells: (dense − LT) − 0.5 and (LT − RR) − 0.5; how near is near is ltkit's choice. Expect undecided "
        "with few seeds.",
    ),
    Claim(
        "A14",
        "existence",
        "On Tiny-ImageNet and ImageNet, ResNets prefer one-shot masks, don't prefer small η and win no clear prize.",
        "ordering",
        published="direction only; no network has a prize",
        published_mark="paper, paper-early",
        note="Value: LT-OMP − LT-IMP; that no prize is won is for the conditions to say. Out of reach of small scales.",
    ),
    Claim(
        "A15",
        "existence",
        "Where the large η is the better one, different initial values end at a similar accuracy.",
        "equivalence",
        margin=0.5,
        published="direction only",
        published_mark="paper",
        note="Value: LT − RR with at least two fresh draws, in the cells whose best η is the larger. The margin is "
        "ltkit's. Goes with A1a and A13a.",
    ),
    Claim(
        "A16",
        "existence",
        "No pair of network and data set shows a clear jackpot.",
        "existence",
        published="boundary cases only: MobileNet-v1 on CIFAR-10, ResNet-18 on CIFAR-100",
        published_mark="paper-early",
        note="Judged by the conditions, as an absence over the grid of pairs. A boundary case is undecided.",
    ),
)
