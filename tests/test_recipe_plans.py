"""What recipes ask for, without training: which data, models, epochs and options reach the session."""

import contextlib
import runpy
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.session.compare import Result

RECIPES = {file.stem: file for file in Path(__file__).parents[1].glob("recipes/*/*.py")}


class Plan:
    """Stands for `tfdl.Run` and for the session that it starts: trains nothing, and notes what it should have done."""

    seed, limit, smoke = 0, None, False

    def __init__(self, folder):
        self.folder = folder
        self.position = tf.Variable([0, 0], dtype=tf.int64)
        self.compared, self.fitted, self.shown = [], None, []

    def start(self, config, *, name):
        return self

    def scope(self):
        return contextlib.nullcontext()

    def updates(self, data, epochs):
        return epochs * len(data.train)

    def compare(self, data, models, *, epochs, **options):
        self.compared.append((data, models, epochs, options))
        made = {name: make() for name, make in models.items()}
        for name, model in made.items():
            x, y = next(iter((data[name] if isinstance(data, dict) else data).train))
            assert np.isfinite(model.compute_loss(x=x, y=y, y_pred=model(x, training=True))), name
            best = self.folder / "variants" / name / "checkpoints" / "best"
            best.mkdir(parents=True)
            model.save(best / "model.keras")
        numbers = {"loss": 1.0, "accuracy": 0.5, "cross_entropy": 1.0}
        tests = {f"test_{key}": value for key, value in numbers.items()}
        numbers |= {f"val_{key}": value for key, value in numbers.items()}
        numbers |= {"updates": 1.0, "loss_scale": 1.0}
        history = [{key: value * 2.0**epoch for key, value in numbers.items()} for epoch in range(epochs)]
        return {name: Result(name, model, epochs, history, tests, 1.0) for name, model in made.items()}

    def fit(self, model, data, **options):
        self.fitted = model, data, options

    def evaluate(self, model, data, split="test"):
        return {f"{split}_loss": 1.0, f"{split}_accuracy": 0.5, f"{split}_cross_entropy": 1.0}

    def export(self, model, data):
        pass

    def show(self, name, figure):
        self.shown.append(name)

    def curve(self, name, values):
        pass

    def finish(self, model, metrics):
        return metrics


def planned(name, folder, **flags):
    """The `Plan` of a recipe, and what its `main` returned."""
    recipe = runpy.run_path(str(RECIPES[name]))
    plan = Plan(folder)
    data = {"data": "digits"} if hasattr(recipe["Config"], "data") else {}
    return plan, recipe["main"](recipe["Config"](**data, run=plan, **flags))


def learns(make):
    """Weights that learn, and all weights, of the model that a function makes."""
    model = make()
    return len(model.trainable_weights), len(model.weights)


@pytest.fixture(autouse=True)
def policy():
    """Recipes may leave another precision behind."""
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


SMALLEST = {  # flags with which a comparison takes no time where it computes something itself
    "compare_activations": {"layers": 1},
    "fine_tune": {"source": "digits", "model": "lenet", "variant": "nano"},
    "initialize": {"layers": 2},
    "train_highway": {"depth": 4},
    "watch_gradients": {"length": 6, "singular_values": (0.9,)},
}
OTHERS = ("look_inside", "align_ppo", "distill_text", "generate_text")  # that compare within a task of their own
COMPARISONS = [name for name, file in RECIPES.items() if "run.compare(" in file.read_text() and name not in OTHERS]


@pytest.mark.parametrize("name", sorted(COMPARISONS))
def test_comparison_builds_every_model_and_draws_what_it_promises(name, tmp_path):
    """All of a recipe but the trainings: each model takes a batch of its data and has a finite loss."""
    plan, metrics = planned(name, tmp_path, **SMALLEST.get(name, {}))
    assert len(plan.compared[0][1]) > 1 or len(plan.compared) > 1, "a comparison of one model"
    assert metrics and all(np.isfinite(value) for value in metrics.values())
    assert len(plan.shown) == len(set(plan.shown)), "two figures of one name"
    assert bool(plan.shown) == ("run.show(" in RECIPES[name].read_text())


def test_transfer_learns_other_classes_from_fewer_and_fewer_images(tmp_path):
    plan, metrics = planned("transfer", tmp_path, fractions=(1.0, 0.2), epochs=(2, 3), first_epochs=4)
    (first, models, epochs, _), whole, part = plan.compared
    assert first.labels == tuple("01234") and list(models) == ["first"] and epochs == 4
    for (data, models, epochs, _), fraction, wanted in ((whole, "1", 2), (part, "0.2", 3)):
        assert data.labels == tuple("56789") and epochs == wanted
        assert list(models) == [f"{way}-{fraction}" for way in ("scratch", "random-frozen", "learned-frozen")]
    assert part[0].counts["train"] == pytest.approx(0.2 * whole[0].counts["train"], abs=5)
    assert part[0].counts["test"] == whole[0].counts["test"], "all are judged on the same images"
    every, weights = learns(part[1]["scratch-0.2"])
    assert every == weights == 10 and learns(part[1]["random-frozen-0.2"]) == (6, 10), "the three dense layers learn"
    assert len(metrics) == 7


def test_fine_tuning_picks_the_epoch_by_accuracy(tmp_path):
    flags = {"source": "digits", "model": "lenet", "variant": "nano", "first_epochs": 2, "epochs": 3, "patience": 4}
    plan, _ = planned("fine_tune", tmp_path, **flags)
    (_, first, epochs, _), (_, models, following, options) = plan.compared
    assert list(first) == ["first"] and epochs == 2
    assert list(models) == ["frozen", "tuned", "layer_wise", "scratch"] and following == 3
    assert options == {"monitor": "val_accuracy", "patience": 4}


def test_only_early_stopping_keeps_the_best_epoch_and_ends_early(tmp_path):
    plan, metrics = planned("regularize", tmp_path, epochs=3, patience=2, fraction=0.1, l2=0.01, weight_decay=0.25)
    (data, models, epochs, options), (_, stopped, epochs_of_it, options_of_it) = plan.compared
    assert epochs == epochs_of_it == 3
    assert options == {"monitor": "loss"} and options_of_it == {"patience": 2}
    assert data.counts["train"] < 0.12 * 1258 and data.counts["test"] > 300
    built = {name: make() for name, make in (models | stopped).items()}
    decays = {name: model.optimizer.weight_decay or 0.0 for name, model in built.items()}
    assert decays == {"none": 0.0, "dropout": 0.0, "l2": 0.0, "decay": 0.25, "early_stopping": 0.0}
    assert [name for name, model in built.items() if model.losses] == ["l2"]
    dropping = [name for name, model in built.items() if any("dropout" in layer.name for layer in model.layers)]
    assert dropping == ["dropout"]
    assert set(metrics) == {f"test_{kind}/{name}" for kind in ("cross_entropy", "error") for name in built}


def test_schedules_have_the_length_of_the_training_and_are_judged_at_its_end(tmp_path):
    plan, metrics = planned("schedule_learning_rate", tmp_path, epochs=3, learning_rate=0.5, batch_size=200)
    ((data, models, epochs, options),) = plan.compared
    assert epochs == 3 and not options
    last = 3 * len(data.train) - 1
    rates = {name: make().optimizer._learning_rate for name, make in models.items()}
    assert [name for name, rate in rates.items() if not callable(rate)] == ["constant"]
    ends = {name: float(rate(last)) for name, rate in rates.items() if callable(rate)}
    assert ends["step"] == pytest.approx(0.005) and 0 < ends["cosine"] < 0.01 and 0 < ends["warm-up"] < 0.01
    assert float(rates["warm-up"](0)) == 0.0 and float(rates["cosine"](0)) == 0.5
    assert {metrics[f"validation_loss/{name}"] for name in models} == {4.0}, "of the last of three epochs"
    assert {metrics[f"test_error/{name}"] for name in models} == {0.5}


def test_flags_of_classify_images_reach_what_they_are_for(tmp_path):
    flags = {"model": "lenet", "variant": "nano", "image_size": 20, "batch_size": 50, "epochs": 2, "patience": 3}
    plan, _ = planned("classify_images", tmp_path, **flags, learning_rate=0.02, weight_decay=0.125)
    model, data, options = plan.fitted
    assert options == {"epochs": 2, "patience": 3, "class_weight": None}
    assert data.image_shape[:2] == (20, 20) and next(iter(data.train))[0].shape[0] == 50
    assert model.optimizer.weight_decay == 0.125
    rates = [float(model.optimizer._learning_rate(step)) for step in range(2 * len(data.train) + 1)]
    peak = len(rates) // 10
    assert max(rates) == pytest.approx(0.02, rel=1e-3) and int(np.argmax(rates)) == peak
    assert rates[0] == 0.0 and rates[-1] < 0.03 * rates[peak]


def test_class_weights_and_balance_of_classify_images(tmp_path):
    flags = {"model": "lenet", "variant": "nano", "batch_size": 2000, "epochs": 1}
    plan, _ = planned("classify_images", tmp_path, **flags, class_weights=True)
    assert plan.fitted[2]["class_weight"] == plan.fitted[1].class_weights()
    plan, _ = planned("classify_images", tmp_path, **flags, balanced=True)
    images, labels = next(iter(plan.fitted[1].train))
    assert np.ptp(np.bincount(labels.numpy())) <= 1
