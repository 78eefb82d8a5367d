"""The variants of a comparison start alike, do not touch each other, and survive an interruption."""

import dataclasses
import json

import keras
import numpy as np
import pytest

import tfdl
from tfdl.data import images
from tfdl.train import callbacks, checkpoints


@dataclasses.dataclass(frozen=True)
class Config:
    run: tfdl.Run


def network(units, rate=0.1):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.Dense(units, activation="relu")(keras.layers.Flatten()(inputs))
    x = keras.layers.Dropout(0.2)(x)
    model = keras.Model(inputs, keras.layers.Dense(10)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss, metrics=["accuracy"])
    return model


pytestmark = pytest.mark.usefixtures("no_reports")  # but `whole`, which is made before, has them

MODELS = {"narrow": lambda: network(5), "wide": lambda: network(9)}


def compared(folder, models=MODELS, epochs=3, resume=False, **options):
    config = Config(tfdl.Run(out=str(folder), resume=resume, seed=2))
    run = config.run.start(config, name="comparison")
    data = images.load("digits", batch_size=40, seed=run.seed, position=run.position, limit=130)
    results = run.compare(data, models, epochs=epochs, **options)
    run.finish(None, {name: r.metrics["test_accuracy"] for name, r in results.items()})
    return results


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, compared(folder)


def final(result):
    return [np.asarray(w) for w in result.model.get_weights()]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(final(a), final(b), strict=True))


def without_clock(result):
    return [{k: v for k, v in row.items() if k != "examples_per_second"} for row in result.history]


def test_variant_does_not_depend_on_what_ran_before_it(whole, tmp_path):
    alone = compared(tmp_path / "run", {"wide": MODELS["wide"]})
    assert same(alone["wide"], whole[1]["wide"])
    assert without_clock(alone["wide"]) == without_clock(whole[1]["wide"])


def test_every_variant_has_a_folder_a_history_and_a_board(whole):
    folder, results = whole
    for name, result in results.items():
        assert (folder / "variants" / name / "checkpoints" / "best" / "model.keras").is_file()
        assert list((folder / "tb" / name).rglob("events.out.tfevents*"))
        assert result.series("val_loss").shape == (3,)
        assert set(result.metrics) == {"test_loss", "test_accuracy"}
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["metrics"]["wide"] == results["wide"].metrics["test_accuracy"]
    assert summary["seconds"] == pytest.approx(sum(r.seconds for r in results.values()), abs=0.1)


def test_model_of_a_result_has_the_best_epoch_s_weights(whole):
    folder, results = whole
    best = keras.models.load_model(folder / "variants" / "wide" / "checkpoints" / "best" / "model.keras")
    for ours, saved in zip(results["wide"].model.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, saved)


def test_interrupted_comparison_goes_on_to_the_same_end(whole, tmp_path, monkeypatch):
    folder = tmp_path / "run"

    class Killed(Exception):
        pass

    def die_in_the_second_epoch_of_the_wide_variant(self, batch, logs=None):
        usual(self, batch, logs)
        if self.model.count_params() > 500 and (self.epoch, self.step) == (1, 2):
            checkpoints.save(self.folder / "last", self.model, epoch=1, step=2)
            raise Killed

    usual = callbacks.Checkpoints.on_train_batch_end
    with monkeypatch.context() as patch:
        patch.setattr(callbacks.Checkpoints, "on_train_batch_end", die_in_the_second_epoch_of_the_wide_variant)
        with pytest.raises(Killed):
            compared(folder)
    narrow = folder / "variants" / "narrow" / "result.json"
    before = narrow.stat().st_mtime_ns
    results = compared(folder, resume=True)
    assert narrow.stat().st_mtime_ns == before, "a finished variant was trained again"
    for name in MODELS:
        assert same(results[name], whole[1][name])
        assert without_clock(results[name]) == without_clock(whole[1][name])
        assert results[name].metrics == whole[1][name].metrics


def test_resumed_with_more_epochs_every_variant_trains_on(whole, tmp_path):
    compared(tmp_path / "run", epochs=2)
    results = compared(tmp_path / "run", epochs=3, resume=True)
    for name in MODELS:
        assert same(results[name], whole[1][name])
        assert without_clock(results[name]) == without_clock(whole[1][name])
        assert results[name].epochs == 3


def test_resumed_with_fewer_epochs_is_one_sentence_and_changes_nothing(tmp_path):
    folder = tmp_path / "run"
    compared(folder, {"narrow": MODELS["narrow"]}, epochs=2)
    before = (folder / "variants" / "narrow" / "result.json").read_bytes()
    with pytest.raises(ValueError, match="comparison/narrow has trained 2 epochs and cannot go back to 1: .*--run.out"):
        compared(folder, {"narrow": MODELS["narrow"]}, epochs=1, resume=True)
    assert (folder / "variants" / "narrow" / "result.json").read_bytes() == before


def test_variants_may_have_data_of_their_own(tmp_path):
    config = Config(tfdl.Run(out=str(tmp_path / "run")))
    run = config.run.start(config, name="comparison")
    run.limit = None
    options = {"seed": run.seed, "position": run.position}
    data = {
        "few": images.load("digits", batch_size=20, limit=40, **options),
        "many": images.load("digits", batch_size=20, limit=100, **options),
    }
    results = run.compare(data, dict.fromkeys(data, MODELS["narrow"]), epochs=1)
    assert [result.history[0]["updates"] for result in results.values()] == [2, 5]


@pytest.mark.parametrize("name", ["a/b", "..", "", "two words"])
def test_variant_that_is_no_folder_name_is_refused(name, tmp_path):
    with pytest.raises(ValueError, match="cannot name a variant's folder"):
        compared(tmp_path / "run", {name: MODELS["narrow"]})


def test_unknown_series_lists_the_known_ones(whole):
    with pytest.raises(ValueError, match="has no 'f1' in its history; it has epoch, updates"):
        whole[1]["wide"].series("f1")
