"""One photograph from a file, in the shape that a model takes."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from tfdl.data import embedded
from tfdl.data.images import resized


def read_photo(file, image_shape):
    """The middle of a photograph, cut to the shape's proportions and resized.  -> `image_shape` (H, W, C) in [0, 1].

    Args:
        file: PNG, JPEG, BMP or GIF; "embedded" is the photograph that comes with scikit-learn.
        image_shape: height, width and 1 or 3 channels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no image, or the shape is none of an image.
    """
    if len(image_shape) != 3 or min(image_shape) < 1 or image_shape[2] not in (1, 3):
        raise ValueError(f"A photograph can't be made {tuple(image_shape)}: give height, width and 1 or 3 channels.")
    pixels = embedded.photo() if file == "embedded" else decoded(Path(file))
    scale = min(side / wanted for side, wanted in zip(pixels.shape, image_shape[:2]))
    cut = [max(1, round(wanted * scale)) for wanted in image_shape[:2]]
    top, left = ((side - kept) // 2 for side, kept in zip(pixels.shape, cut))
    middle = pixels[top : top + cut[0], left : left + cut[1]]
    return resized(tf.constant(middle), tuple(image_shape)).numpy().astype("float32") / np.float32(255)


def decoded(file):
    """(H, W, 3) uint8."""
    try:
        return tf.io.decode_image(file.read_bytes(), channels=3, expand_animations=False).numpy()
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no photograph {file}; give a file, or 'embedded'.") from None
    except tf.errors.InvalidArgumentError:
        raise ValueError(f"{file} is no image that can be read; give a PNG, JPEG, BMP or GIF file.") from None
