"""Clouds of points: how files of them are read, and how one is brought to the size and place that a model wants.

Shapes: n points of a cloud, D numbers of a point, N points that a model takes.
"""

import io
import zipfile

import numpy as np

SUFFIXES = (".npy", ".npz", ".bin")
KITTI = 4  # numbers of a point in its files .bin: x, y, z, reflectance
ARRAY = "points"  # the array of a .npz that has several


def decoded(content, name):
    """The cloud in the bytes of a file.  -> (n, D) float32

    Args:
        content: of .npy, one array (n, D); of .npz, the array "points", or its only one; of .bin, float32 numbers, four
            of a point one after the other, as KITTI stores them.
        name: of the file; its ending says which.

    Raises:
        ValueError: it is none of these, or no finite points with three numbers or more.
    """
    suffix = name[name.rfind(".") :].lower()
    try:
        if suffix == ".bin":
            cloud = np.frombuffer(content, "<f4").reshape(-1, KITTI)
        elif suffix in (".npy", ".npz"):
            cloud = np.load(io.BytesIO(content), allow_pickle=False)
        else:
            raise ValueError(f"a cloud is a file {', '.join(SUFFIXES)}")
        if suffix == ".npz":
            with cloud as arrays:
                if ARRAY not in arrays.files and len(arrays.files) != 1:
                    raise ValueError(f"it has no array {ARRAY!r} but {', '.join(arrays.files) or 'none'}")
                cloud = arrays[ARRAY if ARRAY in arrays.files else arrays.files[0]]
    except (EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"it is no file {suffix} ({error})") from error
    return checked(cloud)


def checked(cloud):
    """The cloud as (n, D) float32.  Raises ValueError unless it is finite points of three numbers or more."""
    cloud = np.asarray(cloud)
    if cloud.ndim != 2 or cloud.shape[1] < 3 or not len(cloud) or cloud.dtype.kind not in "fiu":
        raise ValueError(f"a cloud is (points, 3 or more numbers), this is {cloud.shape} of {cloud.dtype}")
    cloud = cloud.astype("float32")
    if not np.isfinite(cloud).all():
        raise ValueError("it has points that are not finite; leave them out")
    return cloud


def normalized(clouds):
    """Centers at 0, the farthest point of each at 1.  (..., n, 3) -> same, float32"""
    clouds = clouds - clouds.mean(-2, keepdims=True)
    radius = np.sqrt((clouds**2).sum(-1)).max(-1)
    return (clouds / np.maximum(radius, 1e-9)[..., None, None]).astype("float32")


def chosen(count, size):
    """The rows of `size` points of a cloud of `count`, always the same: of more in random order, of fewer all, then
    from the start again.  -> (size) int"""
    order = np.random.default_rng(0).permutation(count)
    return order[np.arange(size) % count]
