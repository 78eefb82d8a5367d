"""The contract of models that read text in both directions; each model's own test runs it."""

import keras
import numpy as np

import tfdl
from tests.models.decoders import TOKENS, check_save_and_load
from tfdl.train.step import exact

PADDED = np.array([[5, 7, 9, 3, 2], [5, 7, 9, 0, 0]])


def nano(key, head=None, **options):
    """The smallest variant with weights off their start, where gains are 1 and biases 0."""
    keras.utils.set_random_seed(0)
    model = tfdl.build(key, "nano", head=head, **options)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.1, variable.shape))
    return model


def check_encoder(key, padding, tmp_path):
    tokens = np.where(PADDED == 0, padding, PADDED)
    check_padding_changes_nothing(key, tokens)
    check_shapes_of_heads(key, tokens)
    model = nano(key, "classifier", num_classes=3)
    check_save_and_load(model, tmp_path)
    check_mixed_precision(key)
    check_loss_falls(model)


def check_padding_changes_nothing(key, tokens):
    model, shorter = nano(key), tokens[1:, :3]
    whole, alone = model(tokens), model(shorter)
    np.testing.assert_allclose(whole["sequence"][1:, :3], alone["sequence"], atol=1e-5)
    np.testing.assert_allclose(whole["pooled"][1:], alone["pooled"], atol=1e-5)
    assert np.abs(whole["pooled"][0] - whole["pooled"][1]).max() > 1e-3  # what is no padding is seen


def check_shapes_of_heads(key, tokens):
    shapes = {"masked_lm": (2, 5, 61), "span": (2, 5, 2), "embedding": (2, 24)}
    for head, shape in shapes.items():
        output = nano(key, head)(tokens)
        assert output.shape == shape and keras.backend.standardize_dtype(output.dtype) == "float32"
    for head, shape in {"classifier": (2, 3), "tagger": (2, 5, 3)}.items():
        assert nano(key, head, num_classes=3)(tokens).shape == shape
    vectors = np.array(nano(key, "embedding")(tokens))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def check_mixed_precision(key):
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        logits = tfdl.build(key, "nano", head="masked_lm")(TOKENS)
    finally:
        keras.config.set_dtype_policy(policy)
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert np.isfinite(np.array(logits)).all()


def check_loss_falls(model):
    labels = np.array([0, 1, 2])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(3e-3), loss, jit_compile=False)
    exact(model)
    history = model.fit(TOKENS, labels, batch_size=3, epochs=15, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"
