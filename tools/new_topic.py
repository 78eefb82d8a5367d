"""Starts an image model of the catalog: a small working network, its test, and the `module` of its catalog row.

    python tools/new_topic.py resnet models/convnets

writes tfdl/models/convnets/resnet.py and tests/models/test_resnet.py, and overwrites nothing.  The test passes at once.
Put the paper's parameter count into the test first, then replace the network by the paper's.
"""

import argparse
import os
import re
import sys
from pathlib import Path

from tfdl.catalog import find

ROOT = Path(__file__).resolve().parent.parent

MODEL = '''"""{title}: one sentence of the idea.

Paper: {source}, Table 1.
Shapes: B batch, H W height and width, C channels.
"""

import keras
from keras import layers, ops

from tfdl.core.config import check_num_classes, choose_variant, config
from tfdl.layers.conv_norm import conv_norm
from tfdl.layers.pixels import normalize_pixels


@config
class {Class}Config:
    """One network: channels per stage, each stage with stride 2."""

    channels: tuple[int, ...]


VARIANTS = {{
    "nano": {Class}Config(channels=(8, 16, 24)),  # ours, for tests
}}


def {key}(variant="nano", *, image_shape=(224, 224, 3), num_classes=1000, normalize="imagenet", name="{key}"):
    """Images (B, H, W, C) in [0, 1] -> logits (B, num_classes), or with None the feature map at each stride.

    `variant` is a row of VARIANTS or a {Class}Config.  Raises ValueError for an unknown variant or an argument out of
    range.
    """
    c = choose_variant(variant, VARIANTS, model="{key}")
    check_num_classes(num_classes)

    images = keras.Input(image_shape, name="images")
    x = normalize_pixels(images, normalize)
    maps = {{}}
    for i, channels in enumerate(c.channels):
        x = conv_norm(x, channels, 3, 2, activation=ops.relu, name=f"stage{{i}}")  # (B, H/2^(i+1), W/2^(i+1), channels)
        maps[f"stride{{2 ** (i + 1)}}"] = x
    if num_classes is None:
        return keras.Model(images, maps, name=name)
    x = layers.GlobalAveragePooling2D(name="pool")(x)  # (B, C)
    x = layers.Dense(num_classes, dtype="float32", name="logits")(x)
    return keras.Model(images, x, name=name)
'''

TEST = '''"""{title}: the paper's counts and strides."""

import pytest

from tests.harness import outline
from tfdl.core.outline import parameters
from {module} import {key}


@pytest.mark.parametrize("variant, count", [("nano", {count})])
def test_parameter_count_is_the_papers(variant, count):
    assert parameters(outline({key}, variant, num_classes=10)) == count


def test_pyramid_halves_at_each_stride():
    pyramid = outline({key}, "nano", image_shape=(32, 48, 3), num_classes=None)
    assert {{k: v[1:3] for k, v in pyramid.output_shape.items()}} == {{
        "stride2": (16, 24),
        "stride4": (8, 12),
        "stride8": (4, 6),
    }}
'''
# Convolutions 3x3 without bias, a scale and an offset per channel, logits with bias: 3 -> 8 -> 16 -> 24 -> 10.
COUNT = 9 * (3 * 8 + 8 * 16 + 16 * 24) + 2 * (8 + 16 + 24) + (24 + 1) * 10


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("key", help="row of tfdl/catalog.py, not built yet")
    parser.add_argument("folder", help="below tfdl/, for example models/convnets")
    args = parser.parse_args(argv)
    try:
        written = scaffold(ROOT, args.key, args.folder.strip("/"))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(str(file.relative_to(ROOT)) for file in written))
    print("Next: CONTRIBUTING.md, step 2.  Refresh docs/topics.md with `python tools/readme_table.py`.")
    return 0


def scaffold(root, key, folder):
    """Writes both files and the catalog row below `root`; returns the files.

    Raises:
        ValueError: no such topic, already built, or a folder outside models/.
        FileExistsError: a file is there already.
    """
    topic = find(key)
    if topic.module:
        raise ValueError(f"{key} is built already: {topic.module}.")
    if not re.fullmatch(r"models/[a-z0-9_]+", folder):
        raise ValueError(f"This tool starts image models, in a folder such as models/convnets, not {folder!r}.")
    module = f"tfdl.{folder.replace('/', '.')}.{key}"
    names = {
        "key": key,
        "title": topic.title,
        "source": topic.source,
        "module": module,
        "count": COUNT,
        "Class": "".join(word.capitalize() for word in key.split("_")),
    }
    files = {
        root / "tfdl" / folder / f"{key}.py": MODEL.format(**names),
        root / "tests" / "models" / f"test_{key}.py": TEST.format(**names),
    }
    for file in files:
        if file.exists():
            raise FileExistsError(f"{file} is there already.")
    catalog = root / "tfdl" / "catalog.py"
    row = re.compile(rf'(Topic\(\s*"{key}",\s*"[^"]*",\s*)None,')
    text, changed = row.subn(rf'\1"{module}",', catalog.read_text(encoding="utf-8"))
    if changed != 1:
        raise ValueError(f'{catalog} holds no row Topic("{key}", ..., None, ...) to put the module into.')
    init = root / "tfdl" / folder / "__init__.py"
    if not init.exists():
        files[init] = f'"""{folder.split("/")[1].replace("_", " ").capitalize()}."""\n'
    for file, content in {**files, catalog: text}.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        temporary = file.with_name(file.name + ".new")
        temporary.write_text(content, encoding="utf-8")
        os.replace(temporary, file)
    return list(files)


if __name__ == "__main__":
    sys.exit(main())
