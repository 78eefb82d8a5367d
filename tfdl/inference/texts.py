"""A trained classifier of texts with its tokenizer: it takes texts and gives answers.

model = tfdl.load("runs/sst2_gru")
for answer in model.predict(["a stirring film", "dull"]):
    print(answer.text, answer.label, answer.probability)
"""

import json
import os
from dataclasses import replace
from itertools import islice
from pathlib import Path

import tensorflow as tf

from tfdl.core.saved import load_model
from tfdl.core.token_rows import encode, padded, read_tokenizer
from tfdl.inference.inputs import STANDARD_INPUT, Broken, content
from tfdl.inference.kinds import ANSWERS

LINES, OBJECTS = ".txt", ".jsonl"  # a text on each line; a JSON object with a "text" on each line


class TokensBackend:
    """A network on tokens in a .keras file: tokens (B, T) int32 -> {name: (B, classes) float32}.

    Raises:
        ValueError: the model does not take tokens, or gives something else.
    """

    step = 0.0

    def __init__(self, file):
        self.model = load_model(file)
        self.run = tf.function(self.forward, input_signature=[tf.TensorSpec((None, None), tf.int32)])
        try:
            shape = self.run.get_concrete_function().output_shapes
        except (TypeError, ValueError) as error:
            raise ValueError(f"{file} takes no tokens (B, T): {error}") from error
        self.outputs = {"logits": tuple(shape[1:])}

    def forward(self, tokens):
        return tf.cast(self.model(tokens, training=False), tf.float32)

    def __call__(self, tokens):
        return {"logits": self.run(tokens).numpy()}


class TextPredictor:
    """A model with what belongs to it.

    Attributes:
        path: of the file that runs.
        task: `tfdl.core.task.Task`.
        tokenizer_path: its tokenizer.json.
        answers: the file of `tfdl.inference` for this kind of task.
    """

    def __init__(self, path, task, folder):
        self.path, self.task, self.tokenizer_path = path, task, Path(folder) / task.tokenizer
        self.answers = ANSWERS[task.kind]
        self.tokenizer = read_tokenizer(self.tokenizer_path)
        self.backend = TokensBackend(path)
        self.reader = self.answers.Reader(task, self.backend)

    @staticmethod
    def found(words, lines=()):
        """Texts, or `Broken`, one by one.

        Args:
            words: texts, files .txt with one on each line, files .jsonl with a "text" on each line, and "-" for
                `lines`.  Empty lines of files are empty texts.
        """
        for word in map(os.fspath, words):
            suffix = Path(word).suffix.lower()
            if word == STANDARD_INPUT:
                yield from (line.rstrip("\r\n") for line in lines)
            elif suffix in (LINES, OBJECTS) and (os.path.lexists(word) or not word.split(" ", 1)[1:]):
                yield from texts_of(word, suffix)
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
            results = iter(self.reader(self.outputs(whole)) if whole else ())
            for text in batch:
                yield text if isinstance(text, Broken) else replace(next(results), text=text)

    def outputs(self, texts):
        """The network's own outputs for some texts: {name: (B, classes) float32}."""
        rows = [tokens for tokens, _ in encode(self.tokenizer, texts, self.task.length)]
        return self.backend(padded(rows, self.task.length, self.task.padding))


def texts_of(path, suffix):
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
            yield text_in(line, f"{path}, line {number:,}")


def text_in(line, where):
    """The text in a JSON object, or `Broken`."""
    try:
        text = json.loads(line)["text"]
    except (ValueError, RecursionError) as error:
        return Broken(where, f"no JSON ({error})")
    except (KeyError, TypeError):
        return Broken(where, 'no object with a "text"')
    return text if isinstance(text, str) else Broken(where, f'its "text" is {text!r}')
