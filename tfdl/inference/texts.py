"""A trained model of texts with its tokenizer: it takes texts, or questions with paragraphs, and gives answers.

model = tfdl.load("runs/sst2_gru")
for answer in model.predict(["a stirring film", "dull"]):
    print(answer.text, answer.label, answer.probability)
tfdl.load("runs/xquad_bert").predict([("Who wrote it?", "It was written by Ada.")])[0].answer
"""

import json
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

from tfdl.core.token_rows import encode, padded, read_tokenizer
from tfdl.inference.inputs import STANDARD_INPUT, Broken, content
from tfdl.inference.kinds import ANSWERS
from tfdl.inference.token_backends import token_backend

LINES, OBJECTS = ".txt", ".jsonl"  # a text on each line; a JSON object with a "text" on each line
NO_PARAGRAPH = "no paragraph: write QUESTION, a tab and PARAGRAPH, a .jsonl with both, or --context FILE"


class TextPredictor:
    """A model with what belongs to it.

    Attributes:
        path: of the file that runs.
        task: `tfdl.core.task.Task`.
        tokenizer_path: its tokenizer.json.
        answers: the file of `tfdl.inference` for this kind of task.
    """

    fields = ("tokens",)

    def __init__(self, path, task, folder):
        self.path, self.task, self.tokenizer_path = path, task, Path(folder) / task.tokenizer
        self.answers = ANSWERS[task.kind]
        self.tokenizer = read_tokenizer(self.tokenizer_path)
        self.backend = token_backend(path, self.fields, task.padding)
        self.reader = self.answers.Reader(task, self.backend)

    @staticmethod
    def found(words, lines=(), keys=("text",)):
        """Texts, or `Broken`, one by one.

        Args:
            words: texts, files .txt with one on each line, files .jsonl with a "text" on each line, and "-" for
                `lines`.  Empty lines of files are empty texts.
            keys: of JSON lines; of several, a tuple of their texts is given.
        """
        for word in map(os.fspath, words):
            suffix = Path(word).suffix.lower()
            if word == STANDARD_INPUT:
                yield from (line.rstrip("\r\n") for line in lines)
            elif suffix in (LINES, OBJECTS) and (os.path.lexists(word) or not word.split(" ", 1)[1:]):
                yield from texts_of(word, suffix, keys)
            else:
                yield word

    def predict(self, texts, batch_size=32):
        """A result for each text, in their order; a single text is a list of one."""
        return list(self.stream([texts] if isinstance(texts, str) else texts, batch_size))

    def stream(self, texts, batch_size=32):
        """The same one after the other, as the texts come; a `Broken` among them is passed on."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give 1 or more.")
        texts = iter(texts)
        while batch := list(islice(texts, batch_size)):
            whole = [text for text in batch if not isinstance(text, Broken)]
            results = iter(self.answered(whole) if whole else ())
            for text in batch:
                yield text if isinstance(text, Broken) else next(results)

    def answered(self, texts):
        """A result for each of a batch of texts."""
        return [replace(result, text=text) for result, text in zip(self.reader(self.outputs(texts)), texts)]

    def outputs(self, texts):
        """The network's own outputs for some texts: {name: (B, classes) float32}."""
        rows = [tokens for tokens, _ in encode(self.tokenizer, texts, self.task.length)]
        return self.backend(padded(rows, self.task.length, self.task.padding))


class TokenPredictor(TextPredictor):
    """A model that answers for single tokens, as the reader of its kind says: masked words, tags of words."""

    def answered(self, texts):
        def logits(*inputs):
            return self.backend(*inputs)["logits"]

        return self.reader(self.tokenizer, logits, texts)


class QuestionPredictor(TokenPredictor):
    """A model that points at answers, as a `TextPredictor` of pairs (question, paragraph)."""

    fields = ("tokens", "segments")

    @staticmethod
    def found(words, lines=(), paragraph=None):
        """Pairs (question, paragraph), or `Broken`, one by one.

        Args:
            words: questions, files .txt with one on each line, files .jsonl with a "question" and a "context" on each
                line, and "-" for `lines`.
            paragraph: of all questions; without one a text is a question, a tab and its paragraph.
        """
        for text in TextPredictor.found(words, lines, keys=("question",) if paragraph else ("question", "context")):
            if isinstance(text, Broken | tuple):
                yield text
            elif paragraph is not None:
                yield text, paragraph
            else:
                question, tab, own = text.partition("\t")
                yield (question, own) if tab else Broken(text, NO_PARAGRAPH)

    def predict(self, pairs, batch_size=32):
        """An `Answer` for each pair (question, paragraph), in their order; a single pair is a list of one."""
        is_one = isinstance(pairs, tuple) and len(pairs) == 2 and all(isinstance(text, str) for text in pairs)
        return list(self.stream([pairs] if is_one else pairs, batch_size))


def texts_of(path, suffix, keys):
    """The texts in a file, or one `Broken`."""
    try:
        lines = content(path).decode("utf-8-sig").split("\n")
    except OSError as error:
        yield Broken(path, (error.strerror or str(error)).lower())
        return
    except UnicodeDecodeError as error:
        yield Broken(path, f"no UTF-8 text (byte {error.start:,})")
        return
    lines = lines[:-1] if lines[-1] == "" else lines
    if suffix == LINES:
        yield from (line.removesuffix("\r") for line in lines)
        return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield text_in(line, f"{path}, line {number:,}", keys)


def text_in(line, where, keys):
    """The text in a JSON object, or a tuple of several, or `Broken`."""
    try:
        row = json.loads(line)
        texts = tuple(row[key] for key in keys)
    except (ValueError, RecursionError) as error:
        return Broken(where, f"no JSON ({error})")
    except (KeyError, TypeError):
        return Broken(where, f"no object with a {' and a '.join(map(json.dumps, keys))}")
    if wrong := next(((key, text) for key, text in zip(keys, texts) if not isinstance(text, str)), None):
        return Broken(where, f'its "{wrong[0]}" is {wrong[1]!r}')
    return texts if len(texts) > 1 else texts[0]
