"""What `tfdl evaluate` says and draws of networks for clouds of points."""

# Classes of points


def report_of_points(scores):
    """The numbers of all clouds, then of each class."""
    lines = [f"{'clouds':<16}{scores.count:>9,}"]
    lines += [f"{name.replace('_', ' '):<16}{value:>9.4f}" for name, value in scores.metrics.items()]
    width = max([len("class"), *map(len, scores.classes)])
    rows = [f"{'class':<{width}}  {'IoU':>7}  {'points':>9}"]
    rows += [f"{label:<{width}}  {row['iou']:>7.4f}  {row['points']:>9,}" for label, row in scores.classes.items()]
    return "\n".join(lines) + "\n\n" + "\n".join(rows)


def json_of_points(scores):
    """The numbers, and which clouds are the worst."""
    return {
        "clouds": scores.count,
        "metrics": scores.metrics,
        "classes": scores.classes,
        "confusion": {"labels": list(scores.labels), "rows_true_columns_answers": scores.confusion.tolist()},
        "worst": [{"index": cloud.index, "wrong_points": int(cloud.cost)} for cloud in scores.worst],
    }


def figures_of_points(scores):
    """Name -> figure: the clouds with the most wrong points, as they are and as the network sees them."""
    import numpy as np

    from tfdl.figures.clouds import class_clouds

    shown = scores.worst[:4]
    if not shown:
        return {}
    points = np.stack([cloud.points for cloud in shown] * 2)
    numbers = np.stack([np.where(c.truth < len(scores.labels), c.truth, 0) for c in shown] + [c.found for c in shown])
    title = f"the worst clouds, the truth above; mIoU of all {scores.metrics['mean_iou']:.3f}"
    return {"mistakes": class_clouds(points, numbers, scores.labels, columns=len(shown), title=title)}


# Objects


def report_of_scenes(scores):
    """Average precision, and how many objects there are."""
    lines = [f"{'clouds':<16}{scores.count:>9,}", f"{'objects':<16}{scores.metric.objects():>9,}"]
    names = {
        "bev_ap": "AP from above",
        "ap_3d": "AP in space",
        "bev_ap50": "above, IoU 0.5",
        "ap_3d_50": "space, IoU 0.5",
    }
    lines += [f"{names[name]:<16}{value:>9.4f}" for name, value in scores.metric.result().items()]
    return "\n".join(lines)


def json_of_scenes(scores):
    """The numbers, and which clouds are the worst."""
    return {
        "clouds": scores.count,
        "objects": scores.metric.objects(),
        "metrics": scores.metric.result(),
        "worst": [{"index": cloud.index, "cost": round(cloud.cost, 3)} for cloud in scores.worst],
    }


def figures_of_scenes(scores):
    """Name -> figure: curves of precision over recall, and the clouds with the most mistakes."""
    import numpy as np

    from tfdl.figures.clouds import scene_grid
    from tfdl.figures.detections import precision_recall

    drawn = {}
    if scores.metric.objects():
        curves = {name: scores.metric.curve(kind) for name, kind in (("from above", "bev"), ("in space", "3d"))}
        drawn["precision_recall"] = precision_recall(curves, title="IoU of 0.7 or more")
    if scores.worst:
        truth, found = (
            {name: np.concatenate([getattr(cloud, side)[name] for cloud in scores.worst]) for name in names}
            for side, names in (("truth", scores.worst[0].truth), ("found", scores.worst[0].found))
        )
        points = [cloud.points for cloud in scores.worst]
        drawn["mistakes"] = scene_grid(points, found, truth=truth, title="the worst clouds; true boxes are dashed")
    return drawn
