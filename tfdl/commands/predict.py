"""`tfdl predict SOURCE INPUT...`: what a trained model says of pictures, videos or texts: table, JSON, CSV, drawings.

Of pictures and of clouds of points (.npy, .npz, .bin), INPUT is a file, a folder, a pattern, or - for a list of files.
A video that is named itself stands for its frames, clip.mp4#000000 ..., and --out makes a video of it: pip install
'tfdl[video]'.
Of texts, it is a text, a file .txt with one on each line, a file .jsonl with a "text" on each line, or - for lines of
standard input.  Of questions, each of these is a question on the text of --context FILE; else a question, a tab and its
paragraph, or in a file .jsonl a "question" and a "context".
"""

import contextlib
import csv
import io
import json
import sys
import time
from collections import Counter
from pathlib import Path

from tfdl.commands.arguments import add_model_options, loaded, parser_of, positive, share

EXAMPLES = """examples:
  tfdl predict runs/digits_resnet photos/ "more/**/*.JPG" --top 3
  tfdl predict runs/bccd_yolo_v8 smears/ --score 0.5 --out drawn
  tfdl predict runs/figures_hrnet people/ --json --out drawn
  tfdl predict runs/figures_blaze_pose dance.mp4 --every 2 --json --out drawn
  tfdl predict runs/scenes_voxelnet scans/ --json --out drawn
  tfdl predict runs/sst2_gru "a stirring, funny film" reviews.txt --json
  tfdl predict runs/xquad_bert "Who wrote it?" "When?" --context page.txt --top 3
  find . -name "*.png" | tfdl predict exported - --file model_int8.tflite --json > answers.jsonl

SOURCE contains the labels, size and preprocessing that were stored in training, so they need not be given here.  Only a
.keras file or SavedModel that was moved out of its folder has numbers instead of labels, unless --labels gives them.

Predictions are printed as soon as a batch is full; with --batch-size 1, after each line of standard input.

exit code: 0 success, 1 some files could not be read (standard error names them), 2 none could, or bad arguments
"""
SHEET = "contact_sheet.png"
ON_SHEET = 60  # pictures: ten rows, which fit on a screen
MANY = 300  # pictures from which on progress is shown
EVERY = 5.0  # seconds between two lines of progress in a log file
TOP = 5  # answers that are shown
WIDEST = 60  # characters of the first column; longer paths stick out


def main(argv):
    args = arguments(argv)
    from tfdl.inference.inputs import Broken

    model = loaded(args)
    if args.out is not None and not hasattr(model.answers, "drawing"):
        raise ValueError(f"--out draws pictures, but {args.source} answers to {model.answers.UNIT}; leave it out.")
    words, total = listed(model, args)
    args.top = args.top or getattr(model.reader, "top", getattr(model.answers, "TOP", TOP))
    if args.score is not None:
        if not hasattr(model.reader, "threshold"):
            raise ValueError(f"--score is for detectors, and {args.source} is none; leave it out.")
        model.reader.threshold = args.score
    options = {}
    if args.every is not None:
        if not hasattr(model, "picture"):
            raise ValueError(f"--every is for videos, but {args.source} answers to {model.answers.UNIT}; leave it out.")
        options["every"] = args.every
    shown = Shown(model.answers, args.top, args.format)
    progress = Progress(total, model.answers.UNIT)
    broken = answered = 0
    with drawings(args, model) as draw:
        for batch in batches(model.stream(words, args.batch_size, **options), args.batch_size):
            good = [result for result in batch if not isinstance(result, Broken)]
            for failure in (result for result in batch if isinstance(result, Broken)):
                print(f"{one_line(failure.path)}: {one_line(failure.reason)}", file=sys.stderr)
            shown.add(good)
            for result in good:
                draw(result)
            answered, broken = answered + len(good), broken + len(batch) - len(good)
            progress.show(answered + broken)
        if not answered:
            raise ValueError(nothing(broken, model.answers.UNIT))
    progress.end(answered, broken)
    return 1 if broken else 0


def arguments(argv):
    parser = parser_of("predict", description=__doc__, examples=EXAMPLES)
    parser.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="picture, video, folder (with all pictures inside it), pattern in quotes, or - for a list of files on"
        " standard input; or text, .txt, .jsonl, or - for lines",
    )
    parser.add_argument(
        "--top",
        type=positive,
        metavar="K",
        help=f"answers to each input; default: {TOP}, of objects and key points in a picture all",
    )
    parser.add_argument("--score", type=share, metavar="S", help="leave out objects with a lower score; default: 0.25")
    parser.add_argument("--every", type=positive, metavar="N", help="of a video, answer each N-th frame; default: 1")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", dest="format", action="store_const", const="json", help="a JSON object on each line")
    form.add_argument("--csv", dest="format", action="store_const", const="csv", help="comma-separated values")
    parser.add_argument("--context", type=Path, metavar="FILE", help="text that all questions are about")
    parser.add_argument(
        "--out", type=Path, metavar="DIR", help=f"write annotated pictures, or videos, and {SHEET} there"
    )
    add_model_options(parser)
    return parser.parse_args(argv)


def listed(model, args):
    """The paths or texts and their number; for standard input an iterator and None, which a video has as well."""
    from tfdl.inference.inputs import STANDARD_INPUT
    from tfdl.inference.videos import is_video

    options = {}
    if args.context is not None:
        if model.task.kind != "question_answering":
            raise ValueError(f"--context is for questions, but {args.source} answers to {model.answers.UNIT}.")
        options["paragraph"] = paragraph_of(args.context)
    if STANDARD_INPUT in args.inputs:
        if hasattr(sys.stdin, "reconfigure"):
            sys.stdin.reconfigure(errors="surrogateescape")  # file names are bytes, not always UTF-8
        return model.found(args.inputs, sys.stdin, **options), None
    paths = list(model.found(args.inputs, **options))
    has_videos = hasattr(model, "picture") and any(map(is_video, paths))
    return paths, None if has_videos else len(paths)


def paragraph_of(file):
    """The text of a file that questions are about."""
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no text in UTF-8 ({error}); convert it.") from error


def batches(results, size):
    """Lists of up to `size` results."""
    batch = []
    for result in results:
        batch.append(result)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def one_line(text):
    """`text` on one line: file names may contain line breaks and control characters."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def nothing(broken, unit):
    if broken:
        return f"None of the {unit} could be read; see above."
    return f"There are no {unit}: the input was empty."


class Shown:
    """Standard output: a table, JSON lines or CSV."""

    def __init__(self, answers, top, form):
        self.answers, self.top, self.form = answers, top, form
        self.widths = Counter()  # of the table's columns, the largest so far
        if form == "csv":
            self.write_csv(answers.header(top))

    def add(self, results):
        if self.form == "json":
            for result in results:
                print(json.dumps(timed(self.answers.record(result, self.top), result), ensure_ascii=False))
        elif self.form == "csv":
            for result in results:
                self.write_csv(self.answers.row(result, self.top))
        elif results:
            self.write_table(
                [[self.answers.title(result), *self.answers.cells(result, self.top)] for result in results]
            )
        sys.stdout.flush()

    def write_csv(self, cells):
        line = io.StringIO()
        csv.writer(line, lineterminator="\n").writerow(cells)
        print(line.getvalue(), end="")

    def write_table(self, rows):
        rows = [[one_line(cell) for cell in row] for row in rows]
        for row in rows:
            for column, cell in enumerate(row):
                self.widths[column] = max(self.widths[column], min(len(cell), WIDEST))
        for row in rows:
            padded = (aligned(cell, self.widths[column]) for column, cell in enumerate(row))
            print("  ".join(padded).rstrip())


def timed(record, result):
    """A record with the time of a frame in seconds, behind its name."""
    time = getattr(result, "time", None)
    return record if time is None else {"path": record["path"], "time": round(time, 6), **record}


def aligned(cell, width):
    """Percentages aligned to the right, names to the left."""
    return cell.rjust(width) if cell.endswith("%") else cell.ljust(width)


class Progress:
    """The number of pictures or texts on standard error, if there are many, and a summary."""

    def __init__(self, total, unit):
        self.unit = unit
        self.total, self.started, self.last = total, time.monotonic(), time.monotonic()
        self.is_terminal = sys.stderr.isatty()
        # The table on a terminal shows the progress itself.
        self.is_wanted = (total is None or total > MANY) and not sys.stdout.isatty()

    def show(self, done):
        now = time.monotonic()
        if not self.is_wanted or done < MANY or now - self.last < (0.2 if self.is_terminal else EVERY):
            return
        self.last = now
        of = f" of {self.total:,}" if self.total else ""
        text = f"{done:,}{of} {self.unit}, {done / (now - self.started):,.0f} a second"
        print(f"\r{text}" if self.is_terminal else text, end="" if self.is_terminal else "\n", file=sys.stderr)
        sys.stderr.flush()

    def end(self, answered, broken):
        """Prints a summary if there were many pictures or some could not be read."""
        if self.is_wanted and self.is_terminal and answered + broken >= MANY:
            print(file=sys.stderr)
        if broken or answered >= MANY:
            seconds = time.monotonic() - self.started
            failed = f"; {broken:,} could not be read" if broken else ""
            print(f"{answered:,} {self.unit} in {seconds:.1f} s{failed}.", file=sys.stderr)


@contextlib.contextmanager
def drawings(args, model):
    """Yields a function that draws a result into --out; the folder appears once it is complete."""
    if args.out is None:
        yield lambda result: None
        return
    from tfdl.core.files import replaced
    from tfdl.figures.style import write_png

    with replaced(args.out, marker=SHEET) as folder:
        with contextlib.closing(Drawn(model, folder, args)) as drawn:
            yield drawn.add
        if drawn.shown:
            images, results = zip(*drawn.shown)
            write_png(model.answers.sheet(images, results, drawn.title()), folder / SHEET)
    print(f"{args.out}: {drawn.counted()} and {SHEET}", file=sys.stderr)


class Drawn:
    """The drawings in a folder: a picture of each picture, a video of each video."""

    def __init__(self, model, folder, args):
        self.model, self.folder, self.top, self.every = model, folder, args.top, args.every or 1
        self.names, self.shown = {Path(SHEET).stem}, []
        self.pictures = self.videos = 0
        self.video = self.frames = self.film = None  # what is being drawn

    def add(self, result):
        is_frame = getattr(result, "time", None) is not None
        image = self.frame(result) if is_frame else self.picture(result)
        if image is not None and len(self.shown) < ON_SHEET:
            self.shown.append((image, result))

    def picture(self, result):
        """Draws a picture, which is returned."""
        from tfdl.figures.style import png

        image = self.model.picture(result.path)
        name = unused(Path(result.path).stem, self.names)
        # Not `write_png`, which flushes each file to disk: the folder appears as a whole anyway.
        (self.folder / f"{name}.png").write_bytes(png(self.model.answers.drawing(image, result, self.top)))
        self.pictures += 1
        return image

    def frame(self, result):
        """Draws a frame, which is read again: answers keep no pictures.  Returns the first one of its video."""
        from tfdl.figures.style import drawn
        from tfdl.inference.inputs import thumbnail
        from tfdl.inference.videos import Film, frames, video_of

        is_first = result.path.endswith("#000000")
        if is_first:
            self.close()
            self.video = video_of(result.path)
            name = unused(Path(self.video).stem, self.names)
            self.frames, self.film = frames(self.video, self.every), Film(self.folder / f"{name}.mp4")
            self.videos += 1
        image = thumbnail(next(frame.pixels for frame in self.frames if frame.name == result.path))
        self.film.add(drawn(self.model.answers.drawing(image, result, self.top)), result.time)
        return image if is_first else None

    def close(self):
        """Ends the video that is being drawn."""
        if self.film is not None:
            self.film.close()
            self.frames.close()

    def title(self):
        """Of the sheet, which has the first frame of a video only."""
        count = self.pictures + self.videos
        return f"{len(self.shown)} of {count:,} pictures" if count > len(self.shown) else f"{count} pictures"

    def counted(self):
        """ "12 annotated pictures, 1 annotated video" """
        parts = [f"{self.pictures:,} annotated pictures"] if self.pictures or not self.videos else []
        if self.videos:
            parts.append(f"{self.videos:,} annotated {'video' if self.videos == 1 else 'videos'}")
        return ", ".join(parts)


def unused(stem, names):
    """`stem`, or stem-2, stem-3 ... if it is taken, as by a picture of another folder; adds it to `names`."""
    stem = one_line(stem)
    name, number = stem, 1
    while name.lower() in names:  # some file systems ignore case
        number += 1
        name = f"{stem}-{number}"
    names.add(name.lower())
    return name
