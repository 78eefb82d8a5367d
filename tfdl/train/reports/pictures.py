"""What every training leaves in its folder `figures`: curves, and of classifiers a confusion matrix and predictions."""

from pathlib import Path

import tensorflow as tf

from tfdl.figures.pictures import prediction_groups
from tfdl.figures.style import write_png
from tfdl.figures.training import confusion_matrix, training_curves
from tfdl.train.reports.predictions import class_names, is_classifier, predict
from tfdl.train.reports.tensorboard import write_drawn


def training_pictures(model, data, history, folder, *, title="", best_epoch=None, board=None):
    """Writes figures/curves.png and, for classifiers, figures/confusion_matrix.png and figures/predictions.png.

    Args:
        model: with the weights that are kept.
        data: for classifiers `validation` (images, labels) and `labels`, the class names.
        history: a dict for each epoch, as `run.fit` returns them.
        folder: of the run.
        title: what the figures are about, such as the name of the run.
        best_epoch: item "epoch" of the row in `history` whose weights these are; None: the one of the lowest val_loss.
        board: TensorBoard's folder; there the confusion matrix appears at the last epoch.

    Returns:
        the paths of the files.
    """
    prefix = f"{title}: " if title else ""
    figures = {"curves": training_curves(history, best_epoch=best_epoch, title=f"{prefix}training")}
    if is_classifier(data):
        figures |= classification_figures(predict(model, data), data.labels, prefix)
    paths, drawn = [], {}
    for name, figure in figures.items():
        paths.append(Path(folder) / "figures" / f"{name}.png")
        drawn[name] = write_png(figure, paths[-1])
    if board is not None and "confusion_matrix" in drawn:
        writer = tf.summary.create_file_writer(str(board))
        write_drawn(writer, "confusion_matrix", drawn["confusion_matrix"], history[-1].get("epoch", len(history) - 1))
        writer.close()
    return paths


def classification_figures(predictions, labels, prefix):
    """Name -> figure of what a classifier said of the validation split; none if its outputs are no classes."""
    if predictions is None:
        return {}
    classes = 1 + max(len(labels) - 1, predictions.truth.max(), predictions.guesses.max())
    names = class_names(labels, classes)
    count = f"{len(predictions.truth):,} validation examples, accuracy {predictions.accuracy:.1%}"
    figures = {"confusion_matrix": confusion_matrix(predictions.counts(classes), names, title=f"{prefix}{count}")}
    groups = {"the first validation images": predictions.first, "the most confident mistakes": predictions.mistakes}
    shown = {name: (rows.images, rows.truth, rows.scores) for name, rows in groups.items() if len(rows)}
    if shown:
        figures["predictions"] = prediction_groups(shown, names, title=f"{prefix}predictions")
    return figures
