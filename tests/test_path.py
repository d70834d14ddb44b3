"""Many states at once against one at a time, paths against a plain loop, BatchNorm against the definition."""

import math

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from ltkit import models
from ltkit.analyze import path as paths
from ltkit.analyze.barrier import barriers
from ltkit.analyze.path import Pair, ends, interpolate, path, recalibrate, scores
from ltkit.errors import UserError
from ltkit.models.layers import BatchNorm
from ltkit.seeds import generator
from ltkit.spec import Init, Network
from ltkit.train.evaluate import evaluate

SHAPE, CLASSES = (1, 8, 8), 4
LENET, CONV, RESNET = Network(width=0.1), Network(arch="conv2", width=0.1), Network(arch="resnet8", width=0.25)
NETWORKS = pytest.mark.parametrize("network", [LENET, CONV, RESNET], ids=lambda n: n.arch)


def state(network, seed):
    """Fresh weights, every vector shaken (BatchNorm's variances stay positive)."""
    fresh, draw = models.init(network, SHAPE, CLASSES, Init(seed=seed)), generator("shake", seed)
    return {name: t + 0.5 * torch.rand(t.shape, generator=draw) * (t.dim() == 1) for name, t in fresh.items()}


def images(count=60, seed=0):
    draw = generator("images", seed)
    return torch.randn(count, *SHAPE, generator=draw), torch.randint(CLASSES, (count,), generator=draw)


def lone(network, one):
    net = models.build(network, SHAPE, CLASSES)
    net.load_state_dict({name: t.unsqueeze(0) for name, t in one.items()})
    return net


def alone(network, one, x, y):
    return evaluate(lone(network, one), x, y, 1)[0]


@NETWORKS
@pytest.mark.parametrize("group", [1, 2, 5, None])
def test_scores_are_those_of_lone_networks_in_order(network, group):
    x, y = images()
    states = [state(network, seed) for seed in range(5)]
    found = scores(network, SHAPE, CLASSES, (s for s in states), x, y, group=group)
    expected = [alone(network, s, x, y) for s in states]
    assert [s.correct for s in found] == [s.correct for s in expected]
    assert [s.loss for s in found] == pytest.approx([s.loss for s in expected], rel=1e-5)
    assert len({s.loss for s in found}) == 5


def test_no_more_states_are_held_than_a_group():
    held, most, x, y = [0], [0], *images(8)

    class Counted(dict):
        def __init__(self, tensors):
            super().__init__(tensors)
            held[0] += 1
            most[0] = max(most[0], held[0])

        def __del__(self):
            held[0] -= 1

    members = (Counted(state(LENET, seed)) for seed in range(9))
    assert len(scores(LENET, SHAPE, CLASSES, members, x, y, group=2)) == 9
    assert most[0] <= 2 * 2  # a group, and the one before it until its names are taken over


def test_all_members_share_the_images(monkeypatch):
    seen, (x, y) = [], images()

    def watched(net, images, labels, members, precision):
        seen.append((images.data_ptr(), tuple(images.shape), members))
        return evaluate(net, images, labels, members, precision)

    monkeypatch.setattr(paths, "evaluate", watched)
    scores(LENET, SHAPE, CLASSES, [state(LENET, seed) for seed in range(5)], x, y, group=2)
    assert seen == [(x.data_ptr(), (60, *SHAPE), members) for members in (2, 2, 1)]


def test_groups_shrink_with_the_network_and_convolutions_on_large_maps_go_alone():
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    small, large = {"w": torch.empty(1000)}, {"w": torch.empty(paths.GROUP_BYTES // 4 // 3, device="meta")}
    huge = {"w": torch.empty(paths.GROUP_BYTES, device="meta")}
    assert [paths._group(LENET, SHAPE, s, cpu) for s in (small, large, huge)] == [paths.MEMBERS, 3, 1]
    assert paths._group(RESNET, (3, 32, 32), small, cpu) == 1
    assert paths._group(RESNET, (3, 32, 32), small, gpu) == paths.MEMBERS
    assert paths._group(LENET, (1, 28, 28), small, cpu) == paths.MEMBERS


def test_interpolate_by_hand():
    a, b = {"w": torch.tensor([4.0, 0.0])}, {"w": torch.tensor([0.0, 8.0])}
    assert [p["w"].tolist() for p in interpolate(a, b, [0, 0.25, 1])] == [[0, 8], [1, 6], [4, 0]]


def test_interpolation_is_exact_at_its_ends_and_between_twins():
    a, b = state(RESNET, 0), state(RESNET, 1)
    first, *_, last = interpolate(a, b, [0, 0.3, 1])
    for name in a:
        assert torch.equal(first[name], b[name])
        assert torch.equal(last[name], a[name])
    for point in interpolate(a, a, [i / 29 for i in range(30)]):
        assert all(torch.equal(point[name], a[name]) for name in a)


def test_interpolation_averages_buffers_too():
    a, b = state(RESNET, 0), state(RESNET, 1)
    (middle,) = interpolate(a, b, [0.5])
    for name in ("bn1.running_mean", "bn1.running_var", "conv1.weight"):
        torch.testing.assert_close(middle[name], (a[name] + b[name]) / 2)


def test_path_against_a_plain_loop():
    """LeNet by hand: three matrix products at each point of two pairs, for two splits."""
    a, b, c = (state(LENET, seed) for seed in range(3))
    pairs = [Pair("ab", a, b), Pair("bc", b, c)]
    splits = {"train": images(50), "test": images(30, 1)}
    table = path(LENET, SHAPE, CLASSES, pairs, [0, 0.4, 1], splits, batch_norm="none", group=4)
    assert list(table.columns) == ["pair", "alpha", "split", "error", "loss", "count"]
    assert len(table) == 2 * 3 * 2
    for row in table.itertuples():
        one, two = {"ab": (a, b), "bc": (b, c)}[row.pair]
        w = {n: row.alpha * one[n] + (1 - row.alpha) * two[n] for n in one}
        x, y = splits[row.split]
        h = x.flatten(1)
        for layer in ("fc1", "fc2"):
            h = (h @ w[f"{layer}.weight"].T + w[f"{layer}.bias"]).relu()
        logits = h @ w["fc3.weight"].T + w["fc3.bias"]
        assert row.loss == pytest.approx(F.cross_entropy(logits, y).item(), rel=1e-5)
        assert row.error == pytest.approx(100 * (logits.argmax(1) != y).float().mean().item(), rel=1e-5)
        assert row.count == len(y)


@NETWORKS
def test_ends_score_what_the_runs_scored(network):
    x, y = images()
    a, b = state(network, 0), state(network, 1)
    table = path(network, SHAPE, CLASSES, [Pair("p", a, b)], [0, 0.5, 1], {"test": (x, y)}, batch_norm="interpolate")
    error = dict(zip(table["alpha"], table["error"], strict=True))
    for alpha, end in ((0, b), (1, a)):
        score = alone(network, end, x, y)
        assert error[alpha] == 100 * (score.count - score.correct) / score.count
    assert alone(network, a, x, y) != alone(network, b, x, y)


@pytest.mark.parametrize("batch_norm", ["interpolate", "recompute"])
def test_twins_have_no_barrier(batch_norm):
    a, (x, y) = state(RESNET, 0), images(150)
    table = path(
        RESNET, SHAPE, CLASSES, [Pair("twins", a, dict(a))], [i / 9 for i in range(10)], {"test": (x, y)},
        batch_norm=batch_norm, calibration=x, group=4,
    )  # fmt: skip
    assert barriers(table)["barrier"].item() == 0
    assert barriers(table, "loss")["barrier"].item() == pytest.approx(0, abs=1e-6)


def test_weights_that_are_no_numbers_have_no_error():
    a, b = state(LENET, 0), state(LENET, 1)
    b["fc3.bias"] = torch.full((CLASSES,), float("nan"))
    table = path(LENET, SHAPE, CLASSES, [Pair("p", a, b)], [0, 0.5], {"test": images()}, batch_norm="none")
    assert table["error"].isna().all()
    assert barriers(table.replace(0.5, 1.0))["barrier"].isna().all()


def test_an_end_of_many_paths_is_evaluated_once(monkeypatch):
    evaluated = []
    monkeypatch.setattr(paths, "evaluate", lambda net, x, y, n, p: evaluated.append(n) or evaluate(net, x, y, n, p))
    one, two, three = (state(RESNET, seed) for seed in range(3))
    shared = {"fc.weight": torch.rand(one["fc.weight"].shape) < 0.5}
    triangle = [
        Pair("x", one, two, shared, shared),
        Pair("y", two, three, shared, shared),
        Pair("z", three, one, shared),
    ]
    apart = [Pair(p.name, dict(p.a), dict(p.b), p.mask_a, p.mask_b) for p in triangle]  # other objects, equal content
    given = {"splits": {"test": images()}, "batch_norm": "recompute", "calibration": images(seed=1)[0]}
    tables = []
    for pairs, members in ((triangle, 3 + 3 + 1), (apart, 9)):  # "z" ends in `one` without a mask: not the same network
        evaluated.clear()
        tables.append(path(RESNET, SHAPE, CLASSES, pairs, [0, 0.5, 1], **given))
        assert sum(evaluated) == members
    first, second = (table.drop(columns="loss") for table in tables)
    pd.testing.assert_frame_equal(first, second)
    assert tables[0]["loss"].tolist() == pytest.approx(tables[1]["loss"].tolist(), rel=1e-5)
    cut = path(RESNET, SHAPE, CLASSES, triangle, [0, 0.5, 1], endpoint_mask="sparser", **given)
    assert len(cut) == 9


def two_masks():
    w = {"w": torch.tensor([1.0, 2, 3, 4]), "v": torch.tensor([5.0, 6]), "bias": torch.tensor([7.0])}
    a = {"w": torch.tensor([True, True, True, False])}
    b = {"w": torch.tensor([True, True, False, True]), "v": torch.tensor([False, True])}
    return Pair("p", w, {n: 10 * t for n, t in w.items()}, a, b)


@pytest.mark.parametrize(
    ("mode", "a", "b"),
    [
        ("own", [1, 2, 3, 0, 5, 6], [10, 20, 0, 40, 0, 60]),
        ("intersection", [1, 2, 0, 0, 0, 6], [10, 20, 0, 0, 0, 60]),
        ("sparser", [1, 2, 0, 4, 0, 6], [10, 20, 0, 40, 0, 60]),
    ],
)
def test_endpoint_masks_by_hand(mode, a, b):
    """a keeps 3 + 2 weights, b 3 + 1: b's mask is the sparser one."""
    pair = two_masks()
    for end, expected, bias in zip(ends(pair, mode), (a, b), (7, 70), strict=True):
        assert [*end["w"].tolist(), *end["v"].tolist()] == expected
        assert end["bias"].item() == bias
    back = Pair("back", pair.b, pair.a, pair.mask_b, pair.mask_a)
    assert [*ends(back, mode)[0]["w"].tolist(), *ends(back, mode)[0]["v"].tolist()] == b


def test_the_dense_network_is_cut_to_its_tickets_mask():
    dense, ticket = {"w": torch.ones(3)}, {"w": torch.tensor([2.0, 0, 2])}
    pair = Pair("p", dense, ticket, mask_b={"w": torch.tensor([True, False, True])})
    assert ends(pair)[0]["w"].tolist() == [1, 1, 1]
    for mode in ("intersection", "sparser"):
        assert ends(pair, mode)[0]["w"].tolist() == [1, 0, 1]


def test_a_path_knows_its_endpoint_mask():
    a, b, test = state(LENET, 0), state(LENET, 1), {"test": images()}
    nothing = {"fc3.weight": torch.zeros_like(a["fc3.weight"], dtype=torch.bool)}
    for mode, expected in (("own", a), ("sparser", a | {"fc3.weight": torch.zeros_like(a["fc3.weight"])})):
        table = path(
            LENET, SHAPE, CLASSES, [Pair("p", a, b, mask_b=nothing)], [1], test, batch_norm="none", endpoint_mask=mode
        )
        assert table["loss"].item() == pytest.approx(alone(LENET, expected, *test["test"]).loss, rel=1e-5)


def test_recalibrated_statistics_are_averages_over_batches():
    """Each BatchNorm's input is listened to: mean and unbiased variance of two full batches, the rest left out."""
    x = 3 + images(2 * paths.CALIBRATION_BATCH + 7)[0]
    net, heard = lone(RESNET, state(RESNET, 0)), {}
    weights = {name: p.clone() for name, p in net.named_parameters()}
    norms = {name: m for name, m in net.named_modules() if isinstance(m, BatchNorm)}
    hooks = [
        m.register_forward_pre_hook(lambda _, args, name=name: heard.setdefault(name, []).append(args[0]))
        for name, m in norms.items()
    ]
    recalibrate(net.eval(), x, 1)
    for hook in hooks:
        hook.remove()
    assert not net.training
    for name, norm in norms.items():
        assert [len(batch) for batch in heard[name]] == [paths.CALIBRATION_BATCH] * 2
        mean = sum(batch.mean((0, 2, 3)) for batch in heard[name]) / 2
        var = sum(batch.var((0, 2, 3), unbiased=True) for batch in heard[name]) / 2
        torch.testing.assert_close(norm.running_mean[0], mean, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(norm.running_var[0], var, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(p, weights[name]) for name, p in net.named_parameters())


def test_recomputing_forgets_the_buffers_and_is_the_same_in_any_group():
    (x, y), calibration = images(), images(300, 2)[0]
    good = [state(RESNET, seed) for seed in range(3)]
    spoilt = [{n: t * 50 + 1 if "running" in n else t for n, t in s.items()} for s in good]

    def recomputed(states, group):
        return scores(
            RESNET, SHAPE, CLASSES, states, x, y, batch_norm="recompute", calibration=calibration, group=group
        )

    expected = [s.loss for s in recomputed(good, 3)]
    assert [s.loss for s in recomputed(spoilt, 3)] == expected
    assert [s.loss for s in recomputed(good, 2)] == pytest.approx(expected, rel=1e-5)
    left = [s.loss for s in scores(RESNET, SHAPE, CLASSES, good, x, y)]
    assert all(abs(one - other) > 1e-3 for one, other in zip(left, expected, strict=True))


def test_few_calibration_images_are_one_batch():
    x, y = images(20)
    (found,) = scores(RESNET, SHAPE, CLASSES, [state(RESNET, 0)], x, y, batch_norm="recompute", calibration=x)
    assert math.isfinite(found.loss)


def test_nothing_to_recompute_without_batch_norm():
    x, y = images()
    assert scores(CONV, SHAPE, CLASSES, [state(CONV, 0)], x, y, batch_norm="recompute") == [
        alone(CONV, state(CONV, 0), x, y)
    ]


def test_mistakes():
    pairs, splits = [Pair("p", state(RESNET, 0), state(RESNET, 1))], {"test": images()}

    def run(**options):
        return path(RESNET, SHAPE, CLASSES, options.pop("pairs", pairs), [0, 1], splits, **options)

    with pytest.raises(UserError, match="resnet8 has BatchNorm"):
        run(batch_norm="none")
    with pytest.raises(UserError, match="did you mean 'recompute'"):
        run(batch_norm="recomputed")
    with pytest.raises(UserError, match="did you mean 'intersection'"):
        run(batch_norm="interpolate", endpoint_mask="intersect")
    with pytest.raises(ValueError, match="calibration images"):
        run(batch_norm="recompute")
    with pytest.raises(ValueError, match="one name"):
        run(batch_norm="interpolate", pairs=pairs * 2)
    with pytest.raises(ValueError, match="'as_is' or 'recompute'"):
        scores(RESNET, SHAPE, CLASSES, [], *splits["test"], batch_norm="interpolate")
