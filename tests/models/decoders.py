"""The contract of language models that write one token after another; each model's own test runs it."""

import keras
import numpy as np

import tfdl
from tfdl.train.step import exact

TOKENS = np.random.default_rng(0).integers(1, 61, (3, 9))


def nano(key):
    """The smallest variant with weights off their start, where gains are 1 and biases 0."""
    keras.utils.set_random_seed(0)
    model = tfdl.build(key, "nano")
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.1, variable.shape))
    return model


def check_decoder(key, tmp_path):
    model = nano(key)
    check_token_never_sees_the_future(model)
    check_cache_gives_the_same(model)
    check_padding_on_the_left_changes_nothing(model)
    check_save_and_load(model, tmp_path)
    check_mixed_precision(key)
    check_loss_falls(model)


def check_token_never_sees_the_future(model):
    changed = TOKENS.copy()
    changed[:, 6] = TOKENS[:, 6] % 60 + 1
    difference = np.abs(model(TOKENS) - model(changed)).max(axis=(0, 2))
    assert np.all(difference[:6] == 0) and np.all(difference[6:] > 0)


def check_cache_gives_the_same(model):
    whole, cache = model(TOKENS), model.empty_cache(3, 12)
    logits, cache = model.extend(TOKENS[:, :4], cache, 0)
    np.testing.assert_allclose(logits, whole[:, :4], atol=1e-5)
    for i in range(4, 9):
        logits, cache = model.extend(TOKENS[:, i : i + 1], cache, i)
        np.testing.assert_allclose(logits[:, 0], whole[:, i], atol=1e-5)


def check_padding_on_the_left_changes_nothing(model):
    padded = np.concatenate([np.zeros((3, 2), "int64"), TOKENS[:, :5]], axis=1)
    padded[1] = TOKENS[1, :7]  # this row is full
    logits, cache = model.extend(padded, model.empty_cache(3, 12), 0, np.array([2, 0, 2]))
    whole = model(TOKENS)
    np.testing.assert_allclose(logits[0, 2:], whole[0, :5], atol=1e-5)
    np.testing.assert_allclose(logits[1], whole[1, :7], atol=1e-5)
    more = np.stack([TOKENS[0, 5:6], TOKENS[1, 7:8], TOKENS[2, 5:6]])
    logits, _ = model.extend(more, cache, 7, np.array([2, 0, 2]))
    np.testing.assert_allclose(logits[0, 0], whole[0, 5], atol=1e-5)
    np.testing.assert_allclose(logits[1, 0], whole[1, 7], atol=1e-5)


def check_save_and_load(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(TOKENS), model(TOKENS), atol=1e-6)


def check_mixed_precision(key):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tfdl.build(key, "nano")
        logits = model(TOKENS)
    finally:
        keras.config.set_dtype_policy(policy)
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {"float32"}
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert np.isfinite(np.array(logits)).all()


def check_loss_falls(model):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, jit_compile=False)
    exact(model)
    history = model.fit(TOKENS[:, :-1], TOKENS[:, 1:], batch_size=3, epochs=12, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"
