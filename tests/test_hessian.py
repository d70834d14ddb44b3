"""Hessians in a mask's subspace: the quadratic of gradient_flow.md section 8, plain torch, finite differences, eigh."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.autograd.functional import hessian as torchs

from ltkit import models
from ltkit.analyze import hessian
from ltkit.analyze.hessian import Loss, cross_entropy, exact, matrix, product
from ltkit.analyze.spectrum import Spectrum, density, lanczos, quadrature, summary, whole
from ltkit.errors import UserError
from ltkit.prune import masks
from ltkit.prune.distribution import layer_counts, random_mask
from ltkit.seeds import generator
from ltkit.spec import Init, Network

SHAPE, CLASSES = (1, 8, 8), 4
MLP, LENET5 = Network(width=0.04), Network(arch="lenet_5", width=0.2)
NORMED, RESNET = Network(arch="lenet_5", width=0.2, norm="batch"), Network(arch="resnet8", width=0.125)
NETWORKS = pytest.mark.parametrize("network", [MLP, LENET5, NORMED, RESNET], ids=lambda n: f"{n.arch} {n.norm}")
A = torch.tensor([[2, 1, 0], [1, -1, 3], [0, 3, 4]], dtype=torch.float64)


def quadratic(kept, parts=1):
    def loss(weights):
        return weights["w"] @ A @ weights["w"] / 2 / parts

    return Loss({"w": torch.tensor([0.3, -2, 1]).double()}, (loss,) * parts, {"w": torch.tensor(kept).bool()})


def state(network, seed=0):
    """Fresh weights in float64, every vector shaken, so that no unit sits on a kink of its ReLU."""
    fresh, draw = models.init(network, SHAPE, CLASSES, Init(seed=seed)), generator("shake", seed)
    return {
        n: t.double() + 0.3 * torch.rand(t.shape, generator=draw).double() * (t.dim() == 1) for n, t in fresh.items()
    }


def mask_of(network, share, seed=0):
    fresh = models.init(network, SHAPE, CLASSES, Init())
    shapes = {name: tuple(fresh[name].shape) for name in models.prunable(network, SHAPE, CLASSES)}
    kept = int(share * sum(math.prod(shape) for shape in shapes.values()))
    return random_mask(shapes, layer_counts(shapes, kept, "erk"), generator("mask", seed))


def images(count=30):
    draw = generator("images")
    return torch.randn(count, *SHAPE, generator=draw), torch.randint(CLASSES, (count,), generator=draw)


def loss_of(network, share=0.3, count=30, **options):
    return cross_entropy(network, SHAPE, CLASSES, state(network), mask_of(network, share), *images(count), **options)


def close(a, b, tolerance=1e-9):
    assert float((a - b).abs().max()) <= tolerance * float(b.abs().max())


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize(
    ("kept", "expected"), [((1, 0, 1), (2, 4)), ((1, 1, 0), (-1.302776, 2.302776)), ((0, 0, 1), (4,))]
)
def test_quadratic_of_the_sheet(kept, expected, parts):
    loss = quadratic(kept, parts)
    assert exact(loss).tolist() == pytest.approx(expected, abs=1e-6)
    v = torch.arange(1.0, 1 + loss.size, dtype=torch.float64)
    inside = A[torch.tensor(kept).bool()][:, torch.tensor(kept).bool()]
    close(product(loss)(v), inside @ v)


def test_what_the_loss_does_not_bend_has_no_curvature():
    weights = {"w": torch.ones(2).double(), "line": torch.ones(1).double(), "unused": torch.ones(2).double()}
    loss = Loss(weights, (lambda t: (t["w"] ** 2).sum() * 3 + 5 * t["line"].sum(),))
    assert matrix(loss).tolist() == torch.tensor([6.0, 6, 0, 0, 0]).diag().tolist()
    assert product(loss)(torch.ones(5).double()).tolist() == [6, 6, 0, 0, 0]


def plain_mlp(flat, shapes, x):
    w1, b1, w2, b2, w3, b3 = (
        part.view(s) for part, s in zip(flat.split([math.prod(s) for s in shapes]), shapes, strict=True)
    )
    return F.linear(F.relu(F.linear(F.relu(F.linear(x.flatten(1), w1, b1)), w2, b2)), w3, b3)


def plain_lenet5(flat, shapes, x):
    k1, c1, k2, c2, *rest = (
        part.view(s) for part, s in zip(flat.split([math.prod(s) for s in shapes]), shapes, strict=True)
    )
    x = F.max_pool2d(F.relu(F.conv2d(x, k1, c1, padding=2)), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, k2, c2, padding=2)), 2).flatten(1)
    w1, b1, w2, b2, w3, b3 = rest
    return F.linear(F.relu(F.linear(F.relu(F.linear(x, w1, b1)), w2, b2)), w3, b3)


@pytest.mark.parametrize(
    ("network", "plain"),
    [(Network(width=0.02), plain_mlp), (Network(arch="lenet_5", width=0.1), plain_lenet5)],
    ids=["mlp", "lenet5"],
)
def test_against_torchs_hessian_of_a_plain_network(network, plain):
    """torch.autograd.functional over all weights, rows and columns of the kept ones."""
    weights, mask, (x, y) = masks.apply(state(network), mask_of(network, 0.4)), mask_of(network, 0.4), images(20)
    flat = torch.cat([t.flatten() for t in weights.values()])
    shapes = [t.shape for t in weights.values()]
    full = torchs(lambda v: F.cross_entropy(plain(v, shapes, x.double()), y), flat)
    kept = torch.cat([mask[n].flatten() if n in mask else t.flatten() == t.flatten() for n, t in weights.items()])
    loss = cross_entropy(network, SHAPE, CLASSES, state(network), mask, x, y)
    assert loss.size == int(kept.sum())
    found = matrix(loss)
    assert torch.equal(found, found.T)
    close(found, full[kept][:, kept], 1e-12)
    assert exact(loss).tolist() == pytest.approx(torch.linalg.eigvalsh(full[kept][:, kept]).tolist(), abs=1e-10)


@NETWORKS
@pytest.mark.parametrize("bn", ["train", "eval"])
def test_products_are_the_matrix_and_finite_differences_of_the_gradient(network, bn):
    loss = loss_of(network, bn=bn)
    v = torch.randn(loss.size, generator=generator("v"), dtype=torch.float64)
    hv = product(loss)(v)
    close(matrix(loss) @ v, hv)
    sizes, step = [len(index) for index in loss.kept.values()], 1e-6

    def gradient(sign):
        moved = {name: w.clone() for name, w in loss.weights.items()}
        for (name, index), part in zip(loss.kept.items(), v.split(sizes), strict=True):
            moved[name].view(-1)[index] += sign * step * part / v.norm()
        leaves = {name: w.requires_grad_() for name, w in moved.items()}
        grads = torch.autograd.grad(sum(part(leaves) for part in loss.parts), list(leaves.values()))
        return torch.cat([g.flatten()[loss.kept[name]] for name, g in zip(leaves, grads, strict=True)])

    close((gradient(1) - gradient(-1)) / (2 * step) * v.norm(), hv, 1e-5)


def test_batchnorm_takes_the_statistics_of_all_images_or_the_running_ones():
    """eval differs, and its running statistics are left as they were."""
    network, before = NORMED, state(NORMED)
    kept = {name: t.clone() for name, t in before.items()}
    args = (network, SHAPE, CLASSES, before, {}, *images())
    train, running = cross_entropy(*args), cross_entropy(*args, bn="eval")
    first, second = product(train), product(running)
    v = torch.ones(train.size, dtype=torch.float64)
    assert not torch.allclose(first(v), second(v))
    assert torch.equal(first(v), first(v))  # nothing of the first product is left behind
    assert all(torch.equal(before[name], kept[name]) for name in kept)


def test_images_in_parts_are_the_same_loss(monkeypatch):
    whole_one, normed = loss_of(LENET5), loss_of(NORMED)
    monkeypatch.setattr(hessian, "IMAGES_AT_ONCE", 7)
    monkeypatch.setattr(hessian, "ROWS_AT_ONCE", 10)
    parted = loss_of(LENET5)
    assert len(parted.parts) == 5
    close(matrix(parted), matrix(whole_one))
    v = torch.ones(parted.size, dtype=torch.float64)
    close(product(parted)(v), product(whole_one)(v))
    assert len(loss_of(NORMED).parts) == len(normed.parts) == 1  # its statistics are those of all images


def test_coordinates_are_in_the_order_of_the_layers_whatever_that_of_the_state():
    weights, mask, (x, y) = state(LENET5), mask_of(LENET5, 0.2), images(10)
    turned = dict(reversed(weights.items())), dict(reversed(mask.items()))
    one, two = (cross_entropy(LENET5, SHAPE, CLASSES, *given, x, y) for given in ((weights, mask), turned))
    assert list(two.weights) == list(one.weights)
    assert matrix(two).equal(matrix(one))


def test_a_smaller_mask_is_a_part_of_the_matrix():
    """At one point, which the smaller mask leaves as it is; so its spectrum lies inside (interlacing)."""
    small, (x, y) = mask_of(MLP, 0.2), images()
    large = {
        name: m | other for (name, m), other in zip(small.items(), mask_of(MLP, 0.3, seed=1).values(), strict=True)
    }
    weights = masks.apply(state(MLP), small)
    inner, outer = (cross_entropy(MLP, SHAPE, CLASSES, weights, m, x, y) for m in (small, large))
    inside = torch.cat([torch.isin(outer.kept[name], inner.kept[name]) for name in outer.kept])
    close(matrix(inner), matrix(outer)[inside][:, inside])
    assert exact(outer)[0] <= exact(inner)[0] < exact(inner)[-1] <= exact(outer)[-1]


def test_pruned_weights_are_0_whatever_they_were_given_as():
    given = [
        cross_entropy(MLP, SHAPE, CLASSES, weights, mask_of(MLP, 0.3), *images())
        for weights in (state(MLP), masks.apply(state(MLP), mask_of(MLP, 0.3)))
    ]
    assert torch.equal(*map(matrix, given))


def test_float32_is_good_to_a_millionth_of_the_largest():
    double = exact(loss_of(LENET5))
    single = exact(loss_of(LENET5, dtype=torch.float32))
    assert float((double - single).abs().max()) < 1e-6 * float(double.abs().max())


def test_too_large_is_one_clear_line(monkeypatch):
    monkeypatch.setattr(hessian, "MOST", 50)
    with pytest.raises(UserError, match="coordinates is too large"):
        exact(loss_of(MLP))


@pytest.mark.parametrize("network", [MLP, LENET5], ids=lambda n: n.arch)
def test_lanczos_finds_both_ends_of_a_networks_spectrum(network):
    loss = loss_of(network)
    values, errors = lanczos(product(loss), loss.size, 60, generator("lanczos"))
    truth = exact(loss)
    assert values[0].item() == pytest.approx(truth[0].item(), rel=1e-8)
    assert values[-1].item() == pytest.approx(truth[-1].item(), rel=1e-8)
    nearest = (values.unsqueeze(1) - truth).abs().min(1).values
    assert (nearest <= errors + 1e-10).all()
    assert errors[-1] < 1e-6


def test_lanczos_in_few_steps_errs_inwards_and_says_how_far():
    truth = torch.cat([torch.tensor([-3.0]), torch.linspace(-1, 1, 200), torch.tensor([5.0])]).double()
    values, errors = lanczos(lambda v: truth * v, 202, 8, generator("few"))
    assert len(values) == 8
    assert -3 < values[0] < -2.9
    assert 4.9 < values[-1] < 5
    nearest = (values.unsqueeze(1) - truth).abs().min(1).values
    assert (nearest <= errors + 1e-12).all()
    assert errors[[0, -1]].max() > 1e-6


def test_lanczos_stops_where_the_space_is_used_up():
    truth = torch.tensor([-2.0, 0, 1]).double().repeat(10)
    values, errors = lanczos(lambda v: truth * v, 30, 30, generator("few"))
    assert values.tolist() == pytest.approx([-2, 0, 1], abs=1e-12)
    assert errors.max() == 0
    values, _ = lanczos(lambda v: 0 * v, 4, 3, generator("zero"))
    assert values.tolist() == [0]


def test_lanczos_keeps_its_basis_orthogonal():
    """A spread spectrum: without reorthogonalisation copies of the largest eigenvalues come up."""
    truth = torch.logspace(-1, 5, 150, dtype=torch.float64)
    values, _ = lanczos(lambda v: truth * v, 150, 150, generator("spread"))
    assert len(values) == 150
    assert (values - truth).abs().max() < 1e-9 * truth[-1]


def test_quadratures_moments_are_those_of_its_probes():
    """Up to 2 * steps - 1 each sum of values^k is v' H^k v exactly, v the sign vectors that are drawn."""
    loss = loss_of(MLP)
    h = matrix(loss)
    found = quadrature(product(loss), loss.size, 6, 4, generator("probes"))
    same = generator("probes")
    probes = [2.0 * torch.randint(2, (loss.size,), generator=same).double() - 1 for _ in range(4)]
    for k in range(12):
        theirs = sum(float(v @ torch.linalg.matrix_power(h, k) @ v) for v in probes) / 4
        assert float((found.counts * found.values**k).sum()) == pytest.approx(theirs, rel=1e-8)


@pytest.mark.parametrize("network", [MLP, LENET5], ids=lambda n: n.arch)
def test_quadrature_against_the_exact_spectrum(network):
    loss, probes = loss_of(network), 12
    h = matrix(loss)
    truth, found = exact(loss), quadrature(product(loss), loss.size, 30, probes, generator("slq"))
    assert float(found.counts.sum()) == pytest.approx(loss.size)
    values, vectors = torch.linalg.eigh(h)

    def sd(function):  # Hutchinson's, of sign vectors
        f = vectors * function(values) @ vectors.T
        return math.sqrt(2 * float(f.square().sum() - f.diag().square().sum()) / probes)

    assert float((found.counts * found.values).sum()) == pytest.approx(float(h.trace()), abs=3 * sd(lambda v: v))
    ours, theirs = summary(found), summary(whole(truth))
    assert ours.lambda_min == pytest.approx(theirs.lambda_min, rel=0.02)
    assert ours.lambda_max == pytest.approx(theirs.lambda_max, rel=1e-3)
    assert ours.mass == pytest.approx(theirs.mass, abs=3 * sd(lambda v: -v.clamp(max=0)))
    assert ours.total == pytest.approx(theirs.total, abs=3 * sd(torch.abs))
    width = 0.02 * float(truth[-1] - truth[0])
    grid = torch.linspace(float(truth[0]) - 5 * width, float(truth[-1]) + 5 * width, 400)
    a, b = density(found, grid, width), density(whole(truth), grid, width)
    cell = float(grid[1] - grid[0])
    assert float(a.sum() * cell) == pytest.approx(1, abs=1e-4)
    assert float((a - b).abs().sum() * cell) < 0.1


def test_quadrature_counts_negatives_of_a_spectrum_without_a_peak():
    """A symmetric Gaussian matrix shifted up: a known, smooth spectrum, 23 % of it below 0."""
    g = torch.randn(400, 400, generator=generator("goe"), dtype=torch.float64)
    h = (g + g.T) / math.sqrt(1600) + 0.8 * torch.eye(400)
    truth = summary(whole(torch.linalg.eigvalsh(h)))
    found = summary(quadrature(lambda v: h @ v, 400, 40, 10, generator("slq")))
    assert 60 < truth.negative < 120
    assert found.negative == pytest.approx(truth.negative, abs=8)
    assert found.mass == pytest.approx(truth.mass, rel=0.1)


def test_summary_by_hand():
    found = summary(Spectrum(torch.tensor([-2.0, -1e-9, 0, 1, 4]).double(), torch.tensor([1.5, 1, 1, 1, 2]).double()))
    assert (found.lambda_min, found.lambda_max, found.negative, found.mass) == (-2, 4, 1.5, 3)
    assert found.total == pytest.approx(3 + 1 + 8)
    assert summary(whole(torch.zeros(3).double())).negative == 0


def test_density_by_hand():
    found = density(
        Spectrum(torch.tensor([0.0, 10]).double(), torch.tensor([3.0, 1]).double()), torch.tensor([0.0, 10]), 0.5
    )
    peak = 1 / (0.5 * math.sqrt(2 * math.pi))
    assert found.tolist() == pytest.approx([0.75 * peak, 0.25 * peak])


def test_draws_are_the_generators():
    loss = loss_of(MLP)
    one, two = (quadrature(product(loss), loss.size, 5, 2, generator("same")) for _ in range(2))
    assert torch.equal(one.values, two.values)
    assert torch.equal(one.counts, two.counts)
