"""What `tfdl evaluate` says and draws of an estimator of poses."""


def report(scores):
    """The numbers of all pictures, then of each point."""
    lines = [f"{'images':<16}{scores.count:>9,}"]
    lines += [f"{name.replace('_', ' '):<16}{value:>9.4f}" for name, value in scores.metrics.items()]
    width = max([len("point"), *map(len, scores.points)])
    rows = [f"{'point':<{width}}  {'nme':>7}  {'pck':>7}"]
    rows += [f"{name:<{width}}  {row['nme']:>7.4f}  {row['pck']:>7.4f}" for name, row in scores.points.items()]
    return "\n".join(lines) + "\n\n" + "\n".join(rows)


def as_json(scores):
    """The numbers, and which pictures are the worst."""
    return {
        "images": scores.count,
        "metrics": scores.metrics,
        "points": scores.points,
        "worst": [{"index": picture.index, "nme": round(picture.error, 5)} for picture in scores.worst],
    }


def figures(scores):
    """Name -> figure: the error of each point, and the pictures with the largest errors."""
    import numpy as np

    from tfdl.figures.poses import error_bars, pose_grid

    drawn = {"errors": error_bars(*scores.errors.per_point(), scores.body.names, threshold=scores.errors.threshold)}
    if scores.worst:
        images, truth, found = (
            np.stack([getattr(picture, name) for picture in scores.worst]) for name in ("image", "truth", "found")
        )
        title = f"the worst pictures, true points white; NME of all {scores.metrics['nme']:.3f}"
        drawn["mistakes"] = pose_grid(images, found, scores.body.lines, truth=truth, title=title)
    return drawn
