"""Disagreement and ensembles on cases that an eye can check; many networks at once against lone ones."""

import itertools
import math

import pytest
import torch

from ltkit import models
from ltkit.analyze.ensemble import (
    accuracies,
    disagreement,
    disagreement_with,
    ensemble_accuracy,
    gain,
    independent_disagreement,
    predictions,
)
from ltkit.analyze.outputs import logits
from ltkit.analyze.path import Pair, path
from ltkit.errors import UserError
from ltkit.prune import masks
from ltkit.seeds import generator
from ltkit.spec import Init, Network
from ltkit.train.evaluate import evaluate

SHAPE, CLASSES = (1, 8, 8), 4


def voting(*classes):
    """A member that is certain of these classes."""
    return torch.nn.functional.one_hot(torch.tensor(classes), 3).float() * 9


THREE = torch.stack([voting(0, 1, 2, 0), voting(0, 1, 0, 1), voting(0, 2, 2, 1)])
TRUTH = torch.tensor([0, 1, 2, 2])


def test_disagreement_by_hand():
    expected = [[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
    assert disagreement(THREE).tolist() == expected
    assert disagreement_with(THREE, THREE[2:]).tolist() == [[0.5], [0.5], [0]]
    one, other = voting(0, 1, 2, 0).unsqueeze(0), voting(0, 1, 2, 1).unsqueeze(0)
    assert disagreement_with(one, other).tolist() == [[0.25]]


def test_scaling_and_shifting_a_members_logits_is_no_disagreement():
    x = torch.randn(1, 50, 7, generator=generator("x"))
    assert disagreement(torch.cat([x, 5 * x + 3])).max() == 0


def test_majority_by_hand():
    """Majority votes 0, 1, 2, 1: three right; the members have 3, 2 and 2."""
    assert accuracies(THREE, TRUTH).tolist() == [75, 50, 50]
    for average in ("probabilities", "logits"):
        assert ensemble_accuracy(THREE, TRUTH, average) == 75
        assert gain(THREE, TRUTH, average) == pytest.approx(75 - 175 / 3)


def test_probabilities_and_logits_differ_where_one_member_is_sure():
    """Two members lean to class 0 by three nats, the third to class 1 by ten: only its logits outvote them."""
    each = torch.tensor([[[3.0, 0]], [[3.0, 0]], [[0.0, 10]]])
    assert ensemble_accuracy(each, torch.tensor([0])) == 100
    assert ensemble_accuracy(each, torch.tensor([0]), "logits") == 0


def test_copies_gain_nothing_and_a_seed_with_itself_agrees():
    x, y = torch.randn(1, 40, 5, generator=generator("x")), torch.arange(40) % 5
    same = x.expand(4, -1, -1)
    assert gain(same, y) == 0
    assert disagreement(same).max() == 0


def test_what_diverged_has_no_answer():
    broken = THREE.clone()
    broken[1, 2] = math.nan
    found = disagreement(broken)
    assert found[0, 2] == 0.5
    assert found[1].isnan().all()
    assert found[:, 1].isnan().all()
    assert predictions(broken)[1].tolist() == [0, 1, -1, 1]
    assert accuracies(broken, TRUTH).isnan().tolist() == [False, True, False]
    assert math.isnan(ensemble_accuracy(broken, TRUTH))
    assert math.isnan(gain(broken, TRUTH))


def test_independent_disagreement_by_hand():
    assert independent_disagreement(100, 100, 10) == 0
    assert independent_disagreement(100, 70, 10) == pytest.approx(0.3)
    assert independent_disagreement(10, 10, 10) == pytest.approx(0.9)  # chance against chance
    assert independent_disagreement(0, 0, 2) == 0  # both always wrong, of two classes: the same answer
    assert independent_disagreement(98.3, 98.3, 10) == pytest.approx(0.0336789, abs=1e-7)  # 1 - .983² - .017² / 9
    with pytest.raises(ValueError, match="2 classes"):
        independent_disagreement(50, 50, 1)


def test_independent_disagreement_of_all_cases_counted():
    """Four classes, right 3 of 6 and 2 of 5 times, wrong answers spread evenly: every pair of draws, class 0 true."""
    one, other = [0, 0, 0, 1, 2, 3], [0, 0, 1, 2, 3]
    apart = sum(a != b for a, b in itertools.product(one, other)) / 30
    assert independent_disagreement(50, 40, 4) == pytest.approx(apart)


def test_unknown_average():
    with pytest.raises(UserError, match="unknown average 'logit'"):
        ensemble_accuracy(THREE, TRUTH, "logit")


@pytest.mark.parametrize("group", [None, 1, 2])
@pytest.mark.parametrize("network", [Network(width=0.1), Network(arch="resnet8", width=0.25)], ids=lambda n: n.arch)
def test_logits_are_those_of_lone_networks_in_order(network, group, monkeypatch):
    monkeypatch.setattr("ltkit.analyze.outputs.IMAGES_AT_ONCE", 20)  # several batches
    states = [models.init(network, SHAPE, CLASSES, Init(seed=seed)) for seed in range(3)]
    x, y = torch.randn(30, *SHAPE, generator=generator("x")), torch.arange(30) % CLASSES
    found = logits(network, SHAPE, CLASSES, iter(states), x, group=group)
    assert found.shape == (3, 30, CLASSES)
    for r, state in enumerate(states):
        net = models.build(network, SHAPE, CLASSES)
        net.load_state_dict({name: t.unsqueeze(0) for name, t in state.items()})
        with torch.no_grad():
            assert torch.allclose(found[r], net.eval()(x.unsqueeze(0))[0], atol=1e-5)
        assert accuracies(found, y)[r] == pytest.approx(evaluate(net, x, y, 1)[0].accuracy)


def test_a_path_beyond_its_ends_under_one_mask():
    """P10: both ends under the start's mask, alpha from -0.2 to 1.2; each point against its own state."""
    network, draw = Network(width=0.1), generator("mask")
    start, end = (models.init(network, SHAPE, CLASSES, Init(seed=seed)) for seed in (0, 1))
    mask = {
        name: torch.rand(start[name].shape, generator=draw) < 0.3 for name in models.prunable(network, SHAPE, CLASSES)
    }
    x, y = torch.randn(30, *SHAPE, generator=generator("x")), torch.arange(30) % CLASSES
    alphas = [round(0.05 * k, 2) for k in range(-4, 25)]
    assert (len(alphas), alphas[0], alphas[4], alphas[24], alphas[-1]) == (29, -0.2, 0, 1, 1.2)
    pair = Pair("p", end, start, mask, mask)
    table = path(network, SHAPE, CLASSES, [pair], alphas, {"train": (x, y)}, batch_norm="none").set_index("alpha")
    one, other = masks.apply(end, mask), masks.apply(start, mask)
    for alpha in (-0.2, 0, 0.5, 1, 1.2):
        net = models.build(network, SHAPE, CLASSES)
        net.load_state_dict({n: (alpha * one[n] + (1 - alpha) * other[n]).unsqueeze(0) for n in one})
        assert table.loss[alpha] == pytest.approx(evaluate(net, x, y, 1)[0].loss, rel=1e-5)
