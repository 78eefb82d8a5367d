"""The contract of models that turn one text into another; each model's own test runs it."""

import keras
import numpy as np

import tfdl
from tfdl.train.step import exact

RNG = np.random.default_rng(0)
SOURCE, TARGET = RNG.integers(2, 61, (3, 9)), RNG.integers(2, 61, (3, 7))


def nano(key):
    """The smallest variant with weights off their start, where gains are 1 and biases 0."""
    keras.utils.set_random_seed(0)
    model = tfdl.build(key, "nano")
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.1, variable.shape))
    return model


def logits(model, source=SOURCE, target=TARGET):
    return np.array(model({"source": source, "target_in": target}))


def check_sequence_to_sequence(key, tmp_path, epochs=15):
    model = nano(key)
    check_order_of_sight(model)
    check_padding_is_not_seen(model)
    check_cache_gives_the_same(model)
    check_save_and_load(model, tmp_path)
    check_mixed_precision(key)
    check_loss_falls(model, epochs)


def check_order_of_sight(model):
    """A token of the target sees none after it, and all of the source."""
    target, source = TARGET.copy(), SOURCE.copy()
    target[:, 4] = TARGET[:, 4] % 58 + 3
    difference = np.abs(logits(model) - logits(model, target=target)).max(axis=(0, 2))
    assert np.all(difference[:4] == 0) and np.all(difference[4:] > 0)
    source[:, 8] = SOURCE[:, 8] % 58 + 3
    assert np.all(np.abs(logits(model) - logits(model, source=source)).max(axis=(0, 2)) > 0)


def check_padding_is_not_seen(model):
    padded = np.concatenate([SOURCE, np.full((3, 4), model.config.padding)], axis=1)
    np.testing.assert_allclose(logits(model, source=padded), logits(model), atol=1e-5)


def check_cache_gives_the_same(model):
    whole, cache = logits(model), model.start(SOURCE, 10)
    first, cache = model.extend(TARGET[:, :3], cache, 0)
    np.testing.assert_allclose(first, whole[:, :3], atol=1e-5)
    for i in range(3, 7):
        step, cache = model.extend(TARGET[:, i : i + 1], cache, i)
        np.testing.assert_allclose(step[:, 0], whole[:, i], atol=1e-5)


def check_save_and_load(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(logits(loaded), logits(model), atol=1e-6)


def check_mixed_precision(key):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        output = tfdl.build(key, "nano")({"source": SOURCE, "target_in": TARGET})
    finally:
        keras.config.set_dtype_policy(policy)
    assert keras.backend.standardize_dtype(output.dtype) == "float32"
    assert np.isfinite(np.array(output)).all()


def check_loss_falls(model, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
    exact(model)
    x = {"source": SOURCE, "target_in": TARGET[:, :-1]}
    history = model.fit(x, TARGET[:, 1:], batch_size=3, epochs=epochs, verbose=0).history["loss"]
    assert history[-1] < 0.6 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"
