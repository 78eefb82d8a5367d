"""BERT: an encoder that reads text in both directions, and heads that answer by it.

Paper: Devlin et al. 2018, arXiv:1810.04805, section 3, Fig. 1, 2 and 4; small sizes: Turc et al. 2019,
arXiv:1908.08962, Table 1; sentences as vectors: Reimers & Gurevych 2019, arXiv:1908.10084, section 3.
Shapes: B batch, T tokens, V vocabulary, D width, C classes.
"""

import dataclasses

from keras import layers, ops

from tfdl.core.config import choose_variant, config
from tfdl.core.model import ConfiguredModel
from tfdl.core.serial import serializable
from tfdl.layers.multi_head_attention import MultiHeadAttention
from tfdl.layers.transformer import FeedForward, truncated_normal
from tfdl.layers.transformer_block import TransformerBlock, normalization
from tfdl.ops.activations import gelu
from tfdl.ops.visibility import present


@config
class BertConfig:
    """One network: `depth` blocks of `heads` heads on tokens of `width` numbers, and a head that answers."""

    vocabulary_size: int = 30522
    context: int = 512  # tokens that it sees; each place has a learned vector
    segments: int = 2  # a question and a paragraph, say; 0 has no vectors for them
    width: int
    depth: int
    heads: int
    expansion: float = 4.0  # of the feed-forward networks
    padding: int = 0  # the token that stands for nothing, which no other sees
    first_position: int = 0  # RoBERTa counts from 2 on, and not the padding
    dropout: float = 0.1
    epsilon: float = 1e-12
    head: str | None = None  # a key of HEADS
    classes: int | None = None


VARIANTS = {
    "nano": BertConfig(vocabulary_size=61, context=32, width=24, depth=2, heads=3, dropout=0.0),  # ours, for tests
    "tiny": BertConfig(width=128, depth=2, heads=2),
    "mini": BertConfig(width=256, depth=4, heads=4),
    "small": BertConfig(width=512, depth=4, heads=8),
    "medium": BertConfig(width=512, depth=8, heads=8),
    "base": BertConfig(width=768, depth=12, heads=12),
    "base_cased": BertConfig(vocabulary_size=28996, width=768, depth=12, heads=12),
    "large": BertConfig(width=1024, depth=24, heads=16),
    # Ours, to be trained from scratch on a few thousand texts: strong dropout, or they are learned by heart.
    "small_texts": BertConfig(vocabulary_size=8000, context=64, width=128, depth=1, heads=4, dropout=0.5),
    "minilm_l6": BertConfig(width=384, depth=6, heads=12),  # of all-MiniLM-L6-v2, for sentences as vectors
}
# What a model gives, for sequences (B, T); every number is float32.
HEADS = {
    None: '{"sequence": (B, T, D), "pooled": (B, D)}, the vectors of all tokens and one of the first token',
    "pretraining": '{"masked": (B, T, V), "next": (B, 2)}, logits of each token and of "the second part follows"',
    "masked_lm": "logits (B, T, V) of each token",
    "classifier": "logits (B, C), of the whole text",
    "tagger": "logits (B, T, C), of each token",
    "span": "logits (B, T, 2), of an answer's first and last token",
    "embedding": "a vector (B, D) of length 1, the mean over the tokens",
}
WITH_CLASSES = ("classifier", "tagger")
WITH_TOKENS = ("pretraining", "masked_lm")
WITH_POOLER = (None, "pretraining", "classifier")


def bert(variant="base", *, vocabulary_size=None, context=None, padding=None, head=None, num_classes=None, name="bert"):
    """Tokens (B, T) int32, or {"tokens": ..., "segments": (B, T) int32} -> what HEADS says of `head`.

    Args:
        variant: a row of VARIANTS or a BertConfig.
        vocabulary_size, context, padding: in place of the variant's.
        head: a key of HEADS.
        num_classes: C, for the heads "classifier" and "tagger".

    Raises:
        ValueError: unknown variant or head, or a number of classes where none or another is needed.
    """
    own = dict(vocabulary_size=vocabulary_size, context=context, padding=padding)
    c = with_head(choose_variant(variant, VARIANTS, model="bert", **own), head, num_classes)
    model = Bert(c, name=name)
    model.build((None, c.context))
    return model


def with_head(c, head, num_classes):
    """The config with this head.  Raises ValueError as `bert`."""
    if head not in HEADS:
        raise ValueError(f"There is no head {head!r}; choose one of {', '.join(map(str, HEADS))}.")
    if (head in WITH_CLASSES) != (num_classes is not None):
        needed = "needs a number of classes" if head in WITH_CLASSES else "has no classes"
        raise ValueError(f"num_classes is {num_classes}, but the head {head!r} {needed}.")
    if num_classes is not None and num_classes < 1:
        raise ValueError(f"num_classes is {num_classes}; give 1 or more.")
    return dataclasses.replace(c, head=head, classes=num_classes)


@serializable
class Bert(ConfiguredModel):
    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        c = config
        fresh = dict(embeddings_initializer=truncated_normal())
        self.tokens = layers.ReversibleEmbedding(c.vocabulary_size, c.width, name="tokens", **fresh)
        self.positions = layers.Embedding(c.context + c.first_position, c.width, name="positions", **fresh)
        if c.segments:
            self.segments = layers.Embedding(c.segments, c.width, name="segments", **fresh)
        self.norm = normalization("layer", epsilon=c.epsilon, name="norm")
        self.drop = layers.Dropout(c.dropout, name="drop")
        self.blocks = [block(c, f"block{i}") for i in range(c.depth)]
        if c.head in WITH_POOLER:
            self.pooler = dense(c.width, "top_pooler", activation="tanh")
        if c.head in WITH_TOKENS:
            self.transform = dense(c.width, "top_transform", activation=gelu)
            self.transform_norm = normalization("layer", epsilon=c.epsilon, name="top_norm")
            self.bias = Bias(dtype="float32", name="top_bias")
        if c.head == "pretraining":
            self.next = dense(2, "top_next", dtype="float32")
        if c.head == "span":
            self.classify = dense(2, "top_span", dtype="float32")
        if c.head in WITH_CLASSES:
            self.classify = dense(c.classes, "logits", dtype="float32")

    def build(self, shape):
        for layer in self.layers:
            if isinstance(layer, Bias):
                layer.build((*shape, self.config.vocabulary_size))
            else:
                layer.build(shape if isinstance(layer, layers.Embedding) else (*shape, self.config.width))
        self.built = True

    def call(self, inputs, training=False):
        tokens, segments = (inputs["tokens"], inputs.get("segments")) if isinstance(inputs, dict) else (inputs, None)
        x, head = self.encode(tokens, segments, training), self.config.head  # (B, T, D)
        if head == "embedding":
            return mean_of_tokens(x, tokens != self.config.padding)
        if head in ("tagger", "span"):
            return self.classify(self.drop(x, training=training))
        if head == "masked_lm":
            return self.token_logits(x)
        pooled = self.pooler(x[:, 0])  # (B, D), of the first token
        if head == "classifier":
            return self.classify(self.drop(pooled, training=training))
        if head == "pretraining":
            return {"masked": self.token_logits(x), "next": self.next(pooled)}
        return {"sequence": ops.cast(x, "float32"), "pooled": ops.cast(pooled, "float32")}

    def attention_map(self, tokens, segments=None):
        """Where each token looks in the last block, (B, T, T): the mean of its heads."""
        *blocks, last = self.blocks
        x, visible = self.embed(tokens, segments), present(tokens, self.config.padding)
        for layer in blocks:
            x, _ = layer(x, visible=visible)
        return ops.mean(last.attention_map(x, visible=visible), axis=1)

    def encode(self, tokens, segments=None, training=False):
        """Tokens (B, T), and segments (B, T) or None for the first everywhere -> (B, T, D)."""
        x, visible = self.embed(tokens, segments, training), present(tokens, self.config.padding)
        for layer in self.blocks:
            x, _ = layer(x, visible=visible, training=training)
        return x

    def embed(self, tokens, segments=None, training=False):
        """The input of the first block, (B, T, D)."""
        x = self.tokens(tokens) + self.positions(self.places(tokens))
        if self.config.segments:
            x = x + self.segments(ops.zeros_like(tokens) if segments is None else segments)
        return self.drop(self.norm(x), training=training)

    def places(self, tokens):
        """Positions of the tokens: (T,), or (B, T) where padding is not counted."""
        first = self.config.first_position
        if not first:
            return ops.arange(ops.shape(tokens)[1])
        seen = ops.cast(tokens != self.config.padding, "int32")
        return ops.cumsum(seen, axis=1) * seen + first - 1

    def token_logits(self, x):
        """(B, T, D) -> (B, T, V), by the embeddings themselves."""
        x = self.transform_norm(self.transform(x))
        return self.bias(ops.cast(self.tokens(x, reverse=True), "float32"))


def mean_of_tokens(x, seen):
    """(B, T, D) and (B, T) bool -> (B, D), of length 1; of no token at all zeros."""
    weights = ops.cast(seen, "float32")[..., None]
    total = ops.sum(ops.cast(x, "float32") * weights, axis=1)
    return ops.normalize(total / ops.maximum(ops.sum(weights, axis=1), 1.0))


def block(c, name):
    """Vaswani et al.'s, with GELU."""
    return TransformerBlock(
        MultiHeadAttention(c.heads, dropout=c.dropout, name="attention"),
        FeedForward(c.expansion, "gelu", name="feed_forward"),
        first=False,
        epsilon=c.epsilon,
        dropout=c.dropout,
        name=name,
    )


def dense(units, name, **options):
    return layers.Dense(units, kernel_initializer=truncated_normal(), name=name, **options)


@serializable
class Bias(layers.Layer):
    """x + bias.  (..., V) -> same."""

    def build(self, shape):
        self.bias = self.add_weight(name="bias", shape=(shape[-1],), initializer="zeros")

    def call(self, x):
        return x + self.bias
