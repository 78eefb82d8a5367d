"""What a TPU asks of a run, as far as a CPU can ask it: static shapes, bfloat16, nothing silently left out."""

from pathlib import Path

import pytest

from tests import forked
from tfdl.core import static
from tfdl.data import images
from tfdl.train.precision import set_precision

PROGRAM = Path(__file__).with_name("static_shapes.py")


@pytest.fixture(autouse=True)
def dynamic_again():
    yield
    static.require(0)


def run(folder, *flags):
    return forked.python(PROGRAM, "--run.out", folder, "--run.strategy", "tpu", *flags)


def test_a_run_on_static_shapes_and_bfloat16(tmp_path):
    done = run(tmp_path / "run", "--run.precision", "mixed_bfloat16")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "updates 6 policy mixed_bfloat16" in done.stdout, "330 images: three batches of 100 in each of two epochs"


def test_dynamic_shapes_are_noticed(tmp_path):
    """The stand-in for a TPU would be worth nothing if it let everything pass."""
    done = run(tmp_path / "run", "--dynamic")
    assert done.returncode != 0 and "A TPU would compile" in done.stderr


def test_float16_is_refused_on_a_tpu():
    with pytest.raises(ValueError, match="TPUs have no float16; use --run.precision mixed_bfloat16"):
        set_precision("mixed_float16", is_tpu=True)


def test_batches_stay_as_they_are_without_the_rule():
    assert static.training_steps(330, 100) == 4 and static.evaluation_batch(330, 100) == 100


def test_training_drops_the_incomplete_batch_and_evaluation_next_to_nothing():
    static.require(2)
    assert static.training_steps(330, 100) == 3
    assert static.evaluation_batch(330, 100) == 66
    assert static.evaluation_batch(10_000, 64) == 50
    assert static.evaluation_batch(30, 100) == 30
    with pytest.warns(UserWarning, match="Static batches of 66 leave the last 1 of 331 samples out"):
        assert static.evaluation_batch(331, 100) == 66


@pytest.mark.parametrize("batch_size", [33, 340])
def test_batches_that_cannot_be_static_are_refused(batch_size):
    static.require(2)
    with pytest.raises(ValueError, match=f"Batches of {batch_size} of 330 samples can't be static on 2 replicas"):
        static.training_steps(330, batch_size)


def test_all_splits_have_fixed_shapes():
    static.require(2)
    with pytest.warns(UserWarning, match="Static batches of 88 leave the last 2 of 178 samples out"):
        data = images.load("digits", batch_size=100, limit=330)
    for split, size, batches in ((data.train, 100, 3), (data.validation, 88, 2), (data.test, 66, 5)):
        shapes = [tuple(x.shape) for x, _ in split]
        assert split.element_spec[0].shape == (size, *data.image_shape) and split.element_spec[1].shape == (size,)
        assert shapes == [(size, *data.image_shape)] * batches
