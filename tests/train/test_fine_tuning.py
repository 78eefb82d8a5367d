"""Frozen features are a fixed function; rates fall from the head to the pixels, whatever else the optimizer does."""

import keras
import numpy as np
import pytest

import tfdl
from tfdl.foundations.optimizers import SGD as OurSGD
from tfdl.layers.drop_path import DropPath
from tfdl.models.vision_transformers.vit import ViTConfig
from tfdl.train import checkpoints
from tfdl.train.fine_tuning import freeze, multipliers, set_layer_wise_learning_rates, split
from tfdl.train.optimizers import RuleOptimizer
from tfdl.train.step import exact

SHAPE, CLASSES = (6, 5, 2), 3


def network():
    """Three layers with weights and everything random that features may hold; dropout in the head too."""
    images = keras.Input(SHAPE)
    x = keras.layers.Conv2D(4, 3, padding="same", name="conv")(images)
    y = keras.layers.BatchNormalization(name="norm")(keras.layers.Dropout(0.4, name="drop")(x))
    x = keras.layers.Add()([x, DropPath(0.4, name="drop_path")(y)])
    x = keras.layers.DepthwiseConv2D(3, activation="tanh", name="depthwise")(x)
    x = keras.layers.Dropout(0.5, name="head_drop")(keras.layers.Flatten()(x))
    return keras.Model(images, keras.layers.Dense(CLASSES, name="logits")(x), name="small")


def transformer():
    config = ViTConfig(patch=8, width=12, depth=2, heads=2, dropout=0.3, drop_path=0.3)
    return tfdl.build("vit", config, image_shape=(16, 24, 3), num_classes=CLASSES)


def examples(model, count=7):
    random = np.random.default_rng(0)
    images = random.normal(1.0, 2.0, (count, *model.input_shape[1:])).astype("float32")
    return images, (np.arange(count) % CLASSES).astype("int32")


def compiled(model, optimizer=None):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss, jit_compile=False)
    return model


def trained(model, epochs=2):
    exact(model)
    model.fit(*examples(model), batch_size=4, epochs=epochs, shuffle=False, verbose=0)
    return model


def weights_of(model, prefix=""):
    return {w.path: w.numpy() for w in model.weights if w.path.startswith(prefix)}


# --- where the features end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key, last, head",
    [
        ("lenet", "c3", ["c5", "f6", "logits"]),
        ("vgg", "block5_conv2_norm", ["fc1", "fc2", "logits"]),
        ("mobilenet", "head_norm", ["features", "logits"]),
        ("vit", "norm", ["logits"]),
    ],
)
def test_features_end_where_places_end(key, last, head):
    features, rest = split(tfdl.build(key, "nano", image_shape=(32, 32, 3), num_classes=CLASSES))
    assert features[-1].name == last
    assert [layer.name for layer in rest if layer.weights] == head


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tfdl.build("lenet", "nano", num_classes=None), "'lenet' has no head with weights; build a classifier"),
        (lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)], name="flat"), "'flat' has no features"),
        (lambda: Subclass(name="loop"), "layers of 'loop' are not a graph with outputs; give a model from tfdl.build"),
    ],
)
def test_model_without_two_parts_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        freeze(make())


class Subclass(keras.Model):
    def __init__(self, **options):
        super().__init__(**options)
        self.dense = keras.layers.Dense(3)


# --- frozen --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [network, transformer])
def test_frozen_features_are_in_training_what_they_are_in_inference(make):
    free, frozen = make(), make()
    frozen.set_weights(free.get_weights())
    freeze(frozen)
    images, _ = examples(free)
    inference = maps_of(free)(images, training=False)
    assert np.abs(maps_of(free)(images, training=True) - inference).max() > 0.1
    np.testing.assert_array_equal(maps_of(frozen)(images, training=True), inference)


def maps_of(model):
    """The features alone."""
    return keras.Model(model.input, split(model)[0][-1].output)


def test_dropout_of_the_head_goes_on():
    model = network()
    freeze(model)
    images, _ = examples(model)
    assert np.abs(model(images, training=True) - model(images, training=True)).max() > 0.01


def test_training_changes_the_head_and_no_bit_of_the_rest():
    model = network()
    freeze(model)
    before = weights_of(model)
    after = weights_of(trained(compiled(model)))
    changed = {path for path in before if not np.array_equal(before[path], after[path])}
    assert changed == {"logits/kernel", "logits/bias"}


def test_control_without_freezing_statistics_move():
    model = network()
    before = weights_of(model, "norm/moving")
    after = weights_of(trained(compiled(model)), "norm/moving")
    assert len(before) == 2 and all(not np.array_equal(before[path], after[path]) for path in before)


def test_saved_model_keeps_what_learns_and_not_the_rest(tmp_path):
    model = network()
    freeze(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert [w.path for w in loaded.trainable_weights] == ["logits/kernel", "logits/bias"]
    assert not any("call" in vars(layer) for layer in loaded.layers)


def test_compiled_model_is_not_frozen():
    with pytest.raises(ValueError, match="'small' is already compiled; freeze it before"):
        freeze(compiled(network()))


# --- rates ---------------------------------------------------------------------------------------------------------

GROUPS = {"conv": 3, "norm": 2, "depthwise": 1, "logits": 0}  # from the head down


def expected_rates(model, factor):
    return [factor ** -GROUPS[v.path.split("/")[0]] for v in model.trainable_variables]


def test_rate_is_divided_once_per_group_from_the_head_down():
    model = network()
    assert multipliers(model, factor=2.0, groups=4) == expected_rates(model, 2.0)
    model = tfdl.build("vgg", "nano", image_shape=(32, 32, 3), num_classes=CLASSES)
    rates = multipliers(model, factor=3.0, groups=6)
    assert rates == sorted(rates) and set(rates) == {3.0**-k for k in range(6)}
    layers = [v.path.split("/")[0] for v in model.trainable_variables]
    sizes = [len({n for n, r in zip(layers, rates) if r == 3.0**-k}) for k in range(1, 6)]
    assert sum(sizes) == 12 and max(sizes) - min(sizes) <= 1  # six convolutions and their norms


def test_two_groups_are_the_head_and_the_others():
    rates = multipliers(network(), factor=2.0, groups=2)
    assert set(rates) == {1.0, 0.5} and rates == sorted(rates)


def test_fewer_layers_than_groups_start_at_the_head():
    model = tfdl.build("lenet", "nano", num_classes=CLASSES)
    assert multipliers(model, factor=2.0, groups=9)[::2] == [2.0**-5, 0.5, 1, 1, 1]


def test_step_of_plain_descent_is_multiplied():
    moved = []
    for factor in (1.0, 2.0):
        keras.utils.set_random_seed(1)
        model = compiled(network())
        set_layer_wise_learning_rates(model, factor=factor)
        before = weights_of(model)
        exact(model)
        model.fit(*examples(model), batch_size=7, verbose=0)
        after = weights_of(model)
        moved.append([after[v.path] - before[v.path] for v in model.trainable_variables])
    for one, two, rate in zip(*moved, expected_rates(model, 2.0)):
        assert np.abs(one).max() > 1e-5
        np.testing.assert_allclose(two, rate * one, rtol=2e-3, atol=1e-7)  # differences of float32 weights


OPTIMIZERS = {
    "momentum": lambda rate: keras.optimizers.SGD(rate, momentum=0.9, nesterov=True),
    "adamw": lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.3),
    "average": lambda rate: keras.optimizers.Adam(rate, use_ema=True, ema_momentum=0.5),
    "clipped": lambda rate: keras.optimizers.AdamW(rate, weight_decay=0.3, clipnorm=0.1),
    "scheduled": lambda rate: keras.optimizers.AdamW(keras.optimizers.schedules.ExponentialDecay(rate, 1, 0.5)),
    "rule": lambda rate: RuleOptimizer(OurSGD(convention="torch", momentum=0.9, weight_decay=0.3), rate),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_equals_one_of_its_own_for_each_rate(name):
    """What PyTorch does with a parameter group per rate: moments, decay, averages and schedules of that rate."""
    random = np.random.default_rng(3)
    model = compiled(network(), OPTIMIZERS[name](0.05))
    variables = model.trainable_variables
    twins = [keras.Variable(v.numpy()) for v in variables]
    optimizers = [OPTIMIZERS[name](0.05 * rate) for rate in expected_rates(model, 2.0)]
    set_layer_wise_learning_rates(model, factor=2.0)
    for _ in range(3):
        gradients = [random.normal(size=v.shape).astype("float32") for v in variables]
        model.optimizer.apply([keras.ops.array(g) for g in gradients], variables)
        for optimizer, gradient, twin in zip(optimizers, gradients, twins):
            optimizer.apply([keras.ops.array(gradient)], [twin])
    model.optimizer.finalize_variable_values(variables)
    for optimizer, variable, twin in zip(optimizers, variables, twins):
        optimizer.finalize_variable_values([twin])
        np.testing.assert_allclose(variable.numpy(), twin.numpy(), rtol=1e-5, atol=1e-6, err_msg=variable.path)


def test_global_clipping_sees_all_gradients_before_the_rates():
    model = compiled(network(), keras.optimizers.SGD(1.0, global_clipnorm=0.5))
    variables = model.trainable_variables
    rates, before = expected_rates(model, 2.0), [v.numpy() for v in variables]
    assert set_layer_wise_learning_rates(model, factor=2.0) is model
    gradients = [np.full(v.shape, 3.0, "float32") for v in variables]
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    model.optimizer.apply([keras.ops.array(g) for g in gradients], variables)
    for variable, start, gradient, rate in zip(variables, before, gradients, rates):
        np.testing.assert_allclose(variable.numpy(), start - rate * gradient * 0.5 / norm, atol=1e-6)


def test_weights_without_decay_stay_without():
    model = compiled(network(), keras.optimizers.AdamW(0.1, weight_decay=0.5))
    model.optimizer.exclude_from_weight_decay(var_names=["bias"])
    rates = expected_rates(model, 2.0)
    set_layer_wise_learning_rates(model, factor=2.0)
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 2.0))
    model.optimizer.apply([keras.ops.zeros(v.shape) for v in model.trainable_variables], model.trainable_variables)
    for variable, rate in zip(model.trainable_variables, rates):
        decay = 0.0 if variable.path.endswith("bias") else 0.1 * rate * 0.5
        np.testing.assert_allclose(variable.numpy(), 2.0 * (1 - decay), rtol=1e-6)


def test_loss_scaling_hands_the_rates_on():
    found = []
    for scaled in (False, True):
        keras.utils.set_random_seed(1)
        optimizer = keras.optimizers.SGD(0.1)
        model = compiled(network(), keras.optimizers.LossScaleOptimizer(optimizer) if scaled else optimizer)
        set_layer_wise_learning_rates(model)
        found.append(weights_of(trained(model)))
    for path in found[0]:
        np.testing.assert_allclose(found[1][path], found[0][path], atol=1e-5)


def test_interrupted_training_goes_on_bit_by_bit(tmp_path):
    def fresh():
        keras.utils.set_random_seed(1)
        model = compiled(network(), keras.optimizers.AdamW(0.01, use_ema=True))
        set_layer_wise_learning_rates(model)
        model._symbolic_build(data_batch=examples(model))
        return exact(model)

    whole = fresh()
    whole.fit(*examples(whole), batch_size=4, epochs=1, shuffle=False, verbose=0)
    whole.optimizer.finalize_variable_values = lambda variables: None  # fit would put the averages in place
    checkpoints.save(tmp_path, whole, epoch=1, step=0)
    whole.fit(*examples(whole), batch_size=4, epochs=1, shuffle=False, verbose=0)
    resumed = fresh()
    checkpoints.restore(resumed, checkpoints.read_newest(tmp_path))
    resumed.optimizer.finalize_variable_values = lambda variables: None
    resumed.fit(*examples(resumed), batch_size=4, epochs=1, shuffle=False, verbose=0)
    for name, variable in checkpoints.state(resumed).items():
        np.testing.assert_array_equal(variable.numpy(), checkpoints.state(whole)[name].numpy(), err_msg=name)


@pytest.mark.parametrize(
    "prepare, options, message",
    [
        (lambda model: model, {}, "has no optimizer yet; compile it before"),
        (
            lambda model: set_layer_wise_learning_rates(compiled(model)),
            {},
            "'small' already has layer-wise learning rates; compile it again",
        ),
        (compiled, {"factor": 0.5}, "factor=0.5 would train layers near the pixels faster than the head"),
        (compiled, {"groups": 1}, "groups=1 would give all layers the same learning rate"),
    ],
)
def test_bad_input_is_named(prepare, options, message):
    with pytest.raises(ValueError, match=message):
        set_layer_wise_learning_rates(prepare(network()), **options)
