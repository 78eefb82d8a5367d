"""What a trained model answers, and how its input is prepared: kept beside the weights, so that nobody has to guess.

A run folder holds it as task.json, an export folder in report.json under "task".
"""

import dataclasses

KINDS = ("classification",)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """The job of a model.

    Attributes:
        kind: one of `KINDS`; it chooses the file of `tfdl/inference/` that turns outputs into answers.
        labels: class names in the order of the outputs; empty where they are unknown.
        image_shape: (height, width, channels) of the input.
        input_range: smallest and largest value of a pixel as the model takes it.
        resize: how pictures come to `image_shape`, see `tfdl.core.pictures.resize`: "stretch" ignores proportions.
    """

    kind: str = "classification"
    labels: tuple[str, ...] = ()
    image_shape: tuple[int, int, int] | None = None
    input_range: tuple[float, float] = (0.0, 1.0)
    resize: str = "stretch"

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"There is no task {self.kind!r}; tfdl knows {', '.join(KINDS)}.")

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
