"""Classes of clouds of points: outputs -> probabilities, as a table, JSON, CSV and drawings.

A kind of task, see `classification`; a Reader of clouds also gets the clouds, as they are and as the network saw them.
"""

from tfdl.figures.answers import contact_sheet, labeled_picture
from tfdl.figures.clouds import cloud_picture
from tfdl.inference import classification
from tfdl.inference.classification import cells, header, record, row, title

__all__ = ["UNIT", "Reader", "cells", "drawing", "header", "record", "row", "sheet", "title"]

UNIT = "clouds"


class Reader(classification.Reader):
    """Turns outputs to `Classification`s."""

    def __call__(self, outputs, clouds=(), fitted=()):
        return super().__call__(outputs)


def drawing(cloud, result, top):
    """The cloud with its classes below it."""
    return labeled_picture(cloud_picture(cloud), result.top(top))


def sheet(clouds, results, title):
    """Many clouds, each with its best class."""
    captions = [(result.label, result.probability) for result in results]
    names = [result.path for result in results]
    return contact_sheet([cloud_picture(cloud) for cloud in clouds], captions, names=names, title=title)
