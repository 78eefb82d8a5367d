import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.layers.normalization import AXES, normalization

GROUPS = 3
SHAPES = {4: (5, 4, 7, 6), 2: (5, 6)}
CASES = [(kind, rank) for kind in AXES for rank in AXES[kind]]


def values(shape, seed=0):
    """Far from mean 0 and deviation 1, and different in each channel."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) * rng.uniform(0.5, 3, shape[-1]) + rng.normal(size=shape[-1])).astype("float32")


def randomized(layer, shape):
    """The layer with gamma and beta off their start."""
    if not layer.built:
        layer.build(shape)
    rng = np.random.default_rng(1)
    for weight in layer.trainable_weights:
        weight.assign(rng.normal(1, 0.3, weight.shape))
    return layer


def normalized(kind, x, gamma=1.0, beta=0.0, epsilon=1e-5):
    """The formula and the table of the module, in NumPy."""
    x = x.astype("float64")
    grouped = x.reshape(*x.shape[:-1], GROUPS, x.shape[-1] // GROUPS) if kind == "group" else x
    axes = (*range(1, x.ndim - 1), x.ndim) if kind == "group" else AXES[kind][x.ndim]
    mean, variance = grouped.mean(axes, keepdims=True), grouped.var(axes, keepdims=True)
    return gamma * ((grouped - mean) / np.sqrt(variance + epsilon)).reshape(x.shape) + beta


@pytest.mark.parametrize("kind, rank", CASES)
def test_layer_is_the_formula_over_the_axes_of_the_table(kind, rank):
    x = values(SHAPES[rank])
    layer = randomized(normalization(kind, x.shape, groups=GROUPS), x.shape)
    gamma, beta = (np.array(w, "float64") for w in layer.trainable_weights)
    assert gamma.shape == (x.shape[1:] if kind == "layer" else x.shape[-1:])
    np.testing.assert_allclose(layer(x, training=True), normalized(kind, x, gamma, beta), atol=1e-5)


@pytest.mark.parametrize("kind, rank", CASES)
def test_only_batch_normalization_lets_samples_touch(kind, rank):
    x = values(SHAPES[rank])
    layer = normalization(kind, x.shape, groups=GROUPS)
    moved = np.concatenate([x[:1], 5 * x[1:]])
    difference = np.abs(layer(x, training=True)[0] - layer(moved, training=True)[0]).max()
    assert difference > 0.1 if kind == "batch" else difference < 1e-6


@pytest.mark.parametrize("kind, rank", [(k, r) for k, r in CASES if k != "batch"])
def test_inference_is_training_without_batch_statistics(kind, rank):
    x = values(SHAPES[rank])
    layer = randomized(normalization(kind, x.shape, groups=GROUPS), x.shape)
    np.testing.assert_array_equal(layer(x, training=False), layer(x, training=True))


@pytest.mark.parametrize("rank", [4, 2])
def test_batch_normalization_infers_with_moving_averages_of_the_biased_variance(rank):
    first, second = values(SHAPES[rank]), values(SHAPES[rank], seed=2)
    layer = normalization("batch", first.shape, momentum=0.8)
    mean, variance = np.zeros(6), np.ones(6)
    for x in (first, second):
        layer(x, training=True)
        mean = 0.8 * mean + 0.2 * x.mean(AXES["batch"][rank])
        variance = 0.8 * variance + 0.2 * x.var(AXES["batch"][rank])  # divided by n, where PyTorch divides by n - 1
    expected = (first - mean) / np.sqrt(variance + 1e-5)
    np.testing.assert_allclose(layer(first, training=False), expected, atol=1e-5)


def test_one_group_averages_like_layer_and_a_group_per_channel_like_instance():
    x = values(SHAPES[4])
    kinds = {name: normalization(name, x.shape)(x) for name in ("layer", "instance")}
    np.testing.assert_allclose(normalization("group", x.shape, groups=1)(x), kinds["layer"], atol=1e-5)
    np.testing.assert_allclose(normalization("group", x.shape, groups=6)(x), kinds["instance"], atol=1e-5)


@pytest.mark.parametrize("kind", AXES)
def test_without_gamma_and_beta_it_only_normalizes(kind):
    layer = normalization(kind, SHAPES[4], groups=GROUPS, affine=False)
    x = values(SHAPES[4])
    np.testing.assert_allclose(layer(x, training=True), normalized(kind, x), atol=1e-5)
    assert not layer.trainable_weights


@pytest.mark.parametrize("kind, rank", CASES)
def test_constant_input_gives_beta_and_finite_gradients(kind, rank):
    x = tf.fill(SHAPES[rank], 3.0)
    layer = normalization(kind, x.shape, groups=GROUPS)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x, training=True)
        loss = tf.reduce_sum(y * values(SHAPES[rank]))
    np.testing.assert_allclose(y, 0, atol=1e-3)
    assert all(np.isfinite(g).all() for g in tape.gradient(loss, [x, *[w.value for w in layer.trainable_weights]]))


@pytest.mark.parametrize("kind, rank", CASES)
def test_statistics_are_float32_under_bfloat16(kind, rank):
    x = values(SHAPES[rank]) + 100  # bfloat16 has steps of 0.5 here: the sum of squares would be lost
    x = np.array(tf.cast(tf.cast(x, "bfloat16"), "float32"))
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        layer = normalization(kind, x.shape, groups=GROUPS)
    finally:
        keras.config.set_dtype_policy("float32")
    y = layer(x, training=True)
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert {keras.backend.standardize_dtype(w.dtype) for w in layer.weights} == {"float32"}
    np.testing.assert_allclose(np.array(tf.cast(y, "float32")), normalized(kind, x), atol=0.02)


@pytest.mark.parametrize("kind, rank", CASES)
def test_save_and_load_changes_nothing(kind, rank, tmp_path):
    inputs = keras.Input(SHAPES[rank][1:])
    layer = normalization(kind, inputs.shape, groups=GROUPS, name="norm")
    model = keras.Model(inputs, layer(inputs))
    randomized(layer, inputs.shape)
    model.save(tmp_path / "model.keras")
    x = values(SHAPES[rank])
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), model(x))


def test_errors_name_the_value_and_the_remedy():
    with pytest.raises(
        ValueError, match="There is no normalization 'weight'; choose one of batch, layer, instance, group"
    ):
        normalization("weight", (None, 6))
    with pytest.raises(ValueError, match=r"instance normalization needs a shape \(B, H, W, C\), not \(None, 6\)"):
        normalization("instance", (None, 6))
    with pytest.raises(ValueError, match=r"4 groups do not divide 6 channels"):
        normalization("group", (None, 6), groups=4)
    with pytest.raises(ValueError, match=r"0 groups do not divide 6 channels"):
        normalization("group", (None, 6), groups=0)
    with pytest.raises(ValueError, match=r"layer normalization needs fixed sizes.*None, None, 4, 6"):
        normalization("layer", (None, None, 4, 6))


# PyTorch


def torch_twin(torch, kind, rank):
    channels = SHAPES[rank][-1]
    if kind == "batch":
        return (torch.nn.BatchNorm2d if rank == 4 else torch.nn.BatchNorm1d)(channels, momentum=0.1)
    if kind == "layer":
        b, *sizes, c = SHAPES[rank]
        return torch.nn.LayerNorm([c, *sizes])
    if kind == "instance":
        return torch.nn.InstanceNorm2d(channels, affine=True)
    return torch.nn.GroupNorm(GROUPS, channels)


@pytest.mark.parity
@pytest.mark.parametrize("kind, rank", CASES)
def test_equal_to_pytorch_in_training_and_inference(kind, rank):
    torch = pytest.importorskip("torch")
    first = (0, 3, 1, 2) if rank == 4 else (0, 1)  # to channels first, as PyTorch has them
    last = (0, 2, 3, 1) if rank == 4 else (0, 1)
    x = values(SHAPES[rank])
    ours, theirs = randomized(normalization(kind, x.shape, groups=GROUPS), x.shape), torch_twin(torch, kind, rank)
    with torch.no_grad():
        for parameter, weight in zip((theirs.weight, theirs.bias), ours.trainable_weights, strict=True):
            weight = np.array(weight)
            parameter.copy_(torch.tensor(weight.transpose(2, 0, 1) if weight.ndim == 3 else weight))
        tensor = torch.tensor(x.transpose(first).copy())
        np.testing.assert_allclose(ours(x, training=True), theirs(tensor).numpy().transpose(last), atol=1e-5)
        if kind == "batch":
            count = x.size // x.shape[-1]
            moving = theirs.running_var.numpy() - 0.9  # PyTorch's share of the unbiased variance
            np.testing.assert_allclose(ours.moving_mean, theirs.running_mean, atol=1e-6)
            np.testing.assert_allclose(np.array(ours.moving_variance) - 0.9, moving * (count - 1) / count, atol=1e-5)
            ours.moving_variance.assign(theirs.running_var.numpy())
        theirs.eval()
        np.testing.assert_allclose(ours(x, training=False), theirs(tensor).numpy().transpose(last), atol=1e-5)
