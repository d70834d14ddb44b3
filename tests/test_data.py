"""Data sets: where they are found, what is refused, and how they are split and corrupted."""

from __future__ import annotations

import gzip
import hashlib
import os
import pickle
import shutil
import tarfile
import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.datasets
from hypothesis import given, settings
from hypothesis import strategies as st

from ltkit.data import Dataset, load, npz, sources
from ltkit.data.balance import pick, share
from ltkit.data.dataset import moments
from ltkit.errors import UserError
from ltkit.seeds import generator
from ltkit.spec import Network, Recipe, Run, Task

REAL = os.environ.get("LTKIT_DATA", "")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the user's data or cache, or reaches the network."""

    def unreachable(*args: Any, **kwargs: Any) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.delenv("LTKIT_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", unreachable)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", unreachable)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


# npz files


def arrays(**changes: Any) -> dict[str, Any]:
    """Three classes; image i is filled with the value i, so that an image says where it came from."""
    good = {
        "x_train": np.repeat(np.arange(60, dtype=np.uint8), 12).reshape(60, 3, 4),
        "y_train": np.arange(60) % 3,
        "x_test": np.repeat(np.arange(100, 109, dtype=np.uint8), 12).reshape(9, 3, 4),
        "y_test": np.arange(9) % 3,
    }
    return {key: value for key, value in (good | changes).items() if value is not None}


def saved(folder: Path, name: str = "some.npz", **changes: Any) -> Path:
    np.savez(folder / name, **arrays(**changes))
    return folder / name


def own(path: Path, **values: Any) -> Task:
    return Task(data=f"npz:{path}", **values)


def test_npz_grey_and_colour(tmp_path: Path) -> None:
    train_x, train_y, test_x, test_y = npz.read(saved(tmp_path))
    assert train_x.shape == (60, 1, 3, 4)
    assert test_x.shape == (9, 1, 3, 4)
    assert train_x[7, 0].tolist() == [[7] * 4] * 3
    assert train_y.dtype == test_y.dtype == np.int64
    colour = np.arange(60 * 3 * 4 * 3).astype(np.uint8).reshape(60, 3, 4, 3)
    train_x, *_ = npz.read(saved(tmp_path, x_train=colour, x_test=colour[:9], y_train=(np.arange(60) % 3).astype("u1")))
    assert train_x.shape == (60, 3, 3, 4)
    assert train_x[5, 2, 1, 3] == colour[5, 1, 3, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "key 'y_test' is missing; it holds x_train, y_train, x_test"),
        ({"x_train": None, "train_x": np.zeros(1)}, r"key 'x_train' is missing \(did you mean 'train_x'\?\)"),
        ({"x_train": np.zeros((60, 3, 4))}, "x_train must be uint8 .* not float64"),
        ({"x_train": np.zeros((60, 12), "u1")}, r"x_train must have shape .* not \(60, 12\)"),
        ({"x_test": np.zeros((0, 3, 4), "u1")}, r"x_test must have shape .* hold images, not \(0, 3, 4\)"),
        ({"x_train": np.zeros((60, 3, 8, 8), "u1")}, r"\(60, 3, 8, 8\) looks like \(N,C,H,W\)"),
        ({"x_test": np.zeros((9, 3, 5), "u1")}, r"x_test holds images of \(3, 5\), x_train of \(3, 4\)"),
        ({"y_train": np.zeros(60)}, "y_train must be integers, not float64"),
        ({"y_train": np.zeros((60, 1), int)}, r"y_train must have shape \(N,\), not \(60, 1\)"),
        ({"y_test": np.zeros(8, int)}, "y_test has 8 labels for the 9 images of x_test"),
        ({"y_train": np.arange(60) % 3 - 1}, "y_train has label -1; labels must be 0..K-1"),
        ({"y_train": np.arange(60) % 3 + 1}, "y_train has no image of class 0; labels must be 0..3 without gaps"),
        ({"y_train": np.full(60, 10**12)}, "y_train has label 1000000000000 but only 60 images"),
        ({"y_test": np.full(9, 3)}, "y_test has label 3, but the training labels are 0..2"),
        ({"y_train": np.array([{}] * 60)}, "y_train holds pickled Python objects"),
    ],
)
def test_npz_mistakes(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = saved(tmp_path, **changes)
    with pytest.raises(UserError, match=message) as error:
        npz.read(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_npz_that_is_none(tmp_path: Path) -> None:
    for read in (npz.read, npz.digest):
        with pytest.raises(UserError, match=r"absent\.npz: can't read it \(No such file or directory\)"):
            read(tmp_path / "absent.npz")
    with pytest.raises(UserError, match="Is a directory"):
        load(own(tmp_path))
    for content in (b"", b"x_train", pickle.dumps({"x_train": 1})):
        (tmp_path / "no.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"no \.npz file"):
            npz.read(tmp_path / "no.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"no \.npz file"):
        npz.read(tmp_path / "one.npy")


def test_npz_cut_off_or_altered_is_never_a_crash(tmp_path: Path) -> None:
    whole = saved(tmp_path).read_bytes()
    path = tmp_path / "bad.npz"
    refused = 0
    for i in range(0, len(whole), 37):
        altered = bytearray(whole)
        altered[i] ^= 0xFF
        for content in (whole[:i], bytes(altered)):
            path.write_bytes(content)
            try:
                npz.read(path)
            except UserError:
                refused += 1
    assert refused > len(whole) / 37


def test_digest_is_of_the_content(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert npz.digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    first = npz.digest(str(path))
    saved(tmp_path, y_test=np.zeros(9, int))
    os.utime(path, ns=(1, 1))  # the size is the same, so the time has to tell them apart, whatever the clock's grain
    assert npz.digest(path) != first


def test_the_content_not_the_path_is_a_runs_identity(tmp_path: Path) -> None:
    def identity(path: Path) -> str:
        return Run(task=own(path), network=Network(), recipe=Recipe(epochs=1)).identity

    path, twin = saved(tmp_path), tmp_path / "twin.npz"
    shutil.copyfile(path, twin)
    assert identity(path) == identity(twin)
    assert identity(path) != identity(saved(tmp_path, "other.npz", y_test=np.zeros(9, int)))


# How many and which


@pytest.mark.parametrize(
    ("counts", "fraction", "expected"),
    [
        ([10, 10, 11], 0.1, [1, 1, 1]),  # 3.1 in all
        ([15, 15, 16], 0.1, [2, 1, 2]),  # 4.6 in all: the largest remainder first, then the lower label
        ([5, 5], 0.1, [1, 0]),  # halves are shared out too
        ([3, 4], 1.0, [3, 4]),
        ([3, 4], 0.0, [0, 0]),
        ([100] * 3, 0.29, [29] * 3),  # 0.29 * 100 is 28.999... in floating point
    ],
)
def test_share_by_hand(counts: list[int], fraction: float, expected: list[int]) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    assert share(labels, len(counts), fraction) == expected


@settings(deadline=None, derandomize=True, database=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.integers(0, 1000))
def test_share_is_exact(counts: list[int], permille: int) -> None:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    got = share(labels, len(counts), permille / 1000)
    assert sum(got) == (permille * sum(counts) + 500) // 1000
    assert all(0 <= k <= n and abs(k - n * permille / 1000) < 1 for k, n in zip(got, counts, strict=True))


def test_pick_is_random_and_nested() -> None:
    labels = torch.arange(90) % 3
    small, large = (pick(labels, [k] * 3, generator("here", 0)) for k in (4, 20))
    assert torch.bincount(labels[small]).tolist() == [4, 4, 4]
    assert torch.bincount(labels[large]).tolist() == [20, 20, 20]
    assert not (small & ~large).any()
    assert not torch.equal(small, pick(labels, [4] * 3, generator("here", 1)))


# Split, subset, corruption


def ids(images: torch.Tensor) -> list[int]:
    return images[:, 0, 0, 0].tolist()


def test_split_is_balanced_disjoint_and_complete(tmp_path: Path) -> None:
    path = saved(tmp_path, "My data.npz")
    data = load(own(path, validation=0.2))
    assert isinstance(data, Dataset)
    assert torch.bincount(data.train_y).tolist() == [16, 16, 16]
    assert torch.bincount(data.validation_y).tolist() == [4, 4, 4]
    assert sorted(ids(data.train_x) + ids(data.validation_x)) == list(range(60))
    assert ids(data.test_x) == list(range(100, 109))
    for images, labels in ((data.train_x, data.train_y), (data.validation_x, data.validation_y)):
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert [i % 3 for i in ids(images)] == labels.tolist()
    assert (data.classes, data.shape, data.label) == (3, (1, 3, 4), "My data")


def test_seeds_decide_and_only_their_own_step(tmp_path: Path) -> None:
    path = saved(tmp_path)
    plain = load(own(path, validation=0.2, subset=0.5))
    again = load(own(path, validation=0.2, subset=0.5, corruption_seed=5))
    assert ids(plain.train_x) == ids(again.train_x)
    assert torch.bincount(plain.train_y).tolist() == [8, 8, 8]
    split = load(own(path, validation=0.2, subset=0.5, split_seed=1))
    assert ids(split.validation_x) != ids(plain.validation_x)
    subset = load(own(path, validation=0.2, subset=0.5, subset_seed=1))
    assert ids(subset.validation_x) == ids(plain.validation_x)
    assert ids(subset.train_x) != ids(plain.train_x)
    full = load(own(path, validation=0.2))
    assert set(ids(plain.train_x)) < set(ids(full.train_x))
    assert torch.equal(plain.mean, full.mean)
    assert torch.equal(plain.std, full.std)


def test_no_validation(tmp_path: Path) -> None:
    data = load(own(saved(tmp_path), validation=0))
    assert ids(data.train_x) == list(range(60))
    assert data.validation_x.shape == (0, 1, 3, 4)
    assert data.validation_y.shape == (0,)


def test_callers_cannot_spoil_each_others_data(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for tensor in vars(load(own(path))).values():
        if isinstance(tensor, torch.Tensor):
            tensor.zero_()
    assert ids(load(own(path)).test_x) == list(range(100, 109))
    assert len(set(ids(load(own(path)).train_x))) == 54


def test_random_labels_are_uniform_and_only_for_training() -> None:
    true, random = load(Task()), load(Task(labels="random"))
    assert torch.equal(random.train_x, true.train_x)
    for name in ("validation_x", "validation_y", "test_x", "test_y", "mean", "std"):
        assert torch.equal(getattr(random, name), getattr(true, name))
    n = len(true.train_y)
    counts = torch.bincount(random.train_y, minlength=10)
    assert ((counts - n / 10) ** 2 / (n / 10)).sum() < 27.9  # 9 degrees of freedom, p = 0.001
    assert 0.07 < (random.train_y == true.train_y).double().mean() < 0.13
    assert torch.equal(random.train_y, load(Task(labels="random")).train_y)
    assert not torch.equal(random.train_y, load(Task(labels="random", corruption_seed=1)).train_y)


def test_shuffled_pixels_stay_within_their_image(tmp_path: Path) -> None:
    ramp = np.tile(np.arange(48, dtype=np.uint8), (60, 1)).reshape(60, 4, 4, 3)
    path = saved(tmp_path, x_train=ramp, x_test=ramp[:9])
    true, mixed = load(own(path)), load(own(path, pixels="shuffled"))
    for name in ("train_y", "validation_x", "validation_y", "test_x", "test_y", "mean", "std"):
        assert torch.equal(getattr(mixed, name), getattr(true, name))
    rows = mixed.train_x.flatten(1)
    assert torch.equal(rows.sort(1).values, torch.arange(48, dtype=torch.uint8).expand(54, 48))
    assert len(rows.unique(dim=0)) == 54  # a permutation each
    # Channel c of the ramp holds the values that are c modulo 3; mixed, a third of each channel's are.
    stays = (mixed.train_x % 3 == torch.arange(3).reshape(1, 3, 1, 1)).double().mean()
    assert abs(stays - 1 / 3) < 0.05
    assert not torch.equal(rows, load(own(path, pixels="shuffled", corruption_seed=1)).train_x.flatten(1))


def test_moments_by_the_slow_way() -> None:
    images = torch.randint(0, 256, (50, 3, 6, 5), dtype=torch.uint8)
    images[:, 2] = 51
    mean, std = moments(images)
    slow = images.double().transpose(0, 1).flatten(1) / 255
    assert torch.allclose(mean.double(), slow.mean(1), atol=1e-7)
    assert torch.allclose(std[:2].double(), slow[:2].std(1, correction=0), atol=1e-7)
    assert mean[2] == pytest.approx(0.2)
    assert std[2] == pytest.approx(1 / 255)


def test_too_few_images(tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(UserError, match=r"validation=0\.02 holds out 1 of 60 images, too few for 3 classes"):
        load(own(path, validation=0.02))
    with pytest.raises(UserError, match=r"subset=0\.02 leave 1 of 60 images for training, none of class 1"):
        load(own(path, subset=0.02))
    with pytest.raises(UserError, match="2 test images are too few for 3 classes"):
        load(own(saved(tmp_path, "few.npz", x_test=np.zeros((2, 3, 4), "u1"), y_test=np.array([0, 1]))))


# Known data sets


def test_digits() -> None:
    from sklearn.datasets import load_digits

    train_x, train_y, test_x, test_y = sources.read("digits")
    assert train_x.shape == (1297, 1, 8, 8)
    assert train_x.dtype == torch.uint8
    assert torch.bincount(test_y).tolist() == [50] * 10
    assert torch.bincount(train_y).tolist() == [128, 132, 127, 133, 131, 132, 131, 129, 124, 130]
    original = load_digits()
    scaled = {row.tobytes() for row in np.floor(original.data * 255 / 16 + 0.5).astype(np.uint8)}
    assert {row.numpy().tobytes() for row in torch.cat([train_x, test_x]).flatten(1)} == scaled
    assert set(train_x.unique().tolist()) >= {0, 16, 32, 128, 255}
    data = load(Task())
    assert (len(data.train_y), len(data.validation_y), len(data.test_y)) == (1167, 130, 500)
    assert (data.classes, data.shape, data.label) == (10, (1, 8, 8), "digits")


def test_where_data_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert sources.folder() == tmp_path / "cache" / "ltkit" / "data"
    monkeypatch.setenv("LTKIT_DATA", str(tmp_path / "env"))
    assert sources.folder() == tmp_path / "env"
    assert sources.folder(tmp_path / "argument") == tmp_path / "argument"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.delenv("LTKIT_DATA")
    assert sources.folder() == Path.home() / ".cache" / "ltkit" / "data"


def test_unknown_name() -> None:
    with pytest.raises(UserError, match=r"unknown data 'cifar' \(did you mean 'cifar10'\?\)"):
        sources.read("cifar")


@pytest.mark.parametrize(("name", "layout"), [("mnist", "MNIST/raw/*-ubyte"), ("cifar10", "cifar-10-batches-py/")])
def test_absent_without_a_network(tmp_path: Path, name: str, layout: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError) as error:
        load(Task(data=name), tmp_path / "nowhere")
    for part in (name, str(tmp_path / "nowhere"), layout, "no network", "--data", "LTKIT_DATA"):
        assert part in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().out == ""


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.fixture
def little_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """MNIST of 40 and 20 images, as .gz files only, whose sums torchvision takes for the true ones."""
    raw = tmp_path / "root" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, n in (("train", 40), ("t10k", 20)):
        images = np.random.default_rng(n).integers(0, 256, (n, 28, 28))
        (raw / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (raw / f"{part}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(idx(np.arange(n) % 10)))
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", [(f.name, md5(f)) for f in sorted(raw.iterdir())])
    return tmp_path / "root"


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def check_little_mnist(arrays: sources.Arrays) -> None:
    for images, labels, n in ((arrays[0], arrays[1], 40), (arrays[2], arrays[3], 20)):
        expected = torch.from_numpy(np.random.default_rng(n).integers(0, 256, (n, 1, 28, 28)).astype(np.uint8))
        assert torch.equal(images, expected)
        assert torch.equal(labels, torch.arange(n) % 10)


def test_gz_files_are_unpacked_into_the_cache_and_left_as_they_are(little_mnist: Path) -> None:
    before = files(little_mnist)
    check_little_mnist(sources.read("mnist", little_mnist))
    assert files(little_mnist) == before
    unpacked = [name.removesuffix(".gz") for name in before]
    assert files(sources.cache()) == unpacked
    shutil.rmtree(little_mnist)
    check_little_mnist(sources.read("mnist", little_mnist))  # from the cache
    check_little_mnist(sources.read("mnist"))


def test_gz_files_in_the_cache_itself(little_mnist: Path) -> None:
    sources.cache().parent.mkdir(parents=True)
    shutil.move(little_mnist, sources.cache())
    check_little_mnist(sources.read("mnist"))
    assert len(files(sources.cache())) == 8


def test_gz_files_without_a_folder_to_write_to(little_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (little_mnist.parent / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(little_mnist.parent / "file"))
    check_little_mnist(sources.read("mnist", little_mnist))


def test_damaged_gz(little_mnist: Path) -> None:
    (little_mnist / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz").write_bytes(b"cut")
    with pytest.raises(UserError, match=r"absent or damaged there, and downloading failed .*no network"):
        sources.read("mnist", little_mnist)
    assert files(sources.cache()) == []


def test_damaged_unpacked_files_are_replaced(little_mnist: Path) -> None:
    sources.read("mnist", little_mnist)
    (sources.cache() / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"cut")
    check_little_mnist(sources.read("mnist", little_mnist))


def serve(archives: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A network that holds the files of a folder, and prints as it goes."""

    def retrieve(url: str, filename: str | Path, chunk_size: int = 0) -> None:
        print("downloading", url)
        shutil.copyfile(archives / url.rsplit("/", 1)[1], filename)

    monkeypatch.setattr("torchvision.datasets.utils._get_redirect_url", lambda url, max_hops=3: url)
    monkeypatch.setattr("torchvision.datasets.utils._urlretrieve", retrieve)


def test_download_goes_into_the_root(
    little_mnist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    serve(little_mnist / "MNIST" / "raw", monkeypatch)
    check_little_mnist(sources.read("mnist", tmp_path / "new"))
    assert len(files(tmp_path / "new")) == 4
    assert not sources.cache().exists()
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "MNIST"]
    assert capsys.readouterr().out == ""


def test_download_for_a_root_that_cannot_be_written_to(little_mnist: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    serve(little_mnist / "MNIST" / "raw", monkeypatch)
    blocked = little_mnist.parent / "file"
    blocked.touch()
    check_little_mnist(sources.read("mnist", blocked / "below"))
    assert len(files(sources.cache())) == 4


@pytest.mark.parametrize("packed", [True, False])
def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    """torchvision's pickled layout, with few images and the sums to match; also as the archive alone."""
    source, root = torchvision.datasets.CIFAR10, tmp_path / "root"
    folder = root / source.base_folder
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (120, 3, 32, 32), dtype=np.uint8)
    names = [name for name, _ in source.train_list + source.test_list]
    for i, name in enumerate(names):
        part = slice(20 * i, 20 * i + 20)
        batch = {"data": images[part].reshape(20, -1), "labels": [j % 10 for j in range(20)]}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    sums = [[name, md5(folder / name)] for name in names]
    monkeypatch.setattr(source, "train_list", sums[:5])
    monkeypatch.setattr(source, "test_list", sums[5:])
    monkeypatch.setattr(source, "meta", source.meta | {"md5": md5(folder / "batches.meta")})
    if packed:
        with tarfile.open(root / source.filename, "w:gz") as archive:
            archive.add(folder, source.base_folder)
        monkeypatch.setattr(source, "tgz_md5", md5(root / source.filename))
        shutil.rmtree(folder)
    data = load(Task(data="cifar10", validation=0), root)
    assert torch.equal(data.train_x, torch.from_numpy(images[:100]))
    assert torch.equal(data.test_x, torch.from_numpy(images[100:]))
    assert torch.equal(data.train_y, torch.arange(100) % 10)
    assert (data.classes, data.shape, data.label) == (10, (3, 32, 32), "CIFAR-10")
    assert (root / source.filename).exists() == packed
    assert sources.cache().exists() == packed


# The real ones, where LTKIT_DATA names a folder that holds them


def real(name: str, layout: str) -> Path:
    if not REAL:
        pytest.skip("LTKIT_DATA isn't set")
    if not list(Path(REAL).glob(layout)):
        pytest.skip(f"LTKIT_DATA={REAL} holds no {name}")
    return Path(REAL).absolute()


def test_real_mnist() -> None:
    root = real("MNIST", "MNIST/raw/train-images-idx3-ubyte*")
    train_x, train_y, test_x, test_y = sources.read("mnist", root)
    assert train_x.shape == (60_000, 1, 28, 28)
    assert test_x.shape == (10_000, 1, 28, 28)
    assert torch.bincount(train_y).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert torch.bincount(test_y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert train_y[:5].tolist() == [5, 0, 4, 1, 9]
    mean, std = moments(train_x)
    assert [round(float(mean), 4), round(float(std), 4)] == [0.1307, 0.3081]
    data = load(Task(data="mnist"), root)
    assert (len(data.train_y), len(data.validation_y), len(data.test_y)) == (54_000, 6_000, 10_000)


@pytest.mark.parametrize(
    ("name", "layout", "classes", "mean", "std"),
    [
        ("cifar10", "cifar-10-*", 10, [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]),
        ("cifar100", "cifar-100-python*", 100, [0.5071, 0.4865, 0.4409], [0.2673, 0.2564, 0.2762]),
    ],
)
def test_real_cifar(name: str, layout: str, classes: int, mean: list[float], std: list[float]) -> None:
    train_x, train_y, test_x, test_y = sources.read(name, real(name, layout))
    assert train_x.shape == (50_000, 3, 32, 32)
    assert test_x.shape == (10_000, 3, 32, 32)
    assert torch.bincount(train_y).tolist() == [50_000 // classes] * classes
    assert torch.bincount(test_y).tolist() == [10_000 // classes] * classes
    got_mean, got_std = moments(train_x)
    assert got_mean.tolist() == pytest.approx(mean, abs=1e-4)
    assert got_std.tolist() == pytest.approx(std, abs=1e-4)
