"""The claims of Su et al. 2020, "Sanity-Checking Pruning Methods" (arXiv 2009.11094): do methods use what they look at?

Unless a sentence says otherwise: VGG-19 and ResNet-32 of doubled width, CIFAR-10 and CIFAR-100, s = .90, .95 and .98
removed. An initial ticket has a mask for the initial weights: SNIP, GraSP or LT, one-shot magnitude pruning. A
partially-trained ticket starts from trained weights with the learning rate rewound. A random ticket fills the smart
ratio's layer densities by chance, a hybrid one by the trained weights' magnitudes. No margin is published: the 0.3 is
ltkit's for s ≤ .95, cells at .98 get a larger one. Margins below 0 are non-inferiority. Each note gives the value that
is judged.
"""

from __future__ import annotations

from .claim import Claim

SANITY_CHECKS: tuple[Claim, ...] = (
    Claim(
        "B1",
        "sanity_checks",
        "SNIP, GraSP and LT masks made from corrupted data train as well as masks made from the true data.",
        "equivalence",
        margin=0.3,
        published="GraSP within ±0.77; SNIP within ±0.47, but 40.43 on VGG-19, CIFAR-10, s = .98",
        published_mark="derived, replication",
        note="Value: original − corrupted, a cell a method, network, data set and s. The .98 cell is at the edge of "
        "collapse (B12). LT is not replicated: it may only reflect the large η, so run .01 too. Arms with corrupted "
        "pixels only and labels only tell which of the two matters.",
    ),
    Claim(
        "B2",
        "sanity_checks",
        "Rearranging the masks of SNIP, GraSP and LT at random within each layer leaves their accuracy unchanged.",
        "equivalence",
        margin=0.3,
        published="GraSP within ±0.73; SNIP within ±0.37, but 1.15 on VGG-19, CIFAR-10, s = .98",
        published_mark="derived, replication",
        note="Value: original − rearranged. Says nothing about a layer that is dense. Positive control: magnitude "
        "after training (B8c).",
    ),
    Claim(
        "B3",
        "sanity_checks",
        "Random tickets match or beat initial tickets.",
        "difference",
        margin=-0.3,
        published="−0.23 to +1.12 (random − GraSP)",
        published_mark="derived, replication",
        note="Value: random − initial, a cell a method; the margin below 0 says: not worse by 0.3. Fails at very high "
        "s (B11). Equalise weight decay and the last layer's density: the published arms differ in decay on ResNet-32.",
    ),
    Claim(
        "B4a",
        "sanity_checks",
        "Partially-trained tickets lose accuracy when they were pretrained on half of the data.",
        "difference",
        margin=0.3,
        published="direction only",
        published_mark="paper",
        note="Value: full − half. Half the data is also half the updates: control with half the epochs on all data.",
    ),
    Claim(
        "B4b",
        "sanity_checks",
        "Partially-trained tickets lose accuracy when the kept weights are shuffled within each layer.",
        "difference",
        margin=0.3,
        published="direction only",
        published_mark="paper",
        note="Value: original − shuffled. Permute kept weights among kept positions only: with the pruned ones in, the "
        "check is far harsher. Negative control: the same shuffle on an initial ticket.",
    ),
    Claim(
        "B5",
        "sanity_checks",
        "Hybrid tickets improve on partially-trained tickets.",
        "difference",
        margin=0.3,
        published="9 of 12 cells lower (−2.13 to −0.09), +1.31 (ResNet-32, CIFAR-100, s = .98), "
        "+82.93 and +13.00 (VGG-19, s = .98) where learning-rate rewinding collapsed",
        published_mark="derived, replication",
        note="Value: hybrid − learning-rate rewinding. The replication contradicts it where nothing collapses; "
        "collapse mimics a gain. Controls: uniform and ERK densities filled by magnitude.",
    ),
    Claim(
        "B6",
        "sanity_checks",
        "Random tickets need densities that fall with depth: smart ratio beats a balanced and an ascending profile.",
        "ordering",
        published="direction only",
        published_mark="code",
        note="Value: smart ratio − other, a cell a profile. Ascending leaves ResNet-32's first convolution without "
        "weights: no fair test, force a filter's worth or report the collapse.",
    ),
    Claim(
        "B7",
        "sanity_checks",
        "Only the descending shape of the profile matters, not its exact form.",
        "equivalence",
        margin=0.3,
        published="mostly within ±0.63 (one layer fewer in the formula), but −1.20 and −0.83 on ResNet-32, CIFAR-100",
        published_mark="replication",
        note="Value: smart ratio − other, a cell each for linear, cubic, two layers more and one fewer in its formula "
        "(two fewer leave nothing of the last layer before the classifier). On VGG the factor 1/l² makes the shape, "
        "whatever the rest.",
    ),
    Claim(
        "B8a",
        "sanity_checks",
        "Shuffling the mask within layers does not hurt SNIP, GraSP, SynFlow and magnitude at initialization.",
        "difference",
        margin=-0.3,
        published="direction only",
        published_mark="replication",
        note="Value: shuffled − original, a cell a method; not worse by 0.3, and better is allowed. Outside the four: "
        "ProsPr −0.52 at density .05, and the counterexample Gem-Miner −4.67 at .0372.",
    ),
    Claim(
        "B8b",
        "sanity_checks",
        "Fresh weights under the same mask do not hurt SNIP, GraSP, SynFlow and magnitude at initialization.",
        "difference",
        margin=-0.3,
        published="direction only",
        published_mark="replication",
        note="Value: fresh weights − original, a cell a method; not worse by 0.3, and better is allowed. Says nothing "
        "where the mask was scored on other weights than those trained.",
    ),
    Claim(
        "B8c",
        "sanity_checks",
        "Magnitude pruning after training is hurt by shuffling its mask and by fresh weights.",
        "difference",
        margin=0.3,
        published="direction only",
        published_mark="replication",
        note="Value: original − shuffled and original − fresh weights, two cells. It is the positive control of B2 and "
        "B8a, B8b: where it fails, they show nothing.",
    ),
    Claim(
        "B9a",
        "sanity_checks",
        "Every method that prunes at initialization beats random pruning at a uniform density.",
        "difference",
        margin=0.3,
        published="direction only",
        published_mark="replication",
        note="Value: method − uniform random, a cell a method. Not against smart-ratio random tickets: that is B3.",
    ),
    Claim(
        "B9b",
        "sanity_checks",
        "Every method that prunes at initialization stays below magnitude pruning after training.",
        "difference",
        margin=0.3,
        published="direction only",
        published_mark="replication",
        note="Value: magnitude after training − method, a cell a method. Match the epochs, or say that they differ.",
    ),
    Claim(
        "B10",
        "sanity_checks",
        "Keeping the weights with the worst scores instead of the best lowers accuracy.",
        "difference",
        margin=0.3,
        published="no sharp drop for SynFlow and GraSP (VGG-16, 80 epochs, one run)",
        published_mark="replication",
        note="Value: original − inverted, a cell a method. Weakly sourced. Inverted SynFlow scores of pruned weights "
        "are NaN from the second round in its public code. Report the counts per layer.",
    ),
    Claim(
        "B11",
        "sanity_checks",
        "At a density of .014 or less, random smart-ratio tickets fall far below learned masks.",
        "difference",
        margin=3.0,
        published="direction only",
        published_mark="replication",
        note="Value: learned − random. Only 'far' is said: the margin is ltkit's, ten times that of the other claims. "
        "It bounds B3. Pairs with an empty layer are left out.",
    ),
    Claim(
        "B12",
        "sanity_checks",
        "At s = .98 SNIP nearly empties a layer of VGG-19, so that accuracy gaps there are collapses of a layer.",
        "existence",
        unit="log10 of the ratio",
        published="89.56, 88.41, 49.13 (original, rearranged, corrupted; CIFAR-10), 14.03 (original; CIFAR-100)",
        published_mark="replication",
        note="Two cells, of the weights that the emptiest layer keeps, in powers of ten: how far they are below the "
        "layer's units in the least accurate of the seed's three arms (fewer than units is nearly empty, which is "
        "ltkit's: some unit then has no input), and below those of the most accurate arm. Densities up to .02.",
    ),
)
