"""The reference libraries of the parity tests, their weights moved off the start, and what they compute.

Tests ask for a library through a function here, and are skipped where it is not installed.  Images are (B, H, W, C)
NumPy arrays on both sides; the change to PyTorch's (B, C, H, W) and back happens here.
"""

import functools
import importlib

import numpy as np
import pytest

from tfdl.interop.weights import load_weights

OPERATORS = {  # of torchvision; where its compiled part is absent they must be named for it to import, and never run
    "nms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "roi_align": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width,"
    " int sampling_ratio, bool aligned) -> Tensor",
    "roi_pool": "(Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width)"
    " -> (Tensor, Tensor)",
}


def compare(build, variant, reference, *, image_shape, layout="torchvision", modules, settled=False):
    """Our model with the weights of a PyTorch network: the largest difference of the logits and of each stride's map.

    Args:
        build: our builder; `variant` is the one that the reference is.
        modules: stride, as in the dict of maps, -> name of the reference's submodule that gives that map.
        settled: the reference's running statistics are those of images.  Some networks, depthwise ones above all,
            otherwise shrink what an image says from layer to layer, until all images look alike.

    Returns:
        dict: "logits" and each stride -> largest absolute difference over two random images.
    """
    randomize(reference)
    if settled:
        settle(reference, images_of(40, *image_shape, seed=1))
    classes = list(reference.parameters())[-1].shape[0]
    ours = build(variant, image_shape=image_shape, num_classes=classes, normalize=None)
    load_weights(ours, reference.state_dict(), layout=layout)
    features = build(variant, image_shape=image_shape, num_classes=None, normalize=None)
    features.set_weights(ours.get_weights()[: len(features.weights)])

    images = images_of(2, *image_shape)
    logits, maps = outputs(reference, images, modules.values())
    found = {stride: difference(x, maps[modules[stride]]) for stride, x in features(images).items()}
    return {"logits": difference(ours(images), logits), **found}


@functools.cache
def torchvision():
    """The package, with or without its compiled operators."""
    torch = pytest.importorskip("torch")
    try:
        return pytest.importorskip("torchvision")
    except RuntimeError:  # "operator torchvision::nms does not exist"
        operators = torch.library.Library("torchvision", "DEF")
        for name, signature in OPERATORS.items():
            operators.define(name + signature)
        package = importlib.import_module("torchvision")
        package.operators_of_the_tests = operators  # they live as long as this object
        return package


def randomize(network, seed=0):
    """A PyTorch network in inference mode, without a weight or statistic that is zero or one; returns it.

    A swap of two such tensors, or one that is never copied, then shows in the output.
    """
    torch = pytest.importorskip("torch")
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_mean.normal_(0, 0.1, generator=generator)
                module.running_var.uniform_(0.5, 1.5, generator=generator)
            if "Norm" in type(module).__name__ and getattr(module, "weight", None) is not None:
                module.weight.uniform_(0.5, 1.0, generator=generator)
            if getattr(module, "bias", None) is not None:
                module.bias.normal_(0, 0.1, generator=generator)
        for name, parameter in network.named_parameters():
            if not name.endswith(("weight", "bias")):  # class tokens, position tables
                parameter.normal_(0, 0.3, generator=generator)
            elif not parameter.any():
                parameter.normal_(0, 0.1, generator=generator)
    return network.eval()


def settle(network, images):
    """The running statistics of a PyTorch network become those of images (B, H, W, C), as after a step of training."""
    torch = pytest.importorskip("torch")
    norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0  # dropout stays off
    outputs(network, images)
    for norm, momentum in zip(norms, momenta):
        norm.eval().momentum = momentum


def images_of(*shape, seed=0):
    """(B, H, W, C) float32 in [0, 1], noise in a color of its own for each image, which survives all pooling."""
    rng = np.random.default_rng(seed)
    return (rng.random(shape) * rng.random((shape[0], 1, 1, shape[3]))).astype("float32")


def outputs(network, images, modules=()):
    """What a PyTorch network gives for images, and what some of its modules give on the way.

    Args:
        images: (B, H, W, C).
        modules: names of submodules, as in `named_modules`.

    Returns:
        logits (B, N), and a dict name -> map (B, H, W, C) of the modules.
    """
    torch = pytest.importorskip("torch")
    maps = {}

    def keep(name):
        return lambda module, _, output: maps.__setitem__(name, channels_last(output))

    hooks = [network.get_submodule(name).register_forward_hook(keep(name)) for name in modules]
    with torch.no_grad():
        logits = network(torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))).numpy()
    for hook in hooks:
        hook.remove()
    return logits, maps


def channels_last(tensor):
    return tensor.detach().numpy().copy().transpose(0, 2, 3, 1)


def difference(ours, theirs):
    """The largest absolute difference of two arrays (2, ...) that tell their two images apart."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape
    assert np.abs(theirs[0] - theirs[1]).max() > 1e-3, "the reference tells no images apart: nothing is compared"
    return np.abs(ours - theirs).max()
