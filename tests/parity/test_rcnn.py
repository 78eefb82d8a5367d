"""Faster and Mask R-CNN give what torchvision's networks give: up to the proposals, and from the same RoI features.

Suppression has no part in this: torchvision's needs its compiled operators.  What is compared behind it starts with
boxes of ours.
"""

import importlib

import keras
import numpy as np
import pytest

import tfdl
from tests.parity.references import as_torch, images_of, many_images, randomize, torch, torchvision
from tfdl.models.detection.faster_rcnn import detections_of
from tfdl.ops.boxes import decode
from tfdl.ops.roi_align import roi_align

pytestmark = pytest.mark.parity

SHAPE = (96, 128)
CLASSES = 6


def torch_of(x):
    return torch().from_numpy(np.ascontiguousarray(np.asarray(x)))


@pytest.fixture(scope="module", params=["faster_rcnn", "mask_rcnn"])
def pair(request):
    """Their network with random weights and the statistics of images, ours with its weights, and two pictures."""
    name = request.param.replace("_", "") + "_resnet50_fpn"
    theirs = getattr(torchvision().models.detection, name)(weights=None, weights_backbone=None, num_classes=1 + CLASSES)
    misc = torchvision().ops.misc
    replaced(theirs.backbone.body, misc.FrozenBatchNorm2d)
    randomize(theirs)
    hooks = [
        module.register_forward_pre_hook(settle)
        for module in theirs.modules()
        if isinstance(module, misc.FrozenBatchNorm2d)
    ]
    with torch().no_grad():
        theirs.backbone(as_torch(many_images(*SHAPE, 3)))
    for hook in hooks:
        hook.remove()
    ours = tfdl.build(request.param, image_shape=(*SHAPE, 3), normalize=None, num_classes=CLASSES)
    tfdl.load_weights(ours, theirs.state_dict(), layout="torchvision")
    return theirs, ours, images_of(2, *SHAPE, 3)


def replaced(module, norm):
    """Frozen norms in the place of others, as torchvision has them in pretrained detectors."""
    for name, child in module.named_children():
        if isinstance(child, torch().nn.BatchNorm2d):
            setattr(module, name, norm(child.num_features, eps=child.eps))
        else:
            replaced(child, norm)


def settle(norm, inputs):
    (x,) = inputs
    norm.running_mean.copy_(x.mean((0, 2, 3)))
    variance = x.var((0, 2, 3))
    norm.running_var.copy_(variance + variance.mean() / 100)


def test_maps_objectness_offsets_and_decoded_anchors_are_theirs(pair):
    theirs, ours, images = pair
    outputs = ours(images)
    with torch().no_grad():
        maps = theirs.backbone(as_torch(images))
        levels = list(maps.values())
        objectness, offsets = theirs.rpn.head(levels)
        image_list = torchvision().models.detection.image_list.ImageList(as_torch(images), [SHAPE] * 2)
        anchors = theirs.rpn.anchor_generator(image_list, levels)
        from_rpn = importable("models.detection.rpn").concat_box_prediction_layers(objectness, offsets)
        decoded = theirs.rpn.box_coder.decode(from_rpn[1], anchors).numpy()
    flat = from_rpn[0].numpy().reshape(2, -1)
    assert np.abs(flat[0] - flat[1]).max() > 0.02 * np.abs(flat).max()
    np.testing.assert_allclose(outputs["objectness"], flat, atol=1e-4 * max(1, np.abs(flat).max()))
    theirs_offsets = from_rpn[1].numpy().reshape(2, -1, 4)
    np.testing.assert_allclose(
        outputs["anchor_offsets"], theirs_offsets, atol=1e-4 * max(1, np.abs(theirs_offsets).max())
    )
    layer = ours.get_layer("proposals")
    np.testing.assert_array_equal(layer.anchors, anchors[0].numpy())
    np.testing.assert_allclose(decode(theirs_offsets, layer.anchors), decoded.reshape(2, -1, 4), rtol=1e-4, atol=1e-3)


def importable(name):
    torchvision()
    return importlib.import_module(f"torchvision.{name}")


def regions():
    """Boxes (2, 5, 4) inside of a picture of 512 x 640, of sizes for different levels."""
    low = np.random.default_rng(0).uniform(0, 60, (2, 5, 2))
    size = np.array([3, 20, 120, 240, 450])[:, None] * np.ones(2)
    return np.concatenate([low, low + size], -1).astype("float32")


def test_rois_are_theirs():
    rng = np.random.default_rng(1)
    maps = [rng.normal(size=(2, 512 // s, 640 // s, 4)).astype("float32") for s in (4, 8, 16, 32)]
    boxes = regions()
    found = np.array(roi_align(maps, boxes, (4, 8, 16, 32)))
    align = importable("ops.roi_align")
    mapper = importable("ops.poolers").LevelMapper(2, 5)
    level = mapper([torch_of(b) for b in boxes]).numpy().reshape(2, 5)
    assert set(level.ravel()) == {0, 1, 2, 3}
    for picture, row in np.ndindex(2, 5):
        n = level[picture, row]
        rois = torch_of(np.concatenate([[picture], boxes[picture, row]])[None].astype("float32"))
        expected = plain_align(align)(as_torch(maps[n]), rois, 1 / 2 ** (n + 2), 7, 7, 2, False).numpy()
        np.testing.assert_allclose(found[picture, row], expected[0].transpose(1, 2, 0), atol=1e-5)


def plain_align(module):
    """torchvision's own program of RoIAlign, without its compiler."""
    return getattr(module._roi_align, "__wrapped__", module._roi_align)


def test_box_head_is_theirs(pair):
    theirs, ours, _ = pair
    count = ours.get_layer("roi_flat").input.shape[1]
    features = np.random.default_rng(2).normal(size=(1, count, 7, 7, 256)).astype("float32")
    head = keras.Model(
        ours.get_layer("roi_flat").input, [ours.get_layer("logits").output, ours.get_layer("box_rows").output]
    )
    logits, offsets = (np.array(x)[0] for x in head(features))
    with torch().no_grad():
        x = torch_of(features[0].transpose(0, 3, 1, 2))
        expected = theirs.roi_heads.box_predictor(theirs.roi_heads.box_head(x))
    scale = max(1.0, float(expected[0].abs().max()))
    np.testing.assert_allclose(logits, expected[0].numpy(), atol=1e-4 * scale)
    scale = max(1.0, float(expected[1].abs().max()))
    np.testing.assert_allclose(offsets.reshape(count, -1), expected[1].numpy(), atol=1e-4 * scale)


def test_mask_head_is_theirs(pair):
    theirs, ours, _ = pair
    if ours.name != "mask_rcnn":
        pytest.skip("Faster R-CNN has no masks")
    count = ours.get_layer("mask_align").output.shape[1]
    features = np.random.default_rng(3).normal(size=(1, count, 14, 14, 256)).astype("float32")
    x = features[0]
    for name in ("mask_conv1", "mask_conv2", "mask_conv3", "mask_conv4", "mask_up", "mask_logits"):
        x = ours.get_layer(name)(x)
    with torch().no_grad():
        y = theirs.roi_heads.mask_head(torch_of(features[0].transpose(0, 3, 1, 2)))
        expected = theirs.roi_heads.mask_predictor(y).numpy()
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(np.array(x).transpose(0, 3, 1, 2), expected, atol=1e-4 * scale)


def test_detections_are_theirs_with_a_plain_suppression(pair, monkeypatch):
    theirs, _, _ = pair
    rng = np.random.default_rng(4)
    boxes = regions()[:1, :3]
    logits = rng.normal(0, 2, (1, 3, 1 + CLASSES)).astype("float32")
    offsets = rng.normal(0, 0.5, (1, 3, 1 + CLASSES, 4)).astype("float32")
    found = detections_of(logits, offsets, boxes, SHAPE, iou_threshold=1.0)
    boxes_module = importable("models.detection.roi_heads").box_ops
    monkeypatch.setattr(boxes_module, "batched_nms", lambda boxes, scores, *others: scores.argsort(descending=True))
    expected = theirs.roi_heads.postprocess_detections(
        torch_of(logits[0]), torch_of(offsets[0].reshape(3, -1)), [torch_of(boxes[0])], [SHAPE]
    )
    count = len(expected[1][0])
    assert count > 5 and (np.array(found["labels"])[0, count:] == -1).all()
    np.testing.assert_allclose(found["scores"][0, :count], expected[1][0].numpy(), atol=1e-5)
    np.testing.assert_array_equal(found["labels"][0, :count], expected[2][0].numpy() - 1)
    np.testing.assert_allclose(found["boxes"][0, :count], expected[0][0].numpy(), atol=1e-3)


def test_counts_and_names_go_back(pair, tmp_path):
    theirs, ours, _ = pair
    tfdl.save_weights(ours, tmp_path / "back.safetensors", layout="torchvision")
    again = tfdl.build(ours.name, image_shape=(*SHAPE, 3), normalize=None, weights=str(tmp_path / "back.safetensors"))
    assert again.get_layer("logits").units == 1 + CLASSES  # the file tells the number of classes
    norms = [layer for layer in again.layers if isinstance(layer, keras.layers.BatchNormalization)]
    total = sum(w.shape.num_elements() for w in again.weights) - sum(
        w.shape.num_elements() for n in norms for w in n.weights
    )
    assert total == sum(p.numel() for p in theirs.parameters())
