"""What a trained model predicts and how its input is prepared, stored beside the weights.

A run folder has it as task.json, an export folder in report.json under "task".
"""

import dataclasses
import math
from numbers import Integral, Real
from pathlib import PurePath

OF_CLOUDS = ("point_classification", "point_segmentation", "point_detection")
OF_TEXTS = ("text_classification", "text_generation", "question_answering", "masked_words", "tagging")
KINDS = ("classification", "detection", "segmentation", "pose", *OF_CLOUDS, *OF_TEXTS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """The task of a model.

    Attributes:
        kind: one of `KINDS`; it selects the module of `tfdl/inference/` that turns outputs into predictions.
        labels: class names in the order of the outputs, of poses those of the key points; empty if unknown.
        lines: of poses: pairs of key points that are joined in a drawing.
        image_shape: (height, width, channels) of the input.
        input_range: smallest and largest value of a pixel in the model's input.
        tokenizer: of texts: the name of the file beside this one that turns them into tokens.
        length: of texts: the most tokens that the model sees, special ones included.
        padding: the token behind a text's end.
        template: of conversations: what stands before a turn, with {role}; the token that ends it; what stands behind.
        abstains: of questions: whether a paragraph may hold no answer.
        points: of clouds: the number of points that the model takes.
        features: of clouds: the numbers of a point, x, y, z first.
        resize: how pictures are resized to `image_shape`, see `tfdl.core.pictures`: "stretch" ignores proportions.

    Raises:
        ValueError: an invalid value, which the message names.
    """

    kind: str = "classification"
    labels: tuple[str, ...] = ()
    lines: tuple[tuple[int, int], ...] = ()
    image_shape: tuple[int, int, int] | None = None
    input_range: tuple[float, float] = (0.0, 1.0)
    resize: str = "stretch"
    tokenizer: str | None = None
    length: int | None = None
    padding: int = 0
    template: tuple[str, str, str] | None = None
    abstains: bool = False
    points: int | None = None
    features: int = 3

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"There is no task {self.kind!r}; tfdl has {', '.join(KINDS)}.")
        if not is_tuple(self.labels, str):
            raise ValueError(f"labels is {self.labels!r}; give a tuple of class names.")
        if not is_tuple(self.lines, tuple) or not all(
            is_tuple(line, Integral, 2) and min(line) >= 0 for line in self.lines
        ):
            raise ValueError(f"lines is {self.lines!r}; give pairs of numbers of key points.")
        shape = self.image_shape
        if shape is not None and not (is_tuple(shape, Integral, 3) and min(shape) >= 1):
            raise ValueError(f"image_shape is {shape!r}; give (height, width, channels), each 1 or more.")
        limits = self.input_range
        if not is_tuple(limits, Real, 2) or not all(map(math.isfinite, limits)) or limits[0] >= limits[1]:
            raise ValueError(f"input_range is {limits!r}; give the smallest and the largest value of a pixel.")
        if not isinstance(self.resize, str):
            raise ValueError(f"resize is {self.resize!r}; give a name such as 'stretch'.")
        if self.kind in OF_TEXTS:
            self.check_texts()
        if self.kind in OF_CLOUDS:
            self.check_clouds()

    def check_clouds(self):
        """Raises ValueError unless there is what clouds of points need."""
        for name, value, least in (("points", self.points, 1), ("features", self.features, 3)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} is {value!r}; give a whole number from {least} on.")

    def check_texts(self):
        """Raises ValueError unless there is what texts need."""
        if not isinstance(self.tokenizer, str) or self.tokenizer != PurePath(self.tokenizer).name:
            raise ValueError(f"tokenizer is {self.tokenizer!r}; give the name of a file, such as tokenizer.json.")
        for name, value, least in (("length", self.length, 1), ("padding", self.padding, 0)):
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                raise ValueError(f"{name} is {value!r}; give a whole number from {least} on.")
        if self.template is not None and not (is_tuple(self.template, str, 3) and "{role}" in self.template[0]):
            raise ValueError(
                f"template is {self.template!r}; give what stands before a turn, its end, and what follows."
            )
        if not isinstance(self.abstains, bool):
            raise ValueError(f"abstains is {self.abstains!r}; give True or False.")

    def to_json(self):
        """A dict for `json.dumps`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, value):
        """The inverse of `to_json`.

        Raises:
            ValueError: `value` does not describe a task.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(value, dict) or set(value) - fields:
            raise ValueError(f"{value!r} does not describe a task, whose fields are {', '.join(sorted(fields))}.")
        return cls(**{name: frozen(item) for name, item in value.items()})


def frozen(value):
    """Lists as tuples, those inside of them too."""
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


def is_tuple(value, kind, length=None):
    """Whether it is a tuple of `kind` (bools do not count as numbers), and of this length if one is given."""
    return (
        isinstance(value, tuple)
        and all(isinstance(item, kind) and not isinstance(item, bool) for item in value)
        and length in (None, len(value))
    )
