"""Where does a classifier look?  The method that fits the network, and a test of what it says.

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
    """Where the class was found: Grad-CAM, or of a ViT attention rollout, which is the same for all classes.

    Args:
        model: images -> logits (B, num_classes).
        images: (B, H, W, C) as the model takes them.
        classes: (B,) the class to explain in each image.
        layer: whose maps Grad-CAM weighs; None: the last ones.

    Returns:
        the method's name and the maps (B, h, w).

    Raises:
        ValueError: there is no such class or layer, or neither method fits the model.
    """
    if not is_transformer(model):
        return "Grad-CAM", grad_cam(model, images, classes, layer=layer)
    if layer:
        raise ValueError(f"{model.name!r} is a ViT, and attention rollout reads all its layers: leave out {layer!r}.")
    return "attention rollout", attention_rollout(model, images)


def explanations(model, images, classes, *, layer=None):
    """`attribution` and, to check it, `occlusion`: method's name -> maps.  Arguments and errors are `attribution`'s."""
    method, maps = attribution(model, images, classes, layer=layer)
    return {method: maps, "occlusion": occlusion(model, images, classes)}


def cases(model, image, others, labels, *, likeliest=3):
    """What is worth explaining: several classes of one image, and the likeliest of each of the others.

    Args:
        image: (H, W, C).    others: (N, H, W, C).
        labels: names of the classes.
        likeliest: classes of `image`, fewer if there are fewer.

    Returns:
        images (B, H, W, C), classes (B,), and titles such as "cat 98%".

    Raises:
        ValueError: the model knows another number of classes than there are labels.
    """
    images = np.concatenate([[image] * min(likeliest, len(labels)), others])
    shares = keras.ops.convert_to_numpy(keras.ops.softmax(logits_of(model, images)))  # (B, num_classes)
    if shares.shape[1] != len(labels):
        raise ValueError(
            f"{model.name!r} tells {shares.shape[1]} classes apart, but the data has {len(labels)}: name the set that"
            " the model was trained on."
        )
    ranked = shares.argsort(-1)[:, ::-1]
    count = len(images) - len(others)
    classes = np.concatenate([ranked[0, :count], ranked[count:, 0]])
    titles = [f"{labels[number]} {share[number]:.0%}" for number, share in zip(classes, shares)]
    return images, classes, titles


def inner_maps(model, image):
    """What one image (H, W, C) becomes inside: name -> (h, w, C) at each resolution, or (h, w, heads) of each block."""
    maps = (class_attention if is_transformer(model) else feature_maps)(model, image[None])
    return {name: values[0] for name, values in maps.items()}


def hiding_test(model, images, labels, *, seed, layer=None, side=None):
    """How often the predicted class changes when a square is painted over: at the map's peak, and elsewhere.

    Maps that tell where the class is change it more often than random places do.  The middle is a rival where sets
    show every object there: then it can win, above all against maps of few cells.

    Args:
        images, labels: (B, H, W, C) and (B,).
        seed: of the random places, uniform in the image.
        layer: as for `attribution`.
        side: of the square in pixels; None: 3/8 of the shorter side of the image.

    Returns:
        {"accuracy", "changed_at_peak", "changed_at_center", "changed_at_random"}, shares of the images.
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
