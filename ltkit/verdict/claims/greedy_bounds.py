"""The claims on Ye et al. 2020, "Greedy Optimization Provably Wins the Lottery" (F, arXiv 2010.15969), and on "Good
Subnetworks Provably Exist" (P, arXiv 2003.01794): how few neurons, picked greedily, imitate a layer?

φ_j is the response of the next layer to neuron j of N, t the mean of all N, h_k the weighted mean of the neurons picked
in k steps, by exact line search or with the step 1/k, D_k = ‖h_k − t‖² its error. R is the largest distance between two
φ, V their mean squared distance to t, r the radius of the largest ball around t in their hull, M the length of φ. F1 to
F7 are proved for ltkit in the form given here: F's own constants are not known. One violation refutes a bound, other
claims want at least 5 seeds. All margins are ltkit's. Margins below 0 are non-inferiority; factors are judged as log10.
Each note gives the value that is judged.
"""

from __future__ import annotations

import math

from .claim import Claim

GREEDY_BOUNDS: tuple[Claim, ...] = (
    Claim(
        "F1",
        "greedy_bounds",
        "With line search each step multiplies the error by at most 1 − r²/R².",
        "bound",
        unit="ratio",
        note="Value: largest D_(k+1)/D_k − (1 − r²/R²) over the steps; 1e-9 is the judge's own tolerance. With and "
        "without negative steps. r comes from the facets of the hull, so at most 8 dimensions. Steps at the floor of "
        "rounding don't count.",
    ),
    Claim(
        "F2",
        "greedy_bounds",
        "With line search or the step 1/k, the error after k steps is at most V/k.",
        "bound",
        unit="ratio",
        note="Value: largest k · D_k / V − 1; 1e-9 is the judge's own tolerance. The step 1/k with repeats, and all "
        "neurons as candidates: without either it isn't proved.",
    ),
    Claim(
        "F3",
        "greedy_bounds",
        "With the step 1/k, the error falls at least like 1/k².",
        "bound",
        unit="ratio",
        published="P's rate for the distance is O(1/n)",
        published_mark="replication",
        note="Value: largest k · √D_k / (R²/(2r) + R) − 1; 1e-9 is the judge's own tolerance. With repeats. Fails "
        "when candidates are subsampled.",
    ),
    Claim(
        "F4",
        "greedy_bounds",
        "With line search the error never rises, weights stay ≥ 0 and sum to 1, and k steps pick at most k neurons.",
        "bound",
        unit="allowances of 1e-12",
        note="Value: largest of D_(k+1) − D_k over ‖t‖², |Σa − 1|, −min a and distinct neurons − k, cut off below 0, "
        "over 1e-12, − 1. Negative control: the step 1/k on the corners of a square must raise the error.",
    ),
    Claim(
        "F5",
        "greedy_bounds",
        "Orthonormal neurons leave an error of exactly 1/n − 1/N: greedy selection isn't always exponentially good.",
        "bound",
        unit="allowances of 1e-12",
        published="exactly 1/n − 1/N",
        published_mark="derived",
        note="Value: largest |D_n − (1/n − 1/N)| over 1e-12, − 1; N = 8 and 50, all four selectors. The negative "
        "control of F8. Uses h itself: the Gram form rounds too much.",
    ),
    Claim(
        "F6",
        "greedy_bounds",
        "Least-squares weights on the chosen neurons never have a larger error.",
        "bound",
        unit="ratio",
        note="Value: largest D after over D before − 1, any selector; 1e-9 is the judge's own tolerance. Accuracy may "
        "still fall.",
    ),
    Claim(
        "F7",
        "greedy_bounds",
        "A random choice of n neurons has the expected error V/n · (N − n)/(N − 1).",
        "equivalence",
        margin=3.0,
        unit="standard errors",
        note="Value: (mean D − expected D) over its standard error, at least 1000 draws a seed. It tests φ and t. "
        "Orthonormal neurons have no variance: test those exactly.",
    ),
    Claim(
        "F8",
        "greedy_bounds",
        "With far more neurons than dimensions, the error of line search falls exponentially in the steps.",
        "difference",
        margin=0.05,
        unit="R²",
        published="+0.09 (M = 5), +0.13 (M = 10)",
        published_mark="derived",
        note="Value: R² of ln D over k − R² of ln D over ln k, the same window for both (k ≥ 2, D above 1e-12 ‖t‖²); "
        "N = 1000, M up to 10. F's abstract says exponential in size; r > 0 always, but r may be tiny. A public note "
        "disputes F's proof without an argument.",
    ),
    Claim(
        "F9",
        "greedy_bounds",
        "With no more than 50 times as many neurons as dimensions, no exponential regime is seen.",
        "ordering",
        unit="R²",
        published="+0.06 (M = 20), +0.23 (M = 40)",
        published_mark="derived",
        note="Value: R² of ln D over ln k − R² of ln D over k; N = 1000, M = 20, 40, and M ≥ N. F8's negative control.",
    ),
    Claim(
        "F10",
        "greedy_bounds",
        "With the step 1/k, ln D falls over ln k with a slope of −2 at few dimensions and of −1 at many.",
        "equivalence",
        margin=0.3,
        unit="slope",
        published="+0.02 (M = 5), −0.04 (M = 40)",
        published_mark="derived",
        note="Two cells: slope + 2 at M = 5, slope + 1 at M = 40. Published slopes are −1.98 and −1.04; a figure of P "
        "gives about −1.8.",
    ),
    Claim(
        "F11",
        "greedy_bounds",
        "The released code's rule without repeats is worse where neurons abound, and as good at many dimensions.",
        "difference",
        margin=0.3,
        unit="slope",
        published="+0.85 (M = 5), +0.83 (M = 10); errors 0.03 and 0.03 (M = 20)",
        published_mark="derived",
        note="Value: slope of ln D over ln k, without − with repeats, M = 5, 10. Cells of kind equivalence, margin "
        "log10 of 1.5: log10 of the error at k = 30 without over with repeats, M = 20, 40.",
    ),
    Claim(
        "F12",
        "greedy_bounds",
        "Greedy selection beats random, top-norm and backward selection of as many neurons.",
        "difference",
        margin=math.log10(2),
        unit="log10 of the ratio",
        published="+4.2, +6.1, +5.1 (M = 10); +1.0, +1.4, +0.8 (M = 2000)",
        published_mark="derived",
        note="Value: log10 of D over greedy's D at n = 10, a cell a baseline, each averaged anew with weights 1/n; the "
        "margin is ×2.",
    ),
    Claim(
        "F13",
        "greedy_bounds",
        "Line search beats the step 1/k where neurons abound.",
        "difference",
        margin=math.log10(3),
        unit="log10 of the ratio",
        published="+23.8 (M = 5), +3.1 (M = 10)",
        published_mark="derived",
        note="Value: log10 of D with the step 1/k over line search's at k = 30, M = 5, 10; the margin is ×3. Not at "
        "every step: on a triangle the step 1/k is ahead at k = 3. No gain at M = 2000.",
    ),
    Claim(
        "F14",
        "greedy_bounds",
        "Above some size, neurons picked from a wide network beat a network trained at that size; below, they lose.",
        "trend",
        unit="ln of the ratio",
        published="+1.5 (n = 990), +1.05 (n = 90); crossing at 300 to 400",
        published_mark="derived",
        note="Two cells, for the change of sign: ln loss of the trained − of the picked at the largest n, the reverse "
        "at the smallest. Read off a figure of P, a two-layer toy. P says it for large enough networks only.",
    ),
    Claim(
        "F15",
        "greedy_bounds",
        "Fine-tuning the picked neurons is at least as good as training the same small network from scratch.",
        "difference",
        margin=-0.3,
        published="direction only",
        published_mark="paper",
        note="Value: fine-tuned − retrained from a new start, MobileNet; not worse by 0.3. From the authors' README; "
        "'Rethinking the Value of Network Pruning' says the opposite. Equal budgets.",
    ),
    Claim(
        "F16",
        "greedy_bounds",
        "Imitating the network's output beats imitating the layer's, before fine-tuning, though its bound is looser.",
        "difference",
        margin=0.5,
        published="direction only",
        published_mark="replication",
        note="Value: global − local at equal n; F's comparison is VGG-11 on CIFAR-10, known from a review. Count "
        "forward passes too.",
    ),
    Claim(
        "F17",
        "greedy_bounds",
        "Taking the better of local and global imitation in each layer is at least as good as either.",
        "ordering",
        published="direction only",
        published_mark="replication",
        note="Value: better of two − local and − global, two cells, at equal FLOPs; ResNet-34, MobileNetV2. Margin 0: "
        "a tie stays undecided. Choose on held-out data.",
    ),
    Claim(
        "F18",
        "greedy_bounds",
        "A shortlist of ten by first-order scores contains the neuron that an exact search would pick.",
        "difference",
        margin=0.9,
        unit="recall",
        published="said to be used; no values known",
        published_mark="replication",
        note="Value: share of steps whose exact pick is among the ten best scores, global imitation. Report the "
        "forward passes saved. Useless where the gradient vanishes, as at equal weights.",
    ),
    Claim(
        "F19",
        "greedy_bounds",
        "Least-squares weights help every selector.",
        "ordering",
        unit="log10 of the ratio",
        published="+0.6 to +0.9 (×4 to ×8)",
        published_mark="derived, replication",
        note="Value: log10 of D before over D after, a cell a selector; published for greedy picks. Accuracy goes "
        "beside it, in its own unit. F6 says that it can't hurt: this says that it helps. Centre first, or include "
        "the bias: such weights don't sum to 1.",
    ),
    Claim(
        "F20",
        "greedy_bounds",
        "At equal FLOPs, F's selection is at least as good as P's.",
        "difference",
        margin=-0.2,
        published="0.0 at −0.44 G, +0.4 at −0.17 G (ResNet-34); +0.3 at −13 M, +0.1 at −2 M (MobileNetV2)",
        published_mark="derived, replication",
        note="Value: F − P, a cell a network and FLOPs; not worse by 0.2. Only if 'Multi-Layer GFS' in a third party's "
        "table is F. Within the noise of the baselines for MobileNetV2.",
    ),
    Claim(
        "F21",
        "greedy_bounds",
        "Greedy selection works on networks with random weights too.",
        "difference",
        margin=math.log10(2),
        unit="log10 of the ratio",
        published="direction only",
        published_mark="paper",
        note="Value: log10 of a random choice's D over greedy's, untrained two-layer and convolutional networks; the "
        "margin is ×2. From P's abstract.",
    ),
    Claim(
        "F22",
        "greedy_bounds",
        "F's selection needs no labels.",
        "bound",
        unit="picks",
        published="direction only",
        published_mark="paper",
        note="Value: picks that differ once the labels are shuffled, local and global: bitwise the same, so 0. "
        "Positive control: P's picks, chosen by label loss, must change.",
    ),
    Claim(
        "F23",
        "greedy_bounds",
        "Local selection in Gram form costs far less than global selection.",
        "difference",
        margin=1.0,
        unit="log10 of the ratio",
        published="O(N) work and no forward pass a pick, against a forward pass a candidate and pick",
        published_mark="derived, replication",
        note="Value: log10 of the cost a pick, global over Gram, cells for seconds and for forward passes (Gram: those "
        "that build it, at least one in all); the margin is ×10.",
    ),
    Claim(
        "F24",
        "greedy_bounds",
        "Folding the weights in and removing the unused channels leaves the network's outputs as they are.",
        "bound",
        unit="allowances of 1e-5",
        note="Value: largest |logit of the masked − of the slim network| over 1e-5, − 1; eval mode, float32.",
    ),
)
