"""Classes of texts: outputs -> probabilities, as a table, JSON and CSV.  `classification` says what is what."""

import numpy as np

from tfdl.inference import classification
from tfdl.inference.classification import Reader, cells, log_softmax, row

__all__ = ["UNIT", "Reader", "cells", "header", "mistakes", "record", "row", "title"]

UNIT = "texts"
WIDEST = 60  # characters of a text in a table


def mistakes(model, data, split="test", count=16):
    """The texts of a split that a network is most wrong about, the surest mistake first.

    Args:
        model: tokens (B, T) -> logits (B, C).
        data: has `texts`, `numbers` and `labels`, as `LabeledTexts`.

    Returns:
        list of dicts: "text", "truth", "answer", "probability" of the answer.
    """
    probabilities = np.exp(log_softmax(model.predict(getattr(data, split), verbose=0)))  # (N, C)
    truth, best = data.numbers[split][: len(probabilities)], probabilities.argmax(-1)
    surest = sorted(np.flatnonzero(best != truth), key=lambda row: -probabilities[row, best[row]])[:count]
    return [
        {
            "text": data.texts[split][row],
            "truth": data.labels[truth[row]],
            "answer": data.labels[best[row]],
            "probability": f"{probabilities[row, best[row]]:.3f}",
        }
        for row in surest
    ]


def title(result):
    """The beginning of the text."""
    return result.text if len(result.text) <= WIDEST else result.text[: WIDEST - 1] + "…"


def record(result, top):
    """{"text", "classes": [{"label", "number", "probability"}]}, the best first."""
    return {"text": result.text, "classes": classification.record(result, top)["classes"]}


def header(top):
    return ["text", *classification.header(top)[1:]]
