"""The claims of Evci et al. 2022, "Gradient Flow in Sparse Neural Networks and How Lottery Tickets Win" (arXiv
2010.03533), D1 to D21, and of "Rigging the Lottery" (RigL, arXiv 1911.11134), D22 to D27.

Unless a sentence says otherwise: LeNet5 on MNIST, s = .95 removed. One network is pruned gradually; LT is its mask on
its initial weights, Scratch on fresh ones, Scratch+ on fresh ones scaled to each unit's own fan-in. Masks may change in
training: SET grows weights at random, RigL where the gradient is largest, RigL+ starts like Scratch+. G is the norm of
the masked gradient of mean cross-entropy on one fixed batch, without L2. R50 is ResNet-50 on ImageNet. All margins are
ltkit's. Margins below 0 are non-inferiority; factors are judged as log10. Each note gives the value that is judged.
"""

from __future__ import annotations

import math

from .claim import Claim

GRADIENT_FLOW: tuple[Claim, ...] = (
    Claim(
        "D1",
        "gradient_flow",
        "Under a dense initialization that is then masked, the outputs shrink towards 0 as s grows.",
        "trend",
        margin=4.0,
        unit="log10 of the ratio",
        published=4.5,
        published_mark="derived",
        note="Value: log10 of the logits' standard deviation at s = 0 over s = .98; read off a figure. At s = 0 the "
        "sparse curves are He and this one is Glorot, about ×7: show He-masked too.",
    ),
    Claim(
        "D2",
        "gradient_flow",
        "An initialization that knows the mask keeps the outputs at the order of 1 up to s = .77.",
        "equivalence",
        margin=1.0,
        unit="log10",
        published="standard deviations of 1.27 to 2.35, so +0.10 to +0.37",
        published_mark="derived",
        note="Value: log10 of the logits' standard deviation, cells of s from .21 to .77, scaled per layer and per "
        "unit; within 1 means within ×10. Read off a figure. It drops beyond .77.",
    ),
    Claim(
        "D3",
        "gradient_flow",
        "Scaling the initialization per unit keeps larger outputs than scaling it per layer.",
        "difference",
        margin=math.log10(2),
        unit="log10 of the ratio",
        published="−0.81 (s = .84), −1.30 (.91): the opposite",
        published_mark="derived",
        note="Value: log10 of the logits' standard deviation per unit over per layer, s = .84 to .91; the margin is "
        "×2. Read off a figure. Computed: equal for uniform masks, per layer ahead for heterogeneous ones.",
    ),
    Claim(
        "D4",
        "gradient_flow",
        "Without batch norm, training from a masked dense initialization stalls at first.",
        "difference",
        margin=1.0,
        unit="log10 of the ratio",
        published="+1.28 to +1.39 (steps 100 to 800), +1.99 and +2.42 (VGG-16, steps 1k and 5k)",
        published_mark="derived",
        note="Value: log10 of G of Scratch+ over Scratch, a cell a step; the margin is ×10. Read off figures. Include "
        "He-masked: part of it is Glorot.",
    ),
    Claim(
        "D5",
        "gradient_flow",
        "Lottery tickets start with a gradient flow as low as scratch training.",
        "difference",
        margin=1.0,
        unit="log10 of the ratio",
        published=1.57,
        published_mark="derived",
        note="Value: log10 of G of Scratch+ over LT at step 100; the margin is ×10. Read off a figure. VGG-16's ticket "
        "never trains.",
    ),
    Claim(
        "D6",
        "gradient_flow",
        "Lottery tickets leave the initial plateau before scratch training does.",
        "difference",
        margin=300.0,
        unit="steps",
        published="+600 to +800",
        published_mark="derived",
        note="Value: first step with G above 0.2, Scratch − LT; read off a figure, about 900 to 1000 against 200 to "
        "300. The steps of a short training scale with its length.",
    ),
    Claim(
        "D7",
        "gradient_flow",
        "Growing weights by gradient, with a scaled start, has the highest gradient norm early in training.",
        "difference",
        margin=0.1,
        unit="ratio − 1",
        published="+1.19 (step 100), +0.04 (VGG-16, step 5k)",
        published_mark="derived",
        note="Value: G of RigL+ over the next highest − 1, cells of steps 100 to 1000 (VGG-16: 1k to 30k). Read off "
        "figures. The VGG-16 numbers stay below the margin at some steps. Not so on R50: there Small-Dense leads.",
    ),
    Claim(
        "D8",
        "gradient_flow",
        "With batch norm, all methods agree in gradient norm after the start.",
        "equivalence",
        margin=0.1,
        unit="ratio − 1",
        published=0.084,
        published_mark="derived",
        note="Value: highest G over lowest − 1 after 2k steps, R50; never negative, so within .1 means below it. Read "
        "off a figure at 15k steps, where RigL+ is lowest: 'higher is better' holds early only, compare at equal loss.",
    ),
    Claim(
        "D9",
        "gradient_flow",
        "Mask updates by gradient raise the gradient norm more than random updates do.",
        "difference",
        margin=0.0,
        unit="gradient norm",
        published="+0.29 to +1.11 (first 1000 steps), +0.18 to +0.36 (R50)",
        published_mark="derived",
        note="Value: rise of G at an update, RigL − 2 · SET, in the first 1000 steps: the margin of ×2 is in the value "
        "since SET's rise may be negative. Read off figures. Partly built in: growing where the gradient is large adds "
        "just these gradients. Average over several batches.",
    ),
    Claim(
        "D10",
        "gradient_flow",
        "Growing where the gradient is smallest doesn't raise the gradient norm.",
        "equivalence",
        margin=0.1,
        unit="fraction of RigL's rise",
        published="about 0; −0.42 to +0.10 (R50)",
        published_mark="paper, derived",
        note="Value: rise of G at an update, inverted over RigL. Read off figures. R50's cells take the margin .5. "
        "Needs RigL's rise to be clearly above 0.",
    ),
    Claim(
        "D11",
        "gradient_flow",
        "The rise in gradient norm at mask updates fades in the course of training.",
        "trend",
        unit="gradient norm per 1000 steps",
        published="fades after about 2k steps",
        published_mark="paper",
        note="Value: minus the slope over the steps of the rise of G at RigL's updates. Read off a figure. Confounded "
        "with the drop fraction, which falls with the learning rate: hold it constant as a control.",
    ),
    Claim(
        "D12",
        "gradient_flow",
        "Mask updates by gradient create negative eigenvalues of the Hessian, so directions of descent.",
        "existence",
        unit="eigenvalues",
        published="direction only",
        published_mark="paper",
        note="Value: negative eigenvalues of the masked Hessian just after − just before an update; report their mass "
        "too. Adding weights never raises the lowest eigenvalue: random and inverted growth of equal size are the "
        "controls.",
    ),
    Claim(
        "D13",
        "gradient_flow",
        "From near to far of the pruned solution: the ticket's end, its start, scratch's start, scratch's end.",
        "ordering",
        unit="L2 distance",
        published="5.4 to 7.7, 12.1, 15.8 to 17.5, 19 to 32",
        published_mark="paper",
        note="Three cells, the differences between neighbours in this order, in true L2. Read off a 2-D map, which "
        "distorts.",
    ),
    Claim(
        "D14",
        "gradient_flow",
        "The ends of ticket trainings cluster, those of scratch trainings scatter.",
        "difference",
        margin=math.log10(3),
        unit="log10 of the ratio",
        published="+0.66 or more",
        published_mark="derived",
        note="Value: log10 of the mean L2 distance among Scratch's ends over that among LT's; the margin is ×3. Read "
        "off a 2-D map: at most 2.6 against 12 to 39.",
    ),
    Claim(
        "D15",
        "gradient_flow",
        "The trained ticket and the pruned solution lie in one basin.",
        "equivalence",
        margin=0.05,
        unit="nats",
        published="0.006, 0.01 (R50)",
        published_mark="derived",
        note="Value: barrier of the training loss on the straight path, both ends under one mask; never negative, so "
        "within .05 means below it. Read off a figure. Mode connectivity's C16 and C17 say otherwise for different "
        "masks and error.",
    ),
    Claim(
        "D16",
        "gradient_flow",
        "The network trained from scratch and the pruned solution do not.",
        "difference",
        margin=0.5,
        unit="nats",
        published="1.79, 4.7 (R50)",
        published_mark="derived",
        note="Value: the same barrier from Scratch's end. Read off a figure. Control: five independently pruned "
        "networks.",
    ),
    Claim(
        "D17",
        "gradient_flow",
        "On the way to the pruned solution the loss falls earlier from the ticket's start than from scratch's.",
        "ordering",
        unit="nats",
        published="+0.38, +2.59 (R50), both half-way",
        published_mark="derived",
        note="Value: training loss averaged over the path, from Scratch's start − from LT's start. Read off a figure. "
        "Both paths fall all the way on LeNet5: don't test that.",
    ),
    Claim(
        "D18",
        "gradient_flow",
        "A ticket disagrees less with its pruned parent than independently pruned networks do.",
        "difference",
        margin=math.log10(1.5),
        unit="log10 of the ratio",
        published="+0.35, +0.24 (R50)",
        published_mark="derived",
        note="Value: log10 of the share of test images on which the parent is contradicted, independent pruned over "
        "LT; the margin is ×1.5. Low accuracy alone raises it: that is why Scratch is not the comparison. LeNet5's "
        "numbers are in the source of the authors' post but not shown there.",
    ),
    Claim(
        "D19",
        "gradient_flow",
        "An ensemble of tickets gains less than one of scratch-trained or of independently pruned networks.",
        "difference",
        margin=0.3,
        published="+0.90 (scratch), +0.71 (pruned); +2.35 and +1.61 (R50)",
        published_mark="derived",
        note="Value: gain of the other ensemble − of the tickets', a gain being the ensemble's accuracy − its members' "
        "mean; two cells. Five members each. LeNet5's numbers: see D18.",
    ),
    Claim(
        "D20",
        "gradient_flow",
        "The ticket matches the pruned network and beats scratch training.",
        "equivalence",
        margin=0.3,
        published="−0.01 (pruned), +1.48 (scratch); +0.13 and +4.57 (R50)",
        published_mark="derived",
        note="Value: LT − pruned. Cell of kind difference, margin 1: LT − Scratch. One mask, weights of step 0, no "
        "iteration. The public configuration trains the ticket without L2: don't. LeNet5's numbers: see D18.",
    ),
    Claim(
        "D21",
        "gradient_flow",
        "A scaled sparse initialization helps accuracy without normalization, and little with batch norm.",
        "difference",
        margin=0.5,
        published="direction only",
        published_mark="paper",
        note="Value: Scratch+ − Scratch, LeNet5 and VGG-16. Cell of kind equivalence, same margin: R50.",
    ),
    Claim(
        "D22",
        "gradient_flow",
        "Growing by gradient beats a static mask.",
        "difference",
        margin=1.0,
        published="+4.0 (R50), +1.4 (WRN-22-2, CIFAR-10)",
        published_mark="derived, replication",
        note="Value: RigL − static, s = .8. Start both from random masks; the public MNIST code takes pruned ones.",
    ),
    Claim(
        "D23",
        "gradient_flow",
        "Growing by gradient beats growing at random.",
        "difference",
        margin=0.5,
        published="+1.7 (R50), −0.1 (WRN-22-2, CIFAR-10)",
        published_mark="derived, replication",
        note="Value: RigL − SET, s = .8. Contradicted on CIFAR-10 under uniform layer densities. Grow scores need the "
        "dense gradient: a masked one makes RigL meaningless.",
    ),
    Claim(
        "D24",
        "gradient_flow",
        "At equal s, layer densities by ERK are at least as good as uniform ones.",
        "difference",
        margin=-0.2,
        published="+0.5 (R50), +0.5 (WRN-22-2, CIFAR-10)",
        published_mark="derived, replication",
        note="Value: RigL with ERK − with uniform densities, s = .8; above −0.2 says: not worse by 0.2. ERK costs more "
        "FLOPs. Check that both totals are exact.",
    ),
    Claim(
        "D25",
        "gradient_flow",
        "Trained five times as long, growing by gradient passes gradual pruning.",
        "difference",
        margin=0.5,
        published=1.0,
        published_mark="derived",
        note="Value: RigL at 5 times the length − pruning, R50, s = .8. State the FLOPs of both.",
    ),
    Claim(
        "D26",
        "gradient_flow",
        "A ticket's initial weights give growing by gradient no gain over random ones.",
        "difference",
        margin=-0.3,
        published=0.62,
        published_mark="derived",
        note="Value: RigL from random − from the ticket's weights, both from the mask that RigL ended with and scaled "
        "to it, R50; above −0.3 says that the ticket gains less than 0.3.",
    ),
    Claim(
        "D27",
        "gradient_flow",
        "From the static to the pruned solution a barrier stands in the sparse space that the dense space goes around.",
        "existence",
        unit="nats",
        published="high, also along Bézier curves; nearly monotone through the dense space",
        published_mark="paper",
        note="Value: barrier of the training loss on the best sparse path − on the best dense one, R50. Read off a "
        "figure of RigL. Give both the same kind of curve and the same effort.",
    ),
)
