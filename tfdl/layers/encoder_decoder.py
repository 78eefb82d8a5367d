"""What models that turn one text into another share: an encoder reads the source, a decoder writes token after token.

    logits = model({"source": source, "target_in": target_in})       # training: all positions at once
    cache = model.start(source, length)                              # reads the source once
    logits, cache = model.extend(token, cache, position)             # one more token of the target: (B, 1)

Paper: Vaswani et al. 2017, arXiv:1706.03762, section 3, Fig. 1.
Shapes: B batch, S tokens of the source, T of the target, L places of the cache, V vocabulary, D width.
"""

from keras import layers, ops

from tfdl.core.model import Argument, TextModel
from tfdl.layers.causal_decoder import PLACES, empty_keys_values, named, paired
from tfdl.ops.visibility import causal, present


class EncoderDecoder(TextModel):
    """Abstract: {"source": (B, S), "target_in": (B, T)} int32 -> logits (B, T, V) float32 of what follows each token.

    A model makes `encoder` and `decoder` (lists of `TransformerBlock`) in its constructor and says `embed` and
    `logits`; `bias` and `last` where it has them.  Its config has `width`, `context`, the most tokens of either side,
    and `padding`, the token that stands for nothing.
    """

    attends = True  # there is an `attention_map`

    def embed(self, tokens, positions, side, training):
        """Tokens (B, T) at positions (T,) -> (B, T, D); `side` is "encoder" or "decoder"."""
        raise NotImplementedError

    def logits(self, x):
        """(B, T, D) -> (B, T, V) float32."""
        raise NotImplementedError

    def bias(self, queries, keys, side):
        """Added to the scores of all blocks of a side, (h, T, S); None adds nothing."""
        return None

    def last(self, x, side, training):
        """After the last block of a side."""
        return x

    def build(self, shape):
        for layer in self.layers:
            layer.build((None, None) if isinstance(layer, layers.Embedding) else (None, None, self.config.width))
        self.built = True

    def call(self, inputs, training=False):
        source, target = inputs["source"], inputs["target_in"]
        encoded, visible = self.encode(source, training=training)
        memory = [block.cross_attention.keys_values(encoded) for block in self.decoder]
        positions = ops.arange(ops.shape(target)[1])
        return self.decode(target, positions, positions, memory, visible, training=training)[0]

    def encode(self, source, training=False):
        """Source (B, S) -> its vectors (B, S, D), and what of them is visible, (B, 1, 1, S) bool."""
        positions, visible = ops.arange(ops.shape(source)[1]), present(source, self.config.padding)
        x, bias = self.embed(source, positions, "encoder", training), self.bias(positions, positions, "encoder")
        for block in self.encoder:
            x, _ = block(x, visible=visible, bias=bias, training=training)
        return self.last(x, "encoder", training), visible

    def decode(self, target, positions, keys, memory, memory_visible, cache=None, position=None, training=False):
        """Logits, and keys and values of every block of the decoder."""
        x, bias = self.embed(target, positions, "decoder", training), self.bias(positions, keys, "decoder")
        visible, kept = causal(positions, keys), []
        for i, block in enumerate(self.decoder):
            x, keys_values = block(
                x,
                cache=None if cache is None else cache[i],
                position=position,
                visible=visible,
                bias=bias,
                memory=memory[i],
                memory_visible=memory_visible,
                training=training,
            )
            kept.append(keys_values)
        return self.logits(self.last(x, "decoder", training)), kept

    def start(self, source, length):
        """Reads a source (B, S), for a target of at most `length` tokens.

        Returns:
            dict: "own", keys and values of no token yet; "memory", those of the source, for each block; "visible".

        Raises:
            ValueError: `length` is more than the model can write.
        """
        encoded, visible = self.encode(source)
        return {
            "own": empty_keys_values(self, self.decoder, ops.shape(source)[0], length),
            "memory": [block.cross_attention.keys_values(encoded) for block in self.decoder],
            "visible": visible,
        }

    def extend(self, tokens, cache, position):
        """Logits (B, T, V) of new tokens (B, T) of the target, at `position` and after it; and the new cache."""
        places, keys = position + ops.arange(ops.shape(tokens)[1]), ops.arange(cache["own"][0][0].shape[2])
        logits, own = self.decode(tokens, places, keys, cache["memory"], cache["visible"], cache["own"], position)
        return logits, cache | {"own": own}

    def signatures(self, *, source_length=None, cache_length=None):
        """Entry points of exported files: "encode" reads the source, "step" writes one more token of the target.

        "encode" gives what "step" takes with every token: the source's keys and values, "memory_keys_0",
        "memory_values_0", "memory_keys_1" ..., each (B, g, S, d), and "visible" (B, 1, 1, S), false where the source is
        padded.  "step" takes and gives the target's own, "keys_0", "values_0" ..., each (B, g, L, d), and gives the
        logits (B, V) of the token that follows.

        Args:
            source_length: S, tokens of the source; shorter ones are padded behind their end.
            cache_length: L, the most tokens of the target.
        """
        context = self.config.context
        longest, length = source_length or min(PLACES, context), cache_length or min(PLACES, context)
        own = named(empty_keys_values(self, self.decoder, 1, length))
        memory = memory_named(empty_keys_values(self, self.decoder, 1, longest))
        token = range(self.config.vocabulary_size)
        state = {name: Argument((None, *rows.shape[1:])) for name, rows in (own | memory).items()}
        return {
            "encode": (self.read_source, {"source": Argument((None, longest), "int32", token)}),
            "step": (
                self.step,
                {
                    "tokens": Argument((None, 1), "int32", token),
                    "position": Argument((), "int32", range(length)),
                    "visible": Argument((None, 1, 1, longest), "bool"),
                    **state,
                },
            ),
        }

    def read_source(self, source):
        """The entry point "encode"."""
        encoded, visible = self.encode(source)
        return memory_named([block.cross_attention.keys_values(encoded) for block in self.decoder]) | {
            "visible": visible
        }

    def step(self, tokens, position, visible, **state):
        """The entry point of that name."""
        memory = {name.removeprefix(MEMORY): rows for name, rows in state.items() if name.startswith(MEMORY)}
        own = {name: rows for name, rows in state.items() if not name.startswith(MEMORY)}
        cache = {"own": paired(own), "memory": paired(memory), "visible": visible}
        logits, cache = self.extend(tokens, cache, position)
        return {"logits": logits[:, 0], **named(cache["own"])}

    def attention_map(self, inputs):
        """Where the decoder's last block looks at each token of the target, (B, T, S): the mean of its heads."""
        source, target = inputs["source"], inputs["target_in"]
        encoded, memory_visible = self.encode(source)
        positions = ops.arange(ops.shape(target)[1])
        x, bias = self.embed(target, positions, "decoder", False), self.bias(positions, positions, "decoder")
        options = dict(visible=causal(positions, positions), bias=bias, memory_visible=memory_visible)
        *blocks, last = self.decoder
        for block in blocks:
            x, _ = block(x, memory=block.cross_attention.keys_values(encoded), **options)
        weights = last.cross_attention_map(x, memory=last.cross_attention.keys_values(encoded), **options)
        return ops.mean(weights, axis=1)


MEMORY = "memory_"  # before the names of the source's keys and values


def memory_named(keys_values):
    """The source's, as entry points have them."""
    return {MEMORY + name: rows for name, rows in named(keys_values).items()}
