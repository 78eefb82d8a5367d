"""TwoStageDetector: proposes regions, says what is in them, and in Mask R-CNN draws their outlines.

    model = TwoStageDetector(mask_rcnn("small_images", image_shape=(96, 96, 3), num_classes=4))
    model.compile(keras.optimizers.AdamW(1e-3))
    model.fit(data.train, validation_data=data.validation, epochs=20)
    model.detect(images)                                  # {"boxes", "scores", "labels", "masks"}

Both networks are trained together, on the same maps.  Source: Ren et al. 2015, arXiv:1506.01497, section 3.2,
approximate joint training; He et al. 2017, arXiv:1703.06870, section 3.1.
Shapes: B batch, H W height and width of the picture, N objects with padding, S regions drawn, D detections.
"""

import keras
from keras import ops

from tfdl.core.batches import PADDING
from tfdl.core.draws import uniform
from tfdl.core.gradients import mean_over
from tfdl.core.serial import serializable
from tfdl.learners.supervised.box_learner import BoxLearner
from tfdl.losses.two_stage import class_terms, drawn_regions, mask_term, region_terms

SCALES = (0.1, 0.2)  # of the second network's offsets, weights of (10, 10, 5, 5)
SHARE = 0.25  # of the regions drawn may be positive
LEARNED = ("objectness", "anchor_offsets", "proposals", "maps")  # outputs that the loss needs
FOUND = ("found_boxes", "found_scores", "found_labels")
BOX_LAYERS = ("fc1", "fc1_norm", "fc1_relu", "fc2", "fc2_norm", "fc2_relu")  # norms where the network has them
MASK_LAYERS = ("mask_conv1", "mask_conv2", "mask_conv3", "mask_conv4", "mask_up", "mask_logits")


@serializable
class TwoStageDetector(BoxLearner):
    """Images (B, H, W, C) -> what the network puts out, and maps, from which regions are read.

    Which anchors and regions are drawn is a function of the seed, the number of the update and the picture, and each
    mean of the loss is over the global batch, whatever replica or micro-batch its elements are in.

    Args:
        network: `faster_rcnn(...)` or `mask_rcnn(...)`.
        anchors: drawn in each picture; regions: S.
        seed: of the drawing.

    Raises:
        ValueError: a network with other outputs.
    """

    OUTPUTS = ("objectness", "anchor_offsets", "proposals", "logits", "box_offsets", *FOUND)

    def __init__(self, network, *, anchors=256, regions=512, seed=0, name=None, **kwargs):
        super().__init__(network, name=name, **kwargs)
        self.anchors, self.regions, self.seed = anchors, regions, seed
        self.has_masks = "found_masks" in network.output
        images, outputs = network.inputs[0], self.outputs_of(network)
        self.learning = keras.Model(images, {name: outputs[name] for name in LEARNED})
        found = {name.removeprefix("found_"): x for name, x in outputs.items() if name.startswith("found_")}
        self.finding = keras.Model(images, found)
        self.finding.jit_compile = False  # XLA takes longer to compile the loops of suppression than it saves

    def outputs_of(self, network):
        """Those of the network, and maps: what its RoIAlign reads."""
        if all(layer.name != "roi_align" for layer in network.layers):
            return network.output  # another network, which is refused
        *maps, _ = network.get_layer("roi_align").input
        return network.output | {"maps": maps}

    def call(self, images, training=None, mask=None):
        """In training without what is found, which nobody looks at."""
        return self.learning(images, training=True) if training else super().call(images, training=training)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """L_regions and the losses of the second network, see `losses.two_stage`.

        y is a dict of boxes (B, N, 4), labels (B, N), -1 where padded, and for Mask R-CNN instances (B, H, W), the row
        of the object that each pixel shows.

        Raises:
            ValueError: Mask R-CNN without instances.
        """
        if self.has_masks and "instances" not in y:
            raise ValueError("Masks are learned from instances; load the data with masks=True.")
        boxes, labels = y["boxes"], y["labels"]
        if "crowd" in y:
            labels = ops.where(y["crowd"], PADDING, labels)
        anchors = self.network.get_layer("proposals").anchors
        terms = region_terms(
            y_pred["objectness"],
            y_pred["anchor_offsets"],
            anchors,
            boxes,
            labels,
            self.numbers(len(anchors), 0),
            count=self.anchors,
        )
        proposals = y_pred["proposals"]
        numbers = self.numbers(proposals.shape[1] + boxes.shape[1], 1)
        regions = drawn_regions(proposals, boxes, labels, numbers, count=self.regions, share=SHARE)
        logits, offsets = self.read(y_pred["maps"], regions["boxes"])
        terms += class_terms(logits, offsets, regions, SCALES)
        if self.has_masks:
            positives = max(1, int(regions["labels"].shape[1] * SHARE))
            regions = {name: values[:, :positives] for name, values in regions.items()}  # positives come first
            terms += (mask_term(self.draw(y_pred["maps"], regions["boxes"]), regions, y["instances"]),)
        return sum(mean_over(total, number) for total, number in terms)

    def numbers(self, count, stream):
        """Random numbers (count,) of this update."""
        optimizer = getattr(self, "optimizer", None)  # none before `compile`
        update = 0 if optimizer is None else optimizer.iterations
        return uniform((count,), 2 * self.seed + stream, update)

    def read(self, maps, boxes):
        """The second network on regions (B, S, 4): logits (B, S, 1 + C), offsets (B, S, 1 + C, 4)."""
        layer = self.network.get_layer
        x = layer("roi_align")(maps, boxes)  # (B, S, 7, 7, channels)
        x = ops.reshape(x, (-1, x.shape[1], x.shape[2] * x.shape[3] * x.shape[4]))
        names = {each.name for each in self.network.layers}
        for name in BOX_LAYERS:
            x = layer(name)(x) if name in names else x
        logits, offsets = layer("logits")(x), layer("box_offsets")(x)
        return logits, ops.reshape(offsets, (-1, boxes.shape[1], logits.shape[-1], 4))

    def draw(self, maps, boxes):
        """Logits of the masks of regions (B, S, 4): (B, S, M, M, 1 + C)."""
        x = self.network.get_layer("mask_align")(maps, boxes)  # (B, S, M/2, M/2, channels)
        x = ops.reshape(x, (-1, *x.shape[2:]))
        for name in MASK_LAYERS:
            x = self.network.get_layer(name)(x)
        return ops.reshape(x, (-1, boxes.shape[1], *x.shape[1:]))

    def detect(self, images, *, score_threshold=0.0):
        """What is in the pictures: dict of boxes (B, D, 4) xyxy in pixels, scores (B, D) and labels (B, D), -1 where
        padded; of Mask R-CNN also masks (B, D, H, W) in [0, 1], above 1/2 on the object.

        Suppression is part of the network, which leaves out scores below 0.05.
        """
        found = self.finding.predict_on_batch(images)
        is_kept = found["scores"] >= score_threshold
        return found | {"labels": ops.where(is_kept, found["labels"], PADDING)}

    def get_config(self):
        return super().get_config() | {"anchors": self.anchors, "regions": self.regions, "seed": self.seed}
