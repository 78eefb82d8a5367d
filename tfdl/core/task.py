"""What a trained model answers, and how its input is prepared: kept beside the weights, so that nobody has to guess.

A run folder holds it as task.json, an export folder in report.json under "task".
"""

import dataclasses
import math
from numbers import Integral, Real

KINDS = ("classification",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """The job of a model.

    Attributes:
        kind: one of `KINDS`; it chooses the file of `tfdl/inference/` that turns outputs into answers.
        labels: class names in the order of the outputs; empty where they are unknown.
        image_shape: (height, width, channels) of the input.
        input_range: smallest and largest value of a pixel as the model takes it.
        resize: how pictures come to `image_shape`, see `tfdl.core.pictures`: "stretch" ignores proportions.

    Raises:
        ValueError: a value that describes no task; the message names it.
    """

    kind: str = "classification"
    labels: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] | None = None
    input_range: tuple[float, float] = (0.0, 1.0)
    resize: str = "stretch"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"There is no task {self.kind!r}; tfdl knows {', '.join(KINDS)}.")
        if not is_tuple(self.labels, str):
            raise ValueError(f"labels is {self.labels!r}; give a tuple of class names.")
        shape = self.image_shape
        if shape is not None and not (is_tuple(shape, Integral, 3) and min(shape) >= 1):
            raise ValueError(f"image_shape is {shape!r}; give (height, width, channels), each 1 or more.")
        limits = self.input_range
        if not is_tuple(limits, Real, 2) or not all(map(math.isfinite, limits)) or limits[0] >= limits[1]:
            raise ValueError(f"input_range is {limits!r}; give the smallest and the largest value of a pixel.")
        if not isinstance(self.resize, str):
            raise ValueError(f"resize is {self.resize!r}; give a name such as 'stretch'.")

    def to_json(self):
        """A dict that `json.dumps` takes."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value):
        """The inverse of `to_json`.

        Raises:
            ValueError: `value` comes from elsewhere and does not describe a task.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(value, dict) or set(value) - fields:
            raise ValueError(f"{value!r} describes no task; a task has the fields {', '.join(sorted(fields))}.")
        return cls(**{name: tuple(item) if isinstance(item, list) else item for name, item in value.items()})


def is_tuple(value, kind, length=None):
    """Whether it is a tuple of `kind` (True and False are no numbers), of this length if one is given."""
    return (
        isinstance(value, tuple)
        and all(isinstance(item, kind) and not isinstance(item, bool) for item in value)
        and length in (None, len(value))
    )
