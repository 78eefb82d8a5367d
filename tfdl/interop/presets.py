"""Published weights by name, for each model and variant.  Standard library only, because `tfdl show` prints the table.

    tfdl.build("resnet", "50", weights="timm/resnet50.a1_in1k")
    tfdl.build("bert", weights="google-bert/bert-base-uncased", head="masked_lm")

A row stands here only if our variant computes what the library computes with it (tests/parity; images at 224 pixels),
and only if the library's own registry or source has it.  Weights for non-commercial use alone are left out.  Other
models of the hub load as "hf:owner/name".

| name begins with | whose registry                         | fetched from                |
|------------------|----------------------------------------|-----------------------------|
| timm/            | timm.list_pretrained()                 | the Hugging Face hub        |
| torchvision/     | torchvision.models.get_model_weights() | torchvision's own server    |
| keras/           | keras.applications                     | Keras's own server          |
| OWNER/           | the source of transformers             | the Hugging Face hub        |
"""

import difflib
from typing import NamedTuple


class Preset(NamedTuple):
    """One set of published weights."""

    name: str
    layout: str  # of the names of its tensors: a key of tfdl.interop.weights.LAYOUTS
    normalize: str | None = "imagenet"  # how it wants pixels: see tfdl.layers.pixels
    size: int | None = 224  # pixels a side that it was trained for; None for a model of texts
    classes: int | None = 1000  # of its classifier; None for a model of texts
    file: str | None = None  # torchvision's file, or the function of keras.applications


class Found(NamedTuple):
    """A row of the table and where it stands."""

    model: str
    variant: str
    preset: Preset


def find(name):
    """The `Found` of a name, with or without "hf:" before it, or None."""
    name = str(name).removeprefix("hf:")
    for model, variants in PRESETS.items():
        for variant, presets in variants.items():
            for preset in presets:
                if preset.name == name:
                    return Found(model, variant, preset)
    return None


def of_variants(model):
    """Variant -> names of its presets, for those that have any."""
    return {
        variant: [preset.name for preset in presets] for variant, presets in PRESETS.get(model, {}).items() if presets
    }


def nearest(name, model=None):
    """The three names most like `name`, of one model or of all, as text."""
    keys = [model] if model in PRESETS else list(PRESETS)
    names = [name for key in keys for names in of_variants(key).values() for name in names]
    return ", ".join(difflib.get_close_matches(str(name), names, n=3, cutoff=0.0))


def timm(network, tags, **options):
    """A preset for each tag of one of timm's networks."""
    return tuple(Preset(f"timm/{network}.{tag}", "timm", **options) for tag in tags.split())


def torchvision(name, file, **options):
    return Preset(f"torchvision/{name}", "torchvision", file=file, **options)


def transformers(name, **options):
    return Preset(name, "transformers", **options)


def texts(*names):
    """Presets of models of texts in the layout of transformers."""
    return tuple(Preset(name, "transformers", normalize=None, size=None, classes=None) for name in names)


def keras(network, **options):
    return Preset(f"keras/{network.lower()}", "keras_applications", file=network, **options)


PRESETS = {
    "alexnet": {
        "one_tower": (torchvision("alexnet.IMAGENET1K_V1", "alexnet-owt-7be5be79.pth"),),
    },
    "bart": {
        "base": texts("facebook/bart-base"),
        "large": texts("facebook/bart-large"),
    },
    "bert": {
        "base": texts("google-bert/bert-base-uncased"),
        "base_cased": texts("google-bert/bert-base-cased"),
        "large": texts("google-bert/bert-large-uncased"),
    },
    "densenet": {
        "121": (
            *timm("densenet121", "ra_in1k tv_in1k"),
            torchvision("densenet121.IMAGENET1K_V1", "densenet121-a639ec97.pth"),
            keras("DenseNet121"),
        ),
        "161": (
            *timm("densenet161", "tv_in1k"),
            torchvision("densenet161.IMAGENET1K_V1", "densenet161-8d451a50.pth"),
        ),
        "169": (
            *timm("densenet169", "tv_in1k"),
            torchvision("densenet169.IMAGENET1K_V1", "densenet169-b2777c0a.pth"),
            keras("DenseNet169"),
        ),
        "201": (
            *timm("densenet201", "tv_in1k"),
            torchvision("densenet201.IMAGENET1K_V1", "densenet201-c1103571.pth"),
            keras("DenseNet201"),
        ),
    },
    "efficientnet": {
        "b0": (
            *timm("efficientnet_b0", "ra4_e3600_r224_in1k", normalize="unit"),
            *timm("efficientnet_b0", "ra_in1k"),
            torchvision("efficientnet_b0.IMAGENET1K_V1", "efficientnet_b0_rwightman-7f5810bc.pth"),
        ),
        "b1": (
            *timm("efficientnet_b1", "ft_in1k"),
            *timm("efficientnet_b1", "ra4_e3600_r240_in1k", normalize="unit", size=240),
            torchvision("efficientnet_b1.IMAGENET1K_V1", "efficientnet_b1_rwightman-bac287d4.pth", size=240),
            torchvision("efficientnet_b1.IMAGENET1K_V2", "efficientnet_b1-c27df63c.pth", size=240),
        ),
        "b2": (
            *timm("efficientnet_b2", "ra_in1k", size=256),
            torchvision("efficientnet_b2.IMAGENET1K_V1", "efficientnet_b2_rwightman-c35c1473.pth", size=288),
        ),
        "b3": (
            *timm("efficientnet_b3", "ra2_in1k", size=288),
            torchvision("efficientnet_b3.IMAGENET1K_V1", "efficientnet_b3_rwightman-b3899882.pth", size=300),
        ),
        "b4": (
            *timm("efficientnet_b4", "ra2_in1k", size=320),
            torchvision("efficientnet_b4.IMAGENET1K_V1", "efficientnet_b4_rwightman-23ab8bcd.pth", size=380),
        ),
        "b5": (torchvision("efficientnet_b5.IMAGENET1K_V1", "efficientnet_b5_lukemelas-1a07897c.pth", size=456),),
        "b6": (torchvision("efficientnet_b6.IMAGENET1K_V1", "efficientnet_b6_lukemelas-24a108a5.pth", size=528),),
        "b7": (torchvision("efficientnet_b7.IMAGENET1K_V1", "efficientnet_b7_lukemelas-c5b4e57e.pth", size=600),),
        "v2_s": (torchvision("efficientnet_v2_s.IMAGENET1K_V1", "efficientnet_v2_s-dd5fe13b.pth", size=384),),
        "b0_keras": (
            *timm("tf_efficientnet_b0", "aa_in1k in1k ns_jft_in1k"),
            *timm("tf_efficientnet_b0", "ap_in1k", normalize="unit"),
            keras("EfficientNetB0"),
        ),
        "b1_keras": (
            *timm("tf_efficientnet_b1", "aa_in1k in1k ns_jft_in1k", size=240),
            *timm("tf_efficientnet_b1", "ap_in1k", normalize="unit", size=240),
            keras("EfficientNetB1", size=240),
        ),
        "b2_keras": (
            *timm("tf_efficientnet_b2", "aa_in1k in1k ns_jft_in1k", size=260),
            *timm("tf_efficientnet_b2", "ap_in1k", normalize="unit", size=260),
            keras("EfficientNetB2", size=260),
        ),
        "b3_keras": (
            *timm("tf_efficientnet_b3", "aa_in1k in1k ns_jft_in1k", size=300),
            *timm("tf_efficientnet_b3", "ap_in1k", normalize="unit", size=300),
            keras("EfficientNetB3", size=300),
        ),
        "b4_keras": (
            *timm("tf_efficientnet_b4", "aa_in1k in1k ns_jft_in1k", size=380),
            *timm("tf_efficientnet_b4", "ap_in1k", normalize="unit", size=380),
            keras("EfficientNetB4", size=380),
        ),
        "b5_keras": (
            *timm("tf_efficientnet_b5", "aa_in1k in1k ns_jft_in1k ra_in1k", size=456),
            *timm("tf_efficientnet_b5", "ap_in1k", normalize="unit", size=456),
            keras("EfficientNetB5", size=456),
        ),
        "b6_keras": (
            *timm("tf_efficientnet_b6", "aa_in1k ns_jft_in1k", size=528),
            *timm("tf_efficientnet_b6", "ap_in1k", normalize="unit", size=528),
            keras("EfficientNetB6", size=528),
        ),
        "b7_keras": (
            *timm("tf_efficientnet_b7", "aa_in1k ns_jft_in1k ra_in1k", size=600),
            *timm("tf_efficientnet_b7", "ap_in1k", normalize="unit", size=600),
            keras("EfficientNetB7", size=600),
        ),
        "v2_s_keras": (
            *timm("tf_efficientnetv2_s", "in1k in21k_ft_in1k", normalize="unit", size=300),
            *timm("tf_efficientnetv2_s", "in21k", normalize="unit", size=300, classes=21843),
        ),
    },
    "gpt": {
        "gpt1": texts("openai-community/openai-gpt"),
        "gpt2": texts("openai-community/gpt2"),
    },
    "llama": {
        "llama2_7b": texts("meta-llama/Llama-2-7b-hf"),
        "llama3_1_8b": texts("meta-llama/Llama-3.1-8B"),
        "llama3_2_1b": texts("meta-llama/Llama-3.2-1B"),
        "mistral_7b": texts("mistralai/Mistral-7B-v0.1"),
        "qwen2_7b": texts("Qwen/Qwen2-7B"),
    },
    "mixtral": {
        "8x7b": texts("mistralai/Mixtral-8x7B-v0.1"),
    },
    "mobilenet": {
        "v1": (*timm("mobilenetv1_100", "ra4_e3600_r224_in1k", normalize="unit"),),
        "v2": (
            *timm("mobilenetv2_100", "ra_in1k"),
            torchvision("mobilenet_v2.IMAGENET1K_V1", "mobilenet_v2-b0353104.pth"),
            torchvision("mobilenet_v2.IMAGENET1K_V2", "mobilenet_v2-7ebf99e0.pth"),
        ),
        "v3_small": (torchvision("mobilenet_v3_small.IMAGENET1K_V1", "mobilenet_v3_small-047dcff4.pth"),),
        "v3_large": (
            torchvision("mobilenet_v3_large.IMAGENET1K_V1", "mobilenet_v3_large-8738ca79.pth"),
            torchvision("mobilenet_v3_large.IMAGENET1K_V2", "mobilenet_v3_large-5c1a4163.pth"),
        ),
        "v1_keras": (keras("MobileNet", normalize="unit"),),
        "v2_keras": (keras("MobileNetV2", normalize="unit"),),
        "v3_small_timm": (*timm("mobilenetv3_small_100", "lamb_in1k"),),
        "v3_large_timm": (
            *timm("mobilenetv3_large_100", "miil_in21k", normalize=None, classes=11221),
            *timm("mobilenetv3_large_100", "miil_in21k_ft_in1k", normalize=None),
            *timm("mobilenetv3_large_100", "ra4_e3600_r224_in1k", normalize="unit"),
            *timm("mobilenetv3_large_100", "ra_in1k"),
        ),
        "v3_small_keras": (
            *timm("tf_mobilenetv3_small_100", "in1k", normalize="unit"),
            keras("MobileNetV3Small", normalize="unit"),
        ),
        "v3_large_keras": (
            *timm("tf_mobilenetv3_large_100", "in1k", normalize="unit"),
            keras("MobileNetV3Large", normalize="unit"),
        ),
    },
    "resnet": {
        "18": (
            *timm("resnet18", "a1_in1k a2_in1k gluon_in1k tv_in1k"),
            *timm("resnet18", "a3_in1k", size=160),
            torchvision("resnet18.IMAGENET1K_V1", "resnet18-f37072fd.pth"),
        ),
        "34": (
            *timm("resnet34", "a1_in1k a2_in1k bt_in1k gluon_in1k tv_in1k"),
            *timm("resnet34", "a3_in1k", size=160),
            *timm("resnet34", "ra4_e3600_r224_in1k", normalize="unit"),
            torchvision("resnet34.IMAGENET1K_V1", "resnet34-b627a593.pth"),
        ),
        "50": (
            *timm("resnet50", "a1_in1k a2_in1k am_in1k b1k_in1k b2k_in1k bt_in1k c1_in1k c2_in1k d_in1k"),
            *timm("resnet50", "gluon_in1k ra_in1k ram_in1k tv_in1k"),
            *timm("resnet50", "a1h_in1k tv2_in1k", size=176),
            *timm("resnet50", "a3_in1k", size=160),
            torchvision("resnet50.IMAGENET1K_V1", "resnet50-0676ba61.pth"),
            torchvision("resnet50.IMAGENET1K_V2", "resnet50-11ad3fa6.pth"),
            transformers("microsoft/resnet-50"),
        ),
        "101": (
            *timm("resnet101", "a1_in1k a1h_in1k a2_in1k gluon_in1k tv_in1k"),
            *timm("resnet101", "a3_in1k", size=160),
            *timm("resnet101", "tv2_in1k", size=176),
            torchvision("resnet101.IMAGENET1K_V1", "resnet101-63fe2227.pth"),
            torchvision("resnet101.IMAGENET1K_V2", "resnet101-cd907fc2.pth"),
        ),
        "152": (
            *timm("resnet152", "a1_in1k a1h_in1k a2_in1k gluon_in1k tv_in1k"),
            *timm("resnet152", "a3_in1k", size=160),
            *timm("resnet152", "tv2_in1k", size=176),
            torchvision("resnet152.IMAGENET1K_V1", "resnet152-394f9c45.pth"),
            torchvision("resnet152.IMAGENET1K_V2", "resnet152-f82ba261.pth"),
        ),
        "50_keras": (keras("ResNet50", normalize="caffe"),),
        "101_keras": (keras("ResNet101", normalize="caffe"),),
        "152_keras": (keras("ResNet152", normalize="caffe"),),
    },
    "roberta": {
        "base": texts("FacebookAI/roberta-base"),
    },
    "shufflenet": {
        "v2_x0_5": (torchvision("shufflenet_v2_x0_5.IMAGENET1K_V1", "shufflenetv2_x0.5-f707e7126e.pth"),),
        "v2_x1_0": (torchvision("shufflenet_v2_x1_0.IMAGENET1K_V1", "shufflenetv2_x1-5666bf0f80.pth"),),
        "v2_x1_5": (torchvision("shufflenet_v2_x1_5.IMAGENET1K_V1", "shufflenetv2_x1_5-3c479a10.pth"),),
        "v2_x2_0": (torchvision("shufflenet_v2_x2_0.IMAGENET1K_V1", "shufflenetv2_x2_0-8be3c8ee.pth"),),
    },
    "swin": {
        "tiny": (
            *timm("swin_tiny_patch4_window7_224", "ms_in1k ms_in22k_ft_in1k"),
            *timm("swin_tiny_patch4_window7_224", "ms_in22k", classes=21841),
            torchvision("swin_t.IMAGENET1K_V1", "swin_t-704ceda3.pth"),
            transformers("microsoft/swin-tiny-patch4-window7-224"),
        ),
        "small": (
            *timm("swin_small_patch4_window7_224", "ms_in1k ms_in22k_ft_in1k"),
            *timm("swin_small_patch4_window7_224", "ms_in22k", classes=21841),
            torchvision("swin_s.IMAGENET1K_V1", "swin_s-5e29d889.pth"),
        ),
        "base": (
            *timm("swin_base_patch4_window7_224", "ms_in1k ms_in22k_ft_in1k"),
            *timm("swin_base_patch4_window7_224", "ms_in22k", classes=21841),
            torchvision("swin_b.IMAGENET1K_V1", "swin_b-68c6b09e.pth"),
        ),
    },
    "t5": {
        "small": texts("google-t5/t5-small"),
        "base": texts("google-t5/t5-base"),
        "large": texts("google-t5/t5-large"),
    },
    "vgg": {
        "11": (
            *timm("vgg11", "tv_in1k"),
            torchvision("vgg11.IMAGENET1K_V1", "vgg11-8a719046.pth"),
        ),
        "13": (
            *timm("vgg13", "tv_in1k"),
            torchvision("vgg13.IMAGENET1K_V1", "vgg13-19584684.pth"),
        ),
        "16": (
            *timm("vgg16", "tv_in1k"),
            torchvision("vgg16.IMAGENET1K_V1", "vgg16-397923af.pth"),
            keras("VGG16", normalize="caffe"),
        ),
        "19": (
            *timm("vgg19", "tv_in1k"),
            torchvision("vgg19.IMAGENET1K_V1", "vgg19-dcbb9e9d.pth"),
            keras("VGG19", normalize="caffe"),
        ),
        "11_bn": (
            *timm("vgg11_bn", "tv_in1k"),
            torchvision("vgg11_bn.IMAGENET1K_V1", "vgg11_bn-6002323d.pth"),
        ),
        "13_bn": (
            *timm("vgg13_bn", "tv_in1k"),
            torchvision("vgg13_bn.IMAGENET1K_V1", "vgg13_bn-abd245e5.pth"),
        ),
        "16_bn": (
            *timm("vgg16_bn", "tv_in1k"),
            torchvision("vgg16_bn.IMAGENET1K_V1", "vgg16_bn-6c64b313.pth"),
        ),
        "19_bn": (
            *timm("vgg19_bn", "tv_in1k"),
            torchvision("vgg19_bn.IMAGENET1K_V1", "vgg19_bn-c79401a0.pth"),
        ),
    },
    "vit": {
        "tiny_patch16": (
            *timm("vit_tiny_patch16_224", "augreg_in21k", normalize="unit", classes=21843),
            *timm("vit_tiny_patch16_224", "augreg_in21k_ft_in1k", normalize="unit"),
            *timm("vit_tiny_patch16_384", "augreg_in21k_ft_in1k", normalize="unit", size=384),
            *timm("deit_tiny_patch16_224", "fb_in1k"),
        ),
        "small_patch16": (
            *timm("vit_small_patch16_224", "augreg_in1k augreg_in21k_ft_in1k", normalize="unit"),
            *timm("vit_small_patch16_224", "augreg_in21k", normalize="unit", classes=21843),
            *timm("vit_small_patch16_384", "augreg_in1k augreg_in21k_ft_in1k", normalize="unit", size=384),
            *timm("deit_small_patch16_224", "fb_in1k"),
        ),
        "base_patch16": (
            *timm(
                "vit_base_patch16_224",
                "augreg2_in21k_ft_in1k augreg_in1k augreg_in21k_ft_in1k orig_in21k_ft_in1k sam_in1k",
                normalize="unit",
            ),
            *timm("vit_base_patch16_224", "augreg_in21k", normalize="unit", classes=21843),
            *timm(
                "vit_base_patch16_384",
                "augreg_in1k augreg_in21k_ft_in1k orig_in21k_ft_in1k",
                normalize="unit",
                size=384,
            ),
            *timm("deit_base_patch16_224", "fb_in1k"),
            *timm("deit_base_patch16_384", "fb_in1k", size=384),
            torchvision("vit_b_16.IMAGENET1K_V1", "vit_b_16-c867db91.pth"),
            transformers("google/vit-base-patch16-224", normalize="unit"),
        ),
        "base_patch32": (
            *timm("vit_base_patch32_224", "augreg_in1k augreg_in21k_ft_in1k sam_in1k", normalize="unit"),
            *timm("vit_base_patch32_224", "augreg_in21k", normalize="unit", classes=21843),
            *timm("vit_base_patch32_384", "augreg_in1k augreg_in21k_ft_in1k", normalize="unit", size=384),
            torchvision("vit_b_32.IMAGENET1K_V1", "vit_b_32-d86f8d99.pth"),
        ),
        "large_patch16": (
            *timm("vit_large_patch16_224", "augreg_in21k", normalize="unit", classes=21843),
            *timm("vit_large_patch16_224", "augreg_in21k_ft_in1k", normalize="unit"),
            *timm("vit_large_patch16_384", "augreg_in21k_ft_in1k", normalize="unit", size=384),
            torchvision("vit_l_16.IMAGENET1K_V1", "vit_l_16-852ce7e3.pth"),
        ),
        "large_patch32": (
            *timm("vit_large_patch32_384", "orig_in21k_ft_in1k", normalize="unit", size=384),
            torchvision("vit_l_32.IMAGENET1K_V1", "vit_l_32-c7638314.pth"),
        ),
    },
}
