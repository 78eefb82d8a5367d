"""A classifier's weights in the backbone of a detector or segmenter, which then learns from fewer pictures.

    tfdl.build("faster_rcnn", "small_images", backbone_weights="runs/pictures_resnet_18_quarter", num_classes=3)
    tfdl.build("deeplab", "v3plus_resnet18", backbone_weights="timm/resnet18.a1_in1k", num_classes=12)

Source: Girshick et al. 2014, arXiv:1311.2524, section 2.3: pre-training on classes, then training for regions.
"""

import math
import re
import sys
from inspect import signature
from pathlib import Path

import keras

from tfdl.core.config import choose_variant
from tfdl.core.files import model_file
from tfdl.core.outline import outline
from tfdl.core.saved import load_model
from tfdl.interop import own
from tfdl.interop.layouts import entries
from tfdl.interop.weights import (
    check_family,
    check_pixels,
    is_head,
    listed,
    published,
    put,
    read,
    recognized,
    usual_names,
)
from tfdl.layers.pixels import normalization_of
from tfdl.models.backbones import BUILDERS, backbone_of


def load_backbone(model, builder, variant, source):
    """Puts the weights of a classifier into the backbone of `model`, all that it has or, on any error, none.

    What stands on top of the classifier is left out: its head, and whole stages that the backbone does without.

    Args:
        model: that `builder` has made of `variant` (None: the builder's default).
        source: a classifier of the backbone's family: a run folder, a file, or a name of published weights.

    Returns:
        a sentence that says how many weights were taken.

    Raises:
        ValueError: the model has no classifier's backbone; the source is of another family or variant, or was trained
            on pixels normalized in another way; or see `load_weights`.
        FileNotFoundError, ImportError, ConnectionError: as `load_weights`.
    """
    config = backbone_config(builder, variant)
    family = BUILDERS[type(config)].__name__
    backbone = backbone_in(model, config)
    check_source(source, family, normalization_of(model))
    weights = read(source)
    arrays = weights.arrays
    try:
        layout = weights.layout or recognized(arrays, backbone, family)
        wanted = entries(backbone, layout, family)
        names, _ = usual_names(arrays, layout, wanted)
        taken = {entry.named_in(names) for entry in wanted}
        of_head = {entry.named_in(names) for entry in wanted if is_head(entry)}
        check_whole(names, taken - of_head, arrays, source)
        put(weights, backbone, family, skip_head=True)
    except ValueError as error:
        reason = str(error).partition("\nBuild the variant")[0]
        raise ValueError(
            f"{source} does not fit the backbone of this {builder.__name__}, a {family} with the configuration"
            f" {config}: {reason}"
        ) from error
    count = sum(math.prod(weight.shape) for weight in backbone.weights)
    return (
        f"The backbone, a {family}, has its {count:,} weights from {weights.source}; the other"
        f" {model.count_params() - count:,} weights of this {builder.__name__} are new."
    )


def backbone_config(builder, variant):
    """The configuration of the backbone in a row of a builder's VARIANTS, or in a config of one's own."""
    table = getattr(sys.modules[builder.__module__], "VARIANTS", {})
    variant = signature(builder).parameters["variant"].default if variant is None else variant
    config = getattr(choose_variant(variant, table, model=builder.__name__), "backbone", None)
    if type(config) not in BUILDERS:
        families = ", ".join(made.__name__ for made in BUILDERS.values())
        raise ValueError(
            f"{builder.__name__} has no classifier as its backbone, so it takes no backbone weights; choose a detector"
            f" or segmenter on one of {families}, such as faster_rcnn or deeplab."
        )
    return config


def backbone_in(model, config):
    """The part of a detector or segmenter that is its backbone, with the same variables and the family's name.

    Builders of detectors put the layers of the classifier's family into their own graph, under the same names.
    """
    shape = model.get_layer("images").output.shape[1:]  # the network may have other inputs
    bare = outline(backbone_of, config, image_shape=shape, normalize=normalization_of(model))
    known = {layer.name for layer in bare.layers}
    outputs = {layer.name: layer.output for layer in model.layers if layer.name in known}
    return keras.Model(model.inputs, outputs, name=BUILDERS[type(config)].__name__)


def check_source(source, family, normalize):
    """Raises ValueError for weights of another family, or of a model that normalizes its pixels in another way."""
    if found := published(source):
        check_family(found, family)
        check_pixels(found.preset, normalize)
    elif own.is_own(source):
        model = load_model(model_file(Path(source)))
        if model.name != family:
            raise ValueError(f"{source} holds a {model.name}, and this backbone is a {family}; give a {family}.")
        if normalization_of(model) != normalize:
            raise ValueError(
                f"{source} was trained with normalize={normalization_of(model)!r}, and this model has {normalize!r};"
                " build it with the same."
            )


def check_whole(names, taken, arrays, source):
    """Raises ValueError where a stage of the source has more in it than the backbone has a place for.

    A stage is what the names of its weights say up to the first number: "stage1" of "stage1_block0_conv1_conv/kernel".
    """
    stages = {stage_of(name) for name in taken if name}
    strays = [name for name in names if name not in taken and stage_of(name) in stages - {None}]
    if strays:
        complaints = [f"unexpected {name} {arrays.shapes[names[name]]}" for name in strays]
        raise ValueError(listed(complaints))


def stage_of(name):
    """The beginning of a name up to its first number, or None."""
    found = re.match(r"\D*\d+", name)
    return found and found.group()
