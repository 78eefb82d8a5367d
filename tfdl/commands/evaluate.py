"""`tfdl evaluate SOURCE --data X`: metrics and mistakes of a trained model on labeled images or texts, or questions."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tfdl.commands import classification_report, cloud_report, detection_report, pose_report, segmentation_report
from tfdl.commands.arguments import add_model_options, loaded, parser_of, positive
from tfdl.commands.classification_report import METRICS, numbers

EXAMPLES = """examples:
  tfdl evaluate runs/digits_resnet --data digits
  tfdl evaluate runs/sst2_gru --data sst2 --split validation
  tfdl evaluate runs/xquad_bert --data dev-v1.1.json --split train
  tfdl evaluate runs/bccd_yolo_v8 --data bccd
  tfdl evaluate runs/face_keypoints68_hrnet --data face_keypoints68
  tfdl evaluate runs/scenes_voxelnet --data kitti
  tfdl evaluate runs/tiny_shakespeare_gpt --data tiny_shakespeare --file model_dynamic.tflite --limit 50
  tfdl evaluate exported --file model_int8.tflite --data folder:photos --out checked

X is a data set as for `tfdl run --data`: a prepared set, or folder:PATH with a sub-folder for each class; of texts also
a file .tsv, .csv or .jsonl.  Classes are matched by name, so the data may have fewer of them, or the same in another
order.  Pictures are resized as the model's task says.  Answers to questions are compared by SQuAD's rules.  Of a model
of masked words, X is a text, or records with --column; of a tagger, a file with a word and its tag on each line; of a
language model a text, of which --limit takes the first N blocks.

DIR gets metrics.json (all numbers, and mistakes), of classes confusion.png, and of images mistakes.png (the 16 most
confident mistakes); of a detector precision_recall.png, of key points errors.png, and in mistakes.png the pictures with
the most mistakes.
"""
SPLITS = ("train", "validation", "test")


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
    document = classification_report.as_json(scores)
    return Evaluation(
        data, classification_report.report(scores), document, lambda: classification_report.figures(scores)
    )


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
        masks=model.reader.has_masks,
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


def of_poses(model, args):
    """Of an estimator of key points."""
    from tfdl.data import keypoints
    from tfdl.inference import pose_scores

    data = keypoints.load(
        args.data,
        image_size=model.task.image_shape[:2],
        resize=model.task.resize,
        batch_size=args.batch_size,
        limit=args.limit,
    )
    scores = pose_scores.evaluate(model, getattr(data, args.split).as_numpy_iterator(), data.body)
    document = pose_report.as_json(scores)
    return Evaluation(data, pose_report.report(scores), document, lambda: pose_report.figures(scores))


def of_points(model, args):
    """Of a network that classifies the points of clouds."""
    from tfdl.inference import cloud_scores

    data, batches = clouds_of(model, args)
    scores = cloud_scores.evaluate_points(model, batches, data.labels)
    document = cloud_report.json_of_points(scores)
    return Evaluation(
        data, cloud_report.report_of_points(scores), document, lambda: cloud_report.figures_of_points(scores)
    )


def of_scenes(model, args):
    """Of a detector in clouds."""
    from tfdl.data import scenes_3d
    from tfdl.inference import cloud_scores

    data = scenes_3d.load(args.data, points=model.task.points, batch_size=args.batch_size, limit=args.limit)
    scores = cloud_scores.evaluate_scenes(model, getattr(data, args.split).as_numpy_iterator())
    document = cloud_report.json_of_scenes(scores)
    return Evaluation(
        data, cloud_report.report_of_scenes(scores), document, lambda: cloud_report.figures_of_scenes(scores)
    )


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


def clouds_of(model, args):
    """The data, and batches (points, labels) of the split."""
    from tfdl.data import points

    data = points.load(args.data, points=model.task.points, batch_size=args.batch_size, limit=args.limit)
    if data.per_point != (model.task.kind == "point_segmentation"):
        have = "a class for each point" if data.per_point else "one class"
        raise ValueError(f"The clouds of {args.data} have {have}, and {args.source} does not answer that; give others.")
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


LOADERS = {"classification": images_of, "point_classification": clouds_of, "text_classification": texts_of}
EVALUATIONS = {
    "classification": of_classes,
    "detection": of_objects,
    "segmentation": of_pixels,
    "pose": of_poses,
    "point_classification": of_classes,
    "point_segmentation": of_points,
    "point_detection": of_scenes,
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


def write(out, document, drawn):
    """Writes metrics.json and the figures that `drawn()` gives by name: all of them or none."""
    from tfdl.core.files import replaced, write_json
    from tfdl.figures.style import write_png

    with replaced(out, marker=METRICS) as folder:
        write_json(folder / METRICS, document)
        for name, figure in drawn().items():
            write_png(figure, folder / f"{name}.png")
