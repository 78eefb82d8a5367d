"""What `tfdl evaluate` says and draws of a detector."""


def report(scores):
    """The numbers of all pictures, then of each class."""
    lines = [f"{scores.unit:<16}{scores.count:>9,}"]
    lines += [f"{name.replace('_', ' '):<16}{value:>9.4f}" for name, value in scores.metrics.items()]
    width = max([len("class"), *map(len, scores.classes)])
    rows = [f"{'class':<{width}}  {'map50':>7}  {'map':>7}  {'objects':>8}"]
    for label, row in scores.classes.items():
        rows.append(f"{label:<{width}}  {row['map50']:>7.4f}  {row['map']:>7.4f}  {row['objects']:>8,}")
    return "\n".join(lines) + "\n\n" + "\n".join(rows)


def as_json(scores):
    """The numbers, and what is wrong in the worst pictures."""
    return {
        scores.unit: scores.count,
        "metrics": scores.metrics,
        "classes": scores.classes,
        "mistakes": [
            {"index": worst.index, "missed": worst.missed, "invented": [round(score, 4) for score in worst.invented]}
            for worst in scores.worst
        ],
    }


def figures(scores):
    """Name -> figure: precision over recall, and the pictures with the most mistakes."""
    from tfdl.figures.detections import precision_recall

    drawn = {}
    curves = scores.metric.curves()
    if curves:
        title = f"mAP50 {scores.metrics['map50']:.3f}, mAP {scores.metrics['map']:.3f}"
        drawn["precision_recall"] = precision_recall(curves, title=title)
    return drawn | {"mistakes": mistakes(scores)} if scores.worst else drawn


def mistakes(scores):
    """The pictures with the most mistakes, true boxes dashed."""
    import numpy as np

    from tfdl.figures.detections import detection_grid

    def stacked(side, *names):
        return {name: np.stack([getattr(worst, side)[name] for worst in scores.worst]) for name in names}

    images = np.stack([worst.image for worst in scores.worst])
    found, truth = stacked("found", *scores.worst[0].found), stacked("truth", "boxes", "labels")
    title = "the pictures with the most mistakes; true boxes are dashed"
    return detection_grid(images, found, scores.labels, truth=truth, title=title)
