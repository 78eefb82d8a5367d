"""What of a detector goes into files: boxes and scores, without what only its training needs.

Shapes: B batch, A points, C classes.
"""

import keras


def in_use(model):
    """images -> boxes (B, A, 4) in pixels and scores (B, A, C), logits as the model itself gives them.

    Args:
        model: functional, with the outputs boxes and scores.

    Raises:
        ValueError: other outputs.
    """
    outputs = model.output
    if not isinstance(outputs, dict) or not {"boxes", "scores"} <= outputs.keys():
        raise ValueError(f"{model.name!r} has no outputs boxes and scores, so it is no detector; give another task.")
    return keras.Model(model.inputs[0], {name: outputs[name] for name in ("boxes", "scores")}, name=model.name)
