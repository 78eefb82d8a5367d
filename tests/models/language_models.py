"""What the contracts of decoders, encoders and models with both have in common."""

import keras
import numpy as np

import tfdl
from tfdl.train.step import exact


def moved(key, **options):
    """The smallest variant with weights off their start, where gains are 1 and biases 0."""
    keras.utils.set_random_seed(0)
    model = tfdl.build(key, "nano", **options)
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.1, variable.shape))
    return model


def check_save_and_load(model, inputs, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(inputs), model(inputs), atol=1e-6)


def check_mixed_precision(key, inputs, **options):
    """bfloat16 inside, float32 weights and logits, finite values."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = tfdl.build(key, "nano", **options)
        logits = model(inputs)
    finally:
        keras.config.set_dtype_policy(policy)
    assert {keras.backend.standardize_dtype(w.dtype) for w in model.weights} == {"float32"}
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"
    assert np.isfinite(np.array(logits)).all()


def check_loss_falls(model, x, y, *, rate=1e-2, epochs=12, below=0.5):
    """A few steps on three texts are enough to know them by heart, or nearly."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    exact(model)  # as in every recipe
    history = model.fit(x, y, batch_size=3, epochs=epochs, verbose=0).history["loss"]
    assert history[-1] < below * history[0], f"the loss went from {history[0]:.3f} to {history[-1]:.3f}"
