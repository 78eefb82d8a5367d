"""The names of published weights are in the registries of the libraries, with the pixels, classes and layers we say."""

import functools
import importlib
import inspect
import re
from pathlib import Path

import keras
import pytest

import tfdl
from tests.harness import outline
from tests.parity.references import (
    difference,
    many_images,
    randomize,
    settle,
    timm,
    torch,
    torch_outputs,
    torchvision,
    transformers,
)
from tfdl.catalog import find
from tfdl.interop.layouts import entries
from tfdl.interop.presets import PRESETS
from tfdl.interop.weights import LAYOUTS
from tfdl.layers.pixels import IMAGENET_MEAN, IMAGENET_STD

pytestmark = pytest.mark.parity

ROWS = [(model, variant, row) for model, found in PRESETS.items() for variant, rows in found.items() for row in rows]
PIXELS = {  # mean and standard deviation -> our word
    (IMAGENET_MEAN, IMAGENET_STD): "imagenet",
    ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)): "unit",
    ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)): None,
}


def of(owner):
    return [(model, variant, row) for model, variant, row in ROWS if row.name.startswith(owner)]


def test_timm_lists_every_name_with_our_pixels_size_and_classes():
    known = set(timm().list_pretrained())
    for _, _, row in of("timm/"):
        name = row.name.removeprefix("timm/")
        assert name in known
        config = timm().models.get_pretrained_cfg(name)
        assert config.hf_hub_id == row.name
        assert (config.input_size, config.num_classes) == ((3, row.size, row.size), row.classes), name
        assert PIXELS[tuple(config.mean), tuple(config.std)] == row.normalize, name


def test_torchvision_lists_every_file_with_our_pixels_size_and_classes():
    for _, _, row in of("torchvision/"):
        network, _, name = row.name.removeprefix("torchvision/").partition(".")
        weights = torchvision().models.get_model_weights(network)[name]
        assert weights.url.rpartition("/")[2] == row.file
        pixels = weights.transforms()
        assert PIXELS[tuple(pixels.mean), tuple(pixels.std)] == row.normalize
        assert (pixels.crop_size, len(weights.meta["categories"])) == ([row.size], row.classes), row.name


def test_keras_has_every_function_with_our_classes():
    for _, _, row in of("keras/"):
        arguments = inspect.signature(getattr(keras.applications, row.file)).parameters
        assert arguments["weights"].default == "imagenet" and arguments["classes"].default == row.classes


def test_transformers_names_every_one():
    files = Path(transformers().__file__).parent.rglob("*.py")
    names = set(re.findall(r"""["']([\w.-]+/[\w.-]+)["']""", "\n".join(file.read_text() for file in files)))
    assert {row.name for _, _, row in ROWS if row.layout == "transformers"} <= names


BY_DEFAULT = {  # variant -> the class whose defaults are the published model's, which names tensors as files do
    ("bart", "large"): "BartForConditionalGeneration",
    ("bert", "base"): "BertForMaskedLM",
    ("llama", "llama2_7b"): "LlamaForCausalLM",
    ("llama", "mistral_7b"): "MistralForCausalLM",
}


@pytest.mark.parametrize("model, variant", BY_DEFAULT)
def test_variant_of_texts_has_the_tensors_that_the_library_makes_by_default(model, variant):
    kind = getattr(transformers(), BY_DEFAULT[model, variant])
    with torch().device("meta"):
        theirs = kind(kind.config_class())
    shapes = {name: tuple(tensor.shape) for name, tensor in theirs.state_dict().items()}
    options = {"head": "masked_lm"} if model == "bert" else {}
    ours = outline(getattr(importlib.import_module(find(model).module), model), variant, **options)
    wanted = {entry.theirs: entry.their_shape for entry in entries(ours, LAYOUTS["transformers"], model)}
    assert wanted.items() <= shapes.items()


@functools.cache
def reference(row_name):
    """(names and shapes of tensors, epsilons of norms) of the network that a row's weights are of."""
    owner, _, name = row_name.partition("/")
    library = timm() if owner == "timm" else torchvision()
    with torch().device("meta"):
        network = name.partition(".")[0]
        made = library.create_model(network) if owner == "timm" else library.models.get_model(network)
    epsilons = {module.eps for module in made.modules() if hasattr(module, "eps") and hasattr(module, "weight")}
    return {name: tuple(tensor.shape) for name, tensor in made.state_dict().items()}, epsilons


NETWORKS = {
    (model, variant, row.name.partition(".")[0]): row for model, variant, row in of("timm/") + of("torchvision/")
}


@pytest.mark.parametrize("model, variant, network", NETWORKS, ids=str)
def test_variant_has_the_layers_and_epsilons_of_its_weights(model, variant, network):
    row = NETWORKS[model, variant, network]
    builder = getattr(importlib.import_module(find(model).module), model)
    ours = outline(builder, variant, image_shape=(row.size, row.size, 3), num_classes=1000)
    wanted = {entry.theirs: entry.their_shape for entry in entries(ours, LAYOUTS[row.layout], model)}
    theirs, epsilons = reference(network)
    assert wanted.items() <= theirs.items()
    assert all(
        "num_batches" in name or "relative_position" in name or "mask" in name for name in theirs - wanted.keys()
    )
    kinds = (keras.layers.BatchNormalization, keras.layers.LayerNormalization)
    assert {layer.epsilon for layer in ours._flatten_layers() if isinstance(layer, kinds)} == epsilons


def test_name_of_published_weights_gives_the_library_s_logits_for_plain_images(tmp_path, monkeypatch):
    """From the name to the logits, with a file of random weights in the place of a download."""
    network, images = randomize(timm().create_model("mobilenetv3_small_100")), many_images(224, 224, 3)
    pixels = ((images - IMAGENET_MEAN) / IMAGENET_STD).astype("float32")
    settle(network, pixels)
    torch().save(network.state_dict(), tmp_path / "pytorch_model.bin")
    monkeypatch.setattr("tfdl.interop.files.archives.from_hub", lambda name: tmp_path / "pytorch_model.bin")
    model = tfdl.build("mobilenet", weights="timm/mobilenetv3_small_100.lamb_in1k")
    assert model.input_shape == (None, 224, 224, 3) and model.output_shape == (None, 1000)
    assert difference(model(images[:2]), torch_outputs(network, pixels[:2])[0]) <= 1e-4
