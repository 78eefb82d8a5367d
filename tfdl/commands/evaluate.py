"""`tfdl evaluate SOURCE --data X`: metrics and mistakes of a trained model on labeled images or texts, or questions."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tfdl.commands import detection_report, segmentation_report
from tfdl.commands.arguments import add_model_options, loaded, parser_of, positive

EXAMPLES = """examples:
  tfdl evaluate runs/digits_resnet --data digits
  tfdl evaluate runs/sst2_gru --data sst2 --split validation
  tfdl evaluate runs/xquad_bert --data dev-v1.1.json --split train
  tfdl evaluate runs/bccd_yolo_v8 --data bccd
  tfdl evaluate runs/tiny_shakespeare_gpt --data tiny_shakespeare --file model_dynamic.tflite --limit 50
  tfdl evaluate exported --file model_int8.tflite --data folder:photos --out checked

X is a data set as for `tfdl run --data`: a prepared set, or folder:PATH with a sub-folder for each class; of texts also
a file .tsv, .csv or .jsonl.  Classes are matched by name, so the data may have fewer of them, or the same in another
order.  Pictures are resized as the model's task says.  Answers to questions are compared by SQuAD's rules.  Of a model
of masked words, X is a text, or records with --column; of a tagger, a file with a word and its tag on each line; of a
language model a text, of which --limit takes the first N blocks.

DIR gets metrics.json (all numbers, and mistakes), of classes confusion.png, and of images mistakes.png (the 16 most
confident mistakes); of a detector precision_recall.png, and in mistakes.png the pictures with the most mistakes.
"""
SPLITS = ("train", "validation", "test")
METRICS = "metrics.json"
WIDE = 12  # classes up to which the terminal shows a confusion matrix; of more, the most frequent confusions are listed
FREQUENT = 15  # confusions in that list
ROWS = 40  # largest number of classes in the table; of more, the worst are shown


def main(argv):
    args = arguments(argv)
    model = loaded(args, writers=True)
    if model.task.kind not in EVALUATIONS:
        raise ValueError(f"The task of {args.source} is {model.task.kind}, which `tfdl evaluate` does not know.")
    found = EVALUATIONS[model.task.kind](model, args)
    print(found.report)
    out = args.out or default_folder(args.source, found.data)
    if out is None:
        print("\nNothing was written; --out DIR keeps the numbers and pictures.")
    else:
        write(out, facts(args, model) | found.document, found.figures)
        print(f"\n{out}: {', '.join(sorted(path.name for path in out.iterdir()))}")
    return 0


class Evaluation(NamedTuple):
    """What was found: the data, text for the terminal, JSON for the file, and a function that draws name -> figure."""

    data: object
    report: str
    document: dict
    figures: Callable = dict


def of_classes(model, args):
    """Of a classifier of images or texts."""
    from tfdl.inference.scores import evaluate

    data, batches = LOADERS[model.task.kind](model, args)
    scores = evaluate(model, batches, data.labels)
    return Evaluation(data, report(scores), as_json(scores), lambda: figures(scores))


def of_objects(model, args):
    """Of a detector."""
    from tfdl.data import detection
    from tfdl.inference import detection_scores

    height, width, channels = model.task.image_shape
    data = detection.load(
        args.data,
        image_size=(height, width),
        channels=channels,
        resize=model.task.resize,
        batch_size=args.batch_size,
        limit=args.limit,
    )
    scores = detection_scores.evaluate(model, getattr(data, args.split).as_numpy_iterator(), data.labels)
    document = detection_report.as_json(scores)
    return Evaluation(data, detection_report.report(scores), document, lambda: detection_report.figures(scores))


def of_pixels(model, args):
    """Of a segmenter."""
    from tfdl.data import segmentation
    from tfdl.inference import segmentation_scores

    data = segmentation.load(
        args.data,
        image_size=model.task.image_shape[:2],
        resize=model.task.resize,
        batch_size=args.batch_size,
        limit=args.limit,
    )
    scores = segmentation_scores.evaluate(model, getattr(data, args.split).as_numpy_iterator(), data.labels)
    document = segmentation_report.as_json(scores)
    return Evaluation(data, segmentation_report.report(scores), document, lambda: segmentation_report.figures(scores))


def of_answers(model, args):
    """Of a model that answers questions."""
    from tfdl.data import question_answering
    from tfdl.metrics.answers import answer_scores, exact_match

    data = question_answering.load(
        args.data, length=model.task.length, tokenizer=model.tokenizer_path, limit=args.limit
    )
    questions, references = data.questions[args.split], data.references(args.split)
    found = model.predict([(question.text, question.paragraph) for question in questions], args.batch_size)
    texts = [answer.answer for answer in found]
    metrics = answer_scores(texts, references)
    wrong = [
        {"question": question.text, "answer": text, "probability": answer.probability, "references": wanted}
        for question, text, answer, wanted in zip(questions, texts, found, references)
        if not any(exact_match(text, reference) for reference in wanted or ("",))
    ]
    document = {"questions": len(questions), "metrics": metrics, "mistakes": wrong}
    return Evaluation(data, numbers("questions", len(questions), metrics), document)


def of_tags(model, args):
    """Of a tagger of words."""
    from tfdl.data import tagged_text
    from tfdl.metrics.tags import tag_scores

    options = dict(length=model.task.length, tokenizer=model.tokenizer_path, limit=args.limit)
    data = tagged_text.load(args.data, casing=args.column, **options)
    sentences = data.sentences[args.split]
    found = model.predict([sentence.words for sentence in sentences], args.batch_size)
    metrics = tag_scores([result.tags for result in found], [sentence.tags for sentence in sentences])
    count = sum(len(sentence.words) for sentence in sentences)
    return Evaluation(data, numbers("words", count, metrics), {"words": count, "metrics": metrics})


def of_masked_words(model, args):
    """Of a model that fills in masks: the ones that training would set, always the same in held-out splits."""
    import numpy as np

    from tfdl.data import corrupted_text
    from tfdl.inference.classification import log_softmax

    data = corrupted_text.load(
        args.data,
        "roberta" if model.task.padding else "bert",  # whose padding is 1 and 0
        column=args.column,
        length=model.task.length,
        batch_size=args.batch_size,
        tokenizer=model.tokenizer_path,
        masking="static",
        limit=args.limit,
    )
    losses, right = [], []
    for tokens, targets in getattr(data, args.split).as_numpy_iterator():
        logits = model.backend(tokens)["logits"][targets >= 0]
        truth = targets[targets >= 0]
        losses.append(-log_softmax(logits)[np.arange(len(truth)), truth])
        right.append(logits.argmax(-1) == truth)
    losses, right = np.concatenate(losses), np.concatenate(right)
    metrics = {"accuracy": float(right.mean()), "loss": float(losses.mean(dtype="float64"))}
    return Evaluation(data, numbers("tokens", len(losses), metrics), {"tokens": len(losses), "metrics": metrics})


def of_next_tokens(model, args):
    """Of a language model: how well it foresees the tokens of a text, and how fast its file reads them."""
    import math
    import time

    import numpy as np

    from tfdl.data import text, tokenizers

    tokenizer = tokenizers.Pieces(model.tokenizer)
    data = text.load(
        args.data, length=model.task.length, batch_size=args.batch_size, tokenizer=tokenizer, limit=args.limit
    )
    started = time.perf_counter()
    nats = np.concatenate([model.nats(*batch) for batch in getattr(data, args.split).as_numpy_iterator()])
    seconds = time.perf_counter() - started
    metrics = {"loss": float(nats.mean(dtype="float64")), "bytes": size_of(model.path)}
    metrics |= {"perplexity": math.exp(metrics["loss"]), "tokens_a_second": round(len(nats) / seconds)}
    return Evaluation(data, numbers("tokens", len(nats), metrics), {"tokens": len(nats), "metrics": metrics})


def size_of(path):
    """Bytes of a file."""
    return path.stat().st_size


def images_of(model, args):
    """The data, and batches (images, labels) of the split."""
    from tfdl.data import images

    height, width, channels = model.task.image_shape
    data = images.load(
        args.data,
        image_size=(height, width),
        channels=channels,
        resize=model.task.resize,
        batch_size=args.batch_size,
        limit=args.limit,
    )
    return data, getattr(data, args.split).as_numpy_iterator()


def texts_of(model, args):
    """The data, and batches (texts, labels) of the split."""
    import numpy as np

    from tfdl.data import labeled_text

    data = labeled_text.load(
        args.data,
        length=model.task.length,
        batch_size=args.batch_size,
        tokenizer=model.tokenizer_path,
        limit=args.limit,
    )
    texts, numbers, size = np.array(data.texts[args.split]), data.numbers[args.split], args.batch_size
    return data, ((texts[i : i + size], numbers[i : i + size]) for i in range(0, len(texts), size))


LOADERS = {"classification": images_of, "text_classification": texts_of}
EVALUATIONS = {
    "classification": of_classes,
    "detection": of_objects,
    "segmentation": of_pixels,
    "text_classification": of_classes,
    "question_answering": of_answers,
    "tagging": of_tags,
    "masked_words": of_masked_words,
    "text_generation": of_next_tokens,
}


def arguments(argv):
    parser = parser_of("evaluate", description=__doc__, examples=EXAMPLES)
    parser.add_argument("--data", required=True, metavar="X", help="a data set; see below")
    parser.add_argument("--split", choices=SPLITS, default="test", help="default: test")
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="default: evaluation-NAME in a run folder, SOURCE-evaluation-NAME beside an export",
    )
    parser.add_argument(
        "--limit",
        type=positive,
        metavar="N",
        help="only N examples of the split: the first images, or texts at equal distances",
    )
    parser.add_argument(
        "--column", metavar="NAME", help="of records: texts to mask, or those whose words' capitals are tags to restore"
    )
    add_model_options(parser)
    return parser.parse_args(argv)


def default_folder(source, data):
    """A folder in a run folder, or beside an export, which must not get other files; None for a file."""
    name = getattr(data, "short_name", None) or Path(data.name).name
    if not source.is_dir():
        return None
    if (source / "report.json").is_file() or (source / "saved_model.pb").is_file():
        source = source.resolve()
        return source.with_name(f"{source.name}-evaluation-{name}")
    return source / f"evaluation-{name}"


def facts(args, model):
    """What was evaluated, for metrics.json."""
    return {"model": str(args.source), "file": model.path.name, "data": args.data, "split": args.split}


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


def write(out, document, drawn):
    """Writes metrics.json and the figures that `drawn()` gives by name: all of them or none."""
    from tfdl.core.files import replaced, write_json
    from tfdl.figures.style import write_png

    with replaced(out, marker=METRICS) as folder:
        write_json(folder / METRICS, document)
        for name, figure in drawn().items():
            write_png(figure, folder / f"{name}.png")


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
