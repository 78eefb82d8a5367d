"""What models that write one token after another share: a pass over all tokens, and one over new tokens with a cache.

    logits = model(tokens)                                   # training: all positions at once
    cache = model.empty_cache(batch, length)
    logits, cache = model.extend(prompt, cache, 0)           # reads the prompt
    logits, cache = model.extend(token, cache, position)     # one more token: (B, 1)

`tfdl.export_model` writes both as entry points of one file, see `CausalDecoder.signatures`.

Source: Radford et al. 2018, "Improving language understanding by generative pre-training", section 3.1, for the
model; the cache is folklore, described in Shazeer 2019, arXiv:1911.02150, section 2.
Shapes: B batch, T tokens, S places of the cache, V vocabulary, D width, g groups of heads, d width of a head.
"""

from keras import layers, ops

from tfdl.core.model import Argument, TextModel
from tfdl.ops.visibility import both, causal

CHUNK = 32  # tokens of a prompt that an exported file reads at a time
PLACES = 512  # of an exported file's cache, where the model sees as many


class CausalDecoder(TextModel):
    """Abstract: tokens (B, T) int32 -> logits (B, T, V) float32 of the token that follows each.

    A model makes `blocks` (list of `TransformerBlock`) in its constructor and says `embed`, `logits`, `last` if it
    normalizes at the end, and `rotation` if it turns its queries and keys.  Its config has `context`, the most tokens
    that it sees, and may have `window`, the most that one layer sees.
    """

    def embed(self, tokens, positions, training):
        """Tokens (B, T) at positions (T,) or (B, T) -> (B, T, D)."""
        raise NotImplementedError

    def last(self, x):
        """After the last block: (B, T, D) -> same."""
        return x

    def logits(self, x):
        """(B, T, D), what `last` gave -> (B, T, V) float32."""
        raise NotImplementedError

    def rotation(self, positions):
        """What the blocks' attention takes as `rotation`; None turns nothing."""
        return None

    def build(self, shape):
        for layer in self.layers:
            layer.build(shape if isinstance(layer, layers.Embedding) else (*shape, self.config.width))
        self.built = True

    def call(self, tokens, training=False):
        positions = ops.arange(ops.shape(tokens)[1])
        visible = causal(positions, positions, self.window)
        return self.logits(self.through_blocks(tokens, positions, visible, training=training)[0])

    def extend(self, tokens, cache, position, starts=None, last=None):
        """Logits of new tokens, whose predecessors a cache remembers.

        Args:
            tokens: (B, T) int32, at the places `position` to `position + T - 1`.
            cache: from `empty_cache` or an earlier call.
            position: int32 scalar, how many places of the cache are taken.
            starts: (B,) int32, the place of each row's first token, where shorter prompts were padded on the left.
            last: (B,) int32, in each row the one of `tokens` whose logits are wanted; None for those of all.

        Returns:
            logits (B, T, V) float32, or (B, 1, V), and the new cache.
        """
        x, cache = self.extended_vectors(tokens, cache, position, starts)
        if last is not None:  # the logits of one token cost as much as five of GPT-2's blocks
            x = ops.take_along_axis(x, last[:, None, None], axis=1)  # (B, 1, D)
        return self.logits(x), cache

    def extended_vectors(self, tokens, cache, position, starts=None):
        """The same, but (B, T, D) from which `logits` makes the logits."""
        places = position + ops.arange(ops.shape(tokens)[1])  # (T,)
        keys = ops.arange(cache[0][0].shape[2])  # (S,)
        visible, positions = causal(places, keys, self.window), places
        if starts is not None:
            visible = both(visible, (keys[None] >= starts[:, None])[:, None, None])  # (B, 1, T, S)
            positions = ops.maximum(places[None] - starts[:, None], 0)  # (B, T)
        return self.through_blocks(tokens, positions, visible, cache, position)

    def through_blocks(self, tokens, positions, visible, cache=None, position=None, training=False):
        """What `last` gives, (B, T, D), and keys and values of every block."""
        x = self.embed(tokens, positions, training)
        rotation, kept = self.rotation(positions), []
        for i, block in enumerate(self.blocks):
            own = None if cache is None else cache[i]
            x, keys_values = block(
                x, cache=own, position=position, visible=visible, rotation=rotation, training=training
            )
            kept.append(keys_values)
        return self.last(x), kept

    def signatures(self, *, chunk=None, cache_length=None):
        """Entry points of exported files: "prefill" reads a piece of a prompt, "step" one more token.

        Both take and give the cache, "keys_0", "values_0", "keys_1" ..., each (B, g, S, d), and give the logits (B, V)
        of the token that follows.  "prefill" takes `chunk` tokens, of which the first `length` (B,) count; the rest is
        padding, whose places the next tokens take.  A longer prompt is read in pieces, each at its `position`.

        Args:
            chunk: tokens that "prefill" takes.
            cache_length: S, places of the cache.
        """
        cache = named(self.empty_cache(1, cache_length or min(PLACES, self.config.context)))
        places = cache["keys_0"].shape[2]
        chunk = min(chunk or CHUNK, places)
        token = range(self.config.vocabulary_size)
        state = {name: Argument((None, *rows.shape[1:])) for name, rows in cache.items()}
        return {
            "prefill": (
                self.prefill,
                {
                    "tokens": Argument((None, chunk), "int32", token),
                    "length": Argument((None,), "int32", range(1, chunk + 1)),
                    "position": Argument((), "int32", range(places - chunk + 1)),
                    **state,
                },
            ),
            "step": (
                self.step,
                {
                    "tokens": Argument((None, 1), "int32", token),
                    "position": Argument((), "int32", range(places)),
                    **state,
                },
            ),
        }

    def prefill(self, tokens, length, position, **cache):
        """The entry point of that name."""
        logits, cache = self.extend(tokens, paired(cache), position, last=length - 1)
        return {"logits": logits[:, 0], **named(cache)}

    def step(self, tokens, position, **cache):
        """The entry point of that name."""
        logits, cache = self.extend(tokens, paired(cache), position)
        return {"logits": logits[:, 0], **named(cache)}

    @property
    def window(self):
        return getattr(self.config, "window", None)

    def empty_cache(self, batch, length):
        """Keys and values of nothing, as `empty_keys_values` says."""
        return empty_keys_values(self, self.blocks, batch, length)


def empty_keys_values(model, blocks, batch, length):
    """A cache of `length` places: for each block two of (B, g, length, d) zeros, in the compute dtype.

    Raises:
        ValueError: `length` is more than the model can see.
    """
    if not 1 <= length <= model.config.context:
        raise ValueError(f"A cache of {length} places: {model.name} sees 1 to {model.config.context} tokens.")
    caches = []
    for block in blocks:
        attention = block.attention
        groups = attention.groups or attention.heads
        shape = (batch, groups, length, attention.key.units // groups)
        caches.append(tuple(ops.zeros(shape, model.compute_dtype) for _ in range(2)))
    return caches


def named(cache):
    """[(keys, values), ...] -> {"keys_0": keys, "values_0": values, "keys_1": ...}, as entry points have them."""
    return {f"{kind}_{i}": rows for i, pair in enumerate(cache) for kind, rows in zip(("keys", "values"), pair)}


def paired(cache):
    """The inverse of `named`."""
    return [(cache[f"keys_{i}"], cache[f"values_{i}"]) for i in range(len(cache) // 2)]
