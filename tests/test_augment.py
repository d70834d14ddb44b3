"""Order and augmentation: seeded streams, and every crop and flip against torchvision's, image by image."""

from __future__ import annotations

import pytest
import torch
from torchvision.transforms import functional as tv

from ltkit.data import augment, flips, normalise, order, shifts


def images(*shape: int) -> torch.Tensor:
    return torch.randint(1, 256, shape, generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_order_is_a_permutation_fixed_by_seed_and_epoch() -> None:
    first = order(3, 0, 100)
    assert first.dtype == torch.int64
    assert torch.equal(first.sort().values, torch.arange(100))
    assert torch.equal(first, order(3, 0, 100))
    others = [order(3, 1, 100), order(4, 0, 100), torch.arange(100)]
    assert not any(torch.equal(first, other) for other in others)


def test_streams_leave_torchs_own_alone() -> None:
    before = torch.get_rng_state()
    order(0, 0, 9), shifts(0, 0, 9, 4), flips(0, 0, 9)
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(7)
    first = shifts(0, 0, 9, 4)
    torch.manual_seed(8)
    assert torch.equal(first, shifts(0, 0, 9, 4))


def test_shifts_are_uniform_and_the_axes_independent() -> None:
    drawn = shifts(0, 5, 10_000, 2)
    assert drawn.shape == (10_000, 2)
    cells = torch.bincount(drawn[:, 0] * 5 + drawn[:, 1], minlength=25)
    assert cells.sum() == 10_000
    assert len(cells) == 25
    chi2 = ((cells - 400.0) ** 2 / 400).sum()
    assert chi2 < 51.2  # 24 degrees of freedom, p = 0.001
    assert not torch.equal(drawn, shifts(0, 6, 10_000, 2))
    assert not shifts(0, 5, 10, 0).any()


def test_flips_are_fair_and_independent_of_shifts() -> None:
    drawn = flips(0, 5, 10_000)
    assert drawn.dtype == torch.bool
    assert abs(int(drawn.sum()) - 5_000) < 165  # 3.3 standard deviations
    rows = shifts(0, 5, 10_000, 2)[:, 0].double()
    assert abs(rows[drawn].mean() - rows[~drawn].mean()) < 0.1
    assert not torch.equal(drawn, flips(1, 5, 10_000))


def test_a_crop_that_an_eye_can_check() -> None:
    x = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8).reshape(1, 1, 1, 2, 2)
    corner, middle, stays = torch.tensor([[[0, 0]]]), torch.tensor([[[1, 1]]]), torch.tensor([[False]])
    assert augment(x, corner, stays, 1).flatten().tolist() == [0, 0, 0, 1]
    assert augment(x, middle, stays, 1).flatten().tolist() == [1, 2, 3, 4]
    assert augment(x, corner, ~stays, 1).flatten().tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize(
    ("dtype", "channels", "crop"), [(torch.uint8, 3, 4), (torch.float32, 1, 2), (torch.uint8, 1, 0)]
)
def test_augment_equals_torchvision(dtype: torch.dtype, channels: int, crop: int) -> None:
    members, batch, height, width = 3, 40, 6, 8
    x = images(members, batch, channels, height, width).to(dtype)
    moved = shifts(1, 0, members * batch, crop).reshape(members, batch, 2)
    mirrored = flips(1, 0, members * batch).reshape(members, batch)
    result = augment(x, moved, mirrored, crop)
    assert result.dtype == dtype
    assert mirrored.any()
    for r in range(members):
        for b in range(batch):
            padded = tv.pad(x[r, b], [crop] * 4)
            top, left = moved[r, b].tolist()
            slow = tv.crop(padded, top, left, height, width)
            slow = tv.hflip(slow) if mirrored[r, b] else slow
            assert torch.equal(result[r, b], slow)


def test_each_step_can_be_left_out() -> None:
    x = images(2, 5, 3, 4, 4)
    moved, mirrored = shifts(0, 0, 10, 1).reshape(2, 5, 2), flips(0, 0, 10).reshape(2, 5)
    assert torch.equal(augment(x, None, None, 1), x)
    assert torch.equal(augment(x, None, mirrored, 1), torch.where(mirrored[..., None, None, None], x.flip(-1), x))
    assert torch.equal(augment(x, moved, None, 1), augment(x, moved, torch.zeros_like(mirrored), 1))


def test_a_member_is_augmented_alike_alone_and_in_a_cohort() -> None:
    x = images(4, 6, 3, 5, 5)
    moved, mirrored = shifts(0, 0, 24, 2).reshape(4, 6, 2), flips(0, 0, 24).reshape(4, 6)
    together = augment(x, moved, mirrored, 2)
    alone = [augment(x[r : r + 1], moved[r : r + 1], mirrored[r : r + 1], 2) for r in range(4)]
    assert torch.equal(together, torch.cat(alone))


def test_normalise_equals_torchvision() -> None:
    x = images(2, 5, 3, 4, 4)
    mean, std = torch.tensor([0.4914, 0.4822, 0.4465]), torch.tensor([0.2023, 0.1994, 0.2010])
    slow = tv.normalize(x.flatten(0, 1).float() / 255, mean.tolist(), std.tolist()).reshape(x.shape)
    assert torch.allclose(normalise(x, mean, std), slow, atol=1e-5)
    assert torch.allclose(normalise(x.float(), mean, std), slow, atol=1e-5)


def test_normalise_takes_each_members_own_moments_and_keeps_its_input() -> None:
    x = images(2, 5, 3, 4, 4).float()
    before = x.clone()
    mean, std = torch.rand(2, 3), torch.rand(2, 3) + 0.1
    together = normalise(x, mean, std)
    assert torch.equal(x, before)
    for r in range(2):
        assert torch.equal(together[r : r + 1], normalise(x[r : r + 1], mean[r], std[r]))


def test_the_padding_is_black() -> None:
    x, mean, std = images(1, 1, 1, 3, 3), torch.tensor([0.3]), torch.tensor([0.2])
    corner = normalise(augment(x, torch.tensor([[[0, 0]]]), None, 3), mean, std)
    assert torch.allclose(corner, torch.full_like(corner, -0.3 / 0.2))
