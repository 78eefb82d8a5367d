"""Speed of our image networks against other libraries' on this machine, as ratios: above 1 ours is faster.

    python tools/bench_vision.py                                       all that is installed (10 minutes on two cores)
    python tools/bench_vision.py --models resnet50 --against keras     some networks, some rivals
    python tools/bench_vision.py --busy                                while other programs run too
    python tools/bench_vision.py --quick                               a look: small images, few pairs, nothing kept

Ours and theirs run in turns, and each pair gives a ratio, so that a slow moment of the machine hits both.  Median and
quartiles of the ratios are printed and kept in results/bench_vision.json, seconds never.

    keras      the same architecture of keras.applications: training step, inference
    tflite     the same in files made with the same converter settings: latency of one image on one thread
    torch      torchvision's, in eager mode, where it is installed
    bfloat16   our ResNet-50 under the policy mixed_bfloat16 against itself in float32

Training takes images of half the side, ours by the step of a `tfdl.Run`.  Both networks do the same to the pixels:
ours has normalize=None where theirs leaves that to the caller (in int8 files "imagenet" would cost 1 to 4 %).
"""

import argparse
import gc
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import tfdl
from tfdl.core.files import read_json, write_json
from tfdl.core.provenance import commit, versions
from tfdl.core.quiet import muffled
from tfdl.export.benchmark import noise
from tfdl.export.conversion import converted
from tfdl.export.graph import graph
from tfdl.export.signatures import signature_of
from tfdl.export.tflite import convert_float
from tfdl.layers.pixels import IMAGENET_MEAN, IMAGENET_STD
from tfdl.models.convnets import vgg
from tfdl.train.precision import set_precision
from tfdl.train.step import exact

ROOT = Path(__file__).resolve().parent.parent
TITLE = "Speed of ours over theirs: medians and quartiles of paired ratios"
KEYS = ("model", "measure", "against", "batch", "image")
RESULTS = ROOT / "results" / "bench_vision.json"
AGAINST = ("keras", "tflite", "torch", "bfloat16")
FEWEST, MOST = 7, 25  # pairs
CALIBRATION = 8  # images of noise for int8
CPU_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16")  # what is fast hangs on these
BFLOAT16 = {"training step": 1.35, "inference": 1.5}  # ratios to reach


@dataclass(frozen=True)
class Network:
    """One architecture: builders of ours as keras.applications has it, theirs, and ours as torchvision has it.

    A builder is a function of image_shape; torchvision's network goes by its name.
    """

    ours: Callable
    keras: Callable
    ours_for_torch: Callable


def ours(key, variant, normalize=None):
    return lambda shape: tfdl.build(key, variant, image_shape=shape, normalize=normalize)


def theirs(name):
    return lambda shape: getattr(keras.applications, name)(weights=None, input_shape=shape, classifier_activation=None)


def normalizing_efficientnet(shape):
    """keras.applications normalizes inside, but knows the statistics only from its files."""
    model = theirs("EfficientNetB0")(shape)
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    layer.set_weights([np.array(IMAGENET_MEAN), np.array(IMAGENET_STD) ** 2, np.array(0)])
    layer.finalize_state()
    return model


def vgg_as_in_keras(shape):
    """keras.applications' dense layers see the last map as it is, whatever its size, and drop nothing."""
    return ours("vgg", replace(vgg.VARIANTS["16"], grid=shape[0] // 32, dropout=0.0))(shape)


NETWORKS = {  # by the names of torchvision
    "vgg16": Network(vgg_as_in_keras, theirs("VGG16"), ours("vgg", "16")),
    "resnet50": Network(ours("resnet", "50_keras"), theirs("ResNet50"), ours("resnet", "50")),
    "densenet121": Network(ours("densenet", "121"), theirs("DenseNet121"), ours("densenet", "121")),
    "mobilenet_v2": Network(ours("mobilenet", "v2"), theirs("MobileNetV2"), ours("mobilenet", "v2")),
    "mobilenet_v3_small": Network(
        ours("mobilenet", "v3_small", "unit"), theirs("MobileNetV3Small"), ours("mobilenet", "v3_small")
    ),
    "efficientnet_b0": Network(
        ours("efficientnet", "b0", "imagenet"), normalizing_efficientnet, ours("efficientnet", "b0")
    ),
}


@dataclass(frozen=True)
class Setting:
    """How to measure."""

    side: int  # of images for inference; half of it in training
    batches: tuple[int, ...] = (8, 32)
    seconds: float = 4.0  # for a comparison: FEWEST pairs, and more, up to MOST, while time is left
    clock: Callable[[], float] = time.perf_counter


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=NETWORKS, default=list(NETWORKS), help="default: all")
    parser.add_argument("--against", nargs="+", choices=AGAINST, default=list(AGAINST), help="default: all")
    parser.add_argument("--image-size", type=int, default=128, help="side in pixels, a multiple of 32; default: 128")
    parser.add_argument("--busy", action="store_true", help="one thread, and its CPU seconds in place of wall time")
    parser.add_argument("--quick", action="store_true", help="64 pixels, batch 8, few pairs; nothing is written")
    args = parser.parse_args(argv)
    if args.image_size < 64 or args.image_size % 32:
        parser.error(f"--image-size must be a multiple of 32 and at least 64, not {args.image_size}")
    setting = Setting(64, (8,), 0.0) if args.quick else Setting(args.image_size)
    if args.busy:
        setting = on_one_thread(setting)
    if "torch" in args.against and not (importlib.util.find_spec("torch") and importlib.util.find_spec("torchvision")):
        print("torchvision is not installed (it is in the extra `parity`): nothing is compared with it.")
        args.against.remove("torch")
    circumstances = surroundings(args.busy, ("torch", "torchvision"))
    rows, start = [], commit()  # before the first rows are written
    for name in args.models:
        for row in compared(name, NETWORKS[name], args.against, setting):
            print(line(row), flush=True)
            rows.append(row | {"commit": start})
        if not args.quick:
            before = read_json(RESULTS) if RESULTS.is_file() else {}
            write_json(RESULTS, document(TITLE, KEYS, rows, circumstances, before))
        gc.collect()  # Keras's models are cycles of references
    return 0


def on_one_thread(setting):
    """The setting that counts CPU seconds; TensorFlow and PyTorch, unless they have begun, get one thread each."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # PyTorch reads it when it is imported
    return replace(setting, clock=time.process_time)


def surroundings(busy, libraries):
    """What the ratios depend on; `libraries` are packages whose versions matter where they are installed."""
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:
        flags = set()  # no Linux
    installed = {name: version(name) for name in libraries if importlib.util.find_spec(name)}
    return {
        "versions": versions() | installed,
        "cpu": {name: name in flags for name in CPU_FLAGS},
        "threads": 1 if busy else os.cpu_count(),
        "clock": "CPU seconds" if busy else "wall time",
    }


def document(title, keys, rows, circumstances, before):
    """The file: these rows, and those of earlier runs under the same circumstances that they do not replace.

    `keys` are the names by which rows are told apart.
    """
    kept = before.get("rows", []) if before.get("circumstances") == circumstances else []
    table = {tuple(row[key] for key in keys): row for row in [*kept, *rows]}
    return {"title": title, "circumstances": circumstances, "rows": list(table.values())}


def line(row):
    """One row for people."""
    target = "" if row["ratio"] >= row["target"] else f"  below {row['target']:g}"
    what = f"{row['model']:<20}{row['measure']:<15}batch {row['batch']:<4}{row['image']:>4} px"
    ratio = f"{row['ratio']:5.2f} [{row['low']:.2f}, {row['high']:.2f}] of {row['pairs']:2d}"
    return f"{what}  against {row['against']:<20}{ratio}{target}"


def compared(name, network, against, setting):
    """Yields the rows of one architecture."""
    if "keras" in against:
        yield from steps(name, network.ours, network.keras, "keras.applications", setting)
    if "tflite" in against:
        yield from latencies(name, network, setting)
    if "torch" in against:
        yield from steps(name, network.ours_for_torch, name, "torchvision", setting)
    if "bfloat16" in against and name == "resnet50":
        yield from steps(name, reduced(network.ours_for_torch), network.ours_for_torch, "float32", setting)


def steps(name, ours, theirs, against, setting):
    """Yields a row for the training step and one for inference of each batch size; `theirs` may be torchvision's."""
    other = torch_calls if isinstance(theirs, str) else keras_calls
    for measure, side in (("training step", setting.side // 2), ("inference", setting.side)):
        training = measure == "training step"
        makers = keras_calls(ours, side, training, own=True), other(theirs, side, training, own=against == "float32")
        for batch in setting.batches:
            pair = [maker(batch) for maker in makers]
            target = BFLOAT16[measure] if against == "float32" else 1.0
            yield row(name, measure, against, batch, side, target, paired(*pair, setting))


def row(name, measure, against, batch, side, target, ratios):
    facts = {"model": name, "measure": measure, "against": against, "batch": batch, "image": side}
    return ratio_row(facts, target, ratios)


def ratio_row(facts, target, ratios):
    """`facts` with median and quartiles of the ratios."""
    low, median, high = np.quantile(ratios, (0.25, 0.5, 0.75)).round(3).tolist()
    return facts | {"ratio": median, "low": low, "high": high, "pairs": len(ratios), "target": target}


def paired(ours, theirs, setting, without=None):
    """Seconds of `theirs` over seconds of `ours`, one ratio for each time that both were called, in turns.

    `without`: two calls whose seconds are taken off those of the same side, to measure what follows them.
    """
    sides = ((ours,), (theirs,)) if without is None else tuple(zip((ours, theirs), without))
    for call in (*sides[0], *sides[1]) * 2:  # the first call traces the graph, the second finds its memory
        call()
    ratios, start = [], time.perf_counter()
    while len(ratios) < FEWEST or (len(ratios) < MOST and time.perf_counter() - start < setting.seconds):
        own, their = (seconds(*side, clock=setting.clock) for side in sides)
        ratios.append(their / own)
    return ratios


def seconds(call, *without, clock):
    """What a call takes, less what the calls `without` take."""
    before = clock()
    call()
    after = clock()
    for other in without:
        other()
    return (after - before) - (clock() - after if without else 0.0)


def keras_calls(build, side, training, *, own):
    """batch -> a call of a Keras network on so many images of noise; `own`: it trains by our step."""
    model = build((side, side, 3))
    images, labels = tf.TensorSpec((None, side, side, 3)), tf.TensorSpec((None,), tf.int32)
    if training:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss)
        model = exact(model) if own else model
        model.optimizer.build(model.trainable_variables)
        step = tf.function(lambda x, y: model.train_step((x, y))["loss"], input_signature=[images, labels])
        return lambda batch: called(step, tf.random.uniform((batch, side, side, 3)), tf.zeros(batch, tf.int32))
    graph = tf.function(lambda x: model(x, training=False), input_signature=[images])
    return lambda batch: called(graph, tf.random.uniform((batch, side, side, 3)))


def called(function, *tensors):
    return lambda: function(*tensors).numpy()  # which waits for a device, if there is one


def torch_calls(name, side, training, *, own):
    """batch -> a call of torchvision's network of that name."""
    sys.path.insert(0, str(ROOT))  # whence the tests are imported
    from tests.parity.references import torchvision

    model = getattr(torchvision().models, name)(weights=None).train(training)
    import torch

    def calls(batch):
        images, labels = torch.rand(batch, 3, side, side), torch.zeros(batch, dtype=torch.long)
        optimizer = torch.optim.SGD(model.parameters(), 1e-3, momentum=0.9)

        def step():
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(model(images), labels)
            loss.backward()
            optimizer.step()
            return loss.item()

        return step if training else torch.inference_mode()(lambda: model(images))

    return calls


def reduced(build):
    """The builder under the policy mixed_bfloat16."""

    def built(shape):
        set_precision("mixed_bfloat16")
        try:
            return build(shape)
        finally:
            set_precision("float32")

    return built


def latencies(name, network, setting):
    """Yields a row for the float and one for the int8 file."""
    shape = (setting.side, setting.side, 3)
    files = [tflite_files(network.ours(shape), own=True), tflite_files(network.keras(shape), own=False)]
    for kind in ("float", "int8"):
        pair = [invoker(file[kind]) for file in files]
        ratios = paired(*pair, setting)
        yield row(name, f"TFLite {kind}", "keras.applications", 1, setting.side, 1.0, ratios)


def tflite_files(model, *, own):
    """A float32 and an int8 file, `own`: with the operators that `tfdl.export` chooses for int8."""
    images = np.random.default_rng(0).random((CALIBRATION, *model.input_shape[1:]), dtype="float32")
    settle(model, images)
    signature = signature_of(model)
    source = graph(model, signature)
    integers = graph(model, signature, integers=True) if own else source
    return {"float": convert_float(source), "int8": converted(integers, "int8", {model.inputs[0].name: images})}


def settle(model, images):
    """Batch statistics of the images: with those of the start XNNPACK declines an int8 file."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(images, training=True)


def invoker(content):
    with muffled():  # the delegate announces itself
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    (detail,) = interpreter.get_input_details()
    interpreter.set_tensor(detail["index"], noise(np.random.default_rng(0), detail))
    return interpreter.invoke


if __name__ == "__main__":
    sys.exit(main())
