"""One photograph from a file, in the shape that a model expects."""

from pathlib import Path

import numpy as np

from tfdl.core import pictures
from tfdl.data import embedded


def read_photo(file, image_shape):
    """The center of a photograph, cropped to the proportions of `image_shape` and resized.  -> (H, W, C) in [0, 1].

    Args:
        file: in a format that `core.pictures` reads; "embedded" is the photograph that comes with scikit-learn.
        image_shape: height, width and 1 or 3 channels.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not a readable image, or the shape is not that of an image.
    """
    if len(image_shape) != 3 or min(image_shape) < 1 or image_shape[2] not in (1, 3):
        raise ValueError(
            f"A photograph can't be resized to {tuple(image_shape)}: give height, width and 1 or 3 channels."
        )
    shape = tuple(image_shape)
    if file == "embedded":
        pixels = pictures.resize(embedded.photo(), shape, "crop")
    elif not Path(file).is_file():
        raise FileNotFoundError(f"There is no photograph {file}; give a file, or 'embedded'.")
    elif reason := pictures.complaint(file):
        raise ValueError(f"{file} cannot be read as an image ({reason}); give a PNG, JPEG, WebP or TIFF file.")
    else:
        pixels = pictures.read(str(file), shape, "crop")
    return pixels.numpy().astype("float32") / np.float32(255)
