"""Networks of other libraries with random weights: what `load_weights` reads of them, and what they compute.

A library is asked for through a function here; a test is skipped, a tool stops, where it is not installed.  Images are
(B, H, W, C) NumPy arrays in [0, 1] on both sides; the change to PyTorch's (B, C, H, W) and back happens here.

Weights are drawn so that no layer is saturated: kernels as He et al. 2015 have them, so that images keep their size
over all layers, and running statistics are those of images, the two compared ones among them; otherwise deep networks
shrink what an image says, or blow it up, until all images look alike.  No weight is zero or one, so that a swap of two
tensors, or one that is never copied, shows in the output.
"""

import functools
import importlib
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from tfdl.interop.files.archives import read_arrays

OPERATORS = {  # of torchvision; where its compiled part is absent they must be named for it to import, and never run
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width,"
    " int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width)"
    " -> (Tensor, Tensor)",
}


@dataclass(frozen=True)
class Reference:
    """Another library's network, ready to be compared with.

    Attributes:
        weights: name -> array, under the names of its library.
        parameters: how many numbers it learns.
        classes: of its logits.
        outputs: images (B, H, W, C) -> logits (B, classes), and a dict stride -> map (B, H/s, W/s, C).
    """

    weights: Mapping
    parameters: int
    classes: int
    outputs: Callable


def torch_reference(network, image_shape, modules):
    """A `Reference` of a PyTorch network; `modules` is stride -> name of the submodule that gives the map."""
    randomize(network)
    settle(network, many_images(*image_shape))

    def both(images):
        logits, maps = torch_outputs(network, images, modules.values())
        return logits, {stride: maps[name] for stride, name in modules.items()}

    total = sum(parameter.numel() for parameter in network.parameters()) - getattr(network, "unconnected", 0)
    return Reference(weights_of(network), total, both(images_of(1, *image_shape))[0].shape[-1], both)


def weights_of(network):
    """Name -> array: as our oracles give it, as transformers writes it into files, or the state dictionary."""
    if hasattr(network, "our_weights"):
        return network.our_weights()
    if not hasattr(network, "save_pretrained"):
        return read_arrays(network.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        network.save_pretrained(folder)
        return dict(read_arrays(Path(folder) / "model.safetensors"))  # before the folder is gone


def keras_reference(model, image_shape, layers, pixels=1):
    """A `Reference` of a Keras model; `layers` is stride -> name of the layer, or of KerasHub's pyramid.

    `pixels` is what the model has for white.
    """
    randomize_keras(model)
    inner = list(model._flatten_layers())
    norms = [layer for layer in inner if isinstance(layer, keras.layers.BatchNormalization)]
    for layer in inner:
        if layer in norms:
            layer.momentum = 0.0
        elif isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    if norms:
        model(pixels * many_images(*image_shape), training=True)
    for norm in norms:
        norm.moving_variance.assign_add(keras.ops.mean(norm.moving_variance) / 100)  # see `settle`
    backbone = getattr(model, "backbone", model)
    pyramid = getattr(backbone, "pyramid_outputs", {})
    tensors = {stride: pyramid.get(name) for stride, name in layers.items()}
    tensors = {s: backbone.get_layer(layers[s]).output if t is None else t for s, t in tensors.items()}
    features = keras.Model(backbone.input, tensors) if tensors else lambda images: {}

    def both(images):
        return np.array(model(pixels * images)), {s: np.array(x) for s, x in features(pixels * images).items()}

    total = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    return Reference({w.path: w for w in model.weights}, total, model.output_shape[-1], both)


# --- libraries -----------------------------------------------------------------------------------------------------


def torch():
    return pytest.importorskip("torch", reason="the extra `parity` is not installed")


@functools.cache
def torchvision():
    """The package, with or without its compiled operators."""
    try:
        torch()
        return importlib.import_module("torchvision")
    except RuntimeError:  # "operator torchvision::nms does not exist"
        operators = torch().library.Library("torchvision", "DEF")
        for name, signature in OPERATORS.items():
            operators.define(name + signature)
        package = importlib.import_module("torchvision")
        package.operators_of_the_tests = operators  # they live as long as this object
        return package


def timm():
    torchvision()  # timm imports it
    return pytest.importorskip("timm", reason="the extra `parity` is not installed")


def transformers():
    torchvision()  # transformers imports it
    return pytest.importorskip("transformers", reason="the extra `parity` is not installed")


# --- random weights ------------------------------------------------------------------------------------------------


def randomize(network, seed=0):
    """A PyTorch network in inference mode, with random weights and statistics; returns it."""
    generator = torch().Generator().manual_seed(seed)
    with torch().no_grad():
        for name, tensor in [*network.named_parameters(), *network.named_buffers()]:
            if name.endswith("running_mean") or name.endswith("bias"):
                tensor.normal_(0, 0.1, generator=generator)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith("weight") and tensor.ndim == 1:  # a last norm small, or fifty branches would be chaos
                low, high = (0.1, 0.3) if name.endswith("bn3.weight") else (0.5, 1.0)
                tensor.uniform_(low, high, generator=generator)
            elif name.endswith("weight"):
                tensor.normal_(0, (2 / tensor[0].numel()) ** 0.5, generator=generator)
            elif isinstance(tensor, torch().nn.Parameter):  # class tokens, position tables
                tensor.normal_(0, 0.3, generator=generator)
    return network.eval()


def settle(network, images):
    """The running statistics of a PyTorch network become those of images (B, H, W, C).

    A hundredth of the mean variance is added to each, or channels that hardly vary would blow rounding errors up.
    """
    norms = [m for m in network.modules() if isinstance(m, torch().nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.train().momentum = 1.0  # dropout stays off
    if norms:
        torch_outputs(network, images)
    for norm in norms:
        norm.running_var += norm.running_var.mean() / 100
    network.eval()


def randomize_keras(model, seed=0):
    """The same for a Keras model."""
    rng = np.random.default_rng(seed)
    for w in model.weights:
        if w.name.endswith("kernel"):
            inputs = w.shape[:1] if w.path.split("/")[-2] in ("query", "key", "value") else w.shape[:-1]
            inputs = w.shape[:2] if "depthwise" in w.path or "dw" in w.path else inputs  # (H, W, C, 1)
            w.assign((2 / np.prod(inputs)) ** 0.5 * rng.standard_normal(w.shape, "float32"))
        elif w.name == "gamma":  # as above, a last norm is small
            w.assign(rng.uniform(*((0.1, 0.3) if w.path.endswith("_3_bn/gamma") else (0.5, 1.0)), w.shape))
        elif w.name == "moving_variance":
            w.assign(rng.uniform(0.5, 1.5, w.shape))
        else:
            w.assign(rng.normal(0, 0.1 if w.name in ("bias", "beta", "moving_mean") else 0.3, w.shape))


# --- images and outputs --------------------------------------------------------------------------------------------


def images_of(*shape, seed=0):
    """(B, H, W, C) float32 in [0, 1], noise in a color of its own for each image, which survives all pooling."""
    rng = np.random.default_rng(seed)
    return (rng.random(shape) * rng.random((shape[0], 1, 1, shape[3]))).astype("float32")


def many_images(*shape):
    """The two images that are compared and 14 others."""
    return np.concatenate([images_of(2, *shape), images_of(14, *shape, seed=1)])


def as_torch(images):
    return torch().from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))


def torch_outputs(network, images, modules=()):
    """What a PyTorch network gives for images (B, H, W, C), and what some of its modules give on the way.

    Returns:
        logits (B, N), and a dict name -> map (B, H, W, C), or tokens (B, T, D), of the modules.
    """
    maps = {}

    def keep(name):
        return lambda module, _, output: maps.__setitem__(name, output.detach().numpy().copy())

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in modules]
    with torch().no_grad():
        logits = network(as_torch(images))
    for hook in hooks:
        hook.remove()
    return getattr(logits, "logits", logits).numpy(), maps


def difference(ours, theirs):
    """The largest absolute difference of two arrays (2, ...) that tell their two images clearly apart."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    if theirs.shape != ours.shape and theirs.ndim == 4:
        theirs = theirs.transpose(0, 2, 3, 1)  # PyTorch's convolutions
    elif theirs.ndim == 3:  # tokens, behind a class token in ViT
        theirs = theirs[:, -ours.shape[1] * ours.shape[2] :].reshape(ours.shape)
    assert ours.shape == theirs.shape, f"{ours.shape} is no {theirs.shape}"
    apart = np.abs(theirs[0] - theirs[1]).max() / np.abs(theirs).max()
    assert apart > 0.02, "the reference hardly tells images apart: nothing is compared"
    return float(np.abs(ours - theirs).max())
