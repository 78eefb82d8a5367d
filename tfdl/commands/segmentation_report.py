"""What `tfdl evaluate` says and draws of a segmenter."""


def report(scores):
    """The numbers of all pictures, then of each class."""
    lines = [f"{'images':<16}{scores.count:>9,}"]
    lines += [f"{name.replace('_', ' '):<16}{value:>9.4f}" for name, value in scores.metrics.items()]
    width = max([len("class"), *map(len, scores.classes)])
    rows = [f"{'class':<{width}}  {'IoU':>7}  {'pixels':>12}"]
    rows += [f"{label:<{width}}  {row['iou']:>7.4f}  {row['pixels']:>12,}" for label, row in scores.classes.items()]
    return "\n".join(lines) + "\n\n" + "\n".join(rows)


def as_json(scores):
    """The numbers, and which pictures are the worst."""
    return {
        "images": scores.count,
        "metrics": scores.metrics,
        "classes": scores.classes,
        "confusion": {"labels": list(scores.labels), "rows_true_columns_answers": scores.confusion.tolist()},
        "worst": [{"index": picture.index, "pixel_accuracy": picture.accuracy} for picture in scores.worst],
    }


def figures(scores):
    """Name -> figure: the pictures with the fewest right pixels."""
    import numpy as np

    from tfdl.figures.masks import mask_grid

    images, truth, found = (
        np.stack([getattr(picture, name) for picture in scores.worst]) for name in ("image", "truth", "found")
    )
    title = f"the worst pictures; mIoU of all {scores.metrics['mean_iou']:.3f}"
    return {"mistakes": mask_grid(images, [truth, found], scores.labels, title=title)}
