"""Recurrent networks on tokens: a language model, a classifier of texts, or a tagger of words.

Papers: Elman 1990, Cognitive Science 14(2), Fig. 2; Zaremba et al. 2014, arXiv:1409.2329 (dropout between layers only,
section 3.2; their networks: section 4.1); Huang et al. 2015, arXiv:1508.01991 (bidirectional tagger, Fig. 4).
Shapes: B batch, T tokens, V vocabulary, E width of the embeddings, U units, C classes.
"""

import types

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.core.model import Argument, Writer
from tfdl.core.serial import serializable
from tfdl.layers.recurrent import CELLS, Recurrent, bidirectional, check_cell

HEADS = ("language_model", "classifier", "tagger")


@config
class RecurrentConfig:
    """One network: embeddings, `depth` recurrent layers, and a head."""

    vocabulary_size: int  # V
    embedding: int  # E
    units: int  # U of each layer and direction
    cell: str = "lstm"  # key of CELLS
    depth: int = 1
    bidirectional: bool = False
    head: str = "language_model"  # one of HEADS: logits of the next token, of the text's class, of each token's class
    dropout: float = 0.0  # on the input of each layer and of the head, never from step to step
    padding: int = 0  # the token that stands for nothing

    def __post_init__(self):
        check_cell(self.cell)
        if self.head not in HEADS:
            raise ValueError(f"There is no head {self.head!r}; choose one of {', '.join(HEADS)}.")
        if self.bidirectional and self.head == "language_model":
            raise ValueError("A bidirectional language model would see the tokens that it predicts; use one direction.")
        if min(self.vocabulary_size, self.embedding, self.units, self.depth) < 1:
            raise ValueError(
                "vocabulary_size, embedding, units and depth must be at least 1, not "
                f"{self.vocabulary_size}, {self.embedding}, {self.units} and {self.depth}."
            )


def zaremba(units, dropout=0.0):
    """A network of Zaremba et al., section 4.1, on the 10,000 words of Penn Treebank."""
    return RecurrentConfig(vocabulary_size=10_000, embedding=units, units=units, depth=2, dropout=dropout)


VARIANTS = {
    "nano": RecurrentConfig(vocabulary_size=11, embedding=6, units=10),  # ours, for tests
    # Ours, for characters: about 240,000 weights each.
    "vanilla_characters": RecurrentConfig(vocabulary_size=96, embedding=32, units=256, cell="rnn", depth=2),
    "lstm_characters": RecurrentConfig(vocabulary_size=96, embedding=64, units=128, depth=2),
    "gru_characters": RecurrentConfig(vocabulary_size=96, embedding=64, units=146, cell="gru", depth=2),
    "lstm_small": zaremba(200),
    "lstm_medium": zaremba(650, dropout=0.5),
    "lstm_large": zaremba(1500, dropout=0.65),
    # The classifier of keras.io's example "Bidirectional LSTM on IMDB".
    "bidirectional_classifier": RecurrentConfig(
        vocabulary_size=20_000, embedding=128, units=64, depth=2, bidirectional=True, head="classifier"
    ),
    # Ours, for a few thousand sentences: strong dropout, because a classifier learns so few by heart.
    "gru_classifier": RecurrentConfig(
        vocabulary_size=8_000, embedding=64, units=64, cell="gru", head="classifier", dropout=0.5
    ),
    "bilstm_classifier": RecurrentConfig(
        vocabulary_size=8_000, embedding=64, units=64, bidirectional=True, head="classifier", dropout=0.5
    ),
    # Ours, for two cores.
    "small_tagger": RecurrentConfig(
        vocabulary_size=8_000, embedding=64, units=64, bidirectional=True, head="tagger", dropout=0.3
    ),
    # Ours: Huang et al.'s network without its conditional random field.
    "bidirectional_tagger": RecurrentConfig(
        vocabulary_size=20_000, embedding=50, units=300, bidirectional=True, head="tagger", dropout=0.5
    ),
}


def rnn(
    variant="lstm_characters",
    *,
    vocabulary_size=None,
    padding=None,
    num_classes=2,
    length=None,
    unroll=False,
    name="rnn",
):
    """Tokens (B, T) int32 -> logits: (B, T, V), (B, C) of a classifier, or (B, T, C) of a tagger.

    Padding may stand anywhere: the states do not change there, so that a text's logits do not depend on how it is
    padded.  A text of nothing but padding is the zero state.  A language model also has `generate` and its relatives.

    Args:
        variant: a row of VARIANTS or a RecurrentConfig.
        vocabulary_size, padding: in place of the variant's; tokens are below `vocabulary_size`.
        num_classes: C of a classifier or tagger, while a language model has V.  None for features in place of logits:
            the outputs (B, T, U) of the last layer, or its last states (B, U) of a classifier; two directions have 2 U.
        length: T; None for any.  Phones need it fixed.
        unroll: a graph without a loop, for int8 files; `length` must be fixed.

    Raises:
        ValueError: an unknown variant, or an argument out of range.
    """
    c = choose_variant(variant, VARIANTS, model="rnn", vocabulary_size=vocabulary_size, padding=padding)
    check_num_classes(num_classes)
    if unroll and length is None:
        raise ValueError("unroll=True needs a fixed length, such as length=64.")

    tokens = keras.Input((length,), dtype="int32", name="tokens")
    mask = ops.not_equal(tokens, c.padding)  # (B, T)
    x = layers.Embedding(c.vocabulary_size, c.embedding, name="embedding")(tokens)  # (B, T, E)
    for i in range(c.depth):
        x = dropout(x, c.dropout, f"dropout{i}")
        options = dict(cell=c.cell, unroll=unroll, name=f"layer{i}")
        if c.bidirectional:
            x, (last, first) = bidirectional(x, c.units, mask=mask, **options)  # (B, T, 2 U)
            ends = layers.Concatenate(name=f"layer{i}_ends")([last[0], first[0]])  # (B, 2 U)
        else:
            x, (ends, *_) = Recurrent(c.units, **options)(x, mask=mask)  # (B, T, U)
    x = dropout(ends if c.head == "classifier" else x, c.dropout, "dropout")
    if num_classes is not None:
        outputs = c.vocabulary_size if c.head == "language_model" else num_classes
        x = layers.Dense(outputs, dtype="float32", name="logits")(x)
    writes = c.head == "language_model" and num_classes is not None
    return (RecurrentLanguageModel if writes else keras.Model)(tokens, x, name=name)


UNLIMITED = 2**20  # tokens that it sees: its states have one size for texts of any length
CHUNK = 16  # tokens that an exported file reads at a time
STATES = ("hidden", "memory")  # of a layer, as entry points name them; an LSTM has both


@serializable
class RecurrentLanguageModel(Writer, keras.Model):
    """A functional model that also reads one token after another; the states of its layers are its cache."""

    @property
    def recurrent_layers(self):
        return [layer for layer in self.layers if isinstance(layer, Recurrent)]

    @property
    def config(self):
        """What writing texts needs to know."""
        return types.SimpleNamespace(vocabulary_size=self.get_layer("logits").units, context=UNLIMITED)

    def empty_cache(self, batch, length):
        """The states before the first token, for each layer one or two of (B, U); `length` makes no difference."""
        return [
            tuple(ops.zeros((batch, layer.units), self.compute_dtype) for _ in range(CELLS[layer.cell].states))
            for layer in self.recurrent_layers
        ]

    def extend(self, tokens, cache, position, starts=None, last=None):
        """Logits of new tokens, whose predecessors the states remember.

        Args:
            tokens: (B, T) int32, at the places `position` to `position + T - 1`.
            cache: from `empty_cache` or an earlier call.
            position: int32 scalar, how many tokens came before.
            starts: (B,) int32, the place of each row's first token, where shorter prompts were padded on the left.
            last: (B,) int32, in each row the one of `tokens` whose logits are wanted; None for those of all.

        Returns:
            logits (B, T, V) float32, or (B, 1, V), and the new states.
        """
        if tokens.shape[1] == 1:
            x, after = self.advanced(tokens[:, 0], cache)
            return self.get_layer("logits")(x)[:, None], after
        places = position + ops.arange(ops.shape(tokens)[1])
        mask = ops.ones_like(tokens, "bool") if starts is None else places >= starts[:, None]  # (B, T)
        x, after = self.get_layer("embedding")(tokens), []
        for layer, states in zip(self.recurrent_layers, cache):
            x, ends = layer(x, mask=mask, states=states)
            after.append(ends)
        if last is not None:
            x = ops.take_along_axis(x, last[:, None, None], axis=1)
        return self.get_layer("logits")(x), after

    def advanced(self, tokens, cache):
        """One token (B,) of each text: the last layer's output (B, U), and the new states."""
        x, after = self.get_layer("embedding")(tokens), []
        for layer, states in zip(self.recurrent_layers, cache):
            x, ends = layer.step(x, states)
            after.append(ends)
        return x, after

    def signatures(self, *, chunk=CHUNK):
        """Entry points of exported files: "prefill" reads a piece of a prompt, "step" one more token.

        Both take and give the states, "hidden_0" (B, U), "memory_0" of an LSTM, "hidden_1" ..., and give the logits
        (B, V) of the token that follows.  "prefill" takes `chunk` tokens, of which the first `length` (B,) count.

        Args:
            chunk: tokens that "prefill" takes.
        """
        token = range(self.config.vocabulary_size)
        state = {name: Argument((None, *rows.shape[1:])) for name, rows in named(self.empty_cache(1, 1)).items()}
        pieces = {
            "tokens": Argument((None, chunk), "int32", token),
            "length": Argument((None,), "int32", range(1, chunk + 1)),
        }
        return {
            "prefill": (self.prefill, pieces | state),
            "step": (self.step, {"tokens": Argument((None, 1), "int32", token)} | state),
        }

    def prefill(self, tokens, length, **states):
        """The entry point of that name.  It has no loop: LiteRT lets no state leave a loop for a buffer of its own."""
        x, cache = self.advanced(tokens[:, 0], self.paired(states))  # at least one token counts
        for place in range(1, tokens.shape[1]):
            counts = (place < length)[:, None]
            new, after = self.advanced(tokens[:, place], cache)
            x = ops.where(counts, new, x)
            cache = [tuple(ops.where(counts, *pair) for pair in zip(*rows)) for rows in zip(after, cache)]
        return {"logits": self.get_layer("logits")(x), **named(cache)}

    def step(self, tokens, **states):
        """The entry point of that name."""
        x, after = self.advanced(tokens[:, 0], self.paired(states))
        return {"logits": self.get_layer("logits")(x), **named(after)}

    def paired(self, states):
        """The inverse of `named`."""
        return [
            tuple(states[f"{kind}_{i}"] for kind in STATES[: CELLS[layer.cell].states])
            for i, layer in enumerate(self.recurrent_layers)
        ]


def named(cache):
    """The states of each layer -> {"hidden_0": ..., "memory_0": ..., "hidden_1": ...}, as entry points have them."""
    return {f"{kind}_{i}": rows for i, states in enumerate(cache) for kind, rows in zip(STATES, states)}


def dropout(x, rate, name):
    """Dropout, where there is any."""
    return layers.Dropout(rate, name=name)(x) if rate else x
