"""What `tfdl evaluate` says and draws of a classifier of images or texts."""

METRICS = "metrics.json"  # the file with all numbers
WIDE = 12  # classes up to which the terminal shows a confusion matrix; of more, the most frequent confusions are listed
FREQUENT = 15  # confusions in that list
ROWS = 40  # largest number of classes in the table; of more, the worst are shown


# On the terminal


def report(scores):
    """All tables."""
    parts = [overall(scores), per_class(scores), confusions(scores)]
    return "\n\n".join(part for part in parts if part)


def overall(scores):
    return numbers(scores.unit, scores.count, scores.metrics)


def numbers(unit, count, metrics):
    """A line with the number of examples, and one for each metric."""
    lines = [f"{unit:<16}{count:>11,}"]
    for name, value in metrics.items():
        if isinstance(value, int):
            text = f"{value:,}"
        else:
            text = f"{value:.4f}" if name in ("loss", "perplexity") else f"{100 * value:.2f} %"
        lines.append(f"{name.replace('_', ' '):<16}{text:>11}")
    return "\n".join(lines)


def per_class(scores):
    """Precision, recall and F1 of each class; of many classes those with the lowest F1."""
    numbers = list(scores.classes)
    note = ""
    if len(numbers) > ROWS:
        numbers = sorted(numbers, key=lambda number: scores.classes[number]["f1"])[:ROWS]
        note = f"\n({len(scores.classes) - ROWS} classes with a higher F1 are in {METRICS})"
    names = {number: label(scores, number) for number in numbers}
    width = max(len("class"), *map(len, names.values()))
    lines = [f"{'class':<{width}}  {'precision':>9}  {'recall':>7}  {'F1':>7}  {scores.unit:>7}"]
    for number in numbers:
        row = scores.classes[number]
        shares = (f"{100 * row[key]:.1f} %" for key in ("precision", "recall", "f1"))
        precision, recall, f1 = shares
        lines.append(f"{names[number]:<{width}}  {precision:>9}  {recall:>7}  {f1:>7}  {row[scores.unit]:>7,}")
    return "\n".join(lines) + note


def confusions(scores):
    """The confusion matrix if it fits, otherwise its largest entries off the diagonal; "" without mistakes."""
    shown = shown_classes(scores)
    if not scores.mistakes:
        return ""
    if len(shown) > WIDE:
        return frequent(scores)
    names = [label(scores, number, most=20) for number in shown]
    counts = [[f"{scores.confusion[row, column]:,}" for column in shown] for row in shown]
    heads = [name if len(name) <= 7 else name[:6] + "…" for name in names]
    widths = [max(len(head), *(len(row[i]) for row in counts)) for i, head in enumerate(heads)]
    first = max(len(name) for name in ["true class", *names])
    lines = ["confusion matrix: rows are true classes, columns are predictions"]
    lines.append("  ".join([" " * first, *(head.rjust(width) for head, width in zip(heads, widths))]))
    for name, row in zip(names, counts):
        cells = (("." if cell == "0" else cell).rjust(width) for cell, width in zip(row, widths))
        lines.append("  ".join([name.ljust(first), *cells]))
    return "\n".join(lines)


def frequent(scores):
    """The most frequent confusions, one per line."""
    wrong = off_diagonal(scores)
    pairs = sorted(zip(*wrong.nonzero()), key=lambda pair: -wrong[pair])
    names = [(label(scores, truth), label(scores, guess)) for truth, guess in pairs[:FREQUENT]]
    width = max(len(truth) for truth, _ in [("true class", ""), *names])
    second = max(len(guess) for _, guess in [("", "answer"), *names])
    lines = [
        f"most frequent of {len(pairs):,} confusions",
        f"{'true class':<{width}}  {'answer':<{second}}  {scores.unit}",
    ]
    for pair, (truth, guess) in zip(pairs, names):
        lines.append(f"{truth:<{width}}  {guess:<{second}}  {wrong[pair]:>6,}")
    return "\n".join(lines)


def off_diagonal(scores):
    wrong = scores.confusion.copy()
    wrong[range(len(wrong)), range(len(wrong))] = 0
    return wrong


def shown_classes(scores):
    """Numbers of the classes that occur in the data or were predicted, in the model's order."""
    seen = scores.confusion.sum(0) + scores.confusion.sum(1)
    return [int(number) for number in seen.nonzero()[0]]


def label(scores, number, most=32):
    """A class name for the terminal."""
    from tfdl.commands.predict import one_line

    name = one_line(scores.labels[number])
    return name if len(name) <= most else name[: most - 1] + "…"


# In files


def figures(scores):
    """Name -> figure: confusions, and the mistakes on images if there are any."""
    drawn = {"confusion": confusion(scores)}
    return drawn | {"mistakes": mistakes(scores)} if scores.mistakes and scores.unit == "images" else drawn


def as_json(scores):
    shown = shown_classes(scores)
    return {
        scores.unit: scores.count,
        "metrics": scores.metrics,
        "classes": {scores.labels[number]: row for number, row in scores.classes.items()},
        "confusion": {
            "labels": [scores.labels[number] for number in shown],
            "rows_true_columns_answers": scores.confusion[shown][:, shown].tolist(),
        },
        "mistakes": [
            {
                "index": mistake.index,
                "true": scores.labels[mistake.truth],
                "answer": scores.labels[mistake.guess],
                "probability": float(mistake.probabilities.max()),
                **({"text": str(mistake.example)} if scores.unit == "texts" else {}),
            }
            for mistake in scores.mistakes
        ],
    }


def confusion(scores):
    """The figure, with the classes that occur in the data or were predicted."""
    from tfdl.figures.training import confusion_matrix

    shown = shown_classes(scores)
    names = [label(scores, number, most=20) for number in shown]
    title = f"accuracy {100 * scores.metrics['accuracy']:.2f} %"
    return confusion_matrix(scores.confusion[shown][:, shown], names, title=title)


def mistakes(scores):
    """The figure of the most confident mistakes, each with its true class."""
    import numpy as np

    from tfdl.figures.pictures import prediction_grid

    found = scores.mistakes
    return prediction_grid(
        np.stack([mistake.example for mistake in found]),
        np.array([mistake.truth for mistake in found]),
        np.stack([mistake.probabilities for mistake in found]),
        [label(scores, number) for number in range(len(scores.labels))],
        title="the most confident mistakes",
    )
