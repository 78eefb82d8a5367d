"""A classifier that was trained before gives its backbone to detectors and segmenters, whole or not at all."""

from dataclasses import replace

import keras
import numpy as np
import pytest

import tfdl
from tests.interop.test_own import run_folder
from tfdl.interop.weights import save_weights
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.models.detection.detr import VARIANTS as DETRS
from tfdl.models.segmentation.fcn import FCNConfig

SHAPE = (64, 96, 3)


def classifier(config="nano", **options):
    """With moving statistics and biases that are not those of a new network."""
    keras.utils.set_random_seed(7)
    model = tfdl.build("resnet", config, **{"image_shape": (32, 32, 3), "num_classes": 5, **options})
    for weight in model.weights:
        weight.assign(weight + keras.random.uniform(weight.shape, 0.1, 0.2, seed=1))
    return model


@pytest.fixture(scope="module")
def trained():
    return classifier()


@pytest.fixture(scope="module")
def run(trained, tmp_path_factory):
    return run_folder(trained, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def theirs(trained):
    """Path -> values of all weights but the head's."""
    return {w.path: w.numpy() for w in trained.weights if not w.path.startswith("logits")}


@pytest.mark.parametrize("key", ["faster_rcnn", "mask_rcnn", "detr", "solo", "deeplab", "fcn"])
def test_every_weight_of_the_backbone_is_the_classifier_s(key, run, theirs, capsys):
    """Also those of a dilated backbone, and no part but the backbone has such names."""
    model = tfdl.build(key, "nano", image_shape=SHAPE, num_classes=2, backbone_weights=str(run))
    taken = {w.path: w for w in model.weights if w.path in theirs}
    assert len(taken) == len(theirs)
    assert all(np.array_equal(taken[path], value) for path, value in theirs.items())
    count = sum(value.size for value in theirs.values())
    rest = model.count_params() - count
    said = f"has its {count:,} weights from {run}; the other {rest:,} weights of this {key} are new."
    assert f"The backbone, a resnet, {said}" in capsys.readouterr().out


def test_names_of_other_libraries_are_known(trained, tmp_path):
    file = tmp_path / "theirs.safetensors"
    save_weights(trained, file, layout="torchvision")
    model = tfdl.build("fcn", "nano", image_shape=SHAPE, num_classes=2, backbone_weights=file)
    for path in ("stem_conv", "stage4_block0_conv3_norm"):
        pairs = zip(model.get_layer(path).weights, trained.get_layer(path).weights)
        assert all(np.array_equal(ours, theirs) for ours, theirs in pairs)


def test_stages_that_the_backbone_does_without_are_left_out(run, theirs):
    shorter = replace(RESNETS["nano"], blocks=(2, 1, 1))
    detr = replace(DETRS["nano"], backbone=shorter)
    model = tfdl.build("detr", detr, image_shape=SHAPE, num_classes=2, backbone_weights=run)
    taken = {w.path: w for w in model.weights if w.path in theirs}
    assert len(taken) == sum("stage4" not in path for path in theirs)
    assert all(np.array_equal(value, theirs[path]) for path, value in taken.items())


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"blocks": (2, 1, 1)}, "missing stage4_block0"),
        ({"blocks": (2, 2, 1, 1)}, "unexpected stage2_block1"),
        ({"channels": 8}, "is .* and should be"),
    ],
)
def test_another_variant_is_refused_whole(changes, reason, tmp_path):
    run = run_folder(classifier(replace(RESNETS["nano"], **changes)), tmp_path / "run")
    with pytest.raises(ValueError, match=f"run does not fit the backbone of this fcn, a resnet (?s:.*){reason}"):
        tfdl.build("fcn", "nano", image_shape=SHAPE, num_classes=2, backbone_weights=run)


def test_what_cannot_be_a_backbone_is_one_sentence(run, tmp_path):
    build = dict(image_shape=SHAPE, num_classes=2)
    with pytest.raises(ValueError, match="yolo_v8 has no classifier as its backbone"):
        tfdl.build("yolo_v8", "nano", backbone_weights=run, **build)
    with pytest.raises(ValueError, match="give one: the first has a backbone too"):
        tfdl.build("fcn", "nano", weights=run, backbone_weights=run, **build)
    other = tfdl.build("mobilenet", "nano", image_shape=(32, 32, 3), num_classes=2)
    with pytest.raises(ValueError, match="holds a mobilenet, and this backbone is a resnet"):
        tfdl.build("fcn", "nano", backbone_weights=run_folder(other, tmp_path / "other"), **build)
    with pytest.raises(ValueError, match="weights of a densenet, not of a resnet"):
        tfdl.build("fcn", "nano", backbone_weights="timm/densenet121.tv_in1k", **build)
    with pytest.raises(ValueError, match="trained with normalize='imagenet', and this model has 'unit'"):
        tfdl.build("fcn", FCNConfig(backbone=RESNETS["nano"]), backbone_weights=run, normalize="unit", **build)
    with pytest.raises(FileNotFoundError):
        tfdl.build("fcn", "nano", backbone_weights=tmp_path / "nothing", **build)
