"""A trained language model with its tokenizer: it goes on where prompts end.

writer = tfdl.load("runs/tiny_shakespeare_gpt")
writer.write(["ROMEO:"], new_tokens=200, sampling=Sampling(temperature=0.8, top_k=20), stop=["\n\n"])
writer.search(["ROMEO:"], "beam_search", beams=4, new_tokens=50)
"""

from pathlib import Path

import numpy as np

from tfdl.core.chat_templates import TEMPLATES, ChatTemplate
from tfdl.core.saved import load_model
from tfdl.core.token_rows import read_tokenizer
from tfdl.inference.classification import log_softmax
from tfdl.inference.exported_generation import ExportedWriter
from tfdl.inference.sampling import Sampling

APART = 1_000_003  # between the seeds of two windows


class TextWriter:
    """A model with what belongs to it.

    Attributes:
        path: of the file that runs.
        task: `tfdl.core.task.Task`.
        model: a `CausalDecoder`, or an `ExportedWriter`.
        tokenizer: a `tokenizers.Tokenizer`.

    Raises:
        ValueError: the model does not write texts, or is a SavedModel.
    """

    def __init__(self, path, task, folder):
        self.path, self.task = path, task
        self.tokenizer = read_tokenizer(Path(folder) / task.tokenizer)
        if Path(path).is_dir():
            raise ValueError(f"{path} is a SavedModel; tfdl writes texts with the .tflite files beside it.")
        if Path(path).suffix == ".tflite":
            self.model = ExportedWriter(path, padding=task.padding)
        else:
            self.model = load_model(path)
        if not hasattr(self.model, "generate"):
            raise ValueError(
                f"{path} is a {self.model.name}, which does not write texts; a gpt, llama, mixtral or rnn does."
            )

    def write(
        self, prompts, *, new_tokens=128, sampling=None, stop=(), constraint=None, seed=0, stream=None, compiled=True
    ):
        """How each prompt goes on.

        A text may be longer than the model sees: when its context is full, the model reads the last half of it again
        and goes on from there.

        Args:
            prompts: texts, not empty.
            new_tokens: the most tokens to write, 1 or more.
            sampling: a `Sampling`; None takes the likeliest token at each step.
            stop: texts before which the new text ends.
            constraint: a `tfdl.inference.constraints.Constraint` on the new texts, which then must fit the context.
            seed: of the first prompt; the next number for the next prompt.
            stream: a function of a list with the new letters of each text, called every few tokens.
            compiled: as for `generation.generate`.

        Returns:
            list of the new texts, without the prompts.

        Raises:
            ValueError: as `generation.generate`, or a prompt is empty, or a text with a constraint does not fit.
        """
        if new_tokens < 1:
            raise ValueError(f"new_tokens is {new_tokens}; give 1 or more.")
        rows = [self.tokens(prompt) for prompt in prompts]
        texts, context = [Text(self.tokenizer, stop) for _ in rows], self.model.config.context
        if constraint is not None and new_tokens > (room := context - max(map(len, rows))):
            raise ValueError(
                f"A text with a constraint must fit what {self.model.name} sees: {room} tokens after these prompts, not"
                f" {new_tokens}; give new_tokens={room} or less."
            )
        left, window = new_tokens, 0
        while left and not all(text.ended for text in texts):
            kept = [row[-max(1, context // 2) :] if len(row) >= context else row for row in rows]
            count = min(left, context - max(map(len, kept)))

            def show(new):
                pieces = [text.add(tokens) for text, tokens in zip(texts, new)]
                if stream:
                    stream(pieces)
                return all(text.ended for text in texts)

            answer = self.model.generate(
                kept,
                new_tokens=count,
                sampling=sampling or Sampling(),
                stop_tokens=self.ends,
                constraint=constraint,
                seed=seed + APART * window,
                stream=show,
                compiled=compiled,
            )
            for text, tokens in zip(texts, answer.tokens):
                text.ended |= len(tokens) < count
            rows = [np.concatenate([row, tokens]) for row, tokens in zip(rows, answer.tokens)]
            left, window = left - count, window + 1
        last = [text.rest() for text in texts]
        if stream and any(last):
            stream(last)
        return [text.shown for text in texts]

    def search(self, prompts, method, *, new_tokens=128, stop=(), **options):
        """The same by a method that looks further than at the next token; prompt and text must fit the context.

        Args:
            method: "beam_search", "contrastive_search" or "speculate".
            options: of the model's method of this name; `draft` of "speculate" is another `TextWriter`.

        Returns:
            list of the new texts.

        Raises:
            ValueError: as the method, or the model is an exported file.
        """
        if not hasattr(self.model, method):
            raise ValueError(f"{self.path} is an exported file, which has no {method}; give the folder of its run.")
        first = [options.pop("draft").model] if "draft" in options else []
        rows = [self.tokens(prompt) for prompt in prompts]
        answer = getattr(self.model, method)(*first, rows, new_tokens=new_tokens, stop_tokens=self.ends, **options)
        texts = [Text(self.tokenizer, stop) for _ in rows]
        for text, tokens in zip(texts, answer.tokens):
            text.add(tokens)
            text.rest()
        return [text.shown for text in texts]

    def nats(self, tokens, following):
        """-log p of each token that follows, (n,) float32; those below 0 do not count.

        Args:
            tokens, following: (B, T) int32, as a text's batches have them.
        """
        log_p = self.model.log_probabilities(tokens) if self.is_exported else log_softmax(self.model(tokens).numpy())
        counts = following >= 0
        return -np.take_along_axis(log_p, np.maximum(following, 0)[..., None], axis=-1)[..., 0][counts]

    @property
    def is_exported(self):
        """Whether a file of LiteRT writes."""
        return isinstance(self.model, ExportedWriter)

    @property
    def ends(self):
        """The tokens that end a text."""
        end = self.tokenizer.token_to_id("<|endoftext|>")
        return () if end is None else (end,)

    def tokens(self, prompt):
        """Token numbers (P,) of a prompt.  Raises ValueError for an empty one."""
        tokens = np.array(self.tokenizer.encode(prompt, add_special_tokens=False).ids, "int32")
        if not tokens.size:
            raise ValueError("A prompt is empty; give at least one letter to go on from.")
        return tokens


class Chat:
    """A conversation with a model that was taught to answer.

    chat = Chat(tfdl.load("runs/my_gpt_instructed"))
    chat.answer("37+58")                       # "95"; the next question is read after this one and its answer

    Args:
        writer: a `TextWriter`.
        template: a `tfdl.core.chat_templates.ChatTemplate`; None is that of the model's training.
        system: what stands before all turns; "" for nothing.

    Raises:
        ValueError: the model was trained without a template, or its tokenizer lacks the template's tokens.
    """

    def __init__(self, writer, template=None, system=""):
        if template is None and writer.task.template is None:
            raise ValueError(
                f"{writer.path} was not trained on conversations; say how its turns are written, template= or"
                f" --template: {', '.join(TEMPLATES)}."
            )
        self.writer, self.template = writer, template or ChatTemplate(*writer.task.template)
        self.tokenizer = Encoder(writer.tokenizer)
        self.stop = self.template.stop_token(self.tokenizer)
        self.messages = [("system", system)] if system else []

    def answer(self, question, *, new_tokens=256, sampling=None, seed=0, stream=None, compiled=True):
        """The answer to a question after all turns before; the oldest ones are forgotten where they do not fit.

        Args:
            question: a text.
            new_tokens, sampling, seed, compiled: as for `TextWriter.write`; fewer tokens where no more fit.
            stream: a function of the new letters, called every few tokens.

        Raises:
            ValueError: the question alone does not fit what the model sees.
        """
        model = self.writer.model
        context, turns = model.config.context, [*self.messages, ("user", question)]
        first = 1 if turns[0][0] == "system" else 0
        while len(self.prompt(turns)) + min(new_tokens, context // 4) > context and len(turns) - first > 2:
            turns = turns[:first] + turns[first + 2 :]  # without the oldest question and its answer
        tokens = self.prompt(turns)
        if len(tokens) >= context:
            raise ValueError(
                f"The question has {len(tokens)} tokens, but {model.name} sees {context}; give a shorter one."
            )
        text = Text(self.writer.tokenizer, ())

        def show(new):
            piece = text.add(new[0])
            if stream:
                stream(piece)

        model.generate(
            [tokens],
            new_tokens=min(new_tokens, context - len(tokens)),
            sampling=sampling,
            stop_tokens=(self.stop,),
            seed=seed,
            stream=show,
            compiled=compiled,
        )
        last = text.rest()
        if stream and last:
            stream(last)
        self.messages = [*turns, ("assistant", text.shown)]
        return text.shown

    def prompt(self, turns):
        """Token numbers (P,) of these turns and of what opens the assistant's."""
        return self.template.encode(turns, self.tokenizer, prompt=True)[0]


class Encoder:
    """A `tokenizers.Tokenizer` as chat templates take it."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer

    def encode(self, text):
        """Token numbers (T,) int32, without tokens around the text."""
        return np.array(self.tokenizer.encode(text, add_special_tokens=False).ids, "int32")


class Text:
    """A text that grows: what can be shown of it already, cut before the first of the `stop` texts."""

    def __init__(self, tokenizer, stop):
        self.tokenizer, self.stop = tokenizer, [text for text in stop if text]
        self.written, self.shown, self.ended = [], "", False

    def add(self, tokens):
        """The letters that are sure after these tokens: none that a stop text may begin with, or half of a letter."""
        if self.ended:
            return ""
        self.written += tokens.tolist()
        text = self.tokenizer.decode(self.written)
        places = [text.find(stop) for stop in self.stop if stop in text]
        if places:
            self.ended = True
            return self.show(text[: min(places)])
        held = max(map(len, self.stop), default=1) - 1
        whole = text.rstrip("\ufffd")  # a letter of several bytes whose last ones are still missing
        return self.show(whole[: len(whole) - held] if held else whole)

    def rest(self):
        """The letters that were held back."""
        return "" if self.ended and self.stop else self.show(self.tokenizer.decode(self.written))

    def show(self, text):
        new = text[len(self.shown) :]
        self.shown += new
        return new
