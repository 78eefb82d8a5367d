"""Which regions of an image a prediction depends on, by the method that suits the network, and a test of the result.

Papers: Selvaraju et al. 2016, arXiv:1610.02391 (Grad-CAM); Abnar and Zuidema 2020, arXiv:2005.00928 (rollout).
Shapes: B batch, H W height and width of the images, h w of a map.
"""

import keras
import numpy as np

from tfdl.explain.filters import feature_maps
from tfdl.explain.grad_cam import grad_cam
from tfdl.explain.occlusion import hide, logits_of, occlusion, peaks
from tfdl.explain.rollout import attention_rollout, class_attention, is_transformer


def attribution(model, images, classes, *, layer=None):
    """Maps of the regions that speak for a class: Grad-CAM, or for a ViT attention rollout (the same for all classes).

    Args:
        model: images -> logits (B, num_classes).
        images: (B, H, W, C) as the model takes them.
        classes: (B,) the class to explain in each image.
        layer: the layer whose feature maps Grad-CAM weights; None: the last one.

    Returns:
        the method's name and the maps (B, h, w).

    Raises:
        ValueError: there is no such class or layer, or neither method supports the model.
    """
    if not is_transformer(model):
        return "Grad-CAM", grad_cam(model, images, classes, layer=layer)
    if layer:
        raise ValueError(f"{model.name!r} is a ViT, and attention rollout uses all its layers; do not name {layer!r}.")
    return "attention rollout", attention_rollout(model, images)


def explanations(model, images, classes, *, layer=None):
    """`attribution`, and `occlusion` to check it: method's name -> maps.  Arguments and errors as for `attribution`."""
    method, maps = attribution(model, images, classes, layer=layer)
    return {method: maps, "occlusion": occlusion(model, images, classes)}


def cases(model, image, others, labels, *, truth=None, likeliest=3, least=0.01):
    """The cases to explain: the most probable classes of one image, and the predicted class of each of the others.

    Args:
        image: (H, W, C).
        others: (N, H, W, C).
        labels: names of the classes.
        truth: (1 + N,) true class numbers of `image` and `others`, -1 where unknown; None: all are unknown.
        likeliest: the largest number of classes to explain for `image`.
        least: smallest probability of a further class of `image` to explain.

    Returns:
        images (B, H, W, C), classes (B,), and titles such as "cat 98%", with the true class below where it is known.

    Raises:
        ValueError: the number of labels is not the model's number of classes, or `truth` has a wrong length.
    """
    logits = logits_of(model, np.concatenate([[image], others]))
    probabilities = keras.ops.convert_to_numpy(keras.ops.softmax(logits))  # (1 + N, num_classes)
    if probabilities.shape[1] != len(labels):
        raise ValueError(
            f"{model.name!r} has {probabilities.shape[1]} classes, but the data has {len(labels)}; choose the data set"
            " that the model was trained on."
        )
    truth = np.full(len(probabilities), -1) if truth is None else np.asarray(truth)
    if truth.shape != (len(probabilities),):
        raise ValueError(f"Give one true class for each of the {len(probabilities)} images, not {truth.shape}.")
    ranked = probabilities.argsort(-1)[:, ::-1]
    first = [number for number in ranked[0, :likeliest] if probabilities[0, number] >= least] or [ranked[0, 0]]
    rows = [(0, number) for number in first] + [(i, ranked[i, 0]) for i in range(1, len(ranked))]
    titles = [describe(labels, number, probabilities[i, number], truth[i]) for i, number in rows]
    images = np.stack([image if i == 0 else others[i - 1] for i, _ in rows])
    return images, np.array([number for _, number in rows]), titles


def describe(labels, number, probability, truth):
    """ "cat 98%", and below it "true class: dog" unless that is unknown (-1)."""
    text = f"{labels[number]} {probability:.0%}"
    return text if truth < 0 else f"{text}\ntrue class: {labels[truth]}"


def inner_maps(model, image):
    """The feature maps or attention maps of one image (H, W, C), from the input on.

    Returns:
        for a convolutional network the last feature maps of each resolution, such as "1/4 resolution" -> (h, w, C); for
        a ViT "attention of block 1" and so on -> (h, w, heads).
    """
    if is_transformer(model):
        maps = class_attention(model, image[None]).values()
        return {f"attention of block {i}": values[0] for i, values in enumerate(maps, 1)}
    found = {}
    for values in feature_maps(model, image[None]).values():
        name = resolution(image, values)
        if name in found:  # both rounded to the same number, as 28 / 9 and 28 / 10
            name = f"{name} ({values.shape[1]} x {values.shape[2]})"
        found[name] = values[0]
    return found


def resolution(image, maps):
    """ "full resolution" or "1/4 resolution" of feature maps (1, h, w, C) of an image (H, W, C)."""
    down, across = (round(whole / part) for whole, part in zip(image.shape, maps.shape[1:3]))
    if down == across == 1:
        return "full resolution"
    return f"1/{down} resolution" if down == across else f"1/{down} x 1/{across} resolution"


def hiding_test(model, images, labels, *, seed, layer=None, side=None):
    """How often the predicted class changes when a square is masked: at the map's peak, and elsewhere.

    If a map locates the class, masking its peak changes the prediction more often than masking a random position.  In
    data sets that show every object in the center of the image, masking the center can change it even more often,
    especially where maps have few cells.

    Args:
        images, labels: (B, H, W, C) and (B,).
        seed: of the random positions, uniform in the image.
        layer: as for `attribution`.
        side: of the square in pixels; None: 3/8 of the shorter side of the image.

    Returns:
        {"accuracy", "changed_at_peak", "changed_at_center", "changed_at_random"}, fractions of the images.
    """
    height, width = images.shape[1:3]
    side = side or max(1, min(height, width) * 3 // 8)
    guesses = logits_of(model, images).argmax(-1)
    _, maps = attribution(model, images, guesses, layer=layer)
    anywhere = np.random.default_rng(seed).uniform(-0.5, (height - 0.5, width - 0.5), (len(images), 2))
    middle = np.full((len(images), 2), [(height - 1) / 2, (width - 1) / 2])
    places = {"peak": peaks(maps, height, width), "center": middle, "random": anywhere}
    changed = {
        f"changed_at_{name}": (logits_of(model, hide(images, x, side)).argmax(-1) != guesses)
        for name, x in places.items()
    }
    return {name: float(np.mean(x)) for name, x in {"accuracy": guesses == labels, **changed}.items()}
