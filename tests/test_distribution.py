"""Layer profiles against the vectors of sanity_checks.md section 8 and against the paper's arithmetic in floats.

ER and ERK against those of gradient_flow.md section 8.
"""

import functools
import math

import pytest

from ltkit import models
from ltkit.prune.distribution import PROFILES, layer_counts
from ltkit.spec import Init, Network

VGG19 = [64, 64, 128, 128, *[256] * 4, *[512] * 8]
SMART_VGG19 = {
    "0.02": "1728 36864 61815 38852 43100 51309 31897 20351 26312 34101 21920 13814 8407 4832 2526 1110 1536",
    "0.1": "1728 36864 73728 147456 294912 589824 187416 102069 131969 171031 109937 69283 42167 24239 12669 5567 1536",
}
SMART_RESNET32 = (
    "136 1376 1295 1216 1140 1067 995 927 860 797 735 1353 2482 125 2060 1864 1677 1501 1334 1177 1030 892 "
    "1530 2590 119 1766 1412 1098 824 588 392 235 117 384"
)


@functools.lru_cache
def shapes_of(arch, classes=10, width=1.0):
    """Shapes of all prunable tensors of an ltkit network on 32x32 colour images, in module order."""
    network = Network(arch=arch, width=width)
    state = models.init(network, (3, 32, 32), classes, Init())
    return {name: tuple(state[name].shape) for name in models.prunable(network, (3, 32, 32), classes, "all")}


def vgg19(classes=10):
    return shapes_of("vgg19", classes)


def resnet32(classes=10):
    return shapes_of("resnet32", classes, width=2.0)


def total(shapes):
    return sum(math.prod(shape) for shape in shapes.values())


def papers(shapes, fraction, profile, vgg):
    """The authors' loop in floats: what each layer keeps, a few weights short of fraction * N."""
    sizes, depth = [math.prod(shape) for shape in shapes.values()], len(shapes)
    raw = [PROFILES[profile](at, depth) / (at**2 if vgg and profile != "balanced" else 1) for at in range(1, depth)]
    classifier = math.floor(0.3 * sizes[-1])
    weighed = sum(math.floor(m * r) for m, r in zip(sizes, raw, strict=False))
    share = [(math.floor(fraction * sum(sizes)) - classifier) / weighed * r for r in raw]
    extra = 0
    for i, m in enumerate(sizes[:-1]):
        if share[i] >= 1:
            extra += math.floor((share[i] - 1) * m)
            share[i] = 1
        elif math.floor((1 - share[i]) * m) >= extra:
            share[i] += extra / m
            extra = 0
        else:
            extra -= math.floor((1 - share[i]) * m)
            share[i] = 1
        if extra == 0:
            break
    return [math.floor(s * m) for s, m in zip(share, sizes, strict=False)] + [classifier]


def test_shapes_and_their_order_are_the_sheets():
    """VGG-19: 16 convolutions and the classifier; ResNet-32: a 1x1 shortcut right after its block's second one."""
    assert [shape[0] for shape in vgg19().values()] == [*VGG19, 10]
    assert [total(f(c)) for f in (vgg19, resnet32) for c in (10, 100)] == [20_024_000, 20_070_080, 1_855_584, 1_867_104]
    names = list(resnet32())
    assert len(names) == 34
    assert [i + 1 for i, name in enumerate(names) if "downsample" in name] == [14, 25]
    assert names[12:14] == ["stage2.0.conv2.weight", "stage2.0.downsample.conv.weight"]


@pytest.mark.parametrize(("density", "absorbs", "short"), [("0.02", 2, 400_474), ("0.1", 6, 2_002_395)])
def test_smart_ratio_of_vgg19(density, absorbs, short):
    expected = list(map(int, SMART_VGG19[density].split()))
    assert sum(expected) == short
    kept = round(float(density) * 20_024_000)
    counts = list(layer_counts(vgg19(), kept, "smart", vgg=True).values())
    assert sum(counts) == kept
    assert counts[:absorbs] == expected[:absorbs]  # fully dense
    assert counts[-1] == expected[-1]
    assert abs(counts[absorbs] - expected[absorbs]) <= 3  # takes the clipped surplus
    assert all(abs(a - b) <= 1 for a, b in zip(counts[absorbs + 1 :], expected[absorbs + 1 :], strict=True))


@pytest.mark.parametrize(("density", "dense"), [(0.1, 6), (0.05, 4), (0.02, 2)])
def test_smart_ratio_leaves_the_first_layers_of_vgg19_dense(density, dense):
    shapes = vgg19()
    counts = layer_counts(shapes, round(density * 20_024_000), "smart", vgg=True)
    assert [counts[n] == math.prod(shapes[n]) for n in shapes] == [True] * dense + [False] * (17 - dense)


def test_smart_ratio_of_resnet32():
    expected = list(map(int, SMART_RESNET32.split()))
    assert sum(expected) == 37_094
    counts = list(layer_counts(resnet32(), 37_112, "smart").values())
    assert sum(counts) == 37_112  # round(0.02 * 1,855,584)
    assert counts[-1] == 384
    assert all(abs(a - b) <= 1 for a, b in zip(counts, expected, strict=True))


@pytest.mark.parametrize(("density", "percent"), [(0.1, 79.8), (0.05, 39.8), (0.02, 15.7)])
def test_smart_ratio_leaves_no_layer_of_resnet32_dense(density, percent):
    shapes = resnet32()
    counts = layer_counts(shapes, round(density * 1_855_584), "smart")
    assert all(counts[name] < math.prod(shapes[name]) for name in shapes)
    assert abs(counts["conv1.weight"] - percent / 100 * 864) < 1.5  # one weight, and the percentage is rounded


@pytest.mark.parametrize(("density", "first"), [(0.1, (0, 7, 15)), (0.05, (0, 3, 7)), (0.02, (0, 1, 3))])
def test_ascending_profile_blinds_resnet32(density, first):
    """Collapse is what the profile says; the sheet's counts are rounded down, ours are at most one above."""
    counts = list(layer_counts(resnet32(), round(density * 1_855_584), "ascending").values())
    assert counts[0] == 0
    assert all(0 <= ours - sheet <= 1 for ours, sheet in zip(counts[:3], first, strict=True))


def test_ascending_profile_of_vgg19_decreases_slightly():
    shapes = vgg19()
    counts = layer_counts(shapes, 2_002_400, "ascending", vgg=True)
    percents = [100 * counts[name] / math.prod(shapes[name]) for name in list(shapes)[:-1]]
    assert percents == sorted(percents, reverse=True)
    assert (percents[0], percents[-1]) == (pytest.approx(18.3, abs=0.06), pytest.approx(9.7, abs=0.06))


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.parametrize("fraction", [0.1, 0.05, 0.02])
@pytest.mark.parametrize(("network", "vgg"), [(vgg19, True), (resnet32, False)])
def test_all_profiles_follow_the_papers_arithmetic(profile, fraction, network, vgg):
    """Within one weight a layer of the plain floors, three where the surplus ends, and never short in total."""
    shapes = network()
    kept = round(fraction * total(shapes))
    counts = list(layer_counts(shapes, kept, profile, vgg).values())
    theirs = papers(shapes, fraction, profile, vgg)
    assert sum(counts) == kept
    assert counts[-1] == theirs[-1]
    apart = sorted(abs(a - b) for a, b in zip(counts, theirs, strict=True))
    assert apart[-1] <= 3
    assert apart[-2] <= 1


def test_linear_profile_by_hand():
    """Three layers: r = 3, 2 on 100 and 200 weights, 10 of 30 in the classifier's 0.3 = 9: 70 / 700 = 0.1 a part."""
    shapes = {"a": (10, 10), "b": (10, 20), "fc": (5, 6)}
    assert layer_counts(shapes, 79, "linear") == {"a": 30, "b": 40, "fc": 9}
    assert layer_counts(shapes, 81, "linear") == {"a": 31, "b": 41, "fc": 9}  # 30.86 and 41.14: the larger remainder
    assert layer_counts(shapes, 79, "balanced") == {"a": 23, "b": 47, "fc": 9}  # 23.33 and 46.67


def test_another_depth_in_the_formula_by_hand():
    """Three layers: r = 12, 6 (smart); 30, 20 as of five; 6, 2 as of two. On 100 and 200 weights, 10 in the rest."""
    shapes = {"a": (10, 10), "b": (10, 20), "fc": (5, 6)}
    assert layer_counts(shapes, 49, "smart") == {"a": 20, "b": 20, "fc": 9}  # 40 / 2400 a part
    assert layer_counts(shapes, 79, "smart+2") == {"a": 30, "b": 40, "fc": 9}  # 70 / 7000
    assert layer_counts(shapes, 59, "smart-1") == {"a": 30, "b": 20, "fc": 9}  # 50 / 1000


def test_squares_of_the_depth_by_hand():
    """linear / l²: 3 and 1/2 on 100 and 200: 80 / 400 = 0.2 a part, 60 and 20; balanced stays as it is."""
    shapes = {"a": (10, 10), "b": (10, 20), "fc": (5, 6)}
    assert layer_counts(shapes, 89, "linear", vgg=True) == {"a": 60, "b": 20, "fc": 9}
    assert layer_counts(shapes, 89, "balanced", vgg=True) == layer_counts(shapes, 89, "balanced")


def test_a_full_layers_surplus_goes_to_the_next_ones():
    """linear: 4, 3, 2 on 10, 10 and 100 weights, 81 / 270 = 0.3 a part: 1.2, 0.9, 0.6 -> 10, 10 and 61."""
    shapes = {"a": (2, 5), "b": (2, 5), "c": (10, 10), "fc": (10, 1)}
    assert layer_counts(shapes, 84, "linear") == {"a": 10, "b": 10, "c": 61, "fc": 3}


@pytest.mark.parametrize("profile", ["smart", "smart+2", "smart-1", "balanced", "linear", "cubic"])
@pytest.mark.parametrize("vgg", [False, True])
def test_decreasing_profiles_keep_any_count_between_their_bounds(profile, vgg):
    """Every count from the classifier's share (3) to all but 0.7 of it (71 + 3), exactly."""
    shapes = {"a": (3, 1, 3, 1), "b": (4, 3), "c": (5, 4), "d": (6, 5), "fc": (2, 5)}
    for kept in range(3, 75):
        counts = layer_counts(shapes, kept, profile, vgg)
        assert sum(counts.values()) == kept
        assert counts["fc"] == 3
        assert all(0 <= counts[name] <= math.prod(shape) for name, shape in shapes.items())


@pytest.mark.parametrize("kept", [2, 75])
def test_counts_out_of_reach_are_refused(kept):
    shapes = {"a": (3, 1, 3, 1), "b": (4, 3), "c": (5, 4), "d": (6, 5), "fc": (2, 5)}
    with pytest.raises(
        ValueError, match=f"can't keep {kept} weights: the classifier keeps 3, the other layers at most"
    ):
        layer_counts(shapes, kept, "smart")


def test_surplus_behind_the_first_layer_is_refused():
    """ascending: 2 and 6 on 10 and 10 weights: for 15 of them the second would keep 1.125 of its own."""
    shapes = {"a": (2, 5), "b": (2, 5), "fc": (10, 1)}
    with pytest.raises(ValueError, match=r"b would keep 1\.12 times what it has"):
        layer_counts(shapes, 18, "ascending")


@pytest.mark.parametrize("shapes", [{"fc": (10, 10)}, {"a": (4, 4), "b": (4, 4, 3, 3)}])
def test_a_classifier_behind_other_layers_is_needed(shapes):
    with pytest.raises(ValueError, match="a linear classifier last and other layers before it"):
        layer_counts(shapes, 10, "smart")


def test_unknown_distribution_is_refused():
    with pytest.raises(ValueError, match="'smrt'"):
        layer_counts({"a": (4, 4), "fc": (4, 4)}, 10, "smrt")


LENET5 = {"conv1": (6, 1, 5, 5), "conv2": (16, 6, 5, 5), "fc1": (120, 256), "fc2": (84, 120), "fc3": (10, 84)}
LENET300 = {"fc1": (300, 784), "fc2": (100, 300), "fc3": (10, 100)}


@pytest.mark.parametrize(
    ("shapes", "kept", "distribution", "densities"),
    [
        (LENET5, 2210, "erk", (0.3464, 0.0408, 0.0374, 0.0619, 0.3421)),
        (LENET5, 8838, "erk", (1, 0.1710, 0.1570, 0.2595, 1)),
        (LENET5, 2210, "er", (1, 0.3857, 0.0206, 0.0341, 0.1883)),
        (LENET300, 26_620, "erk", (0.0796, 0.2302, 1)),
        (LENET300, 5324, "erk", (0.0154, 0.0445, 0.3674)),
    ],
)
def test_er_and_erk_of_the_gradient_flow_sheet(shapes, kept, distribution, densities):
    """Within the sheet's four digits and one weight a layer; dense layers are dense, totals exact."""
    counts = layer_counts(shapes, kept, distribution)
    assert sum(counts.values()) == kept
    for (name, shape), share in zip(shapes.items(), densities, strict=True):
        size = math.prod(shape)
        assert abs(counts[name] - share * size) <= (0 if share == 1 else 1 + 5e-5 * size), name


@pytest.mark.parametrize(("shapes", "kept"), [(LENET5, 2210), (LENET300, 5324)])
def test_uniform_of_the_gradient_flow_sheet(shapes, kept):
    """Unlike RigL's uniform no layer is left dense: the total is what was asked for."""
    counts = layer_counts(shapes, kept, "uniform")
    share = kept / sum(math.prod(shape) for shape in shapes.values())
    assert sum(counts.values()) == kept
    assert all(abs(counts[name] - share * math.prod(shape)) < 1 for name, shape in shapes.items())
