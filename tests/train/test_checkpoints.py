"""A checkpoint holds everything, is written whole, and fits only the model it was made for."""

import warnings

import keras
import numpy as np
import pytest
import safetensors.numpy

from tfdl.train import checkpoints
from tfdl.train.step import exact


def trained(units=2, steps=3, optimizer="adam"):
    """A compiled network with dropout and BatchNorm after a few updates."""
    keras.utils.set_random_seed(5)
    layers = [keras.layers.Dense(3), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)]
    model = keras.Sequential([keras.Input((4,)), *layers, keras.layers.Dense(units)])
    model.compile(optimizer, "mse", metrics=["mae"], jit_compile=False)
    exact(model)
    x = np.random.default_rng(0).normal(size=(6, 4)).astype("float32")
    model.fit(x, np.zeros((6, units), "float32"), batch_size=6, epochs=steps, verbose=0)
    return model


def values(model):
    return {name: np.asarray(v.numpy()) for name, v in checkpoints.state(model).items()}


def test_restoring_brings_back_every_variable(tmp_path):
    model = trained()
    path = checkpoints.save(tmp_path, model, epoch=2, step=5, seconds=7.25)
    saved = values(model)
    groups = {name.split("/")[0] for name in saved}
    assert groups == {"model", "metrics", "optimizer", "seed"}
    other = trained(steps=5)
    assert any((values(other)[name] != value).any() for name, value in saved.items())
    checkpoint = checkpoints.read_newest(tmp_path)
    checkpoints.restore(other, checkpoint)
    for name, value in saved.items():
        np.testing.assert_array_equal(values(other)[name], value, err_msg=name)
    assert (checkpoint.path, checkpoint.epoch, checkpoint.step, checkpoint.seconds) == (path, 2, 5, 7.25)


def test_random_generators_are_part_of_the_state(tmp_path):
    model = trained()
    draws = [v for name, v in values(model).items() if name.startswith("model/") and v.dtype.kind in "iu"]
    assert len(draws) == 1 and draws[0].shape == (2,), "the dropout layer's seed state"


def test_two_checkpoints_are_kept(tmp_path):
    model = trained()
    for updates in (3, 4, 5):
        model.optimizer.iterations.assign(updates)
        checkpoints.save(tmp_path, model, epoch=0, step=updates)
    assert [p.name for p in checkpoints.newest_first(tmp_path)] == [
        "step_0000000005.safetensors",
        "step_0000000004.safetensors",
    ]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty"])
def test_damaged_newest_falls_back_with_a_warning(tmp_path, damage):
    model = trained()
    checkpoints.save(tmp_path, model, epoch=0, step=1)
    model.optimizer.iterations.assign(9)
    newest = checkpoints.save(tmp_path, model, epoch=0, step=2)
    content = bytearray(newest.read_bytes())
    if damage == "flip":
        content[-1] ^= 1
    newest.write_bytes({"truncate": content[:-50], "flip": content, "empty": b""}[damage])
    with pytest.warns(UserWarning, match=r"step_0000000009\.safetensors is damaged .* Falling back"):
        assert checkpoints.read_newest(tmp_path).step == 1


def test_nothing_to_resume_from_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is none"):
        checkpoints.read_newest(tmp_path)
    (tmp_path / "step_0000000001.safetensors").write_bytes(b"junk")
    with warnings.catch_warnings(), pytest.raises(FileNotFoundError, match="all of them are damaged"):
        warnings.simplefilter("ignore")
        checkpoints.read_newest(tmp_path)


def test_another_model_is_refused_and_stays_as_it_was(tmp_path):
    checkpoints.save(tmp_path, trained(), epoch=0, step=0)
    other = trained(units=5)
    before = values(other)
    with pytest.raises(
        ValueError, match=r"does not fit this model \(.*is float32 \(3, 2\) in the file and float32 \(3, 5\)"
    ):
        checkpoints.restore(other, checkpoints.read_newest(tmp_path))
    with pytest.raises(ValueError, match=r"optimizer/0000"):
        checkpoints.restore(trained(optimizer="sgd"), checkpoints.read_newest(tmp_path))
    for name, value in before.items():
        np.testing.assert_array_equal(values(other)[name], value)


def test_full_disk_keeps_the_older_checkpoints(tmp_path, monkeypatch):
    model = trained()
    checkpoints.save(tmp_path, model, epoch=0, step=1)
    model.optimizer.iterations.assign(9)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left on device"):
        checkpoints.save(tmp_path, model, epoch=0, step=2)
    assert checkpoints.read_newest(tmp_path).step == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_hash_of_the_weights_sees_the_last_bit():
    model = trained()
    before = checkpoints.weights_sha256(model)
    assert before == checkpoints.weights_sha256(model)
    kernel = model.weights[0]
    kernel.assign(np.nextafter(kernel.numpy(), np.float32(2)))
    assert checkpoints.weights_sha256(model) != before


def test_altered_header_is_noticed(tmp_path):
    path = checkpoints.save(
        tmp_path, trained(), epoch=2, step=1, callbacks=[{"class": "A", "state": {}, "unsaved": []}]
    )
    assert checkpoints.read(path).callbacks[0]["class"] == "A"
    content = path.read_bytes()
    assert content.count(b'"epoch":"2"') == 1
    path.write_bytes(content.replace(b'"epoch":"2"', b'"epoch":"3"'))
    with pytest.raises(ValueError, match="is damaged .its digest differs"):
        checkpoints.read(path)


def test_checkpoint_of_another_program_is_refused(tmp_path):
    safetensors.numpy.save_file({"a": np.zeros(2)}, tmp_path / "step_0000000001.safetensors")
    with pytest.raises(ValueError, match="is damaged"):
        checkpoints.read(tmp_path / "step_0000000001.safetensors")
