"""Speed of training our text models, and of loading texts, against other libraries', as ratios: above 1 ours is faster.

    python tools/bench_text.py                                    all that is installed (15 minutes on two cores)
    python tools/bench_text.py --models gpt2 --against keras_hub  some models, some rivals
    python tools/bench_text.py --busy                             while other programs run too
    python tools/bench_text.py --quick                            a look: small models, few pairs, nothing kept

Ours and theirs take a training step in turns, on 4 texts of 128 tokens, and each pair gives a ratio.  Median and
quartiles are printed and kept in results/bench_text.json, seconds never.

    keras_hub      the same architecture of keras-hub
    transformers   Hugging Face's on PyTorch, in eager mode, where it is installed
    float32        ours under the policy mixed_bfloat16 against itself in float32
    keras          an LSTM language model of Keras's own layers, with masks

All have the dropout of their papers and take steps of SGD with momentum, ours by the step of a `tfdl.Run`.

The models that begin with "load" are loaders against keras-hub's preprocessors: an epoch of the same texts with the
same vocabulary, in batches of 32 texts of 64 tokens.  Ours begins with the texts each time: it reads the file and makes
all tokens, which later epochs of a training are spared.
"""

import argparse
import gc
import importlib.util
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import tfdl
from tfdl.core.files import read_json, write_json
from tfdl.core.provenance import commit
from tfdl.data import corrupted_text, labeled_text, text
from tfdl.data.tokenizers import Pieces
from tfdl.models.recurrent import rnn
from tfdl.models.text import bert, gpt
from tfdl.train.precision import set_precision
from tfdl.train.step import exact

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # whence the other tools are imported
from tools.bench_vision import (  # noqa: E402 (after the path)
    Setting,
    document,
    on_one_thread,
    paired,
    ratio_row,
    surroundings,
)

RESULTS = ROOT / "results" / "bench_text.json"
TITLE = "Speed of a training step of ours over theirs: medians and quartiles of paired ratios"
BATCH, LENGTH, CLASSES = 4, 128, 2
REPEATED, VOCABULARY, LOADED_BATCH, LOADED_LENGTH, LOADER_TARGET = 8, 2000, 32, 64, 1.0
TARGETS = {"keras_hub": 1.1, "transformers": 1.1, "float32": 1.3, "keras": 1.0}


@dataclass(frozen=True)
class Size:
    """Of a transformer."""

    width: int = 768
    depth: int = 12
    heads: int = 12


@dataclass(frozen=True)
class Loader:
    """A way to load texts: functions of (files, vocabulary) that give a call for an epoch, which returns its tokens.

    Attributes:
        ours: ours.
        rivals: name in TARGETS -> theirs.
    """

    ours: Callable
    rivals: dict[str, Callable]


@dataclass(frozen=True)
class Model:
    """One architecture: ours, and who else has it.

    Attributes:
        ours: Size -> our network.
        rivals: name in TARGETS -> function of (Size, tokens, labels) that gives a call for a training step.
        vocabulary_size: of its tokens.
        is_classifier: whether it gives CLASSES logits for a text, else logits for each token.
    """

    ours: Callable
    rivals: dict[str, Callable]
    vocabulary_size: int
    is_classifier: bool = False


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="default: all")
    parser.add_argument("--against", nargs="+", choices=TARGETS, default=list(TARGETS), help="default: all")
    parser.add_argument("--busy", action="store_true", help="one thread, and its CPU seconds in place of wall time")
    parser.add_argument("--quick", action="store_true", help="two narrow blocks, few pairs; nothing is written")
    args = parser.parse_args(argv)
    setting = Setting(LENGTH, seconds=0.0 if args.quick else 40.0)
    size = Size(48, 2, 4) if args.quick else Size()
    if args.busy:
        setting = on_one_thread(setting)
    if "transformers" in args.against and not all(map(importlib.util.find_spec, ("torch", "transformers"))):
        print("transformers and PyTorch are not installed (extra `parity`): nothing is compared with them.")
        args.against.remove("transformers")
    circumstances = surroundings(args.busy, ("torch", "transformers"))
    rows, start = [], commit()  # before the first rows are written
    for name in args.models:
        for against in [rival for rival in MODELS[name].rivals if rival in args.against]:
            how = loaded if isinstance(MODELS[name], Loader) else compared
            rows.append(how(name, MODELS[name], against, size, setting) | {"commit": start})
            print(line(rows[-1]), flush=True)
            gc.collect()  # Keras's models are cycles of references
        if not args.quick:
            before = read_json(RESULTS) if RESULTS.is_file() else {}
            write_json(RESULTS, document(TITLE, ("model", "against"), rows, circumstances, before))
    return 0


def compared(name, model, against, size, setting):
    """The row of one architecture against one rival."""
    random = np.random.default_rng(0)
    tokens = random.integers(1, model.vocabulary_size, (BATCH, LENGTH)).astype("int32")
    labels = random.integers(0, CLASSES, BATCH).astype("int32") if model.is_classifier else np.roll(tokens, -1, axis=1)
    theirs = model.rivals[against](size, tokens, labels)  # first: where it is ours in float32, the policy is still that
    policy = "mixed_bfloat16" if against == "float32" else "float32"
    set_precision(policy)
    try:
        ours = keras_step(model.ours(size), tokens, labels, own=True)
        ratios = paired(ours, theirs, setting)
    finally:
        set_precision("float32")
    facts = {"model": name, "against": against, "batch": BATCH, "length": LENGTH}
    return ratio_row(facts, TARGETS[against], ratios)


def loaded(name, loader, against, size, setting):
    """The row of one way to load texts against keras-hub's; `size` has no meaning here."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [(line.strip(), number % CLASSES) for number, line in enumerate(text.descriptions().split("\n"))]
        rows = [(line, number) for line, number in rows if line] * REPEATED
        file = Path(folder) / "texts.jsonl"
        file.write_text("\n".join(json.dumps({"text": line, "label": str(number)}) for line, number in rows))
        tokenizer = Pieces.trained([line for line, _ in rows], VOCABULARY, "word_pieces")
        ours, theirs = loader.ours(file, tokenizer), loader.rivals[against](rows, tokenizer)
        counts = ours(), theirs()
        if not 0.7 < counts[0] / counts[1] < 1.5:
            raise ValueError(f"Ours loads {counts[0]:,} tokens and theirs {counts[1]:,}: they are not the same texts.")
        ratios = paired(ours, theirs, setting)
    facts = {"model": name, "against": against, "batch": LOADED_BATCH, "length": LOADED_LENGTH}
    return ratio_row(facts, LOADER_TARGET, ratios)


def line(row):
    """One row for people."""
    target = "" if row["ratio"] >= row["target"] else f"  below {row['target']:g}"
    ratio = f"{row['ratio']:5.2f} [{row['low']:.2f}, {row['high']:.2f}] of {row['pairs']:2d}"
    return f"{row['model']:<12}against {row['against']:<14}{ratio}{target}"


def keras_step(model, inputs, labels, *, own=False):
    """A call for one training step of a Keras network; `own`: by our step."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss)
    model = exact(model) if own else model
    inputs, labels = tf.nest.map_structure(tf.constant, inputs), tf.constant(labels)
    model._symbolic_build(data_batch=(inputs, labels))
    step = tf.function(lambda: model.train_step((inputs, labels))["loss"])
    return lambda: step().numpy()  # which waits for a device, if there is one


def gpt_of_ours(size):
    return tfdl.build("gpt", replace(gpt.VARIANTS["gpt2"], width=size.width, depth=size.depth, heads=size.heads))


def bert_of_ours(size):
    config = replace(bert.VARIANTS["base"], width=size.width, depth=size.depth, heads=size.heads)
    return tfdl.build("bert", config, head="classifier", num_classes=CLASSES)


def lstm_of_ours(size):
    return tfdl.build("rnn", "lstm_characters")


def own(build):
    """Our network in float32, as a rival of itself."""
    return lambda size, tokens, labels: keras_step(build(size), tokens, labels, own=True)


def gpt_of_keras_hub(size, tokens, labels):
    from keras_hub import models

    backbone = models.GPT2Backbone(50257, size.depth, size.heads, size.width, 4 * size.width, max_sequence_length=1024)
    network = models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    return keras_step(network, {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}, labels)


def bert_of_keras_hub(size, tokens, labels):
    from keras_hub import models

    backbone = models.BertBackbone(30522, size.depth, size.heads, size.width, 4 * size.width)
    network = models.BertTextClassifier(backbone=backbone, num_classes=CLASSES, preprocessor=None)
    ones, zeros = np.ones_like(tokens), np.zeros_like(tokens)
    return keras_step(network, {"token_ids": tokens, "segment_ids": zeros, "padding_mask": ones}, labels)


def gpt_of_transformers(size, tokens, labels):
    from tests.parity.references import transformers as library  # with torchvision's operators

    transformers = library()
    config = transformers.GPT2Config(n_embd=size.width, n_layer=size.depth, n_head=size.heads)
    return torch_step(transformers.GPT2LMHeadModel(config), tokens, labels)


def bert_of_transformers(size, tokens, labels):
    from tests.parity.references import transformers as library  # with torchvision's operators

    transformers = library()
    config = transformers.BertConfig(
        hidden_size=size.width,
        num_hidden_layers=size.depth,
        num_attention_heads=size.heads,
        intermediate_size=4 * size.width,
        num_labels=CLASSES,
    )
    return torch_step(transformers.BertForSequenceClassification(config), tokens, labels)


def torch_step(network, tokens, labels):
    """A call for one training step of a PyTorch network of transformers."""
    import torch

    network.train()
    optimizer = torch.optim.SGD(network.parameters(), 1e-3, momentum=0.9)
    tokens, labels = torch.tensor(tokens, dtype=torch.long), torch.tensor(labels, dtype=torch.long)

    def step():
        optimizer.zero_grad()
        logits = network(tokens).logits
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), labels.reshape(-1))
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def lstm_of_keras(size, tokens, labels):
    """The layers that our `lstm_characters` stands for."""
    c = rnn.VARIANTS["lstm_characters"]
    stack = [keras.layers.LSTM(c.units, return_sequences=True) for _ in range(c.depth)]
    embedding = keras.layers.Embedding(c.vocabulary_size, c.embedding, mask_zero=True)
    return keras_step(keras.Sequential([embedding, *stack, keras.layers.Dense(c.vocabulary_size)]), tokens, labels)


def labels_of_ours(file, tokenizer):
    """An epoch of labeled texts, the training split of which is as large as the file."""

    def epoch():
        data = labeled_text.load(file, length=LOADED_LENGTH, batch_size=LOADED_BATCH, tokenizer=tokenizer)
        return sum(int((x != data.padding).sum()) for part in splits(data) for x, _ in part.as_numpy_iterator())

    return epoch


def labels_of_keras_hub(rows, tokenizer):
    from keras_hub import models

    preprocessor = models.BertTextClassifierPreprocessor(
        models.BertTokenizer(vocabulary_of(tokenizer), lowercase=True), sequence_length=LOADED_LENGTH
    )
    texts, labels = zip(*rows)

    def epoch():
        data = tf.data.Dataset.from_tensor_slices((list(texts), list(labels))).shuffle(len(texts)).batch(LOADED_BATCH)
        data = data.map(preprocessor, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
        return sum(int(x["padding_mask"].sum()) for x, _ in data.as_numpy_iterator())

    return epoch


def masks_of_ours(file, tokenizer):
    """An epoch of rows with masked tokens."""

    def epoch():
        with tempfile.TemporaryDirectory() as folder:
            tokenizer.save(Path(folder) / "tokenizer.json")
            options = dict(column="text", length=LOADED_LENGTH, batch_size=LOADED_BATCH, tokenizer=folder)
            data = corrupted_text.load(file, "bert", **options)
        return sum(int((x != 0).sum()) for part in splits(data) for x, _ in part.as_numpy_iterator())

    return epoch


def masks_of_keras_hub(rows, tokenizer):
    from keras_hub import models

    preprocessor = models.BertMaskedLMPreprocessor(
        models.BertTokenizer(vocabulary_of(tokenizer), lowercase=True), sequence_length=LOADED_LENGTH
    )
    texts = [text for text, _ in rows]

    def epoch():
        data = tf.data.Dataset.from_tensor_slices(texts).shuffle(len(texts)).batch(LOADED_BATCH)
        data = data.map(preprocessor, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
        return sum(int(x["padding_mask"].sum()) for x, *_ in data.as_numpy_iterator())

    return epoch


def splits(data):
    return data.train, data.validation, data.test


def vocabulary_of(tokenizer):
    """The pieces in the order of their numbers."""
    numbers = tokenizer.tokenizer.get_vocab()
    return sorted(numbers, key=numbers.get)


MODELS = {
    "gpt2": Model(
        gpt_of_ours,
        {"keras_hub": gpt_of_keras_hub, "transformers": gpt_of_transformers, "float32": own(gpt_of_ours)},
        50257,
    ),
    "bert_base": Model(
        bert_of_ours,
        {"keras_hub": bert_of_keras_hub, "transformers": bert_of_transformers, "float32": own(bert_of_ours)},
        30522,
        is_classifier=True,
    ),
    "load_labels": Loader(labels_of_ours, {"keras_hub": labels_of_keras_hub}),
    "load_masks": Loader(masks_of_ours, {"keras_hub": masks_of_keras_hub}),
    "lstm": Model(lstm_of_ours, {"keras": lstm_of_keras}, rnn.VARIANTS["lstm_characters"].vocabulary_size),
}


if __name__ == "__main__":
    sys.exit(main())
