"""Which file turns the outputs of which kind of task into answers.  A new kind is a row here and one in `core.task`."""

from tfdl.inference import (
    classification,
    detection,
    masked_words,
    point_classification,
    point_detection,
    point_segmentation,
    pose,
    question_answering,
    segmentation,
    tagging,
    text_classification,
)

# What a file of answers has: see `tfdl.inference.classification`.
ANSWERS = {
    "classification": classification,
    "detection": detection,
    "segmentation": segmentation,
    "pose": pose,
    "point_classification": point_classification,
    "point_segmentation": point_segmentation,
    "point_detection": point_detection,
    "text_classification": text_classification,
    "question_answering": question_answering,
    "masked_words": masked_words,
    "tagging": tagging,
}
