"""Weights under other libraries' names, there and back, bit by bit; what does not fit is listed."""

import dataclasses
import re

import keras
import numpy as np
import pytest

import tfdl
from tfdl.interop.layouts import entries
from tfdl.interop.weights import LAYOUTS, load_weights, save_weights
from tfdl.models.convnets.mobilenet import VARIANTS

KERAS_NANO = dataclasses.replace(VARIANTS["nano"], epsilon=1e-3, padding="same")  # as keras.applications computes


def network(variant="nano", seed=0, num_classes=5, **options):
    keras.utils.set_random_seed(seed)
    return tfdl.build("mobilenet", variant, image_shape=(32, 32, 3), num_classes=num_classes, **options)


def arrays_of(model, layout):
    """Name -> array, as `save_weights` would write them."""
    kept = {}

    def keep(path, arrays):
        kept.update(arrays)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tfdl.interop.weights.write_arrays", keep)
        save_weights(model, "unused.safetensors", layout=layout)
    return kept


WAYS = [
    (name, suffix)
    for name, layout in LAYOUTS.items()
    if "mobilenet" in layout.families
    for suffix in (".safetensors", ".npz")
]


@pytest.mark.parametrize("layout, suffix", [*WAYS, ("keras_applications", ".h5")])
def test_round_trip_is_bit_equal(layout, suffix, tmp_path):
    variant = KERAS_NANO if layout == "keras_applications" else "nano"
    first, second = network(variant, seed=1), network(variant, seed=2)
    save_weights(first, tmp_path / f"w{suffix}", layout=layout)
    load_weights(second, tmp_path / f"w{suffix}", layout=layout)
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    assert any(w.any() for w in second.get_weights())


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_files_of_keras_itself_are_read(suffix, tmp_path):
    reference = keras.applications.MobileNetV2(
        (32, 32, 3), alpha=0.35, weights=None, classes=5, classifier_activation=None
    )
    save = reference.save if suffix == ".keras" else reference.save_weights
    save(tmp_path / f"w{suffix}")
    keras_norms = dataclasses.replace(VARIANTS["v2_keras"], width=0.35)
    model = tfdl.build("mobilenet", keras_norms, image_shape=(32, 32, 3), num_classes=5, normalize=None)
    load_weights(model, tmp_path / f"w{suffix}", layout="keras_applications")
    ours = {w.path: w for w in model.weights}
    theirs = {w.path: w for w in reference.weights}
    pairs = {
        "stem_conv/kernel": "Conv1/kernel",
        "block3_expand_norm/moving_variance": "block_3_expand_BN/moving_variance",
        "block16_depthwise_conv/kernel": "block_16_depthwise/kernel",
        "logits/bias": "predictions/bias",
    }
    for our_name, their_name in pairs.items():
        np.testing.assert_array_equal(ours[our_name], theirs[their_name])


# Shapes of torchvision 0.28.0's mobilenet_v2 and mobilenet_v3_small, printed from their state dictionaries.
TORCHVISION = {
    "v2": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.1.conv.2.running_var": (16,),
        "features.2.conv.1.0.weight": (96, 1, 3, 3),
        "features.17.conv.3.bias": (320,),
        "features.18.0.weight": (1280, 320, 1, 1),
        "classifier.1.weight": (1000, 1280),
    },
    "v3_small": {
        "features.1.block.1.fc1.weight": (8, 16, 1, 1),
        "features.1.block.2.0.weight": (16, 16, 1, 1),
        "features.12.0.weight": (576, 96, 1, 1),
        "classifier.0.weight": (1024, 576),
        "classifier.3.bias": (1000,),
    },
}


@pytest.mark.parametrize("variant, tensors", [("v2", 262), ("v3_small", 210)])
def test_names_and_shapes_are_torchvision_s(variant, tensors):
    arrays = arrays_of(network(variant, num_classes=1000), "torchvision")
    assert len(arrays) == tensors
    assert TORCHVISION[variant].items() <= {name: array.shape for name, array in arrays.items()}.items()


def test_misfits_are_all_listed_and_nothing_changes():
    model = network()
    arrays = arrays_of(model, "torchvision")
    before = model.get_weights()
    first, second, *_ = arrays
    wrong = {name: array + 1 for name, array in arrays.items()}
    wrong["stranger"] = wrong.pop(first)
    wrong[second] = np.zeros((3, 5), "float32")
    with pytest.raises(ValueError, match="3 differences") as error:
        load_weights(model, wrong, layout="torchvision")
    for part in (f"missing {first}", f"{second} is (3, 5)", "unexpected stranger"):
        assert part in str(error.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_head_of_other_classes_can_be_skipped():
    source, model = network(seed=1, num_classes=7), network(seed=2)
    head = [w.numpy() for w in model.get_layer("logits").weights]
    arrays = arrays_of(source, "torchvision")
    with pytest.raises(ValueError, match="skip_head=True"):
        load_weights(model, arrays, layout="torchvision")
    load_weights(model, arrays, layout="torchvision", skip_head=True)
    assert all(np.array_equal(a, b) for a, b in zip(head, model.get_layer("logits").weights))
    np.testing.assert_array_equal(model.get_layer("stem_conv").kernel, source.get_layer("stem_conv").kernel)


def test_feature_pyramid_takes_a_classifier_s_weights():
    source, pyramid = network(seed=1), network(seed=2, num_classes=None)
    arrays = arrays_of(source, "torchvision")
    with pytest.raises(ValueError, match="unexpected classifier"):
        load_weights(pyramid, arrays, layout="torchvision")
    load_weights(pyramid, arrays, layout="torchvision", skip_head=True)
    np.testing.assert_array_equal(pyramid.get_layer("stem_conv").kernel, source.get_layer("stem_conv").kernel)
    del arrays["features.0.0.weight"]
    with pytest.raises(ValueError, match="missing features.0.0.weight"):
        load_weights(pyramid, arrays, layout="torchvision", skip_head=True)


def test_densenet_files_of_before_2018_are_read():
    keras.utils.set_random_seed(1)
    model = tfdl.build("densenet", "nano", image_shape=(32, 32, 3), num_classes=5)
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", n): a + 1
        for n, a in arrays_of(model, "torchvision").items()
    }
    assert any(".norm.1." in name for name in old)
    before = model.get_weights()
    load_weights(model, old, layout="torchvision")
    assert all(np.array_equal(a + 1, b) for a, b in zip(before, model.get_weights()))


def test_counters_of_torch_are_ignored():
    arrays = arrays_of(network(seed=1), "torchvision")
    load_weights(network(), arrays | {"features.0.1.num_batches_tracked": np.array(3)}, layout="torchvision")


def test_model_with_a_name_of_its_own_needs_its_family():
    model = network(name="mine")
    with pytest.raises(ValueError, match=r"no family 'mine'; it has .*mobilenet.* family="):
        arrays_of(model, "torchvision")
    load_weights(model, arrays_of(network(), "torchvision"), layout="torchvision", family="mobilenet")


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.model."])
def test_prefix_that_a_trainer_puts_before_all_names_is_taken_off_and_said(prefix, capsys):
    first, second = network(seed=1), network(seed=2)
    load_weights(second, {prefix + name: array for name, array in arrays_of(first, "torchvision").items()})
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    assert f"The prefix {prefix!r} was taken off the names" in capsys.readouterr().out


@pytest.mark.parametrize("layout", ["tfdl", "torchvision", "keras_hub"])
def test_layout_is_recognized_by_its_names(layout, capsys):
    first, second = network(seed=1), network(seed=2)
    load_weights(second, arrays_of(first, layout))
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
    assert capsys.readouterr().out == ""


def test_wrong_layout_is_one_sentence_with_the_right_one():
    with pytest.raises(ValueError, match=r"are those of torchvision, not of timm: say layout='torchvision'\.$"):
        load_weights(network(), arrays_of(network(), "torchvision"), layout="timm")
    with pytest.raises(ValueError, match=r"names of these weights \(a.b ...\) are those of no mobilenet"):
        load_weights(network(), {"a.b": np.zeros(3)})


@pytest.mark.parametrize(
    "array, message",
    [
        (np.full(8, np.nan, "float32"), "holds NaN, infinity"),
        (np.full(8, 1e300), "too large for float32"),
        (np.ones(8, complex), "holds complex128, no real numbers"),
        (np.full(8, "a"), "no real numbers"),
        (np.full(8, None), "holds object, no real numbers"),
    ],
)
def test_what_are_no_finite_numbers_is_refused_and_nothing_changes(array, message):
    model = network()
    arrays = {name: array + 1 for name, array in arrays_of(model, "torchvision").items()}
    *_, name = (name for name, a in arrays.items() if a.shape == (8,))
    before = model.get_weights()
    with pytest.raises(ValueError, match=f"1 differences(?s:.*){re.escape(name)} holds.*") as error:
        load_weights(model, arrays | {name: array})
    assert message in str(error.value)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


@pytest.mark.parametrize(
    "layout, variant, others",
    [
        ("keras_applications", "v2", "epsilon 0.001 and TensorFlow's padding, this model epsilon 1e-05 and PyTorch's"),
        ("timm", "v3_small", "epsilon 1e-05 and PyTorch's padding or epsilon 0.001 and TensorFlow's padding, this"),
        ("torchvision", "v2_keras", "epsilon 1e-05 and PyTorch's padding, this model epsilon 0.001 and TensorFlow's"),
        ("torchvision", "v3_small_timm", "epsilon 0.001 and PyTorch's padding, this model epsilon 1e-05 and PyTorch's"),
        ("timm", "v1_keras", "epsilon 1e-05 and PyTorch's padding, this model epsilon 0.001 and padding on the right"),
        ("timm", "v2_keras", "epsilon 1e-05 and PyTorch's padding, this model epsilon 0.001 and TensorFlow's padding"),
        (
            "keras_hub",
            "v3_small",
            "epsilon 1e-05 and PyTorch's padding, this model epsilon 0.001 and PyTorch's padding",
        ),
    ],
)
def test_variant_that_computes_something_else_with_the_same_weights_is_refused(layout, variant, others):
    arrays = {e.theirs: np.ones(e.their_shape) for e in entries(network(variant), LAYOUTS[layout], "mobilenet")}
    with pytest.raises(ValueError, match=f"{others}.*Build another variant, plain or with _keras or _timm"):
        load_weights(network(variant), arrays, layout=layout)


@pytest.mark.parametrize(
    "source, variant, answer",
    [
        ("tf_mobilenetv3_small_100-37f49e2b.pth", "v3_small_timm", "has epsilon 0.001 and TensorFlow's padding, this"),
        ("tf_mobilenetv3_small_100-37f49e2b.pth", "v3_small_keras", ""),
        ("mobilenetv3_small_100_lamb-266a294c.pth", "v3_small_keras", "has epsilon 1e-05 and PyTorch's padding, this"),
        ("mobilenetv3_small_100_lamb-266a294c.pth", "v3_small_timm", ""),
        (
            "best.pth",
            "v3_small_timm",
            "best.pth does not say which; this model has epsilon 1e-05 and PyTorch's padding.",
        ),
        ("best.pth", "v3_small_keras", "best.pth does not say which; this model has epsilon 0.001 and TensorFlow's"),
    ],
)
def test_of_timm_s_twins_the_file_s_name_tells_or_the_choice_is_said(source, variant, answer, tmp_path, capsys):
    model = network(variant)
    save_weights(model, tmp_path / source, layout="timm")
    try:
        load_weights(model, tmp_path / source, layout="timm")
        said = capsys.readouterr().out
    except ValueError as error:
        said = str(error)
    assert answer in said and bool(answer) == bool(said)


def test_sizes_at_which_a_library_pads_otherwise_are_refused():
    """keras.applications' MobileNet V1 pads to the right alone; TensorFlow's "same" does so where sides are even."""
    same = dataclasses.replace(VARIANTS["v1_keras"], padding="same", width=0.25)
    for side, refused in ((32, False), (31, False), (33, True), (None, True)):  # 33 halves to 17
        model = tfdl.build("mobilenet", same, image_shape=(side, side, 3), num_classes=5)
        arrays = arrays_of(model, "keras_applications")
        right = tfdl.build(
            "mobilenet", dataclasses.replace(same, padding="behind"), image_shape=(side, side, 3), num_classes=5
        )
        load_weights(right, arrays, layout="keras_applications")
        if refused:
            with pytest.raises(ValueError, match="epsilon 0.001 and padding on the right, this model"):
                load_weights(model, arrays, layout="keras_applications")
        else:
            load_weights(model, arrays, layout="keras_applications")


@pytest.mark.parametrize(
    "key, layout, good, bad, reason",
    [
        (
            "swin",
            "timm",
            (96, 96),
            (96, 128),
            "windows of 3 do not tile a map of 24x32. Build it for images whose sides",
        ),
        ("swin", "keras_hub", (96, 96), (96, 128), "windows of 3 do not tile a map of 24x32"),
        ("swin", "keras_hub", (96, 96), (12, 96), "it does not shift the windows of 3 in a map of 3x24"),
        ("swin", "transformers", (96, 96), (12, 96), "it does not shift the windows of 3 in a map of 3x24"),
        ("vgg", "timm", (64, 64), (64, 96), "its dense layers see 2x2 places of the last map at a time, which has 2x3"),
    ],
)
def test_image_sizes_at_which_a_library_computes_something_else_are_refused(key, layout, good, bad, reason):
    fitting, other = (tfdl.build(key, "nano", image_shape=(*shape, 3), num_classes=5) for shape in (good, bad))
    arrays = arrays_of(fitting, layout)
    load_weights(fitting, arrays, layout=layout)
    with pytest.raises(ValueError, match=f"fit, but {layout} computes something else with them: {reason}"):
        load_weights(other, arrays, layout=layout)


def test_unknown_layout_lists_the_known_ones():
    with pytest.raises(ValueError, match="no layout 'torchvison'; choose one of .*torchvision"):
        load_weights(network(), {}, layout="torchvison")


# --- other channels --------------------------------------------------------------------------------------------------


def of_channels(channels, seed):
    keras.utils.set_random_seed(seed)
    model = tfdl.build("mobilenet", "nano", image_shape=(32, 32, channels), num_classes=5, normalize="unit")
    for weight in model.weights:
        if weight.name == "kernel":  # as initialized, no image survives to the logits
            weight.assign(weight * 2)
    return model


@pytest.mark.parametrize("layout", ["torchvision", "keras_hub", "tfdl"])
def test_gray_images_give_what_they_give_as_three_equal_channels(layout):
    color, gray = of_channels(3, 1), of_channels(1, 2)
    arrays = arrays_of(color, layout)
    with pytest.raises(ValueError, match=r"1 differences(?s:.*)adapt_channels=True the first layer's three channels"):
        load_weights(gray, arrays)
    load_weights(gray, arrays, adapt_channels=True)
    images = np.random.default_rng(0).random((2, 32, 32, 1), "float32")
    logits = np.asarray(color(np.repeat(images, 3, -1)))
    assert np.abs(logits[0] - logits[1]).max() > 1e-3 * np.abs(logits).max()
    np.testing.assert_allclose(gray(images), logits, atol=1e-5 * np.abs(logits).max())


def test_four_channels_get_the_three_and_the_first_again_three_quarters_as_large():
    """As timm.models.adapt_input_conv(4, weight) does it."""
    color, four = of_channels(3, 1), of_channels(4, 2)
    load_weights(four, arrays_of(color, "torchvision"), adapt_channels=True)
    kernel = color.get_layer("stem_conv").kernel.numpy()
    wanted = 0.75 * kernel[:, :, [0, 1, 2, 0]]
    np.testing.assert_allclose(four.get_layer("stem_conv").kernel, wanted, rtol=1e-6)


def test_channels_are_adapted_where_a_model_is_built_from_weights(tmp_path):
    color = of_channels(3, 1)
    save_weights(color, tmp_path / "w.safetensors", layout="timm")
    options = dict(weights=f"timm:{tmp_path / 'w.safetensors'}", image_shape=(32, 32, 1), normalize="unit")
    with pytest.raises(ValueError, match="With adapt_channels=True"):
        tfdl.build("mobilenet", "nano", **options)
    gray = tfdl.build("mobilenet", "nano", adapt_channels=True, **options)
    assert gray.output_shape == (None, 5)
    kernel = color.get_layer("stem_conv").kernel.numpy().sum(2, keepdims=True)
    np.testing.assert_allclose(gray.get_layer("stem_conv").kernel, kernel, rtol=1e-5, atol=1e-6)


def test_only_three_channels_are_adapted():
    with pytest.raises(ValueError, match=r"\(8, 4, 3, 3\) and should be \(8, 1, 3, 3\)") as error:
        load_weights(of_channels(1, 1), arrays_of(of_channels(4, 2), "torchvision"), adapt_channels=True)
    assert "adapt_channels" not in str(error.value)


def test_no_number_is_read_of_a_file_that_does_not_fit(tmp_path, monkeypatch):
    save_weights(network(num_classes=7), tmp_path / "w.npz", layout="torchvision")
    monkeypatch.setattr("numpy.lib.format.read_array", lambda *args, **options: pytest.fail("an array was read"))
    with pytest.raises(ValueError, match="2 differences"):
        load_weights(network(), tmp_path / "w.npz")
