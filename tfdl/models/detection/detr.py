"""DETR: a transformer looks at the whole picture and puts out a set of objects, each once, without suppression.

Paper: Carion et al. 2020, arXiv:2005.12872, Fig. 2 (the network), section 3.2, appendix A.3 and A.4 (Fig. 10: the
transformer, its positions and its queries).

    images -> ResNet -> (B, h w, D) tokens -> encoder -> memory
    Q learned queries -> decoder, which attends to the memory -> class and box of each query

Shapes: B batch, H W height and width of the picture, h w of the map, D width, Q queries, L layers of the decoder, C
classes.
"""

from dataclasses import replace

import keras
import numpy as np
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.core.serial import serializable
from tfdl.layers.multi_head_attention import MultiHeadAttention
from tfdl.layers.transformer import FeedForward
from tfdl.layers.transformer_block import TransformerBlock
from tfdl.models.backbones import freeze
from tfdl.models.convnets.resnet import VARIANTS as RESNETS
from tfdl.models.convnets.resnet import ResNetConfig, resnet
from tfdl.ops.activations import log_odds
from tfdl.ops.boxes import to_corners
from tfdl.ops.positions import map_sinusoids


@config
class DETRConfig:
    """One network: a ResNet, whose last map is cut into tokens, and a transformer."""

    backbone: ResNetConfig
    width: int = 256  # D; section 4 for this and the following, as the authors' program has them
    heads: int = 8
    encoder: int = 6  # layers
    decoder: int = 6
    inner: int = 2048  # hidden width of the feed-forward networks
    queries: int = 100  # Q, the most objects of a picture
    dropout: float = 0.1
    pretrained: bool = True  # the backbone's norms, stem and first stage stay as they are; False: all of it learns

    def __post_init__(self):
        sizes = (self.width, self.heads, self.encoder, self.decoder, self.inner, self.queries)
        if min(sizes) < 1 or self.width % self.heads or self.width % 4:
            raise ValueError(
                f"detr needs positive sizes, and heads and 4 that divide the width: {self.width} width, {self.heads} "
                f"heads, {self.encoder} and {self.decoder} layers, {self.inner} inner, {self.queries} queries."
            )


SMALL_RESNET = replace(RESNETS["10_half"], blocks=(1, 1, 1))  # up to a map of stride 16

VARIANTS = {
    "nano": DETRConfig(  # ours, for tests
        backbone=RESNETS["nano"], width=16, heads=2, encoder=1, decoder=2, inner=32, queries=7, pretrained=False
    ),
    # Ours, for pictures of about 100 pixels a side with few objects, trained from scratch.
    "small_images": DETRConfig(
        backbone=SMALL_RESNET,
        width=128,
        heads=4,
        encoder=2,
        decoder=3,
        inner=256,
        queries=20,
        dropout=0.0,
        pretrained=False,
    ),
    "r50": DETRConfig(backbone=RESNETS["50"]),
    "r101": DETRConfig(backbone=RESNETS["101"]),
}
CANONICAL = {"small_images": dict(image_shape=(96, 96, 3), num_classes=4)}


def detr(variant="r50", *, image_shape=(800, 800, 3), num_classes=91, normalize="imagenet", padded=False, name="detr"):
    """Images (B, H, W, C) in [0, 1] -> {"boxes", "scores", "logits", "places"}, or with None the encoder's map.

    boxes (B, Q, 4) are xyxy in pixels, and scores (B, Q, num_classes) logits whose sigmoid is the probability of a
    class.  logits (B, L, Q, num_classes + 1), the last one for "no object", and places (B, L, Q, 4), cxcywh in parts of
    the picture, are those of every layer of the decoder, which all learn.  91 classes are COCO's category ids.
    `variant` is a row of VARIANTS or a DETRConfig.  `normalize`: see `normalize_pixels`.  With `padded` the input is a
    dict of images and mask (B, H, W), 1 on the picture and 0 on what was padded below it and on its right.

    Raises:
        ValueError: unknown variant, or a height or width that is not fixed.
    """
    c = choose_variant(variant, VARIANTS, model="detr")
    check_num_classes(num_classes)
    backbone = resnet(c.backbone, image_shape=image_shape, num_classes=None, normalize=normalize)
    height, width = image_shape[:2]
    if height is None or width is None:
        raise ValueError(f"image_shape is {tuple(image_shape)}; detr needs a fixed height and width.")
    if c.pretrained:
        freeze(backbone)
    inputs = backbone.input
    x = list(backbone.output.values())[-1]  # (B, h, w, C)
    x = layers.Conv2D(c.width, 1, name="project")(x)  # (B, h, w, D)
    transformer = DetectionTransformer(
        c.width, c.heads, c.encoder, c.decoder, c.inner, c.queries, c.dropout, name="transformer"
    )
    if padded:
        mask = keras.Input((height, width), name="mask")
        inputs = {"images": backbone.input, "mask": mask}
        outputs = transformer(x, is_picture=mask)
        rows, columns = (ops.sum(ops.max(mask, axis=axis), axis=1) for axis in (2, 1))
        size = ops.stack([columns, rows, columns, rows], axis=-1)[:, None]  # (B, 1, 4)
    else:
        outputs = transformer(x)
        size = np.array([width, height, width, height], "float32")
    if num_classes is None:
        return keras.Model(inputs, {"memory": outputs["memory"]}, name=name)

    x = outputs["objects"]  # (B, L, Q, D)
    logits = layers.Dense(num_classes + 1, dtype="float32", name="logits")(x)  # (B, L, Q, C + 1)
    for i in range(2):
        x = layers.Dense(c.width, activation="relu", name=f"box{i + 1}")(x)
    places = layers.Dense(4, activation="sigmoid", dtype="float32", name="box3")(x)  # (B, L, Q, 4)
    outputs = {
        "boxes": to_corners(places[:, -1], "cxcywh") * size,
        "scores": log_odds(ops.softmax(logits[:, -1])[..., :-1]),
        "logits": logits,
        "places": places,
    }
    return keras.Model(inputs, outputs, name=name)


@serializable
class DetectionTransformer(layers.Layer):
    """Fig. 10 of the paper.  A map (B, h, w, D) -> {"objects": (B, L, Q, D), "memory": (B, h, w, D)}.

    Positions of the map's points are added to keys and queries of every layer, and so are the queries, which are the
    positions of the objects; values have none.  What each layer of the decoder makes of the queries is normalized by
    one last norm and put out, so that every layer learns to find the objects ("auxiliary decoding losses").

    Args:
        width, heads: D, and heads of every attention.
        encoder, decoder: layers.
        inner: hidden width of the feed-forward networks.
        queries: Q.
        dropout: rate of attention weights, inside the feed-forward networks, and at the end of each branch.

    Call:
        is_picture: (B, H, W), 1 on the picture and 0 on padding, of which every point of the map takes the nearest;
            None: no picture is padded.
    """

    def __init__(self, width, heads, encoder, decoder, inner, queries, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.width, self.heads, self.inner, self.dropout = width, heads, inner, dropout
        self.number_of_queries = queries
        self.encoder = [self.block(f"encoder{i}", crosses=False) for i in range(encoder)]
        self.decoder = [self.block(f"decoder{i}", crosses=True) for i in range(decoder)]
        self.norm = layers.LayerNormalization(epsilon=EPSILON, dtype=self.dtype_policy, name="norm")

    def block(self, name, crosses):
        """A layer of the encoder, or of the decoder, which attends to the memory too."""
        initializer = keras.initializers.GlorotUniform  # Xavier's, appendix A.4

        def attention(name):
            return MultiHeadAttention(
                self.heads, dropout=self.dropout, initializer=initializer, dtype=self.dtype_policy, name=name
            )

        return TransformerBlock(
            attention("attention"),
            FeedForward(
                self.inner / self.width,
                "relu",
                self.dropout,
                initializer=initializer,
                dtype=self.dtype_policy,
                name="feed_forward",
            ),
            attention("cross_attention") if crosses else None,
            first=False,
            epsilon=EPSILON,
            dropout=self.dropout,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, shape):
        self.queries = self.add_weight(
            name="queries",
            shape=(self.number_of_queries, self.width),
            initializer=keras.initializers.RandomNormal(0, 1),
        )
        for layer in (*self.encoder, *self.decoder, self.norm):
            layer.build((None, None, self.width))

    def call(self, x, is_picture=None, training=False):
        _, height, width, channels = x.shape
        positions, visible = self.surroundings(x, is_picture)
        x = ops.reshape(x, (-1, height * width, channels))  # (B, h w, D)
        for block in self.encoder:
            x, _ = block(x, positions=positions, visible=visible, training=training)
        queries = ops.cast(self.queries, x.dtype)[None]
        objects = ops.zeros_like(x[:, :1]) + ops.zeros_like(queries)  # (B, Q, D)
        found = []
        for block in self.decoder:
            memory = block.cross_attention.keys_values(x, positions=positions)
            objects, _ = block(objects, positions=queries, memory=memory, memory_visible=visible, training=training)
            found.append(self.norm(objects))
        return {
            "objects": ops.stack(found, axis=1),
            "memory": ops.reshape(x, (-1, height, width, channels)),
        }

    def surroundings(self, x, is_picture):
        """Positions (1 or B, h w, D) of the map's points, and which are seen: (B, 1, 1, h w) bool, or None for all."""
        _, height, width, channels = x.shape
        if is_picture is None:
            table = map_sinusoids(np.ones((1, height, width), "float32"), channels)
            return ops.reshape(table, (1, height * width, channels)), None
        rows, columns = (np.arange(n) * pixels // n for n, pixels in zip((height, width), is_picture.shape[1:]))
        here = ops.take(ops.take(ops.cast(is_picture, "float32"), rows, axis=1), columns, axis=2)  # (B, h, w)
        table = map_sinusoids(here, channels)
        visible = ops.reshape(here > 0.5, (-1, 1, 1, height * width))
        return ops.reshape(table, (-1, height * width, channels)), visible

    def compute_output_spec(self, x, is_picture=None, training=False):
        objects = (x.shape[0], len(self.decoder), self.number_of_queries, self.width)
        return {
            "objects": keras.KerasTensor(objects, self.compute_dtype, name="objects"),
            "memory": keras.KerasTensor(x.shape, self.compute_dtype, name="memory"),
        }


EPSILON = 1e-5  # of layer normalization: PyTorch's
