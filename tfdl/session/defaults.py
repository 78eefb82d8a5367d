"""Settings that depend on the model: one row a family, with the reason beside what differs from the others.

A recipe whose Config has a `model` leaves such fields at None; `with_defaults` fills them from the table that the
Config names.  `tfdl run resnet --help` shows ResNet's.

    class Config:
        DEFAULTS: ClassVar = LANGUAGE_MODELS
        model: Literal["gpt", "llama"] = "gpt"
        learning_rate: float | None = None
"""

import dataclasses

from tfdl.core.names import nearest


@dataclasses.dataclass(frozen=True, kw_only=True)
class Defaults:
    """How a family of image classifiers is trained from scratch on small images."""

    variant: str
    image_size: int = 32
    """side in pixels; the variants for small images keep 4 x 4 maps at this size"""
    batch_size: int = 64
    learning_rate: float = 3e-3
    """AdamW's peak; the largest of 1e-3, 3e-3 and 1e-2 at which digits and Fashion-MNIST train steadily"""
    weight_decay: float = 0.05
    """as Liu et al. 2022, arXiv:2201.03545, Table 5"""
    augmentation: float = 1 / 16
    """largest shift, as a fraction of the side: 2 of 32 pixels keeps every digit and garment in the picture"""
    epochs: int = 12


CLASSIFIERS = {
    # Dense layers on pixels: shifts would have to be learned, so there are none.
    "mlp": Defaults(variant="simard_800", learning_rate=1e-3, augmentation=0.0),
    "lenet": Defaults(variant="lenet5"),
    "alexnet": Defaults(variant="small_images"),
    "vgg": Defaults(variant="small_images"),
    "resnet": Defaults(variant="cifar20"),
    "densenet": Defaults(variant="small_images"),
    "efficientnet": Defaults(variant="b0_small_images"),
    "mobilenet": Defaults(variant="v2_small_images"),
    "shufflenet": Defaults(variant="v2_small_images"),
    # Transformers diverge above 2e-3 on Fashion-MNIST (3e-3 reached 0.81 instead of 0.87).  A shift of a few pixels
    # moves content across the borders of their patches and cost accuracy in trainings as short as these.
    "vit": Defaults(variant="small_images", learning_rate=2e-3, augmentation=0.0),
    "swin": Defaults(variant="small_images", learning_rate=2e-3, augmentation=0.0),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class DetectorDefaults:
    """How a detector is trained from scratch on a few hundred small pictures."""

    variant: str
    batch_size: int = 16
    learning_rate: float = 2e-3
    """AdamW's peak"""
    weight_decay: float = 0.05
    mosaic: float = 0.5
    zoom: float = 0.3
    epochs: int = 16
    regions: int = 512
    """that the second network of two-stage detectors learns from in each picture, as Girshick 2015, section 2.3"""


# The second network costs most of an update: on small pictures a few regions of each teach it more in the same time.
# Few epochs leave no time to learn from four pictures in one, or from many sizes of one picture; six of them find 0.88.
TWO_STAGE = DetectorDefaults(variant="small_images", batch_size=8, mosaic=0.0, zoom=0.1, epochs=6, regions=64)

DETECTORS = {
    "yolo_v8": DetectorDefaults(variant="n"),
    "yolo_v5": DetectorDefaults(variant="n"),
    # Each query has to find its part of the pictures, which takes many updates (300 epochs in Carion et al., section
    # 4); four pictures in one have more objects than the small network has queries.
    "detr": DetectorDefaults(
        variant="small_images", batch_size=8, learning_rate=1e-3, weight_decay=1e-4, mosaic=0.0, epochs=60
    ),
    "faster_rcnn": TWO_STAGE,
    "mask_rcnn": TWO_STAGE,
    # Few pictures an update, so that a training of minutes has many of them.
    "solo": DetectorDefaults(variant="small_images", batch_size=8, mosaic=0.0, epochs=10),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmenterDefaults:
    """How a segmenter is trained from scratch on a few hundred small pictures."""

    variant: str
    batch_size: int = 8
    learning_rate: float = 2e-3
    """AdamW's peak"""
    weight_decay: float = 0.01
    epochs: int = 12


SEGMENTERS = {
    "unet": SegmenterDefaults(variant="small"),
    "fcn": SegmenterDefaults(variant="8s_resnet18"),
    "deeplab": SegmenterDefaults(variant="small_images"),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PoseDefaults:
    """How an estimator of key points is trained from scratch on a thousand small pictures."""

    variant: str
    image_size: tuple[int, int] = (96, 96)
    batch_size: int = 16
    learning_rate: float = 2e-3
    """AdamW's peak"""
    weight_decay: float = 0.01
    epochs: int


POSE_ESTIMATORS = {
    # After 400 updates of 16 pictures the maps were still nearly empty; more updates of fewer pictures cost the same.
    "hrnet": PoseDefaults(variant="small", batch_size=8, epochs=5),
    # Coordinates need more updates than heat maps, and no fine maps: smaller pictures take less than half of the time.
    "blaze_pose": PoseDefaults(variant="small", image_size=(64, 64), epochs=18),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageModelDefaults:
    """How a causal language model is trained from scratch on the characters of a small text.

    nanoGPT's training on a CPU takes 2,000 updates of 12 blocks of 64 characters, 1.5 epochs of Shakespeare's plays;
    these updates are larger.  After one epoch of them GPT had 2.05 nats on the last tenth and LLaMA 1.83, after three
    GPT had 1.72.
    """

    variant: str = "char_small"
    length: int = 64
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.1
    """as Brown et al. 2020, arXiv:2005.14165, appendix B"""
    epochs: int = 3


LANGUAGE_MODELS = {
    "gpt": LanguageModelDefaults(),
    "llama": LanguageModelDefaults(),
    "mixtral": LanguageModelDefaults(),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TranslatorDefaults:
    """How a translator is trained from scratch on some ten thousand pairs of sentences."""

    variant: str
    tokenizer: str
    batch_size: int
    learning_rate: float
    label_smoothing: float
    epochs: int


TRANSLATORS = {
    # bentrevett's notebooks: words that occur twice, a vocabulary for each language, no smoothing.  Their Adam is at
    # 1e-3 for ten epochs and five times the units.
    "seq2seq": TranslatorDefaults(
        variant="small_bahdanau",
        tokenizer="words",
        batch_size=64,
        learning_rate=2e-3,
        label_smoothing=0.0,
        epochs=2,
    ),
    # Vaswani et al. 2017: byte pairs of both languages together (section 5.1), smoothing by 0.1 (section 5.4).  Three
    # epochs at 2e-3 reached a validation perplexity of 7.9 per token.
    "transformer": TranslatorDefaults(
        variant="tiny",
        tokenizer="byte_pairs",
        batch_size=64,
        learning_rate=2e-3,
        label_smoothing=0.1,
        epochs=3,
    ),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class PretrainingDefaults:
    """How a small network learns from damaged text within a few minutes on two cores."""

    variant: str
    vocabulary_size: int
    length: int
    batch_size: int = 64
    learning_rate: float = 2e-3
    epochs: int


# In blocks of 16 short pieces an encoder does better than the pieces' frequencies after 150 updates, in blocks of 64
# not after 300: it first has to find out which of its positions are neighbors.
MASKED_MODELS = {
    "bert": PretrainingDefaults(variant="tiny", vocabulary_size=300, length=16, epochs=2),
    "roberta": PretrainingDefaults(variant="tiny", vocabulary_size=300, length=16, epochs=2),
}

DENOISING_MODELS = {
    "t5": PretrainingDefaults(variant="mini", vocabulary_size=300, length=32, epochs=6),
    # For captions, of which 19 in 20 have at most 42 pieces of so small a vocabulary
    "bart": PretrainingDefaults(variant="mini", vocabulary_size=500, length=44, batch_size=32, epochs=3),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextDefaults:
    """How a classifier is trained from scratch on a few thousand texts."""

    topic: str
    """key of the builder"""
    variant: str
    tokenizer: str = "word_pieces"
    vocabulary_size: int = 8000
    """rarer words fall into pieces"""
    length: int = 64
    """tokens; of SST-2's sentences 2 in 6,920 are longer"""
    batch_size: int = 32
    learning_rate: float = 1e-3
    """AdamW's peak"""
    weight_decay: float = 0.01
    """as Devlin et al. 2018, appendix A.2"""
    word_dropout: float = 0.2
    """part of the words that are hidden in training; Iyyer et al. 2015 take 0.3"""
    epochs: int = 6
    """validation loss rises after the third or fourth: so few texts are soon learned by heart"""


TEXT_CLASSIFIERS = {
    # It leaves out words by itself.  On SST-2 validation loss stood still from the fifth epoch on.  Its average holds
    # no order, so that the pieces of a word are less than the word: validation accuracy 0.80 with pieces.
    "fast_text": TextDefaults(
        topic="fast_text",
        variant="small_texts",
        tokenizer="words",
        vocabulary_size=30_000,
        learning_rate=3e-3,
        word_dropout=0.0,
        epochs=8,
    ),
    "gru": TextDefaults(topic="rnn", variant="gru_classifier"),
    "bilstm": TextDefaults(topic="rnn", variant="bilstm_classifier"),
    # Validation accuracy of SST-2 rose until the fifth of five epochs with 0.3 (0.81), and fell after the second with
    # less dropout of words (0.79).
    "bert": TextDefaults(topic="bert", variant="small_texts", word_dropout=0.3, epochs=8),
    "roberta": TextDefaults(topic="roberta", variant="small_texts", word_dropout=0.3, epochs=8),
}


TAGGERS = {
    # Of 6,000 news items; word pieces of lower case, since capitals are what is restored.
    "bilstm": TextDefaults(topic="rnn", variant="small_tagger", length=96, learning_rate=3e-3, epochs=4),
    "bert": TextDefaults(topic="bert", variant="tiny", length=96, epochs=8),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuestionDefaults:
    """How a network learns from scratch to point at answers, from a thousand questions."""

    variant: str = "small_texts"
    vocabulary_size: int = 8000
    length: int = 192
    """tokens of the question and a part of the paragraph: half of XQuAD's paragraphs fit whole"""
    batch_size: int = 32
    learning_rate: float = 1e-3
    """AdamW's peak; for published weights take 1e-4 or less"""
    weight_decay: float = 0.01
    """as Devlin et al. 2018, appendix A.2"""
    epochs: int = 8


QUESTION_ANSWERERS = {
    "bert": QuestionDefaults(),
    "roberta": QuestionDefaults(),
}


def with_defaults(config):
    """`config` with the row of its `model` in place of each None, from its `DEFAULTS`, or from `CLASSIFIERS`.

    A size that belongs to the data goes before the model's: the embedded digits are 8 pixels wide and are trained at
    16, because nothing is gained by enlarging them further.

    Raises:
        ValueError: the table has no such model; the message names the nearest ones.
    """
    table = getattr(config, "DEFAULTS", CLASSIFIERS)
    if config.model not in table:
        hint = " `tfdl list --stage 2` lists the image classifiers." if table is CLASSIFIERS else ""
        raise ValueError(
            f"There are no training settings for the model {config.model!r}; the nearest are"
            f" {nearest(config.model, table)}.{hint}"
        )
    row = dataclasses.asdict(table[config.model])
    if table is CLASSIFIERS and getattr(config, "data", None) == "digits":
        row["image_size"] = 16
    missing = {
        field.name: row[field.name]
        for field in dataclasses.fields(config)
        if getattr(config, field.name) is None and field.name in row
    }
    return dataclasses.replace(config, **missing)
