"""A rule in real training: as in PyTorch, under schedules, clipping, averages, mixed precision and our own step."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

from tfdl.core import gradients
from tfdl.foundations.optimizers import RULES, SGD, AdaGrad, Adam, AdamW, RMSprop
from tfdl.train import checkpoints
from tfdl.train.optimizers import RuleOptimizer
from tfdl.train.schedules import CosineRestarts, WarmUp, rates, step_decay
from tfdl.train.step import exact


def weights(*shapes):
    """Variables of the given shapes, always the same values."""
    random = np.random.default_rng(3)
    return [keras.Variable(random.normal(size=shape), dtype="float32") for shape in shapes]


def slopes(steps, *shapes):
    """A list of gradients for each step."""
    random = np.random.default_rng(4)
    return [[random.normal(size=shape).astype("float32") for shape in shapes] for _ in range(steps)]


def applied(optimizer, steps=20, shapes=((3, 5), (4,))):
    """The variables after `steps` updates."""
    variables = weights(*shapes)
    for parts in slopes(steps, *shapes):
        optimizer.apply(parts, variables)
    return np.concatenate([v.numpy().ravel() for v in variables])


def compiled(optimizer):
    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(2)])
    model.compile(optimizer, "mse")
    return model


def batch(samples=8):
    random = np.random.default_rng(6)
    return random.normal(size=(samples, 3)).astype("float32"), random.normal(size=(samples, 2)).astype("float32")


# --- the same numbers as Keras and PyTorch -------------------------------------------------------------------------

K = keras.optimizers
KERAS = {
    "nesterov": (
        SGD(momentum=0.9, nesterov=True, weight_decay=0.1),
        lambda rate: K.SGD(rate, momentum=0.9, nesterov=True, weight_decay=0.1),
    ),
    "rmsprop": (RMSprop(momentum=0.8, centered=True), lambda rate: K.RMSprop(rate, momentum=0.8, centered=True)),
    "adamw": (AdamW(), lambda rate: K.AdamW(rate)),
}


@pytest.mark.parametrize("name", KERAS)
def test_keras_convention_equals_the_keras_optimizer_over_100_steps(name):
    rule, make = KERAS[name]
    rate = step_decay(0.05, 10, 0.8)
    ours, theirs = (applied(optimizer, steps=100) for optimizer in (RuleOptimizer(rule, rate), make(rate)))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-6 * np.abs(theirs).max())


def digits():
    """Digits (600, 64) in [0, 1], labels, and ten batches of 60 rows."""
    images, labels = load_digits(return_X_y=True)
    return (images[:600] / 16).astype("float32"), labels[:600], np.arange(600).reshape(10, 60)


TORCH = {
    "sgd": ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}, 0.1),
    "adagrad": ("Adagrad", {}, 0.05),
    "rmsprop": ("RMSprop", {"momentum": 0.9, "centered": True}, 1e-3),
    "adam": ("Adam", {"weight_decay": 1e-2}, 1e-2),
    "adamw": ("AdamW", {}, 1e-2),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", TORCH)
def test_logistic_regression_on_digits_ends_with_torchs_weights(name):
    """100 steps with a rate that falls every 25, through compile and our step."""
    torch = pytest.importorskip("torch")
    kind, options, rate = TORCH[name]
    images, labels, batches = digits()
    torch.manual_seed(0)
    layer = torch.nn.Linear(64, 10)
    theirs = getattr(torch.optim, kind)(layer.parameters(), lr=rate, **options)
    scheduler = torch.optim.lr_scheduler.StepLR(theirs, 25, 0.5)

    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    model.set_weights([parameter.detach().numpy().T for parameter in layer.parameters()])
    ours = RuleOptimizer(RULES[name](convention="torch", **options), step_decay(rate, 25, 0.5))
    model.compile(ours, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    exact(model)
    for step in range(100):
        rows = batches[step % 10]
        theirs.zero_grad()
        torch.nn.functional.cross_entropy(layer(torch.tensor(images[rows])), torch.tensor(labels[rows])).backward()
        theirs.step()
        scheduler.step()
        model.train_on_batch(images[rows], labels[rows])
    kernel, bias = model.get_weights()
    assert np.abs(kernel - layer.weight.detach().numpy().T).max() <= 1e-5
    assert np.abs(bias - layer.bias.detach().numpy()).max() <= 1e-5


def test_torch_convention_differs_from_keras_in_real_training():
    """L2 in the gradient, momentum without the rate, AdaGrad from 0: each leaves its trace in the weights."""
    rate = step_decay(0.05, 10, 0.5)
    for make, options in ((SGD, {"momentum": 0.9}), (AdaGrad, {}), (Adam, {"weight_decay": 0.1}), (RMSprop, {})):
        found = [applied(RuleOptimizer(make(convention=c, **options), rate), steps=12) for c in ("keras", "torch")]
        assert np.abs(found[0] - found[1]).max() > 1e-3


# --- with everything that Keras's optimizers have ------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"clipnorm": 0.5}, {"global_clipnorm": 0.5}, {"clipvalue": 0.1}])
def test_clipping_sees_the_gradient_before_the_l2_is_added(options):
    rule, (variable,) = SGD(convention="torch", weight_decay=0.5), weights((3, 5))
    start, gradient = variable.numpy(), slopes(1, (3, 5))[0][0]
    RuleOptimizer(rule, 1.0, **options).apply([gradient], [variable])
    limit = options.get("clipvalue")
    clipped = gradient * 0.5 / np.linalg.norm(gradient) if limit is None else np.clip(gradient, -limit, limit)
    np.testing.assert_allclose(variable.numpy(), start - clipped - 0.5 * start, atol=1e-6)


def test_weights_excluded_from_decay_are_spared():
    variables = [keras.Variable([2.0], name="kernel"), keras.Variable([2.0], name="bias")]
    optimizer = RuleOptimizer(AdamW(weight_decay=0.5), 0.1)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    optimizer.apply([np.zeros(1), np.zeros(1)], variables)
    assert [float(v.numpy()[0]) for v in variables] == pytest.approx([1.9, 2.0])


def test_schedule_sets_the_rate_of_each_update():
    schedule, (variable,) = WarmUp(CosineRestarts(0.5, 3), 2), weights((4,))
    optimizer, before = RuleOptimizer(SGD(), schedule), variable.numpy()
    for rate in rates(schedule, 8):
        assert float(optimizer.learning_rate) == pytest.approx(float(rate), abs=1e-7)
        optimizer.apply([np.ones(4, "float32")], [variable])
        np.testing.assert_allclose(before - variable.numpy(), rate, atol=1e-6)
        before = variable.numpy()


def test_average_of_the_weights_is_kept():
    (variable,) = weights((4,))
    optimizer, average = RuleOptimizer(Adam(convention="torch"), 0.1, use_ema=True, ema_momentum=0.75), 0.0
    for step, (gradient,) in enumerate(slopes(5, (4,))):
        optimizer.apply([gradient], [variable])
        average = variable.numpy() if step == 0 else 0.75 * average + 0.25 * variable.numpy()
    optimizer.finalize_variable_values([variable])
    np.testing.assert_allclose(variable.numpy(), average, rtol=1e-6)


def test_loss_scaling_skips_an_overflow_and_unscales_the_rest():
    parts = slopes(3, (4,))
    plain, (expected,) = RuleOptimizer(Adam(convention="torch"), 0.1), weights((4,))
    scaled, (found,) = K.LossScaleOptimizer(RuleOptimizer(Adam(convention="torch"), 0.1)), weights((4,))
    scaled.build([found])
    for (gradient,) in parts:
        plain.apply([gradient], [expected])
        scaled.apply([keras.ops.convert_to_tensor(np.full(4, np.inf, "float32"))], [found])
        scaled.apply([scaled.scale_loss(keras.ops.convert_to_tensor(gradient))], [found])
    np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=1e-5)
    assert int(scaled.inner_optimizer.iterations) == 3


def test_sparse_gradient_of_an_embedding_updates_as_a_dense_one():
    model = keras.Sequential([keras.Input((2,), dtype="int32"), keras.layers.Embedding(5, 3), keras.layers.Flatten()])
    model.compile(RuleOptimizer(SGD(convention="torch", weight_decay=0.5), 0.1), "mse")
    before = model.get_weights()[0]
    model.train_on_batch(np.array([[0, 1]]), np.zeros((1, 6), "float32"))
    np.testing.assert_allclose(model.get_weights()[0][2:], 0.95 * before[2:], rtol=1e-6)  # L2 reaches unused rows too


def test_our_step_and_keras_own_give_the_same_weights():
    found = []
    for prepare in (exact, lambda model: model):
        model = prepare(compiled(RuleOptimizer(RMSprop(convention="torch", momentum=0.5), 0.01, global_clipnorm=0.3)))
        model.fit(*batch(), batch_size=4, epochs=3, shuffle=False, verbose=0)
        found.append(np.concatenate([w.ravel() for w in model.get_weights()]))
    np.testing.assert_allclose(*found, atol=1e-6)


def test_update_reports_the_unclipped_norm():
    variables = weights((4,))
    norm = gradients.update(RuleOptimizer(SGD(), 0.1, clipnorm=1.0), [keras.ops.ones(4) * 3.0], variables)
    assert float(norm) == pytest.approx(6.0)


# --- saved and read back -------------------------------------------------------------------------------------------

SAVED = [RMSprop(convention="torch", momentum=0.5, centered=True, rho=0.75), AdamW(weight_decay=0.1)]


@pytest.mark.parametrize("rule", SAVED)
def test_saved_model_goes_on_as_if_nothing_had_happened(rule, tmp_path):
    model = compiled(RuleOptimizer(rule, WarmUp(0.05, 4), clipnorm=1.0))
    model.fit(*batch(), epochs=2, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.rule == rule
    assert loaded.optimizer.clipnorm == 1.0
    for each in (model, loaded):
        each.fit(*batch(), epochs=2, verbose=0, shuffle=False)
    for ours, theirs in zip(model.get_weights(), loaded.get_weights()):
        np.testing.assert_array_equal(ours, theirs)


def test_checkpoint_holds_the_slots(tmp_path):
    model = compiled(RuleOptimizer(Adam(convention="torch"), 0.05))
    model.fit(*batch(), epochs=2, verbose=0, shuffle=False)
    checkpoints.save(tmp_path, model, epoch=2, step=0)
    again = compiled(RuleOptimizer(Adam(convention="torch"), 0.05))
    again.optimizer.build(again.trainable_variables)
    again.train_on_batch(*batch())  # makes the metrics
    checkpoints.restore(again, checkpoints.read_newest(tmp_path))
    for each in (model, again):
        each.fit(*batch(), epochs=1, verbose=0, shuffle=False)
    assert checkpoints.weights_sha256(model) == checkpoints.weights_sha256(again)


@pytest.mark.parametrize("name", RULES)
def test_config_of_every_rule_is_read_back(name):
    optimizer = RuleOptimizer(RULES[name](convention="torch"), step_decay(0.1, 5))
    again = K.deserialize(K.serialize(optimizer))
    assert again.rule == optimizer.rule
    assert again.get_config() == optimizer.get_config()


def test_slots_that_a_rule_does_not_need_are_not_made():
    for rule, count in ((SGD(), 0), (SGD(momentum=0.9), 1), (RMSprop(), 1), (RMSprop(centered=True, momentum=0.5), 3)):
        optimizer = RuleOptimizer(rule, 0.1)
        optimizer.build(weights((4,)))
        assert len(optimizer.variables) == 2 + count  # iterations and rate come first


# --- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: RuleOptimizer("adam", 0.1), "rule='adam' is not a rule"),
        (lambda: RuleOptimizer(Adam, 0.1), "is not a rule"),
        (lambda: RuleOptimizer(Adam(), -0.1), "learning_rate=-0.1 would increase the loss"),
        (lambda: RuleOptimizer(AdamW(), 0.1, weight_decay=0.1), r"AdamW\(weight_decay=...\)"),
        (lambda: RuleOptimizer(Adam(), 0.1, epsilon=0.1), "epsilon"),
    ],
)
def test_bad_input_is_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
