"""A trained model of clouds of points as one object that takes clouds, or files of them, and gives answers.

    model = tfdl.load("runs/solids_pointnet")
    for answer in model.predict(["cone.npy", "scans/"]):
        print(answer.path, answer.label, answer.probability)

A file is .npy, .npz or .bin, see `tfdl.core.clouds`.  A cloud of another size than the model's is brought to it: of
more points it takes some at random, always the same; of fewer a detector gets points that lie outside of everything,
and any other network some points twice, which changes no largest feature.
"""

from dataclasses import replace
from functools import partial
from itertools import islice

import numpy as np

from tfdl.core import clouds
from tfdl.core.batches import OUTSIDE
from tfdl.inference import inputs
from tfdl.inference.inputs import Broken
from tfdl.inference.kinds import ANSWERS


class CloudPredictor:
    """A model with what belongs to it.

    Attributes:
        path: of the file or SavedModel that runs.
        task: `tfdl.core.task.Task`: kind, labels, number of points.
        answers: the file of `tfdl.inference` for this kind of task.
    """

    found = staticmethod(partial(inputs.found, suffixes=clouds.SUFFIXES, what="cloud"))

    def __init__(self, path, backend, task):
        if backend.image_shape != (task.points, task.features):
            raise ValueError(
                f"{path} takes clouds {backend.image_shape}, but its task says {(task.points, task.features)}; one of"
                " them is from another model."
            )
        self.path, self.backend, self.task = path, backend, task
        self.answers = ANSWERS[task.kind]
        self.reader = self.answers.Reader(task, backend)

    def predict(self, clouds_or_paths, batch_size=32):
        """A result for each cloud, in their order.

        Args:
            clouds_or_paths: one cloud or many, each a path or an array (n, D) with the numbers that training had; or an
                array (B, n, D).  Folders and patterns stand for the clouds in them.

        Raises:
            ValueError: a cloud cannot be read; `stream` goes on after it.
        """
        results = []
        for result in self.stream(clouds_or_paths, batch_size):
            if isinstance(result, Broken):
                raise ValueError(f"{result.path} cannot be read: {result.reason}.")
            results.append(result)
        return results

    def stream(self, clouds_or_paths, batch_size=32):
        """The same one after the other; `Broken` in place of one that cannot be read."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give 1 or more.")
        is_one = isinstance(clouds_or_paths, str) or getattr(clouds_or_paths, "ndim", None) == 2
        prepared = map(self.prepared, inputs.each([clouds_or_paths] if is_one else clouds_or_paths, self.found))
        while batch := list(islice(prepared, batch_size)):
            yield from self.answered(batch)

    def answered(self, batch):
        """(path, cloud (n, D) or `Broken`) rows -> results in the same order."""
        whole = [cloud for _, cloud in batch if not isinstance(cloud, Broken)]
        fitted = [self.fitted(cloud) for cloud in whole]
        results = iter(self.reader(self.outputs(np.stack(fitted)), whole, fitted) if whole else ())
        for path, cloud in batch:
            yield cloud if isinstance(cloud, Broken) else replace(next(results), path=path)

    def outputs(self, points):
        """The network's own outputs: (B, N, D) as the network takes them -> {name: (B, ...) float32}."""
        return self.backend(np.asarray(points, "float32"))

    def prepared(self, item):
        """A path, an array or a `Broken` -> (path or None, cloud or `Broken`)."""
        if isinstance(item, Broken):
            return item.path, item
        if not isinstance(item, str):
            return None, self.columns(clouds.checked(item))
        try:
            return item, self.picture(item)
        except OSError as error:
            return item, Broken(item, (error.strerror or str(error)).lower())
        except ValueError as error:
            return item, Broken(item, str(error).rstrip("."))

    def picture(self, path):
        """The cloud in a file, with the numbers of a point that the model takes."""
        return self.columns(clouds.decoded(inputs.content(path), path))

    def columns(self, cloud):
        if cloud.shape[1] < self.task.features:
            raise ValueError(f"its points have {cloud.shape[1]} numbers, and the model takes {self.task.features}")
        return cloud[:, : self.task.features]

    def fitted(self, cloud):
        """A cloud (n, D) as the model takes it: (N, D)."""
        if self.task.kind != "point_detection":
            cloud = np.concatenate([clouds.normalized(cloud[:, :3]), cloud[:, 3:]], axis=1)
            return cloud[clouds.chosen(len(cloud), self.task.points)]
        rows = clouds.chosen(len(cloud), min(len(cloud), self.task.points))
        return np.pad(cloud[rows], [(0, self.task.points - len(rows)), (0, 0)], constant_values=OUTSIDE)
