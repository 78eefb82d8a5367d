"""Classes of texts: outputs -> probabilities, as a table, JSON and CSV.  `classification` says what is what."""

from tfdl.inference import classification
from tfdl.inference.classification import Reader, cells, row

__all__ = ["UNIT", "Reader", "cells", "header", "record", "row", "title"]

UNIT = "texts"
WIDEST = 60  # characters of a text in a table


def title(result):
    """The beginning of the text."""
    return result.text if len(result.text) <= WIDEST else result.text[: WIDEST - 1] + "…"


def record(result, top):
    """{"text", "classes": [{"label", "number", "probability"}]}, the best first."""
    return {"text": result.text, "classes": classification.record(result, top)["classes"]}


def header(top):
    return ["text", *classification.header(top)[1:]]
