"""Sequence to sequence: an encoder reads a text, a decoder writes another, and may look back while it writes.

Papers: Sutskever et al. 2014, arXiv:1409.3215 (the decoder starts where the encoder ended); Cho et al. 2014,
arXiv:1406.1078, section 2.2 (it also sees the encoder's end at every step); Bahdanau et al. 2014, arXiv:1409.0473,
section 3 and appendix A (it looks at the source before every step); Luong et al. 2015, arXiv:1508.04025, section 3, eq.
5-8 (it looks after every step).
Shapes: B batch, S tokens of the source, T of the target, V vocabulary of the target, E width of the embeddings, U
units, M width of the encoder's states: U, or 2 U of both directions.
"""

from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.core.model import TextModel
from tfdl.core.serial import serializable
from tfdl.layers.recurrent import CELLS, Recurrent, check_cell
from tfdl.layers.sequence_attention import AttendingRecurrent, ProductScore, read

ATTENTION = ("none", "last", "bahdanau", "luong")


@config
class Seq2SeqConfig:
    """One encoder and one decoder."""

    source_vocabulary: int  # tokens of the source; 0 is padding
    target_vocabulary: int  # V; 0 is padding
    embedding: int  # E of both languages
    units: int  # U of each layer and direction
    cell: str = "gru"  # key of CELLS
    depth: int = 1  # layers of each
    bidirectional: bool = False  # the encoder
    # What the decoder sees of the source while it writes: nothing but where it starts (Sutskever), the encoder's last
    # state at every step (Cho), what it looks at before every step (Bahdanau), or after it (Luong, without feeding it
    # to the next step).
    attention: str = "none"  # one of ATTENTION
    dropout: float = 0.0  # on the embeddings and between layers

    def __post_init__(self):
        check_cell(self.cell)
        if self.attention not in ATTENTION:
            raise ValueError(f"There is no attention {self.attention!r}; choose one of {', '.join(ATTENTION)}.")
        if self.attention == "bahdanau" and self.depth != 1:
            raise ValueError(f"Bahdanau's decoder has one layer, not {self.depth}; use depth=1, or attention='luong'.")

    # What `generate` asks of every model that writes.  States have no longest text; this one is for the loop's memory.
    padding, context = 0, 4096

    @property
    def vocabulary_size(self):
        return self.target_vocabulary


# Of bentrevett's pytorch-seq2seq, on Multi30k from German to English: its notebooks 1, 2 and 3.
MULTI30K = dict(source_vocabulary=7853, target_vocabulary=5893, embedding=256, units=512, dropout=0.5)
SMALL = MULTI30K | dict(embedding=64, units=96, dropout=0.2)

VARIANTS = {
    "nano": Seq2SeqConfig(  # ours, for tests
        source_vocabulary=9, target_vocabulary=11, embedding=5, units=6, bidirectional=True, attention="bahdanau"
    ),
    "multi30k_lstm": Seq2SeqConfig(**MULTI30K, cell="lstm", depth=2),
    "multi30k_gru": Seq2SeqConfig(**MULTI30K, attention="last"),
    "multi30k_bahdanau": Seq2SeqConfig(**MULTI30K, bidirectional=True, attention="bahdanau"),
    "multi30k_luong": Seq2SeqConfig(**MULTI30K, bidirectional=True, attention="luong"),  # ours
    # The same with fewer units, ours: two cores need one to three minutes for an epoch.
    "small_lstm": Seq2SeqConfig(**SMALL, cell="lstm", depth=2),
    "small_gru": Seq2SeqConfig(**SMALL, attention="last"),
    "small_bahdanau": Seq2SeqConfig(**SMALL, bidirectional=True, attention="bahdanau"),
    "small_luong": Seq2SeqConfig(**SMALL, bidirectional=True, attention="luong"),
    # g2p-en 2.1.0, Park & Kim 2019: letters of English words to their sounds.
    "g2p_en": Seq2SeqConfig(source_vocabulary=29, target_vocabulary=74, embedding=256, units=256),
}


def seq2seq(variant="multi30k_bahdanau", *, source_vocabulary=None, target_vocabulary=None, name="seq2seq"):
    """{"source": (B, S), "target_in": (B, T)}, tokens int32, 0 where padded -> logits (B, T, V) of the next token.

    The source may be padded anywhere, the target behind its end: no token sees what follows it.

    Args:
        variant: a row of VARIANTS or a Seq2SeqConfig.
        source_vocabulary, target_vocabulary: in place of the variant's.

    Returns:
        Seq2Seq: the model, built.

    Raises:
        ValueError: an unknown variant, or an argument out of range.
    """
    sizes = dict(source_vocabulary=source_vocabulary, target_vocabulary=target_vocabulary)
    model = Seq2Seq(choose_variant(variant, VARIANTS, model="seq2seq", **sizes), name=name)
    model.build()
    return model


@serializable
class Seq2Seq(TextModel):
    """The two networks of a Seq2SeqConfig.  Call: as in `seq2seq`."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        c = config
        self.source_embedding = layers.Embedding(c.source_vocabulary, c.embedding, name="source_embedding")
        self.target_embedding = layers.Embedding(c.target_vocabulary, c.embedding, name="target_embedding")
        self.dropout = layers.Dropout(c.dropout, name="dropout")
        names = {"_forward": False, "_backward": True} if c.bidirectional else {"": False}
        self.encoder = [  # the two directions of a layer one after the other
            Recurrent(c.units, c.cell, backwards, name=f"encoder{i}{name}")
            for i in range(c.depth)
            for name, backwards in names.items()
        ]
        # Both directions end in 2 U numbers where the decoder starts with U: tanh(W [last; first] + b) lies between.
        count = CELLS[c.cell].states * c.depth if c.bidirectional else 0
        self.bridges = [layers.Dense(c.units, "tanh", name=f"bridge{i}") for i in range(count)]
        if c.attention == "bahdanau":
            self.decoder = [AttendingRecurrent(c.units, c.cell, name="decoder0")]
        else:
            self.decoder = [Recurrent(c.units, c.cell, name=f"decoder{i}") for i in range(c.depth)]
        if c.attention == "luong":
            self.score = ProductScore(name="score")
            self.combine = layers.Dense(c.units, "tanh", use_bias=False, name="combine")
        self.logits = layers.Dense(c.target_vocabulary, dtype="float32", name="logits")

    @property
    def attends(self):
        """Whether there is an `attention_map`."""
        return self.config.attention in ("bahdanau", "luong")

    def build(self, shapes=None):
        c = self.config
        memory = c.units * (1 + c.bidirectional)  # M
        self.source_embedding.build((None, None))
        self.target_embedding.build((None, None))
        for i, layer in enumerate(self.encoder):
            layer.build((None, None, c.embedding if i <= c.bidirectional else memory))
        for layer in self.bridges:
            layer.build((None, memory))
        width = c.embedding + memory * (c.attention == "last")
        for i, layer in enumerate(self.decoder):
            shape = (None, None, c.units if i else width)
            layer.build(shape, (None, None, memory)) if c.attention == "bahdanau" else layer.build(shape)
        if c.attention == "luong":
            self.score.build((None, None, c.units), (None, None, memory))
            self.combine.build((None, None, memory + c.units))
        looks = c.attention in ("last", "bahdanau")
        self.logits.build((None, None, c.units + (memory + c.embedding) * looks))
        self.built = True

    def call(self, inputs, training=False):
        logits, *_ = self.decode(inputs["target_in"], *self.encode(inputs["source"], training), training=training)
        return logits

    def encode(self, source, training=False):
        """Tokens (B, S) -> memory (B, S, M), its mask (B, S), and the states (B, U) with which the decoder starts."""
        mask = ops.not_equal(source, 0)
        x = self.dropout(self.source_embedding(source), training=training)  # (B, S, E)
        starts = []
        directions = 1 + self.config.bidirectional
        for i in range(self.config.depth):
            x = self.dropout(x, training=training) if i else x
            pair = self.encoder[i * directions : (i + 1) * directions]
            outputs, states = zip(*(layer(x, mask=mask) for layer in pair))
            x = ops.concatenate(outputs, axis=-1)  # (B, S, M)
            starts += [ops.concatenate(ends, axis=-1) for ends in zip(*states)]
        if self.bridges:
            starts = [bridge(state) for bridge, state in zip(self.bridges, starts)]
        return x, mask, tuple(starts)

    def decode(self, tokens, memory, mask, states, training=False):
        """The decoder on tokens (B, T), from the states that `encode` or this function returned.

        Returns:
            logits (B, T, V), the states after the last token, and weights (B, T, S) that say where it looked: None
            without attention.
        """
        c, count = self.config, CELLS[self.config.cell].states
        embedded = x = self.dropout(self.target_embedding(tokens), training=training)  # (B, T, E)
        weights = None
        if c.attention == "bahdanau":
            x, contexts, weights, ends = self.decoder[0](x, memory, memory_mask=mask, states=states)
            x = ops.concatenate([x, contexts, embedded], axis=-1)
            return self.logits(x), ends, weights
        contexts = None
        if c.attention == "last":  # the encoder's, and so the same at every step
            contexts = ops.repeat(self.last(memory, mask)[:, None], ops.shape(tokens)[1], axis=1)  # (B, T, M)
            x = ops.concatenate([x, contexts], axis=-1)
        ends = ()
        for i, layer in enumerate(self.decoder):
            x = self.dropout(x, training=training) if i else x
            x, after = layer(x, states=states[i * count : (i + 1) * count])  # (B, T, U)
            ends += after
        if c.attention == "last":
            x = ops.concatenate([x, contexts, embedded], axis=-1)
        if c.attention == "luong":
            contexts, weights = read(memory, self.score(x, self.score.keys(memory)), mask)
            x = self.combine(ops.concatenate([contexts, x], axis=-1))  # eq. 5
        return self.logits(x), ends, weights

    def last(self, memory, mask):
        """The encoder's states at its two ends, (B, M): padding carries them on."""
        u = self.config.units
        return ops.concatenate([memory[:, -1, :u], memory[:, 0, u:]], axis=-1)

    def start(self, source, length):
        """Reads a source (B, S).  What `extend` needs, for a target of any `length`."""
        memory, mask, states = self.encode(source)
        return {"memory": memory, "mask": mask, "states": states}

    def extend(self, tokens, cache, position):
        """Logits (B, T, V) of new tokens (B, T) of the target, at any `position`; and the new cache."""
        logits, states, _ = self.decode(tokens, cache["memory"], cache["mask"], cache["states"])
        return logits, cache | {"states": states}

    def attention_map(self, inputs):
        """Where the decoder looks at each token of the target, (B, T, S).

        Raises:
            ValueError: the model has no attention.
        """
        if not self.attends:
            raise ValueError(f"attention={self.config.attention!r} looks nowhere; use 'bahdanau' or 'luong'.")
        return self.decode(inputs["target_in"], *self.encode(inputs["source"]))[2]
