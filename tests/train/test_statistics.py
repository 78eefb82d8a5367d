"""BatchNorm's statistics are those of the weights at hand; replicas and workers are in test_step.py."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.data import images
from tfdl.train import checkpoints
from tfdl.train.replicas import batch_norms
from tfdl.train.statistics import FreshStatistics, Pooled, Statistics, refresh
from tfdl.train.step import exact

X = np.random.default_rng(0).normal(3.0, 2.0, size=(37, 3, 2, 2)).astype("float32")
Y = (X.mean((1, 2, 3)) > 3.0).astype("int32")


def batches(x=X, y=Y, size=16):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(size)


def network(*, dropout=0.0, momentum=0.99, optimizer=None):
    """Images (B, 3, 2, 2) -> logits (B, 2), with one BatchNorm of maps and one of vectors."""
    layers = keras.layers
    inputs = x = keras.Input((3, 2, 2))
    x = layers.Activation("relu")(layers.BatchNormalization(momentum=momentum)(x))
    x = layers.Dropout(dropout)(layers.Flatten()(x))
    x = layers.BatchNormalization(momentum=momentum)(x)
    model = keras.Model(inputs, layers.Dense(2)(x))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer or keras.optimizers.SGD(0.1), loss, metrics=["accuracy"], jit_compile=False)
    return model


def statistics(model):
    return [v.numpy() for layer in batch_norms(model) for v in (layer.moving_mean, layer.moving_variance)]


@pytest.mark.parametrize("step", [exact, lambda model: model])
def test_statistics_are_those_of_all_that_a_layer_saw(step):
    """Batches of 16, 16 and 5; what stood there before, here NaN, does not matter."""
    model = step(network(dropout=0.5))
    for layer in batch_norms(model):
        layer.moving_mean.assign(np.full(layer.moving_mean.shape, np.nan))
    assert refresh(model, batches())
    mean, variance, *deeper = statistics(model)
    np.testing.assert_allclose(mean, X.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(variance, X.var((0, 1, 2)), rtol=1e-5)
    parts = [X[start : start + 16] for start in range(0, 37, 16)]
    normal = [(part - part.mean((0, 1, 2))) / np.sqrt(part.var((0, 1, 2)) + 1e-3) for part in parts]
    seen = np.maximum(np.concatenate(normal), 0).reshape(37, -1)  # nothing is dropped, as in inference
    np.testing.assert_allclose(deeper[0], seen.mean(0), rtol=1e-4)
    np.testing.assert_allclose(deeper[1], seen.var(0), rtol=1e-4)


def test_nothing_but_statistics_changes():
    model = exact(network(dropout=0.5, optimizer=keras.optimizers.Adam(0.01)))
    model.fit(batches(), verbose=0, shuffle=False)
    changing = {id(v) for layer in batch_norms(model) for v in (layer.moving_mean, layer.moving_variance)}
    names = {name: v.numpy() for name, v in checkpoints.state(model).items() if id(v) not in changing}
    calls = [vars(layer).get("call") for layer in model.layers]
    before = statistics(model)
    assert refresh(model, batches())
    assert all((old != new).all() for old, new in zip(before, statistics(model)))
    for name, value in names.items():
        np.testing.assert_array_equal(checkpoints.state(model)[name].numpy(), value, err_msg=name)
    assert [vars(layer).get("call") for layer in model.layers] == calls
    assert [layer.momentum for layer in batch_norms(model)] == [0.99, 0.99]


def test_frozen_layers_keep_their_statistics():
    model = network()
    first, second = batch_norms(model)
    first.trainable = False
    refresh(model, batches())
    assert (first.moving_mean.numpy() == 0).all() and (first.moving_variance.numpy() == 1).all()
    assert (second.moving_mean.numpy() != 0).all()
    second.trainable = False
    assert not refresh(model, batches()), "nothing is left to do"


def test_models_without_batch_norm_read_no_data():
    def never():
        raise AssertionError
        yield

    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    assert not refresh(model, tf.data.Dataset.from_generator(never, output_signature=tf.TensorSpec((None, 3))))


def test_layer_that_is_called_twice_has_seen_both():
    norm, inputs = keras.layers.BatchNormalization(), keras.Input((2,))
    model = keras.Model(inputs, keras.layers.Add()([norm(inputs), norm(inputs * 3 + 1)]))
    x = np.random.default_rng(1).normal(size=(10, 2)).astype("float32")
    refresh(model, tf.data.Dataset.from_tensor_slices(x).batch(4))
    both = np.concatenate([x, 3 * x + 1])
    np.testing.assert_allclose(norm.moving_mean, both.mean(0), rtol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, both.var(0), rtol=1e-5)


def test_small_deviations_from_a_large_mean_survive():
    """E[x^2] - E[x]^2 in float32 would give zero or worse."""
    pooled, x = Pooled(), 1e4 + np.random.default_rng(2).normal(size=(64, 3))
    for part in np.split(x, 4):
        pooled.add(16, part.mean(0).astype("float32"), part.var(0).astype("float32"))
    np.testing.assert_allclose(pooled.of([slice(0, 3)])[1], x.var(0), rtol=1e-2)


def test_batches_that_overflow_do_not_count():
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = exact(network())
    finally:
        keras.config.set_dtype_policy(policy)
    x = X.copy()
    x[17] = 1e6  # infinite in float16
    refresh(model, batches(x))
    kept = np.concatenate([x[:16], x[32:]])
    np.testing.assert_allclose(statistics(model)[0], kept.mean((0, 1, 2)), rtol=1e-3)
    assert np.isfinite(np.concatenate(statistics(model))).all()


def test_long_epochs_give_a_share_of_their_batches_and_short_ones_all():
    found = Statistics(batches())
    assert [found.wants_more(n, 64 * n, 5) for n in (0, 4, 7, 8)] == [True, True, True, False]  # 512 images
    assert found.wants_more(39, 64 * 39, 1000) and not found.wants_more(40, 64 * 40, 1000)
    two = Statistics(batches(), batches=2)
    refreshed = network()
    two.refresh(refreshed, 0)
    np.testing.assert_allclose(statistics(refreshed)[0], X[:32].mean((0, 1, 2)), rtol=1e-5)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="batches is 0"):
        FreshStatistics(batches(), batches=0)
    with pytest.raises(ValueError, match="tf.data.Dataset of batches, not ndarray"):
        refresh(network(), X)


# Inside fit


def test_validation_uses_the_statistics_of_the_weights():
    """With a momentum of 0.999 the moving averages would stay where they began, and validation at chance."""
    model = exact(network(momentum=0.999, optimizer=keras.optimizers.SGD(0.5)))
    fresh = FreshStatistics(batches())
    logs = model.fit(batches(), validation_data=batches(), epochs=3, callbacks=[fresh], verbose=0).history
    assert fresh.refreshed == 3
    before = statistics(model)
    refresh(model, batches())
    for old, new in zip(before, statistics(model)):
        np.testing.assert_array_equal(old, new)
    assert model.evaluate(batches(), verbose=0) == [logs["val_loss"][-1], logs["val_accuracy"][-1]]
    assert logs["val_accuracy"][-1] > 0.8
    assert fresh.statistics.function.experimental_get_tracing_count() == 1
    assert fresh.seconds > fresh.tracing_seconds > 0


@pytest.mark.parametrize("options", [{}, {"validation_data": batches(), "validation_freq": 2}])
def test_epochs_without_validation_end_with_fresh_statistics(options):
    model, fresh = exact(network()), FreshStatistics(batches())
    model.fit(batches(), epochs=2, callbacks=[fresh], verbose=0, **options)
    assert fresh.refreshed == 2
    model.evaluate(batches(), callbacks=[fresh], verbose=0)
    assert fresh.refreshed == 2, "an evaluation outside of fit is none of its business"


def test_averaged_weights_get_statistics_of_their_own():
    optimizer = keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.9)
    model = exact(network(optimizer=optimizer))
    model.fit(batches(), epochs=2, callbacks=[FreshStatistics(batches())], verbose=0)
    found = statistics(model)
    refresh(model, batches())
    for old, new in zip(found, statistics(model)):
        np.testing.assert_array_equal(old, new)


def test_learner_with_its_own_step_has_its_statistics_taken():
    class Learner(keras.Model):
        def __init__(self):
            super().__init__()
            self.network = network()

        def call(self, x, training=False):
            return self.network(x, training=training)

        def train_step(self, data):
            self(data[0], training=True)
            return {"loss": tf.zeros(())}

    learner = Learner()
    learner.compile("sgd")
    learner.fit(batches(), callbacks=[FreshStatistics(batches())], verbose=0)
    norm = learner.network.layers[1]
    np.testing.assert_allclose(norm.moving_mean, X.mean((0, 1, 2)), rtol=1e-5)


def digits(position):
    return images.load("digits", batch_size=20, seed=3, position=position, limit=50)


def test_batches_are_those_of_the_epoch_and_training_goes_on_where_it_would_have():
    position = tf.Variable([4, 1], dtype=tf.int64)
    data = digits(position)
    inputs = keras.Input(data.image_shape)
    model = keras.Model(inputs, keras.layers.BatchNormalization()(inputs))
    refresh(model, data, batches=1, epoch=2)
    np.testing.assert_array_equal(position, [4, 1])
    position.assign([2, 0])
    first, _ = next(iter(data.train))
    np.testing.assert_allclose(statistics(model)[0], np.mean(first, (0, 1, 2)), rtol=1e-5)


def test_resumed_run_ends_with_the_same_statistics(tmp_path):
    def train(epochs, initial_epoch=0, resumed=None):
        keras.utils.set_random_seed(4)
        position = tf.Variable([0, 0], dtype=tf.int64)
        data = digits(position)
        inputs = keras.Input(data.image_shape)
        x = keras.layers.Dropout(0.3)(keras.layers.BatchNormalization()(keras.layers.Conv2D(3, 3)(inputs)))
        x = keras.layers.BatchNormalization()(keras.layers.Flatten()(x))
        model = keras.Model(inputs, keras.layers.Dense(10)(x))
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9), loss, metrics=["accuracy"], jit_compile=False)
        exact(model)._symbolic_build(data_batch=data.train.element_spec)
        if resumed:
            checkpoints.restore(model, checkpoints.read(resumed))
        place = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: position.assign([epoch, 0]))
        options = {"initial_epoch": initial_epoch, "epochs": epochs, "shuffle": False, "verbose": 0}
        options["callbacks"] = [FreshStatistics(data), place]
        model.fit(data.train, validation_data=data.validation, **options)
        return model

    straight = train(2)
    path = checkpoints.save(tmp_path, train(1), epoch=1, step=0)
    resumed = train(2, initial_epoch=1, resumed=path)
    assert checkpoints.weights_sha256(resumed) == checkpoints.weights_sha256(straight)
