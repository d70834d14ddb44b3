"""Identity: what decides a result is in it, what doesn't is not."""

import json
import subprocess
import sys
import time

import pytest

from ltkit.errors import UserError
from ltkit.prune import tickets
from ltkit.spec import From, Init, Magnitude, Network, Random, Recipe, Run, Shuffled, Task, canonical, origin

DENSE = Run(task=Task(), network=Network(), recipe=Recipe(epochs=3))


def test_equal_values_are_one_run_however_they_were_written():
    other = Run(
        order="0",
        recipe={"epochs": "3", "lr": 0.1},
        network={"arch": "lenet_300_100", "norm": None},
        task={"data": "digits", "validation": "1e-1"},
    )
    assert other == DENSE
    assert other.name == DENSE.name
    assert len({other, DENSE}) == 1


def test_identity_is_the_same_in_another_process():
    code = "from ltkit.spec import *; print(Run(task=Task(), network=Network(), recipe=Recipe(epochs=3)).identity)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == DENSE.identity


def test_identity_is_pinned():
    """A change here means that every stored run is lost: raise SCHEMA on purpose, not by accident."""
    assert DENSE.identity.startswith("11ff6f2c0aba")


@pytest.mark.parametrize(
    "change",
    [
        {"task": Task(labels="random")},
        {"network": Network(width=0.5)},
        {"recipe": Recipe(epochs=3, lr=0.2)},
        {"recipe": Recipe(epochs=3, precision="bf16")},
        {"start": Init(seed=1)},
        {"start": Init(draw=1)},
        {"mask": Random(density=0.5)},
        {"order": 1},
    ],
)
def test_everything_that_decides_the_result_is_in_the_identity(change):
    assert DENSE.replace(**change).identity != DENSE.identity


def test_ancestors_stand_as_their_identity():
    ticket = tickets.imp(DENSE, rounds=2)[-1]
    text = canonical(ticket)
    assert ticket.mask.run.identity in text
    assert DENSE.identity not in text  # one generation back only
    assert json.loads(text)["schema"] == 1


def test_long_chains_are_cheap():
    begun, run = time.perf_counter(), DENSE
    for _ in range(2000):
        run = DENSE.replace(mask=Magnitude(run=run, rate=0.001))
    assert run.identity
    assert time.perf_counter() - begun < 10  # linear; copying ancestors would take hours
    assert len(repr(run)) < 200


def test_replace_forgets_the_old_identity_and_validates():
    assert DENSE.identity != DENSE.replace(order=5).identity
    with pytest.raises(UserError, match="epochs"):
        DENSE.replace(recipe=DENSE.recipe.replace(epochs=0))


def test_npz_is_named_by_its_content(tmp_path):
    import numpy as np

    def save(path, value):
        x = np.full((20, 4, 4), value, dtype=np.uint8)
        np.savez(path, x_train=x, y_train=np.arange(20) % 2, x_test=x, y_test=np.arange(20) % 2)
        return DENSE.replace(task=Task(data=f"npz:{path}"))

    first, moved = save(tmp_path / "a.npz", 1), save(tmp_path / "b.npz", 1)
    other = save(tmp_path / "c.npz", 2)
    assert first.identity == moved.identity != other.identity
    assert str(tmp_path) not in canonical(first)


def test_fresh_weights_keep_the_scale_that_the_start_has():
    ticket = tickets.imp(DENSE.replace(start=Init(seed=3, scheme="glorot_normal")), rounds=1)[0]
    scaled = ticket.replace(start=ticket.start.replace(fan="neuron", permute=1))
    for run, fan in ((ticket, "dense"), (scaled, "neuron")):
        assert tickets.reinit(run).start == Init(seed=3, draw=1, scheme="glorot_normal", fan=fan)
        assert tickets.reinit(run).mask == run.mask


def test_kinds():
    first, second = tickets.imp(DENSE, rounds=2)
    assert [first.kind, tickets.reinit(second).kind, tickets.shuffled(first).kind] == ["ticket", "reinit", "shuffled"]
    assert tickets.inverted(first).kind == "inverted"
    assert tickets.random(DENSE, density=0.5).kind == "random"
    assert tickets.ticket(DENSE, first.mask, rewind=1).kind == "rewound"
    assert tickets.fine_tune(DENSE, first.mask).kind == "finetuned"


def test_pairing_is_by_construction():
    ticket = tickets.imp(DENSE.replace(order=7, start=Init(seed=7)), rounds=1)[0]
    for control in (tickets.reinit(ticket), tickets.shuffled(ticket)):
        assert control.order == ticket.order == 7
    assert tickets.reinit(ticket).start == Init(seed=7, draw=1)
    assert tickets.reinit(ticket).mask == ticket.mask
    assert tickets.shuffled(ticket).start == ticket.start


def test_imp_is_a_chain_and_goes_back_to_the_same_start():
    chain = tickets.imp(DENSE, rounds=3)
    assert [t.parents[0] for t in chain] == [DENSE, chain[0], chain[1]]
    assert {t.start for t in chain} == {DENSE.start}
    rewound = tickets.imp(DENSE, rounds=2, rewind=2)
    assert rewound[1].start == From(run=DENSE, epoch=2, resume=2)
    assert set(rewound[1].parents) == {DENSE, rewound[0]}
    assert origin(rewound[1]) == DENSE.start


def test_counts_of_the_ladder():
    """existence.md section 8: ResNet-20 under the kit's rounding."""
    wanted = "215860, 172688, 138151, 110521, 88417, 70734, 56588, 45271, 36217, 28974, 23180, 18544, 14836, 11869"
    total, alive, found = 269_824, 269_824, []
    for _ in range(14):
        alive = Magnitude(run=DENSE, rate=0.2).kept(total, alive)
        found.append(alive)
    assert found == [int(n) for n in wanted.split(", ")]
    assert [Magnitude(run=DENSE, rate=0.2, rounds=k + 1).kept(total) for k in range(14)] == found
    assert Magnitude(run=DENSE, density=0.5).kept(5) == 3
    assert Magnitude(run=DENSE, density=0.29).kept(100) == 29  # 0.29 * 100 is 28.999... in floats


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Network(arch="resnet21"), "did you mean 'resnet"),
        (lambda: Network(arch="vgg16", residual=False), "needs a ResNet"),
        (lambda: Recipe(epoch=3), "did you mean 'epochs'"),
        (lambda: Recipe(), "either epochs or steps"),
        (lambda: Recipe(epochs=3, lr=-1), "lr: input should be greater than 0, not -1"),
        (lambda: Recipe(epochs=3, milestones=(0.7, 0.5)), "rise"),
        (lambda: Recipe(epochs=3, warmup=4), "longer than the training"),
        (lambda: Recipe(epochs=3, nesterov=True, momentum=0), "nesterov"),
        (lambda: Recipe(epochs=3, lr=float("nan")), "lr"),
        (lambda: Task(data="digts"), "did you mean 'digits'"),
        (lambda: Magnitude(run=DENSE, density=1.5), "density: input should be less than or equal to 1"),
        (lambda: Magnitude(run=DENSE, density=0), "density"),
        (lambda: Magnitude(run=DENSE), "either density or rate"),
        (lambda: DENSE.replace(mask=Magnitude(run=DENSE.replace(network=Network(width=2)), rate=0.2)), "same network"),
        (lambda: DENSE.replace(start=From(run=DENSE, epoch=9, resume=0)), "epoch 9 of a training of 3"),
        (lambda: DENSE.replace(start=From(run=DENSE, resume=3)), "nothing is left to train"),
    ],
)
def test_mistakes_are_one_clear_line(make, says):
    with pytest.raises(UserError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_values_are_frozen():
    with pytest.raises(Exception, match="frozen"):
        DENSE.order = 3
    assert Shuffled(mask=Random(density=0.5)).mask.density == 0.5
