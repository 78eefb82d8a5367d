"""What a run learned goes into a model with other classes as easily as other libraries' weights."""

import keras
import numpy as np
import pytest

import tfdl
from tfdl.interop.weights import is_weights, load_weights, save_weights
from tfdl.models.vision_transformers.vit import ViTConfig

SHAPE = (32, 32, 3)


def network(key="mobilenet", seed=0, num_classes=5, variant="nano", image_shape=SHAPE):
    keras.utils.set_random_seed(seed)
    return tfdl.build(key, variant, image_shape=image_shape, num_classes=num_classes)


def run_folder(model, folder):
    """A folder as a run leaves it: its best model, compiled and with dropout's and the optimizer's state."""
    model.compile("adam", "mse", jit_compile=False)
    model.optimizer.build(model.trainable_variables)
    file = folder / "checkpoints" / "best" / "model.keras"
    file.parent.mkdir(parents=True)
    model.save(file)
    return folder


def same(first, second, but=""):
    """True if all weights are equal, bit for bit, in all layers but one."""
    pairs = {w.path: w for w in first.weights}
    others = {w.path: w for w in second.weights}
    assert pairs.keys() == others.keys()
    return all(np.array_equal(w, others[path]) for path, w in pairs.items() if path.split("/")[0] != but)


TRANSFORMER = ViTConfig(patch=8, width=12, depth=2, heads=2, dropout=0.1)  # blocks with layers inside, all alike


@pytest.mark.parametrize("key, variant", [("mobilenet", "nano"), ("vit", TRANSFORMER)])
def test_run_s_features_go_into_a_model_of_other_classes(key, variant, tmp_path):
    source, model = network(key, 1, 7, variant), network(key, 2, 5, variant)
    head = [w.numpy() for w in model.get_layer("logits").weights]
    run = run_folder(source, tmp_path / "run")
    with pytest.raises(ValueError, match=r"logits/kernel is \(\d+, 7\) and should be \(\d+, 5\)(?s:.*)skip_head=True"):
        load_weights(model, run)
    assert load_weights(model, str(run), skip_head=True) is model
    assert same(source, model, but="logits") and not same(source, network(key, 3, 7, variant), but="logits")
    assert all(np.array_equal(a, b) for a, b in zip(head, model.get_layer("logits").weights))
    pyramid = network(key, 4, None, variant)
    load_weights(pyramid, run / "checkpoints" / "best" / "model.keras", skip_head=True)
    np.testing.assert_array_equal(pyramid.weights[0], source.weights[0])


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_own_names_go_there_and_back(suffix, tmp_path):
    first, second = network(seed=1), network(seed=2)
    save_weights(first, tmp_path / f"w{suffix}")
    load_weights(second, tmp_path / f"w{suffix}")
    assert same(first, second)
    load_weights(second, {w.path: w.numpy() + 1 for w in first.weights})
    np.testing.assert_array_equal(second.weights[0], first.weights[0] + 1)


def test_layout_may_stand_before_the_source(tmp_path):
    first, second = network(seed=1), network(seed=2)
    save_weights(first, tmp_path / "w.safetensors", layout="torchvision")
    with pytest.raises(ValueError, match="are those of torchvision, not of tfdl: say layout='torchvision'"):
        load_weights(second, f"tfdl:{tmp_path / 'w.safetensors'}")
    load_weights(second, f"torchvision:{tmp_path / 'w.safetensors'}")
    assert same(first, second)


def test_positions_of_a_run_on_other_images_are_resized(tmp_path):
    run = run_folder(network("vit", 1, variant=TRANSFORMER), tmp_path / "run")
    model = network("vit", 2, variant=TRANSFORMER, image_shape=(48, 48, 3))
    load_weights(model, run)
    table = next(w for w in model.weights if w.path == "positions/table")
    assert tuple(table.shape) == (1, 1 + 6 * 6, 12) and np.isfinite(table.numpy()).all()


def test_run_of_another_model_lists_what_differs(tmp_path):
    run, model = run_folder(network("lenet", 1), tmp_path / "run"), network(seed=2)
    before = model.get_weights()
    with pytest.raises(ValueError, match="missing stem_conv/kernel(?s:.*)unexpected c1/kernel(?s:.*)Build the variant"):
        load_weights(model, run, skip_head=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights()))


def test_folder_without_a_model_and_damaged_files_are_one_sentence(tmp_path):
    with pytest.raises(
        FileNotFoundError, match="no model at .*model.keras; give a .keras file or a folder that `tfdl r"
    ):
        load_weights(network(), tmp_path)
    (tmp_path / "w.keras").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"w\.keras cannot be read as a model \(.*\); give one of the same f"):
        load_weights(network(), tmp_path / "w.keras")


def test_file_with_unknown_layers_is_one_sentence(tmp_path):
    class Stranger(keras.layers.Layer):
        pass

    keras.Sequential([keras.Input((3,)), Stranger()]).save(tmp_path / "w.keras")
    with pytest.raises(ValueError, match=r"w\.keras cannot be read as a model \(Could not locate class 'Stranger'\)"):
        load_weights(network(), tmp_path / "w.keras")


def test_weights_are_told_from_names_of_image_sets(tmp_path):
    run = run_folder(network("lenet"), tmp_path / "run")
    assert is_weights(str(run)) and is_weights(str(run / "checkpoints" / "best" / "model.keras"))
    assert is_weights("torchvision:w.pth") and is_weights("hf:owner/name") and is_weights("tfdl:w.npz")
    assert is_weights("timm/resnet50.a1_in1k") and not is_weights("timm/resnet50")
    assert not any(map(is_weights, ["", "cifar10", "folder:photos", str(tmp_path), "mnist:3.0.1"]))
