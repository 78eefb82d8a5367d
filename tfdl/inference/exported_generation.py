"""Texts that an exported language model writes: LiteRT runs the entry points of one TFLite file, token after token.

    model = ExportedWriter("export/model.tflite")
    model.generate([[5, 9, 2]], new_tokens=40).tokens[0]

The file is that of `tfdl.export_model` for a `CausalDecoder` or a recurrent language model ("prefill" and "step") or an
`EncoderDecoder` ("encode" and "step").  An entry point that takes and gives the cache, or states, has one buffer for
both, so that no step copies it.
Shapes: P tokens of a prompt, S places of the cache, V vocabulary.
"""

import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options

from tfdl.core.quiet import muffled, silent_at_exit
from tfdl.inference.classification import log_softmax
from tfdl.inference.generation import (
    STREAMED,
    Generated,
    beginner,
    begun,
    cache_length,
    checked,
    kept_by,
    matched,
    occurring,
    refuse_nan,
    rules_of,
    unwritten,
)
from tfdl.inference.sampling import Sampling

READERS = ("prefill", "encode")
UNLIMITED = 2**20  # places of a network whose states have one size for texts of any length


class ExportedWriter:
    """A TFLite file that writes texts; `generate` is that of the live models.

    Args:
        path: of the file.
        padding: the token behind the end of an encoder's source.
        threads: of LiteRT.

    Attributes:
        config: with `context`, places of the cache, and `vocabulary_size`.

    Raises:
        ValueError: the file has not the entry points.
    """

    def __init__(self, path, *, padding=0, threads=1):
        options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=threads))
        self.name, self.padding = Path(path).name, padding
        self.runtime = {}  # all that is LiteRT's, in one place: it tells when it ends, which is nobody's business
        weakref.finalize(self, quietly_cleared, self.runtime)
        silent_at_exit()
        with muffled():  # it also tells which accelerators it does not find
            model = self.runtime["model"] = CompiledModel.from_file(str(path), options=options)
            names = [model.get_signature_by_index(i)["key"] for i in range(model.get_num_signatures())]
            readers = [name for name in READERS if name in names]
            if "step" not in names or not readers:
                raise ValueError(
                    f"{path} has the entry points {', '.join(names)}; a language model that tfdl exports has step and"
                    f" {' or '.join(READERS)}."
                )
            self.reader = readers[0]
            if self.reader == "encode":
                self.start = None  # as live encoder-decoders have it, see `generation.is_encoder_decoder`
            self.make_buffers(model)
            self.clear()  # the first writing makes LiteRT talk once more
        step = self.shapes["step"]
        places = step["keys_0"][2] if "keys_0" in step else UNLIMITED
        self.config = SimpleNamespace(context=places, vocabulary_size=step["logits"][1])

    def make_buffers(self, model):
        """One for all inputs and outputs of a name and shape, of both entry points."""
        buffers = self.runtime["buffers"] = {}
        self.shapes = {}
        for entry in (self.reader, "step"):
            takes, gives = model.get_input_tensor_details(entry), model.get_output_tensor_details(entry)
            self.shapes[entry] = {name: tuple(row["shape"]) for name, row in (takes | gives).items()}
            for name, shape in self.shapes[entry].items():
                if (name, shape) not in buffers:
                    make = model.create_input_buffer_by_name if name in takes else model.create_output_buffer_by_name
                    buffers[name, shape] = make(entry, name)
            for kind, rows in (("takes", takes), ("gives", gives)):
                self.runtime[kind, entry] = {name: buffers[name, self.shapes[entry][name]] for name in rows}

    def generate(
        self,
        prompts,
        *,
        new_tokens=64,
        sampling=None,
        stop_tokens=(),
        constraint=None,
        start=None,
        seed=0,
        stream=None,
        compiled=True,
    ):
        """What the model writes after each prompt, one after the other: see `generation.generate`.

        `compiled` makes no difference here.
        """
        rows, sampling = checked(self, prompts, new_tokens, start), sampling or Sampling()
        if self.reader == "encode":
            longest = self.shapes["encode"]["source"][1]
            if any(len(row) > longest for row in rows):
                raise ValueError(f"A prompt has more than the {longest} tokens that {self.name} reads; shorten it.")
        answers = []
        for i, row in enumerate(rows):
            show = (
                None if stream is None else (lambda new, i=i: stream([new if j == i else [] for j in range(len(rows))]))
            )
            answers.append(self.write(row, new_tokens, sampling, stop_tokens, constraint, start, seed + i, show))
        tokens, log_probabilities, whole = map(list, zip(*answers))
        return Generated(tokens, log_probabilities, matched=None if constraint is None else sum(whole, []))

    def write(self, prompt, new_tokens, sampling, stop_tokens, constraint, start, seed, show):
        """One text: its tokens (N,), their log-probabilities (N,), and whether it matches the constraint."""
        following = kept_by(self, sampling, lambda: tf.function(beginner(sampling), autograph=False))
        seen = occurring([prompt if start is None else [start]], self.config.vocabulary_size)
        places = cache_length(new_tokens, self.config.context)
        state = unwritten(tf.constant(seen), places, sampling, seed) | begun(constraint, 1)
        stops, rules = tf.constant(list(stop_tokens), tf.int32), rules_of(constraint)
        logits, position, shown = *self.read(prompt, start), 0
        for count in range(1, new_tokens + 1):
            state = following(tf.constant(logits), state, stops, rules)
            refuse_nan(self, state["broken"])
            ended = bool(state["ended"][0])
            if show and (ended or count == new_tokens or count % STREAMED == 0):
                written = int(state["counts"][0])
                if show(state["written"][0, shown:written].numpy()):
                    break
                shown = written
            if ended or count == new_tokens:
                break
            logits, position = self.step(int(state["tokens"][0]), position), position + 1
        count = int(state["counts"][0])
        tokens, values = state["written"][0, :count].numpy(), state["log_probabilities"][0, :count].numpy()
        return tokens, values, matched(constraint, state)

    def read(self, prompt, start):
        """Has the model read a prompt (P,): logits (1, V) after it, and the places that are taken."""
        self.clear()
        if self.reader == "encode":
            source = np.full(self.shapes["encode"]["source"], self.padding, "int32")
            source[0, : len(prompt)] = prompt
            self.run("encode", source=source)
            return self.step(start, 0), 1
        chunk, position = self.shapes["prefill"]["tokens"][1], 0
        while position < len(prompt):
            piece = prompt[position : position + chunk]
            if position + chunk > self.config.context:  # the padding would have no places
                for token in piece:
                    logits, position = self.step(int(token), position), position + 1
                break
            tokens = np.zeros((1, chunk), "int32")
            tokens[0, : len(piece)] = piece
            logits = self.run("prefill", tokens=tokens, length=np.array([len(piece)]), position=np.array([position]))
            position += len(piece)
        return logits, position

    def log_probabilities(self, tokens):
        """Of the token that follows each, read one after another: (B, T) int32 -> (B, T, V) float32."""
        rows = []
        for row in tokens:
            self.clear()
            rows.append(np.concatenate([self.step(int(token), i) for i, token in enumerate(row)]))
        return log_softmax(np.stack(rows))

    def clear(self):
        """Empties the cache, which may hold another text: what the steps take and give."""
        takes, gives = self.runtime["takes", "step"], self.runtime["gives", "step"]
        for name in takes.keys() & gives.keys():
            takes[name].write(np.zeros(self.shapes["step"][name], "float32"))

    def step(self, token, position):
        """Logits (1, V) after one more token."""
        return self.run("step", tokens=np.array([[token]]), position=np.array([position]))

    def run(self, entry, **inputs):
        """Runs an entry point on these inputs and what its buffers hold; the logits, if it gives any."""
        takes, gives = self.runtime["takes", entry], self.runtime["gives", entry]
        for name in inputs.keys() & takes.keys():  # recurrent networks have no use for a position
            takes[name].write(np.ascontiguousarray(inputs[name], "int32"))
        self.runtime["model"].run_by_name(entry, takes, gives)
        if "logits" in gives:
            return gives["logits"].read(self.config.vocabulary_size, np.float32)[None]
        return None


def quietly_cleared(runtime):
    with muffled():
        runtime.clear()
