"""Scores against slow references (gates, an explicit Hessian, flow without a weight), and the masks that they make."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from ltkit import models
from ltkit.errors import UserError
from ltkit.models.layers import Linear
from ltkit.prune import masks, scores
from ltkit.seeds import generator
from ltkit.spec import Init, Network

TINY = (1, 4, 4)
SMALL = (1, 8, 8)
CLASSES = 4


def cohort(network, shape, members=1, classes=CLASSES, dtype=torch.float64):
    """A cohort's module (zeros), the stacked fresh state of seeds 0, 1, ..., and the names of all prunable weights."""
    net = models.build(network, shape, classes, members)
    inits = [models.init(network, shape, classes, Init(seed=seed)) for seed in range(members)]
    state = {name: torch.stack([init[name] for init in inits]).to(dtype) for name in inits[0]}
    return net, state, models.prunable(network, shape, classes, "all")


def batch(shape, members=1, per_class=4, dtype=torch.float64):
    """Noise with class-sorted labels, another image set for each member."""
    count = CLASSES * per_class
    x = torch.randn(members, count, *shape, generator=generator("scores", "x"), dtype=torch.float64).to(dtype)
    return x, torch.arange(CLASSES).repeat_interleave(per_class).expand(members, count)


def roughen(state):
    """Biases and BatchNorm away from their fresh values, so that forgetting them shows."""
    draw = generator("scores", "roughen")
    return {
        name: t if t.dim() > 2 else t + 0.3 * torch.rand(t.shape, generator=draw, dtype=t.dtype)
        for name, t in state.items()
    }


def alone(state, r):
    return {name: t[r : r + 1] for name, t in state.items()}


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors.values()])


def test_snip_is_what_a_gate_on_a_weight_does_to_the_loss():
    """dL/dc at c = 1 by finite differences, for every connection of a LeNet of 6 and 2 units."""
    net, state, names = cohort(Network(width=0.02), TINY)
    state, (x, y) = roughen(state), batch(TINY)

    def loss(name, index, gate):
        weights = {n: t.clone() for n, t in state.items()}
        weights[name].view(-1)[index] *= gate
        return F.cross_entropy(functional_call(net, weights, (x,))[0], y[0]).item()

    found, eps = scores.snip(net, state, names, x, y), 1e-5
    assert list(found) == names
    for name, score in found.items():
        slopes = [(loss(name, i, 1 + eps) - loss(name, i, 1 - eps)) / (2 * eps) for i in range(score.numel())]
        assert torch.allclose(score.flatten(), torch.tensor(slopes, dtype=torch.float64).abs(), rtol=1e-5, atol=1e-9)
        assert score.shape == state[name].shape
        assert score.any()


@pytest.mark.parametrize("bn", ["train", "eval"])
def test_snip_is_backward_of_an_ordinary_step(bn):
    """The network filled, put into that mode and stepped as one would: batch or running statistics."""
    net, state, names = cohort(Network(arch="resnet8", width=0.25), SMALL)
    state, (x, y) = roughen(state), batch(SMALL)
    ordinary = models.build(Network(arch="resnet8", width=0.25), SMALL, CLASSES).double().train(bn == "train")
    ordinary.load_state_dict(state)
    F.cross_entropy(ordinary(x)[0], y[0]).backward()
    for name, score in scores.snip(net, state, names, x, y, bn).items():
        w = ordinary.get_parameter(name)
        assert torch.allclose(score, (w * w.grad).abs(), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("per_class", [4, 5])  # with 5 the sorted halves differ in size
@pytest.mark.parametrize("halves", ["mixed", "sorted"])
@pytest.mark.parametrize("bn", ["train", "eval"])
def test_grasp_is_the_explicit_hessian(halves, bn, per_class):
    """w * (H g) with H of the whole vector of weights, halves by hand, of images in any order."""
    net, state, names = cohort(Network(arch="conv2", width=0.03, norm="batch"), (1, 2, 2))
    state, (x, y) = roughen(state), batch((1, 2, 2), per_class=per_class)
    order, middle = torch.arange(x.shape[1]), x.shape[1] // 2
    parts = [order[0::2], order[1::2]] if halves == "mixed" else [order[:middle], order[middle:]]
    sizes = [state[name].numel() for name in names]
    net.train(bn == "train")

    def loss(vector):
        own = {n: part.view(state[n].shape) for n, part in zip(names, vector.split(sizes), strict=True)}
        total = torch.zeros((), dtype=torch.float64)
        for rows in parts:
            full = {n: t.clone() for n, t in state.items()} | own
            total = total + F.cross_entropy(functional_call(net, full, (x[:, rows],))[0] / 200, y[0, rows])
        return total

    vector = flat({name: state[name] for name in names})
    g = torch.autograd.functional.jacobian(loss, vector)
    expected = vector * (torch.autograd.functional.hessian(loss, vector) @ g)
    found = flat(scores.grasp(net, state, names, x, y, halves, bn))
    assert expected.count_nonzero() > 0.5 * len(expected)
    assert torch.allclose(found, expected, rtol=1e-7, atol=1e-7 * expected.abs().max())
    mixed_up = torch.arange(x.shape[1]).view(CLASSES, per_class).T.flatten()  # 0 1 2 3 0 1 2 3 ...
    assert torch.allclose(flat(scores.grasp(net, state, names, x[:, mixed_up], y[:, mixed_up], halves, bn)), found)


def test_grasps_halves_are_not_the_same():
    net, state, names = cohort(Network(arch="conv2", width=0.03, norm="batch"), (1, 2, 2))
    x, y = batch((1, 2, 2))
    mixed, by_class = (flat(scores.grasp(net, state, names, x, y, halves)) for halves in ("mixed", "sorted"))
    assert (mixed - by_class).norm() > 0.1 * mixed.norm()


def test_grasp_with_mixed_halves_needs_two_of_each_class():
    net, state, names = cohort(Network(width=0.02), TINY)
    x, y = batch(TINY, per_class=1)
    with pytest.raises(UserError, match="needs 2 images of each class, class 0 has 1"):
        scores.grasp(net, state, names, x, y)
    assert flat(scores.grasp(net, state, names, x, y, "sorted")).isfinite().all()


class TwoLinear(nn.Module):
    """Two linear layers with nothing between them, 2 inputs, 1 output."""

    def __init__(self):
        super().__init__()
        self.one, self.two = Linear(2, 2, 1), Linear(2, 1, 1)

    def forward(self, x):
        return self.two(self.one(x.flatten(2)))


HAND = {
    "one.weight": torch.tensor([[[1.0, -2.0], [3.0, 0.0]]]),
    "one.bias": torch.tensor([[5.0, -5.0]]),
    "two.weight": torch.tensor([[[-1.0, 2.0]]]),
    "two.bias": torch.tensor([[7.0]]),
}
HAND_NAMES = ["one.weight", "two.weight"]


def test_synflow_by_hand():
    """R = 1*(1+2) + 2*(3+0) = 9, its two layers share it as 1+2+6+0 and 3+6; signs and biases don't count."""
    found = scores.synflow(TwoLinear(), HAND, HAND_NAMES, (2, 1, 1))
    assert found["one.weight"].tolist() == [[[1, 2], [6, 0]]]
    assert found["two.weight"].tolist() == [[[3, 6]]]
    assert found["one.weight"].dtype == torch.float64


@pytest.mark.parametrize("arch", ["lenet_300_100", "resnet8"])
def test_synflow_is_the_flow_lost_with_a_weight(arch):
    """R is linear in any one weight, so w * dR/dw is what R loses when w is set to 0; BatchNorm counts as fresh."""
    network = Network(arch=arch, width=0.05)
    net, state, names = cohort(network, TINY, classes=2)
    ordinary = models.build(network, TINY, 2).double().eval()
    ordinary.load_state_dict({name: t.abs() for name, t in state.items()})

    @torch.no_grad()
    def flow():
        return ordinary(torch.ones(1, 1, *TINY, dtype=torch.float64)).sum()

    whole = flow()
    for name, score in scores.synflow(net, roughen(state), names, TINY).items():
        weight, lost = ordinary.get_parameter(name).data.view(-1), []
        for i in range(len(weight)):
            kept, weight[i] = weight[i].item(), 0
            lost.append(whole - flow())
            weight[i] = kept
        assert torch.allclose(score.flatten(), torch.stack(lost), rtol=1e-6, atol=1e-12 * whole.item())


@pytest.mark.parametrize(
    "network",
    [
        Network(arch="resnet20"),
        Network(arch="resnet110"),
        Network(arch="resnet110", norm="none", residual=False),
        Network(arch="vgg19", norm="none"),
    ],
    ids=lambda n: f"{n.arch}-{n.norm}-{n.residual}",
)
def test_synflow_of_deep_networks_stays_in_range(network):
    """Where no skip goes around a layer, each layer's scores add up to the whole flow."""
    shape = (3, 32, 32)
    net, state, names = cohort(network, shape, dtype=torch.float32)
    found = scores.synflow(net, state, names, shape)
    sums = torch.stack([score.sum() for score in found.values()])
    assert sums.isfinite().all()
    assert (sums > 0).all()
    if network.arch == "vgg19" or not network.residual:
        assert torch.allclose(sums, sums[0].expand_as(sums), rtol=1e-9, atol=0)


def run(name, net, state, names, x, y, shape):
    return {
        "snip": lambda: scores.snip(net, state, names, x, y),
        "grasp": lambda: scores.grasp(net, state, names, x, y),
        "synflow": lambda: scores.synflow(net, state, names, shape),
        "magnitude": lambda: scores.magnitude(state, names),
    }[name]()


METHODS = ["snip", "grasp", "synflow", "magnitude"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("arch", ["lenet_300_100", "lenet_5", "resnet8"])
def test_a_cohort_scores_as_its_members_alone(method, arch):
    network = Network(arch=arch, width=0.2)
    net, state, names = cohort(network, SMALL, members=3)
    lone, state, (x, y) = models.build(network, SMALL, CLASSES), roughen(state), batch(SMALL, members=3)
    together = run(method, net, state, names, x, y, SMALL)
    for r in range(3):
        mine = run(method, lone, alone(state, r), names, x[r : r + 1], y[r : r + 1], SMALL)
        for name in names:
            assert torch.allclose(together[name][r], mine[name][0], rtol=1e-8, atol=1e-10 * mine[name].abs().max())


@pytest.mark.parametrize("method", METHODS)
def test_a_frozen_network_is_scored_like_any_other(method):
    """Gradients are taken of the scored weights themselves, whatever the module requires."""
    net, state, names = cohort(Network(width=0.05), SMALL)
    x, y = batch(SMALL)
    free = run(method, net, state, names, x, y, SMALL)
    frozen = run(method, net.requires_grad_(False), {n: t.detach() for n, t in state.items()}, names, x, y, SMALL)
    assert all(torch.equal(free[name], frozen[name]) for name in names)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("training", [True, False])
def test_nothing_of_the_callers_changes(method, training):
    """Weights, running statistics, the module and its mode; and a second call gives the same bits."""
    net, state, names = cohort(Network(arch="resnet8", width=0.2), SMALL, members=2)
    net.train(training)
    state, (x, y) = roughen(state), batch(SMALL, members=2)
    before, module = ({n: t.clone() for n, t in tensors.items()} for tensors in (state, net.state_dict()))
    first = run(method, net, state, names, x, y, SMALL)
    second = run(method, net, state, names, x, y, SMALL)
    assert all(torch.equal(first[n], second[n]) for n in names)
    assert all(torch.equal(state[n], before[n]) and not state[n].requires_grad for n in state)
    assert all(torch.equal(t, module[n]) for n, t in net.state_dict().items())
    assert net.training == training
    assert not any(s.requires_grad for s in first.values())


@pytest.mark.parametrize("method", METHODS)
def test_masks_keep_the_best_or_the_worst(method):
    net, state, names = cohort(Network(arch="lenet_5", width=0.3), SMALL, members=2)
    x, y = batch(SMALL, members=2)
    total = sum(state[name][0].numel() for name in names)
    found = run(method, net, state, names, x, y, SMALL)
    for keep, kept in (("largest", [100, 300]), ("smallest", [total - 100, total - 300])):
        made = scores.score_masks(net, state, names, kept, method, x, y, shape=SMALL, keep=keep)
        for r in range(2):
            ranked, mask = flat({n: found[n][r] for n in names}), flat(made[r])
            assert list(made[r]) == names
            assert int(mask.sum()) == kept[r]
            if keep == "largest":
                assert ranked[mask].min() >= ranked[~mask].max()
            else:
                assert ranked[mask].max() <= ranked[~mask].min()


@pytest.mark.parametrize("method", ["snip", "synflow"])
def test_members_may_keep_different_counts(method):
    net, state, names = cohort(Network(arch="lenet_5", width=0.3), SMALL, members=3)
    (x, y), kept, rounds = batch(SMALL, members=3), [9, 60, 200], 10
    together = scores.score_masks(net, state, names, kept, method, x, y, shape=SMALL, rounds=rounds)
    lone = models.build(Network(arch="lenet_5", width=0.3), SMALL, CLASSES)
    for r in range(3):
        arguments = (lone, alone(state, r), names, kept[r : r + 1], method, x[r : r + 1], y[r : r + 1])
        (mine,) = scores.score_masks(*arguments, shape=SMALL, rounds=rounds)
        assert sum(masks.counts(together[r]).values()) == kept[r]
        differ = sum(int((together[r][name] != mine[name]).sum()) for name in names)
        assert differ <= 2  # two weights on the two sides of the cut may be equal but for rounding


def test_the_schedule_is_the_sheets():
    """Density 0.02: .9616 after round 1, .1414 after 50, .02 after 100 (sanity_checks.md section 8)."""
    total = 1_000_000
    left = scores.schedule(total, 20_000, 100)
    assert len(left) == 100
    assert [round(left[k - 1] / total, 4) for k in (1, 50, 100)] == [0.9616, 0.1414, 0.02]
    assert left == sorted(left, reverse=True)


def test_the_schedule_rounds_half_up_and_ends_exactly():
    assert scores.schedule(25, 1, 2) == [5, 1]
    assert scores.schedule(9, 4, 2) == [6, 4]
    assert scores.schedule(1, 1, 3) == [1, 1, 1]
    assert scores.schedule(50, 2, 2) == [10, 2]
    assert scores.schedule(25, 9, 4) == [19, 15, 12, 9]  # 25 * .6 ** (k / 2): 19.36, 15, 11.62
    assert scores.schedule(100, 0, 3) == [0, 0, 0]
    assert scores.schedule(7, 7, 1) == [7]


@pytest.mark.parametrize("kept", [7, 14])  # conv4 has seven layers: one path is all that 7 weights leave
def test_a_hundred_rounds_of_synflow_are_exact_and_nested_and_kill_no_layer(kept, monkeypatch):
    net, state, names = cohort(Network(arch="conv4", width=0.1), SMALL, members=2, dtype=torch.float32)
    total, made = sum(state[name][0].numel() for name in names), []

    def recorded(*arguments):
        made.append(masks.by_score(*arguments))
        return made[-1]

    monkeypatch.setattr(scores, "by_score", recorded)
    final = scores.score_masks(net, state, names, [kept] * 2, "synflow", shape=SMALL, rounds=100)
    for r in range(2):
        rounds = [flat(mask) for mask in made[r::2]]
        assert [int(mask.sum()) for mask in rounds] == scores.schedule(total, kept, 100)
        assert all((after <= before).all() for before, after in pairwise(rounds))
        assert torch.equal(rounds[-1], flat(final[r]))
        assert min(masks.counts(final[r]).values()) >= 1


@pytest.mark.parametrize("method", ["synflow", "snip"])
def test_one_round_at_the_same_density_kills_layers(method):
    net, state, names = cohort(Network(arch="conv4", width=0.1), SMALL, members=2, dtype=torch.float32)
    x, y = batch(SMALL, members=2, dtype=torch.float32)
    for mask in scores.score_masks(net, state, names, [14] * 2, method, x, y, shape=SMALL):
        assert min(masks.counts(mask).values()) == 0


def test_synflow_scores_the_masked_network_anew():
    """Round 1 leaves 4 of 6: 1 and 0 of the first layer go. Then R = 2 + 6 = 8 is 2+6 and 2+6: the pair with 6 stays.

    At first the second layer's 6 and the first one's 6 led 3 and 2, so one round agrees for 2 weights; for 3, the tie
    of 2 and 2 goes to the lower index, where one round would keep the second layer's 3.
    """
    once, again = (
        flat(scores.score_masks(TwoLinear(), HAND, HAND_NAMES, [3], "synflow", shape=(2, 1, 1), rounds=rounds)[0])
        for rounds in (1, 2)
    )
    assert scores.schedule(6, 3, 2) == [4, 3]
    assert once.tolist() == [False, False, True, False, True, True]
    assert again.tolist() == [False, True, True, False, False, True]


def test_inverted_synflow_goes_on_when_nothing_flows_any_more():
    """Round 1 keeps the scores 0 and 1 of the first layer, the second is gone. 0 is still worse than 1."""
    assert scores.schedule(6, 1, 2) == [2, 1]
    arguments = (TwoLinear(), HAND, HAND_NAMES, [1], "synflow")
    (mask,) = scores.score_masks(*arguments, shape=(2, 1, 1), rounds=2, keep="smallest")
    assert flat(mask).tolist() == [False, False, False, True, False, False]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("value", "words"), [(float("inf"), "not finite"), (0.0, "all its scores are 0")])
def test_scores_that_rank_nothing_name_the_method(method, value, words):
    net, state, names = cohort(Network(width=0.02), TINY, members=2)
    for name in names:
        state[name][1] = value
    x, y = batch(TINY, members=2)
    with pytest.raises(UserError, match=f"{method} can't rank .*{words}"):
        scores.score_masks(net, state, names, [10, 10], method, x, y, shape=TINY)


def test_missing_inputs_and_counts_are_refused():
    net, state, names = cohort(Network(width=0.02), TINY, members=2)
    for method in ("snip", "grasp", "synflow", "snap"):
        with pytest.raises(ValueError, match=f"'{method}' is no method or lacks its input"):
            scores.score_masks(net, state, names, [10, 10], method)
    with pytest.raises(ValueError, match="2 members, but 1 counts"):
        scores.score_masks(net, state, names, [10], "magnitude")


def test_balanced_rows_are_sorted_by_class_and_depend_on_the_stream_alone():
    y = torch.arange(60) % 5
    rows = scores.balanced_rows(y, 5, 4, generator("rows", 0))
    assert y[rows].tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4
    assert len(set(rows.tolist())) == 20
    assert torch.equal(rows, scores.balanced_rows(y, 5, 4, generator("rows", 0)))
    assert not torch.equal(rows, scores.balanced_rows(y, 5, 4, generator("rows", 1)))


def test_a_class_with_too_few_images_is_named():
    with pytest.raises(UserError, match="needs 3 images of each class, class 2 has 2"):
        scores.balanced_rows(torch.tensor([0, 0, 0, 1, 1, 1, 2, 2]), 3, 3, generator("rows", 0))
    with pytest.raises(UserError, match="class 3 has 0"):
        scores.balanced_rows(torch.tensor([0, 1, 2]), 4, 1, generator("rows", 0))
