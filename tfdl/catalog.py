"""THE index: one literal row per topic of the curriculum.  Standard library only, so that it reads in milliseconds.

    topics(stage=2, built=True)            the rows, filtered, in the order of the learning path
    find("resnet")                         one row, or an error with the three nearest names
    build("mobilenet", "v2", **kwargs)     a model

`module` is the dotted name of the code and `recipe` the command that trains it; a topic with neither is not built yet.
A model's key is the name of its file and of its builder function.  "Goodfellow et al. 2016" is the book Deep Learning.
"""

import difflib
import importlib
import re
from typing import NamedTuple

STAGES = {
    1: "Foundation",
    2: "Computer vision",
    3: "Sequential data",
    4: "Transformers",
    5: "Generative AI",
    6: "Advanced topics",
}


class Topic(NamedTuple):
    key: str  # snake case, stable: part of the public API
    title: str  # as people say it
    module: str | None  # dotted name, None while unbuilt
    source: str  # paper with arXiv id where it has one, or book
    stage: int  # of the learning path, see STAGES
    section: str  # of the curriculum
    recipe: str | None = None  # the command that runs it

    @property
    def built(self):
        return bool(self.module or self.recipe)

    @property
    def is_model(self):
        """True where `build` gives a network: the module is a model's file, and the file has the topic's name."""
        return bool(self.module and re.fullmatch(rf"tfdl\.models\.(\w+\.)*{self.key}", self.module))


def topics(stage=None, built=None):
    """All rows as a tuple, in the order of the learning path.

    Args:
        stage: 1 to 6, or None for all.
        built: True for what can be used today, False for what is still to come, None for both.

    Raises:
        ValueError: there is no such stage.
    """
    if stage is not None and stage not in STAGES:
        raise ValueError(f"There is no stage {stage!r}: the learning path has the stages 1 to {len(STAGES)}.")
    return tuple(t for t in TOPICS if stage in (None, t.stage) and built in (None, t.built))


def find(key):
    """The row of `key`; ValueError with the three nearest keys if there is none."""
    for topic in TOPICS:
        if topic.key == key:
            return topic
    raise ValueError(f"There is no topic {key!r}; the nearest are {nearest(key, [t.key for t in TOPICS])}.")


def build(key, variant=None, *, weights=None, **kwargs):
    """The network of topic `key`, with random or given weights; on TensorFlow its BatchNorms are one operation each.

    Args:
        key: a model's key, e.g. "mobilenet".
        variant: a row of the model's `VARIANTS`, e.g. "v2"; None for the builder's default, or that of the weights.
        weights: what `load_weights` takes: published weights by name (`tfdl show KEY` lists them), a file, or the
            folder of a run.  The model then has their number of classes, unless `num_classes` is given: then it gets
            all weights but the classifier's.
        **kwargs: handed to the builder: `image_shape`, `num_classes`, `normalize`, `name` for vision models.

    Returns:
        a `keras.Model`.

    Raises:
        ValueError: no such topic, not built yet, or no model; or the weights do not fit.
        FileNotFoundError, ConnectionError: the weights are not there.
    """
    topic = find(key)
    if not topic.built:
        models = ", ".join(t.key for t in TOPICS if t.is_model)
        raise ValueError(
            f"{topic.title} ({key!r}) is in the curriculum but not built yet; the models so far are {models} "
            "(`tfdl list` marks all that is built)."
        )
    if not topic.is_model:
        raise ValueError(
            f"{topic.title} ({key!r}) is no model, so it cannot be built; `tfdl show {key}` tells its place."
        )
    builder = getattr(importlib.import_module(topic.module), topic.key)
    if weights:
        model = importlib.import_module("tfdl.interop.weights").build(builder, topic.key, variant, weights, kwargs)
    else:
        model = builder(**kwargs) if variant is None else builder(variant, **kwargs)
    if importlib.import_module("keras").config.backend() == "tensorflow":
        importlib.import_module("tfdl.core.fused_norms").fuse_batch_norms(model)
    return model


def nearest(name, names):
    """The three of `names` most like `name`, as text: "'a', 'b' and 'c'"."""
    *first, last = map(repr, difflib.get_close_matches(name, names, n=3, cutoff=0.0))
    return f"{', '.join(first)} and {last}" if first else last


TOPICS = (
    # Stage 1: Foundation
    Topic(
        "linear_algebra",
        "Linear algebra",
        "tfdl.foundations.linear_algebra",
        "Goodfellow et al. 2016, chapter 2",
        1,
        "Mathematics",
        "tfdl run explore_linear_algebra",
    ),
    Topic(
        "calculus",
        "Calculus and automatic differentiation",
        "tfdl.foundations.calculus",
        "Baydin et al. 2015, arXiv:1502.05767",
        1,
        "Mathematics",
        "tfdl run differentiate",
    ),
    Topic(
        "probability",
        "Probability and statistics",
        "tfdl.foundations.probability",
        "Goodfellow et al. 2016, chapter 3",
        1,
        "Mathematics",
        "tfdl run infer",
    ),
    Topic(
        "information_theory",
        "Information theory",
        "tfdl.foundations.information_theory",
        "Shannon 1948, Bell System Technical Journal 27",
        1,
        "Mathematics",
        "tfdl run infer",
    ),
    Topic(
        "perceptron",
        "Perceptron",
        "tfdl.foundations.perceptron",
        "Rosenblatt 1958, Psychological Review 65(6)",
        1,
        "Architecture",
        "tfdl run train_perceptron",
    ),
    Topic(
        "mlp",
        "Multi-layer perceptron (MLP)",
        "tfdl.models.foundation.mlp",
        "Rumelhart et al. 1986, Nature 323",
        1,
        "Architecture",
        "tfdl run train_mlp",
    ),
    Topic(
        "relu",
        "ReLU",
        "tfdl.ops.activations",
        "Nair & Hinton 2010, ICML",
        1,
        "Architecture",
        "tfdl run compare_activations",
    ),
    Topic(
        "sigmoid",
        "Sigmoid",
        "tfdl.ops.activations",
        "Goodfellow et al. 2016, section 3.10",
        1,
        "Architecture",
        "tfdl run compare_activations",
    ),
    Topic(
        "tanh",
        "Tanh",
        "tfdl.ops.activations",
        "LeCun et al. 1998, Efficient BackProp, section 4.4",
        1,
        "Architecture",
        "tfdl run compare_activations",
    ),
    Topic(
        "leaky_relu",
        "Leaky ReLU",
        "tfdl.ops.activations",
        "Maas et al. 2013, ICML workshop",
        1,
        "Architecture",
        "tfdl run compare_activations",
    ),
    Topic(
        "swish",
        "Swish (SiLU)",
        "tfdl.ops.activations",
        "Ramachandran et al. 2017, arXiv:1710.05941",
        1,
        "Architecture",
        "tfdl run compare_activations",
    ),
    Topic(
        "gelu",
        "GELU",
        "tfdl.ops.activations",
        "Hendrycks & Gimpel 2016, arXiv:1606.08415",
        1,
        "Architecture",
        "tfdl run compare_activations",
    ),
    Topic(
        "fully_connected_topology",
        "Fully connected topology",
        "tfdl.models.foundation.mlp",
        "Goodfellow et al. 2016, chapter 6",
        1,
        "Architecture",
        "tfdl run compare_topologies",
    ),
    Topic(
        "convolutional_topology",
        "Convolutional topology",
        "tfdl.models.foundation.convolutional_topology",
        "LeCun et al. 1989, Neural Computation 1(4)",
        1,
        "Architecture",
        "tfdl run compare_topologies",
    ),
    Topic(
        "recurrent_topology",
        "Recurrent topology",
        "tfdl.models.foundation.recurrent_topology",
        "Elman 1990, Cognitive Science 14(2)",
        1,
        "Architecture",
        "tfdl run compare_topologies",
    ),
    Topic(
        "residual_connections",
        "Residual connections",
        "tfdl.layers.residual",
        "He et al. 2015, arXiv:1512.03385",
        1,
        "Architecture",
        "tfdl run train_highway",
    ),
    Topic(
        "highway",
        "Highway networks",
        "tfdl.models.foundation.highway",
        "Srivastava et al. 2015, arXiv:1505.00387",
        1,
        "Architecture",
        "tfdl run train_highway",
    ),
    Topic(
        "forward_propagation",
        "Forward propagation",
        "tfdl.foundations.backpropagation",
        "Goodfellow et al. 2016, section 6.5",
        1,
        "Learning",
        "tfdl run backpropagate",
    ),
    Topic(
        "backpropagation",
        "Backpropagation",
        "tfdl.foundations.backpropagation",
        "Rumelhart et al. 1986, Nature 323",
        1,
        "Learning",
        "tfdl run backpropagate",
    ),
    Topic(
        "mean_squared_error",
        "Mean squared error (MSE)",
        "tfdl.losses.classification",
        "Goodfellow et al. 2016, section 5.5",
        1,
        "Learning",
        "tfdl run compare_losses",
    ),
    Topic(
        "cross_entropy",
        "Cross-entropy",
        "tfdl.losses.classification",
        "Goodfellow et al. 2016, section 6.2",
        1,
        "Learning",
        "tfdl run compare_losses",
    ),
    Topic(
        "focal_loss",
        "Focal loss",
        "tfdl.losses.classification",
        "Lin et al. 2017, arXiv:1708.02002",
        1,
        "Learning",
        "tfdl run compare_losses",
    ),
    Topic(
        "sgd",
        "SGD",
        "tfdl.foundations.optimizers",
        "Robbins & Monro 1951, Annals of Math. Statistics 22",
        1,
        "Learning",
        "tfdl run compare_optimizers",
    ),
    Topic(
        "adam",
        "Adam",
        "tfdl.foundations.optimizers",
        "Kingma & Ba 2014, arXiv:1412.6980",
        1,
        "Learning",
        "tfdl run compare_optimizers",
    ),
    Topic(
        "rmsprop",
        "RMSprop",
        "tfdl.foundations.optimizers",
        "Tieleman & Hinton 2012, Coursera lecture 6.5",
        1,
        "Learning",
        "tfdl run compare_optimizers",
    ),
    Topic(
        "adagrad",
        "AdaGrad",
        "tfdl.foundations.optimizers",
        "Duchi et al. 2011, JMLR 12",
        1,
        "Learning",
        "tfdl run compare_optimizers",
    ),
    Topic(
        "step_decay",
        "Step decay",
        "tfdl.train.schedules",
        "Krizhevsky et al. 2012, NIPS, section 5",
        1,
        "Learning",
        "tfdl run schedule_learning_rate",
    ),
    Topic(
        "cosine_annealing",
        "Cosine annealing",
        "tfdl.train.schedules",
        "Loshchilov & Hutter 2016, arXiv:1608.03983",
        1,
        "Learning",
        "tfdl run schedule_learning_rate",
    ),
    Topic(
        "warm_up",
        "Learning-rate warm-up",
        "tfdl.train.schedules",
        "Goyal et al. 2017, arXiv:1706.02677, section 2.2",
        1,
        "Learning",
        "tfdl run schedule_learning_rate",
    ),
    Topic("dropout", "Dropout", None, "Srivastava et al. 2014, JMLR 15", 1, "Training", "tfdl run regularize"),
    Topic(
        "weight_decay",
        "Weight decay (L2 and decoupled)",
        None,
        "Loshchilov & Hutter 2017, arXiv:1711.05101",
        1,
        "Training",
        "tfdl run regularize",
    ),
    Topic(
        "early_stopping",
        "Early stopping",
        "tfdl.train.callbacks",
        "Prechelt 1998, Early Stopping - But When?",
        1,
        "Training",
        "tfdl run regularize",
    ),
    Topic(
        "data_augmentation",
        "Data augmentation",
        "tfdl.data.augment",
        "Cubuk et al. 2019, arXiv:1909.13719",
        1,
        "Training",
        "tfdl run augment_images",
    ),
    Topic(
        "batch_normalization",
        "Batch normalization",
        "tfdl.layers.normalization",
        "Ioffe & Szegedy 2015, arXiv:1502.03167",
        1,
        "Training",
        "tfdl run normalize",
    ),
    Topic(
        "layer_normalization",
        "Layer normalization",
        "tfdl.layers.normalization",
        "Ba et al. 2016, arXiv:1607.06450",
        1,
        "Training",
        "tfdl run normalize",
    ),
    Topic(
        "instance_normalization",
        "Instance normalization",
        "tfdl.layers.normalization",
        "Ulyanov et al. 2016, arXiv:1607.08022",
        1,
        "Training",
        "tfdl run normalize",
    ),
    Topic(
        "group_normalization",
        "Group normalization",
        "tfdl.layers.normalization",
        "Wu & He 2018, arXiv:1803.08494",
        1,
        "Training",
        "tfdl run normalize",
    ),
    Topic(
        "glorot_initialization",
        "Glorot (Xavier) initialization",
        "tfdl.foundations.initialization",
        "Glorot & Bengio 2010, AISTATS",
        1,
        "Training",
        "tfdl run initialize",
    ),
    Topic(
        "he_initialization",
        "He (Kaiming) initialization",
        "tfdl.foundations.initialization",
        "He et al. 2015, arXiv:1502.01852",
        1,
        "Training",
        "tfdl run initialize",
    ),
    Topic(
        "orthogonal_initialization",
        "Orthogonal initialization",
        "tfdl.foundations.initialization",
        "Saxe et al. 2013, arXiv:1312.6120",
        1,
        "Training",
        "tfdl run initialize",
    ),
    Topic(
        "pretrained_weights",
        "Pre-trained weights",
        "tfdl.train.fine_tuning",
        "Yosinski et al. 2014, arXiv:1411.1792",
        1,
        "Training",
        "tfdl run transfer",
    ),
    # Stage 2: Computer vision
    Topic(
        "convolution",
        "Convolution",
        "tfdl.foundations.convolution",
        "Dumoulin & Visin 2016, arXiv:1603.07285",
        2,
        "CNN",
        "tfdl run convolve",
    ),
    Topic(
        "max_pooling",
        "Max pooling",
        "tfdl.foundations.convolution",
        "Boureau et al. 2010, ICML",
        2,
        "CNN",
        "tfdl run convolve",
    ),
    Topic(
        "average_pooling",
        "Average pooling",
        "tfdl.foundations.convolution",
        "LeCun et al. 1998, Proceedings of the IEEE 86(11)",
        2,
        "CNN",
        "tfdl run convolve",
    ),
    Topic(
        "global_pooling",
        "Global pooling",
        "tfdl.foundations.convolution",
        "Lin et al. 2013, arXiv:1312.4400",
        2,
        "CNN",
        "tfdl run convolve",
    ),
    Topic(
        "lenet",
        "LeNet",
        "tfdl.models.convnets.lenet",
        "LeCun et al. 1998, Proceedings of the IEEE 86(11)",
        2,
        "CNN",
        "tfdl run classify_images --model lenet --variant lenet5",
    ),
    Topic(
        "alexnet",
        "AlexNet",
        "tfdl.models.convnets.alexnet",
        "Krizhevsky et al. 2012, NIPS",
        2,
        "CNN",
        "tfdl run classify_images --model alexnet --variant small_images",
    ),
    Topic(
        "vgg",
        "VGG",
        "tfdl.models.convnets.vgg",
        "Simonyan & Zisserman 2014, arXiv:1409.1556",
        2,
        "CNN",
        "tfdl run classify_images --model vgg --variant small_images",
    ),
    Topic(
        "resnet",
        "ResNet",
        "tfdl.models.convnets.resnet",
        "He et al. 2015, arXiv:1512.03385",
        2,
        "CNN",
        "tfdl run classify_images --model resnet --variant cifar20",
    ),
    Topic(
        "densenet",
        "DenseNet",
        "tfdl.models.convnets.densenet",
        "Huang et al. 2016, arXiv:1608.06993",
        2,
        "CNN",
        "tfdl run classify_images --model densenet --variant small_images",
    ),
    Topic(
        "efficientnet",
        "EfficientNet",
        "tfdl.models.convnets.efficientnet",
        "Tan & Le 2019, arXiv:1905.11946",
        2,
        "CNN",
        "tfdl run classify_images --model efficientnet --variant b0_small_images",
    ),
    Topic(
        "mobilenet",
        "MobileNet",
        "tfdl.models.convnets.mobilenet",
        "Howard et al. 2017, arXiv:1704.04861 (V2: arXiv:1801.04381, V3: arXiv:1905.02244)",
        2,
        "CNN",
        "tfdl run classify_images --model mobilenet --variant v2_small_images",
    ),
    Topic(
        "shufflenet",
        "ShuffleNet",
        "tfdl.models.convnets.shufflenet",
        "Zhang et al. 2017, arXiv:1707.01083 (V2: arXiv:1807.11164)",
        2,
        "CNN",
        "tfdl run classify_images --model shufflenet --variant v2_small_images",
    ),
    Topic(
        "classification",
        "Image classification",
        None,
        "Russakovsky et al. 2014, arXiv:1409.0575",
        2,
        "CNN",
        "tfdl run classify_images",
    ),
    Topic("detection", "Object detection", None, "Lin et al. 2014, arXiv:1405.0312", 2, "CNN"),
    Topic("segmentation", "Image segmentation", None, "Long et al. 2014, arXiv:1411.4038", 2, "CNN"),
    Topic("fcn", "Fully convolutional network (FCN)", None, "Long et al. 2014, arXiv:1411.4038", 2, "CNN"),
    Topic("unet", "U-Net", None, "Ronneberger et al. 2015, arXiv:1505.04597", 2, "CNN"),
    Topic("deeplab", "DeepLab", None, "Chen et al. 2017, arXiv:1706.05587 (V3+: arXiv:1802.02611)", 2, "CNN"),
    Topic("yolo_v5", "YOLOv5", None, "Jocher et al. 2020, software", 2, "Vision"),
    Topic("yolo_v8", "YOLOv8", None, "Jocher et al. 2023, software", 2, "Vision"),
    Topic("detr", "DETR", None, "Carion et al. 2020, arXiv:2005.12872", 2, "Vision"),
    Topic("faster_rcnn", "Faster R-CNN", None, "Ren et al. 2015, arXiv:1506.01497", 2, "Vision"),
    Topic("mask_rcnn", "Mask R-CNN", None, "He et al. 2017, arXiv:1703.06870", 2, "Vision"),
    Topic("solo", "SOLO", None, "Wang et al. 2019, arXiv:1912.04488", 2, "Vision"),
    Topic("hrnet", "HRNet", None, "Sun et al. 2019, arXiv:1902.09212", 2, "Vision"),
    Topic("blaze_face", "BlazeFace (MediaPipe)", None, "Bazarevsky et al. 2019, arXiv:1907.05047", 2, "Vision"),
    Topic("blaze_pose", "BlazePose (MediaPipe)", None, "Bazarevsky et al. 2020, arXiv:2006.10204", 2, "Vision"),
    Topic("pointnet", "PointNet", None, "Qi et al. 2016, arXiv:1612.00593", 2, "Vision"),
    Topic("voxelnet", "VoxelNet", None, "Zhou & Tuzel 2017, arXiv:1711.06396", 2, "Vision"),
    # Stage 3: Sequential data
    Topic(
        "variable_length_sequences", "Variable-length sequences", None, "Goodfellow et al. 2016, chapter 10", 3, "RNN"
    ),
    Topic("rnn", "Vanilla RNN", None, "Elman 1990, Cognitive Science 14(2)", 3, "RNN"),
    Topic("lstm", "LSTM", None, "Hochreiter & Schmidhuber 1997, Neural Computation 9(8)", 3, "RNN"),
    Topic("gru", "GRU", None, "Cho et al. 2014, arXiv:1406.1078", 3, "RNN"),
    Topic(
        "bidirectional_rnn",
        "Bidirectional RNN",
        None,
        "Schuster & Paliwal 1997, IEEE Trans. Signal Processing 45",
        3,
        "RNN",
    ),
    Topic("attention", "Attention", None, "Bahdanau et al. 2014, arXiv:1409.0473", 3, "RNN"),
    Topic("seq2seq", "Sequence to sequence", None, "Sutskever et al. 2014, arXiv:1409.3215", 3, "RNN"),
    # Stage 4: Transformers
    Topic("transformer", "Transformer", None, "Vaswani et al. 2017, arXiv:1706.03762", 4, "Transformers"),
    Topic("bert", "BERT", None, "Devlin et al. 2018, arXiv:1810.04805", 4, "Transformers"),
    Topic("gpt", "GPT", None, "Radford et al. 2018 and 2019, OpenAI technical reports", 4, "Transformers"),
    Topic("t5", "T5", None, "Raffel et al. 2019, arXiv:1910.10683", 4, "Transformers"),
    Topic(
        "vit",
        "Vision Transformer (ViT)",
        "tfdl.models.vision_transformers.vit",
        "Dosovitskiy et al. 2020, arXiv:2010.11929",
        4,
        "Transformers",
        "tfdl run classify_images --model vit --variant small_images --data fashion_mnist",
    ),
    Topic(
        "swin",
        "Swin Transformer",
        "tfdl.models.vision_transformers.swin",
        "Liu et al. 2021, arXiv:2103.14030",
        4,
        "Transformers",
        "tfdl run classify_images --model swin --variant small_images --data fashion_mnist",
    ),
    Topic("llama", "LLaMA", None, "Touvron et al. 2023, arXiv:2302.13971", 4, "Language"),
    Topic("mixtral", "Mixture of experts (Mixtral)", None, "Jiang et al. 2024, arXiv:2401.04088", 4, "Language"),
    Topic("instruction_tuning", "Instruction tuning", None, "Wei et al. 2021, arXiv:2109.01652", 4, "Language"),
    Topic("reward", "Reward model", None, "Ouyang et al. 2022, arXiv:2203.02155", 4, "Language"),
    Topic("ppo", "PPO (learning from human feedback)", None, "Schulman et al. 2017, arXiv:1707.06347", 4, "Language"),
    Topic("dpo", "DPO (direct preference optimization)", None, "Rafailov et al. 2023, arXiv:2305.18290", 4, "Language"),
    Topic("flamingo", "Flamingo", None, "Alayrac et al. 2022, arXiv:2204.14198", 4, "Language"),
    Topic("bart", "BART", None, "Lewis et al. 2019, arXiv:1910.13461", 4, "Language"),
    Topic("text_generation", "Text generation", None, "Holtzman et al. 2019, arXiv:1904.09751", 4, "Language"),
    Topic(
        "question_answering",
        "Question answering (BERT, RoBERTa)",
        None,
        "Rajpurkar et al. 2016, arXiv:1606.05250",
        4,
        "Language",
    ),
    Topic("roberta", "RoBERTa", None, "Liu et al. 2019, arXiv:1907.11692", 4, "Language"),
    # Stage 5: Generative AI
    Topic("dcgan", "DCGAN", None, "Radford et al. 2015, arXiv:1511.06434", 5, "Generative"),
    Topic("stylegan", "StyleGAN", None, "Karras et al. 2018, arXiv:1812.04948", 5, "Generative"),
    Topic("cyclegan", "CycleGAN", None, "Zhu et al. 2017, arXiv:1703.10593", 5, "Generative"),
    Topic("conditional_gan", "Conditional GAN", None, "Mirza & Osindero 2014, arXiv:1411.1784", 5, "Generative"),
    Topic("vae", "Variational autoencoder (VAE)", None, "Kingma & Welling 2013, arXiv:1312.6114", 5, "Generative"),
    Topic("ddpm", "DDPM", None, "Ho et al. 2020, arXiv:2006.11239", 5, "Generative"),
    Topic("ddim", "DDIM", None, "Song et al. 2020, arXiv:2010.02502", 5, "Generative"),
    Topic(
        "diffusion_unet",
        "U-Net of the diffusion models",
        None,
        "Ho et al. 2020, arXiv:2006.11239, appendix B",
        5,
        "Generative",
    ),
    Topic(
        "latent_diffusion",
        "Stable Diffusion (latent diffusion)",
        None,
        "Rombach et al. 2021, arXiv:2112.10752",
        5,
        "Generative",
    ),
    Topic("realnvp", "RealNVP", None, "Dinh et al. 2016, arXiv:1605.08803", 5, "Generative"),
    Topic("glow", "Glow", None, "Kingma & Dhariwal 2018, arXiv:1807.03039", 5, "Generative"),
    Topic("dalle", "DALL-E", None, "Ramesh et al. 2021, arXiv:2102.12092", 5, "Language"),
    # Stage 6: Advanced topics
    Topic("simclr", "SimCLR", None, "Chen et al. 2020, arXiv:2002.05709", 6, "Self-supervised"),
    Topic("moco", "MoCo", None, "He et al. 2019, arXiv:1911.05722", 6, "Self-supervised"),
    Topic("clip", "CLIP", None, "Radford et al. 2021, arXiv:2103.00020", 6, "Self-supervised"),
    Topic("mae", "Masked autoencoder (MAE)", None, "He et al. 2021, arXiv:2111.06377", 6, "Self-supervised"),
    Topic("simmim", "SimMIM", None, "Xie et al. 2021, arXiv:2111.09886", 6, "Self-supervised"),
    Topic("rotation", "Rotation prediction", None, "Gidaris et al. 2018, arXiv:1803.07728", 6, "Self-supervised"),
    Topic("jigsaw", "Jigsaw puzzles", None, "Noroozi & Favaro 2016, arXiv:1603.09246", 6, "Self-supervised"),
    Topic("colorization", "Colorization", None, "Zhang et al. 2016, arXiv:1603.08511", 6, "Self-supervised"),
    Topic("gcn", "Graph convolutional network (GCN)", None, "Kipf & Welling 2016, arXiv:1609.02907", 6, "Advanced"),
    Topic("gat", "Graph attention network (GAT)", None, "Velickovic et al. 2017, arXiv:1710.10903", 6, "Advanced"),
    Topic("nas", "Neural architecture search (NAS)", None, "Zoph & Le 2016, arXiv:1611.01578", 6, "Advanced"),
    Topic("maml", "MAML", None, "Finn et al. 2017, arXiv:1703.03400", 6, "Advanced"),
    Topic("reptile", "Reptile", None, "Nichol et al. 2018, arXiv:1803.02999", 6, "Advanced"),
    Topic(
        "prototypical",
        "Few-shot learning (prototypical networks)",
        None,
        "Snell et al. 2017, arXiv:1703.05175",
        6,
        "Advanced",
    ),
    Topic(
        "mixed_precision",
        "Mixed precision",
        "tfdl.train.precision",
        "Micikevicius et al. 2017, arXiv:1710.03740",
        6,
        "Optimization",
        "tfdl run train_mixed_precision",
    ),
    Topic(
        "gradient_accumulation",
        "Gradient accumulation",
        "tfdl.train.accumulation",
        "Ott et al. 2018, arXiv:1806.00187",
        6,
        "Optimization",
        "tfdl run accumulate_gradients",
    ),
    Topic(
        "data_parallel",
        "Data parallelism",
        "tfdl.distribution.strategies",
        "Goyal et al. 2017, arXiv:1706.02677",
        6,
        "Optimization",
        "tfdl run train_mirrored",
    ),
    Topic(
        "multi_worker",
        "Multi-worker training",
        "tfdl.distribution.multi_worker",
        "Goyal et al. 2017, arXiv:1706.02677",
        6,
        "Optimization",
        "tfdl run train_multi_worker",
    ),
    Topic(
        "model_parallel",
        "Model parallelism",
        "tfdl.distribution.tensor_parallel",
        "Shoeybi et al. 2019, arXiv:1909.08053",
        6,
        "Optimization",
        "tfdl run parallelize_model",
    ),
    Topic("federated", "Federated learning", None, "McMahan et al. 2016, arXiv:1602.05629", 6, "Optimization"),
    Topic("distillation", "Knowledge distillation", None, "Hinton et al. 2015, arXiv:1503.02531", 6, "Optimization"),
    Topic("pytorch", "PyTorch", None, "Paszke et al. 2019, arXiv:1912.01703", 6, "Frameworks"),
    Topic("jax", "JAX and Flax", None, "Bradbury et al. 2018, software; Heek et al. 2020, software", 6, "Frameworks"),
    Topic("hugging_face", "Hugging Face", None, "Wolf et al. 2019, arXiv:1910.03771", 6, "Frameworks"),
    Topic("weights_and_biases", "Weights & Biases", None, "Biewald 2020, software", 6, "Frameworks"),
    Topic("mlflow", "MLflow", None, "Zaharia et al. 2018, IEEE Data Engineering Bulletin 41(4)", 6, "Frameworks"),
)
