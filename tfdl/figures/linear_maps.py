"""What matrices do: the plane before and after a linear map, principal components, and what is left of pictures."""

import numpy as np

from tfdl.figures.pictures import picture_grid
from tfdl.figures.style import COLORS, canvas, heading, legend_beside, panel_title

FIRST, SECOND, INK = COLORS[0], COLORS[1], COLORS[-1]
MARKERS = "osD^v<>PX*"  # one a class, so that ten classes need not be told apart by eight colors


def plane_map(matrix, decomposition, *, title=None):
    """A grid and the unit circle, and what a linear map of the plane makes of them.

    The right singular vectors v1, v2 stay at right angles: they become the half axes s1 u1, s2 u2 of an ellipse.

    Args:
        matrix: (2, 2).
        decomposition: its SVD (u, values, vt), shapes (2, 2), (2,), (2, 2).

    Raises:
        ValueError: another shape.
    """
    matrix, (u, values, vt) = np.asarray(matrix), map(np.asarray, decomposition)
    if matrix.shape != (2, 2) or not u.shape == vt.shape == (2, 2):
        raise ValueError(f"plane_map draws maps of the plane, shape (2, 2); this matrix has shape {matrix.shape}.")
    angle = np.linspace(0, 2 * np.pi, 181)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    reach = 1.05 * np.abs([np.ones(2), *(matrix @ [[1, 1], [1, -1]]).T]).max()  # corners go farthest
    figure, panels = canvas(1, 2, width=4.2, height=4.2)
    images = [f"$\\sigma_{i} u_{i}$, length {length:.2f}" for i, length in enumerate(values, 1)]
    steps = ((np.eye(2), vt.T, ("$v_1$", "$v_2$")), (matrix, u * values, images))
    for axes, (map_, arrows, names) in zip(panels, steps):
        axes.grid(False)
        for i in np.linspace(-1, 1, 9):
            for ends in (np.array([[i, i], [-1, 1]]), np.array([[-1, 1], [i, i]])):
                axes.plot(*(map_ @ ends), color="#BBBBBB", linewidth=0.7, linestyle="-")
        axes.fill(*(map_ @ circle), facecolor=COLORS[5], alpha=0.25)
        axes.plot(*(map_ @ circle), color=INK, linestyle="-", linewidth=1.4)
        for arrow, color, hatch, name in zip(arrows.T, (FIRST, SECOND), ("-", "--"), names):
            shape = {"arrowstyle": "-|>", "color": color, "lw": 2.2, "ls": hatch, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", arrow, (0, 0), arrowprops=shape)
            axes.plot([], [], color=color, linestyle=hatch, label=name)
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xlabel="x")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, frameon=False)
    panels[0].set(ylabel="y", title="before")
    panels[1].set_title("after")
    heading(figure, title)
    return figure


def spectrum(ratios, *, title=None):
    """Fraction of the variance that each principal component explains, and of all up to it.

    Args:
        ratios: (K,) fractions, each in 0 ... 1, together at most 1.

    Raises:
        ValueError: not such fractions.
    """
    ratios = np.asarray(ratios, "float64")
    if ratios.ndim != 1 or ratios.size == 0 or not (ratios >= 0).all() or ratios.sum() > 1 + 1e-6:
        raise ValueError(
            f"spectrum draws (K,) fractions of a whole; these have shape {ratios.shape}, sum {ratios.sum():.4g}."
        )
    number, total = np.arange(1, len(ratios) + 1), 100 * np.cumsum(ratios)
    figure, axes = canvas(width=6.4, height=3.8)
    axes.bar(number, 100 * ratios, 0.8, color=COLORS[5], label="each component")
    axes.plot(number, total, color=FIRST, linestyle="-", label="all up to this one")
    for percent in (50, 90):
        if total[-1] >= percent:
            needed = int(number[np.argmax(total >= percent)])
            axes.plot(needed, total[needed - 1], "o", color=SECOND)
            axes.annotate(
                f"{percent} % with {needed}", (needed, total[needed - 1]), (8, -12), textcoords="offset points"
            )
    axes.set(xlabel="principal component", ylabel="explained variance (%)", ylim=(0, 105))
    panel_title(axes, title)
    legend_beside(figure)
    return figure


def component_grid(components, ratios, *, columns=8, title=None):
    """Principal components as pictures, each with the fraction of the variance that it explains.

    Gray is zero, white the largest size of either sign in that picture, black its opposite: signs mean nothing.

    Args:
        components: (K, H, W).    ratios: K or more fractions, each in 0 ... 1.

    Raises:
        ValueError: another shape, or fewer fractions than components.
    """
    components = np.asarray(components)
    if components.ndim != 3 or len(components) == 0 or len(ratios) < len(components):
        raise ValueError(
            f"component_grid draws (K, H, W) with K fractions; it got {components.shape} and {len(ratios)} fractions."
        )
    size = np.abs(components).max((1, 2), keepdims=True)
    titles = [f"{ratio:.1%}" for ratio in ratios[: len(components)]]
    pictures = 0.5 + 0.5 * components / np.where(size == 0, 1, size)
    return picture_grid(pictures[..., None], titles, columns=columns, title=title)


def picture_rows(rows, *, title=None):
    """The same pictures several times, row below row: the originals, and what is left of them.

    Args:
        rows: dict name -> images (N, H, W), values in [0, 1] (others are cut off), the same shape in each.

    Raises:
        ValueError: nothing to draw, or shapes that differ.
    """
    shapes = {np.shape(images) for images in rows.values()}
    shape = next(iter(shapes), ())
    if len(shapes) != 1 or len(shape) != 3 or 0 in shape:
        raise ValueError(
            f"picture_rows draws rows of one shape (N, H, W); these are {[*map(np.shape, rows.values())]}."
        )
    height = 0.8 * shape[1] / shape[2]
    figure, panels = canvas(len(rows), shape[0], width=0.8, height=height, squeeze=False)
    for line, (name, images) in zip(panels, rows.items()):
        for axes, image in zip(line, images):
            axes.imshow(image, cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            axes.grid(False)
            axes.spines[:].set_visible(False)
        line[0].set_ylabel(name, rotation=0, ha="right", va="center")
    heading(figure, title)
    return figure


def rank_grid(image, approximations, ranks, psnr, savings, *, columns=3, title=None):
    """A picture and its approximations of lower rank, each with what it costs and how good it is.

    Args:
        image: (H, W, C), values in [0, 1], C 1 or 3.    approximations: (R, H, W, C).
        ranks: (R,).    psnr: (R,) in dB.    savings: (R,) numbers of the picture for each number kept.

    Raises:
        ValueError: not as many numbers as approximations.
    """
    if not len(approximations) == len(ranks) == len(psnr) == len(savings):
        counts = [*map(len, (approximations, ranks, psnr, savings))]
        raise ValueError(f"rank_grid needs one rank, psnr and saving for each approximation; it got {counts}.")
    titles = [f"rank {r}: {1 / saving:.1%} of the numbers, {db:.1f} dB" for r, saving, db in zip(ranks, savings, psnr)]
    figure = picture_grid(np.stack([image, *approximations]), ["original", *titles], columns=columns, title=title)
    width, rows = 3.4, -(-(len(ranks) + 1) // columns)  # inches of a panel, enough for its title
    figure.set_size_inches(
        width * min(columns, len(ranks) + 1), rows * (width * len(image) / len(image[0]) + 0.3) + 0.3
    )
    return figure


def power_curves(values, residuals, eigenvalues, *, title=None):
    """How power iteration approaches the first eigenvalue of a symmetric matrix, and how fast theory says it must.

    Theory: the residual falls by |l2 / l1| a step, the error of the value by its square; dashed, through the middle.

    Args:
        values, residuals: (T,) after each step.    eigenvalues: the true ones, largest in size first; two are read.

    Raises:
        ValueError: shapes that don't fit, or an eigenvalue 0.
    """
    values, residuals, (first, second) = np.asarray(values), np.asarray(residuals), np.asarray(eigenvalues)[:2]
    if values.ndim != 1 or values.shape != residuals.shape:
        raise ValueError(f"power_curves draws values and residuals (T,); it got {values.shape} and {residuals.shape}.")
    if first == 0 or second == 0:
        raise ValueError(f"power_curves needs a rate; the eigenvalues {first:.3g} and {second:.3g} have none.")
    steps, rate = np.arange(1, len(values) + 1), abs(second / first)
    figure, axes = canvas(width=6.4, height=3.8)
    for y, color, power, name in (
        (residuals / abs(first), FIRST, 1, "residual $|A v - \\lambda v|\\,/\\,|\\lambda_1|$"),
        (np.abs(values / first - 1), SECOND, 2, "error of the value $|\\lambda - \\lambda_1|\\,/\\,|\\lambda_1|$"),
    ):
        shown = np.flatnonzero(y > np.finfo("float64").eps)  # below it is rounding
        if len(shown) == 0:
            continue
        axes.plot(steps[shown], y[shown], color=color, linestyle="-", label=name)
        middle = shown[len(shown) // 2]
        theory = y[middle] * rate ** (power * (shown - middle))
        name = f"falls by {rate**power:.3f} a step" + " = $|\\lambda_2/\\lambda_1|" + ("$", "^2$")[power - 1]
        axes.plot(steps[shown], theory, color=INK, linestyle=("--", ":")[power - 1], linewidth=1.2, label=name)
    axes.set(yscale="log", xlabel="step k", ylabel="relative error", title=title or "")
    axes.legend(frameon=False, handlelength=3.0)
    return figure


def scatter(points, labels, names, *, x_label="component 1", y_label="component 2", title=None):
    """Points of a plane, told apart by color and marker; each class's name stands at its median.

    Args:
        points: (N, 2).    labels: (N,) class numbers.    names: of the classes.

    Raises:
        ValueError: shapes that don't fit.
    """
    points, labels = np.asarray(points), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or labels.shape != points.shape[:1]:
        raise ValueError(f"scatter draws points (N, 2) with labels (N,); it got {points.shape} and {labels.shape}.")
    figure, axes = canvas(width=6.8, height=5.2)
    for i, name in enumerate(names):
        chosen = points[labels == i]
        if len(chosen) == 0:
            continue
        axes.scatter(*chosen.T, 26, COLORS[i % len(COLORS)], MARKERS[i % len(MARKERS)], alpha=0.75, linewidths=0)
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": COLORS[i % len(COLORS)], "alpha": 0.85}
        axes.annotate(name, np.median(chosen, 0), ha="center", va="center", bbox=box, zorder=3)
    axes.set(xlabel=x_label, ylabel=y_label, title=title or "")
    return figure
