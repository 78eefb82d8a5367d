"""Networks on texts as files need them: rows of one length, and named inputs.

    export_model(of_length(model, 64), folder, representative=rows_of_length(data.validation, 64, padding=0), ...)

What a network of the catalog makes of a text does not depend on the padding behind it.
Shapes: B batch, T tokens.
"""

import keras
import numpy as np

FIELDS = {"question_answering": ("tokens", "segments")}  # kind of task -> inputs; others have "tokens" alone


def of_length(model, task):
    """A functional model of rows of `task.length` tokens, {"tokens": (B, T), ...} or tokens (B, T) int32."""
    fields = FIELDS.get(task.kind, ("tokens",))
    inputs = {field: keras.Input((task.length,), dtype="int32", name=field) for field in fields}
    outputs = model(inputs if len(fields) > 1 else inputs["tokens"])
    return keras.Model(inputs, {"logits": keras.layers.Identity(name="logits")(outputs)}, name=model.name)


def rows_of_length(dataset, task):
    """The inputs of a data set of (inputs, targets), rows filled up to `task.length`: a generator of dicts."""
    for inputs, *_ in dataset.as_numpy_iterator():
        fields = inputs if isinstance(inputs, dict) else {"tokens": inputs}
        yield {
            name: np.pad(
                rows,
                [(0, 0), (0, task.length - rows.shape[1])],
                constant_values=task.padding if name == "tokens" else 0,
            )
            for name, rows in fields.items()
        }
