"""Image sets that are part of an installed package and need no download.

`digits`: 1,797 handwritten digits of 8x8 pixels, from 43 writers; scikit-learn's copy of the test part of
"Optical Recognition of Handwritten Digits", Alpaydin and Kaynak 1998, UCI Machine Learning Repository.
`photo`: a single photograph, not a data set.
"""

import numpy as np
from sklearn.datasets import load_digits, load_iris, load_sample_image

SPLITS = ("train", "validation", "test")
PATTERN = (0, 0, 0, 0, 0, 0, 0, 1, 2, 2)  # splits of a class's examples in stored order: 7 train, 1 validation, 2 test


def digits():
    """Split name -> (images (N, 8, 8, 1) uint8, labels (N) int32), and the ten class names.

    Pixels are scaled from 0..16 to 0..255.  The split is stratified and fixed.
    """
    bunch = load_digits()
    images = np.round(bunch.images[..., None] * (255 / 16)).astype("uint8")
    labels = bunch.target.astype("int32")
    rank = np.zeros(len(labels), "int64")  # of an example within its class
    for label in range(10):
        members = labels == label
        rank[members] = np.arange(members.sum())
    part = np.array(PATTERN)[rank % len(PATTERN)]
    splits = {name: (images[part == i], labels[part == i]) for i, name in enumerate(SPLITS)}
    return splits, tuple(str(digit) for digit in range(10))


def photo():
    """A photograph of the Summer Palace in Beijing, (427, 640, 3) uint8 RGB: scikit-learn's sample china.jpg.

    By danielbuechele, flickr.com/photos/danielbuechele/6061409035; scikit-learn states "released under a creative
    commons license", CC BY 2.0 (creativecommons.org/licenses/by/2.0), "some rights reserved".
    """
    return load_sample_image("china.jpg")


EMBEDDED = {"digits": digits}


def iris():
    """Points (150, 4) float64 in cm, species (150) int32, and the three names: Fisher 1936, Annals of Eugenics 7(2).

    Features: length and width of the sepals, length and width of the petals.  50 flowers each of setosa, versicolor
    and virginica; setosa is linearly separable from the other two, but these are not separable from each other.
    """
    bunch = load_iris()
    return bunch.data.astype("float64"), bunch.target.astype("int32"), tuple(map(str, bunch.target_names))
