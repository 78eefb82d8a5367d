"""Weights travel to other libraries' names and back, bit by bit; what does not fit is told in full."""

import dataclasses
import re
import sys

import keras
import numpy as np
import pytest
from huggingface_hub import errors

import tfdl
from tfdl.interop.archives import read_arrays, write_arrays
from tfdl.interop.weights import LAYOUTS, load_weights, save_weights
from tfdl.models.convnets.mobilenet import VARIANTS


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
        save_weights(model, "unused", layout=layout)
    return kept


WAYS = [
    (name, suffix)
    for name, layout in LAYOUTS.items()
    if "mobilenet" in layout.families
    for suffix in (".safetensors", ".npz")
]


@pytest.mark.parametrize("layout, suffix", [*WAYS, ("keras_applications", ".h5")])
def test_round_trip_is_bit_equal(layout, suffix, tmp_path):
    first, second = network(seed=1), network(seed=2)
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
    keras_norms = dataclasses.replace(VARIANTS["v2"], width=0.35, epsilon=1e-3)
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


def test_unknown_layout_lists_the_known_ones():
    with pytest.raises(ValueError, match="no layout 'torchvison'; choose one of .*torchvision"):
        load_weights(network(), {}, layout="torchvison")


def test_pickled_arrays_are_refused(tmp_path):
    np.savez(tmp_path / "w.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match="cannot be read as weights"):
        read_arrays(tmp_path / "w.npz")


@pytest.mark.parametrize("name", ["w.safetensors", "w.npz", "w.h5", "w.keras"])
def test_damaged_file_is_one_sentence(name, tmp_path):
    (tmp_path / name).write_bytes(b"not weights at all")
    with pytest.raises(ValueError, match=f"{name} cannot be read as weights"):
        read_arrays(tmp_path / name)


def test_missing_file_and_unknown_suffix(tmp_path):
    with pytest.raises(FileNotFoundError, match="no weights file"):
        read_arrays(tmp_path / "w.npz")
    (tmp_path / "w.pkl").write_bytes(b"")
    with pytest.raises(ValueError, match="w.pkl is no weights file"):
        read_arrays(tmp_path / "w.pkl")
    with pytest.raises(ValueError, match="does not write weights to w.pkl"):
        write_arrays(tmp_path / "w.pkl", {})
    with pytest.raises(ValueError, match="LAYER/VARIABLE names, not 'features.0.weight'"):
        write_arrays(tmp_path / "w.h5", {"features.0.weight": np.zeros(3)})


class Hub:
    """Stands in for huggingface_hub: `found` is what happens to each file, a path or an error."""

    errors = errors

    def __init__(self, **found):
        self.found, self.asked = found, []

    def hf_hub_download(self, repository, file):
        self.asked.append((repository, file))
        answer = self.found.get(file.partition(".")[0])
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(kind):
    """An error of the hub, without the response that some of them ask for."""
    kind = getattr(errors, kind)
    return kind.__new__(kind)


def test_hub_ids_fetch_safetensors_first(tmp_path, monkeypatch):
    model = network(seed=1)
    save_weights(model, tmp_path / "theirs.npz", layout="torchvision")
    hub = Hub(model=answer("RemoteEntryNotFoundError"), pytorch_model=tmp_path / "theirs.npz")
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    load_weights(second := network(seed=2), "hf:owner/name", layout="torchvision")
    assert hub.asked == [("owner/name", "model.safetensors"), ("owner/name", "pytorch_model.bin")]
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), second.get_weights()))
    hub.found["theirs"] = tmp_path / "theirs.npz"
    assert read_arrays("hf:owner/name/theirs.npz").keys() == read_arrays(tmp_path / "theirs.npz").keys()


@pytest.mark.parametrize(
    "kind, error, message",
    [
        ("LocalEntryNotFoundError", ConnectionError, "hub cannot be reached; go on line, or .* a model.safetensors"),
        ("OfflineModeIsEnabled", ConnectionError, "hub cannot be reached"),
        ("RepositoryNotFoundError", FileNotFoundError, "no owner/name; check the name"),
        ("RemoteEntryNotFoundError", FileNotFoundError, "no model.safetensors or pytorch_model.bin in owner/name"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(kind, error, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(model=answer(kind), pytorch_model=answer(kind)))
    with pytest.raises(error, match=message):
        read_arrays("hf:owner/name")


def test_hub_needs_its_package_and_a_whole_name(monkeypatch):
    with pytest.raises(ValueError, match="hf:resnet50 names no model"):
        read_arrays("hf:resnet50")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        read_arrays("hf:owner/name")


def test_a_keras_file_that_hides_where_its_layers_sit_is_refused(tmp_path):
    blocks = [keras.Sequential([keras.layers.Dense(3, name="query")], name=name) for name in "ab"]
    keras.Sequential([keras.Input((3,)), *blocks]).save_weights(tmp_path / "w.weights.h5")
    with pytest.raises(ValueError, match="several layers called 'query'.*w.path"):
        read_arrays(tmp_path / "w.weights.h5")


@pytest.mark.parity
def test_pytorch_file_travels_both_ways(tmp_path):
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    first, second = network(seed=1), network(seed=2)
    save_weights(first, tmp_path / "w.pth", layout="torchvision")
    load_weights(second, tmp_path / "w.pth", layout="torchvision")
    assert all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))
