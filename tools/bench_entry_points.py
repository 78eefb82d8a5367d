"""What one step of an exported decoder costs with a cache of 128, 1024 and 4096 places, by where the cache is kept.

    python tools/bench_entry_points.py [--width 256] [--depth 4] [--heads 4]

copied      the cache is an input and an output, and the program copies both (`Interpreter.get_signature_runner`)
swapped     the same with two buffers that change places after each step (`CompiledModel`)
one buffer  the same with one buffer for both
variables   resource variables inside the file

All run the same network in turns, one thread, and are timed by the CPU seconds of the process, so that other programs
disturb little.  Printed are the medians in ms and, as ratios, how many times as long as "one buffer" each takes.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tyro
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter

from tfdl.core.quiet import muffled
from tfdl.models.text.gpt import GPTConfig, gpt

WAYS = ("copied", "swapped", "one buffer", "variables")
BATCH = 1


@dataclass(frozen=True, kw_only=True)
class Config:
    width: int = 256
    depth: int = 4
    heads: int = 4
    vocabulary: int = 512
    lengths: tuple[int, ...] = (128, 1024, 4096)
    rounds: int = 30  # steps of each way


def main(config):
    print(f"{'places':>6}  {'cache MB':>8}  " + "  ".join(f"{way:>16}" for way in WAYS))
    for length in config.lengths:
        with muffled():
            seconds, megabytes = measure(config, length)
        base = seconds["one buffer"]
        cells = (f"{1e3 * seconds[way]:7.2f} ({seconds[way] / base:5.2f} x)" for way in WAYS)
        print(f"{length:>6}  {megabytes:>8.1f}  " + "  ".join(cells))


def measure(config, length):
    """({way: median CPU seconds of a step}, MB of the cache)."""
    sizes = {"vocabulary_size": config.vocabulary, "context": length, "width": config.width, "depth": config.depth}
    model = gpt(GPTConfig(**sizes, heads=config.heads, dropout=0.0))
    cache = model.empty_cache(BATCH, length)
    state = {name: rows.numpy() for name, rows in named(cache).items()}
    whole, variables = with_state(model, state), with_variables(model, cache)
    steps = {
        "copied": copied(whole, state),
        "swapped": compiled(whole, state, swap=True),
        "one buffer": compiled(whole, state, swap=False),
        "variables": copied(variables, {}),
    }
    seconds = {way: [] for way in WAYS}
    for position in range(config.rounds):
        token = np.array([[position % config.vocabulary]], "int32")
        logits = {}
        for way, step in steps.items():
            start = time.process_time()
            logits[way] = step(token, np.array(position, "int32"))
            seconds[way].append(time.process_time() - start)
        for way in WAYS:  # or the comparison would be one of different things
            np.testing.assert_allclose(logits[way].ravel(), logits["copied"].ravel(), atol=1e-4, err_msg=way)
    megabytes = sum(values.nbytes for values in state.values()) / 1e6
    return {way: statistics.median(times) for way, times in seconds.items()}, megabytes


def named(cache):
    """[(keys, values), ...] -> {"keys_0": keys, "values_0": values, ...}"""
    return {f"{kind}_{i}": rows for i, pair in enumerate(cache) for kind, rows in zip(("keys", "values"), pair)}


def inputs():
    return {
        "tokens": tf.TensorSpec((BATCH, 1), tf.int32, name="tokens"),
        "position": tf.TensorSpec((), tf.int32, name="position"),
    }


def with_state(model, state):
    """A TFLite file whose step takes and gives the cache."""
    spec = inputs() | {name: tf.TensorSpec(values.shape, name=name) for name, values in state.items()}

    def step(given):
        cache = [(given[f"keys_{i}"], given[f"values_{i}"]) for i in range(model.config.depth)]
        logits, cache = model.extend(given["tokens"], cache, given["position"])
        return {"logits": logits, **named(cache)}

    return converted(step, spec, model, ())


def with_variables(model, cache):
    """A TFLite file that keeps the cache in resource variables."""
    kept = [[tf.Variable(rows) for rows in pair] for pair in cache]

    def step(given):
        cache = [[variable.read_value() for variable in pair] for pair in kept]
        logits, rows = model.extend(given["tokens"], cache, given["position"])
        for pair, new in zip(kept, rows):
            for variable, value in zip(pair, new):
                variable.assign(value)
        return {"logits": logits}

    return converted(step, inputs(), model, kept)


def converted(step, spec, model, kept):
    """TFLite bytes of a function, and of the variables that it keeps."""
    module = tf.Module()
    module.step = tf.function(step, input_signature=[spec], autograph=False)
    module.weights, module.kept = [variable.value for variable in model.variables], kept
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(module, folder, signatures={"step": module.step})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=["step"])
        converter.experimental_enable_resource_variables = bool(kept)
        return converter.convert()


def copied(content, state):
    """A function (token, position) -> logits that hands the state back as arrays."""
    kept = Interpreter(model_content=content, num_threads=1)
    runner, state = kept.get_signature_runner("step"), dict(state)

    def step(token, position):
        outputs = runner(tokens=token, position=position, **state)
        state.update({name: outputs[name] for name in state})
        return outputs["logits"]

    return step


def compiled(content, state, *, swap):
    """The same with buffers of the runtime: one for input and output, or two that change places."""
    model = CompiledModel.from_buffer(content)
    takes = {name: model.create_input_buffer_by_name("step", name) for name in (*inputs(), *state)}
    for name, values in state.items():
        takes[name].write(values)
    gives = {name: model.create_output_buffer_by_name("step", name) if swap else takes[name] for name in state}
    logits = model.create_output_buffer_by_name("step", "logits")
    size = int(np.prod(model.get_output_tensor_details("step")["logits"]["shape"]))

    def step(token, position):
        takes["tokens"].write(token)
        takes["position"].write(position.reshape(1))
        model.run_by_name("step", takes, gives | {"logits": logits})
        for name in state:
            takes[name], gives[name] = gives[name], takes[name]
        return logits.read(size, np.float32)

    return step


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
