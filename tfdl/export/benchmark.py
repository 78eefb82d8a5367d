"""How long a TFLite file takes, and into how many delegate partitions it falls."""

import time

import numpy as np
from ai_edge_litert.compiled_model import CompiledModel, CpuOptions, HardwareAccelerator, Options

from tfdl.core.litert import interpreter
from tfdl.core.quiet import muffled, silent_at_exit


def benchmark_tflite(content, *, threads=1, **limits):
    """{"median_ms", "p90_ms", "runs", "threads", "partitions"} of a TFLite file's bytes, run on noise at batch 1.

    limits: of `measured`.
    partitions: how many pieces of the graph the XNNPACK delegate runs.  Each operator that it lacks splits the graph
    further, and the change from one piece to the next costs more than the operator itself.

    Raises:
        ValueError, RuntimeError: LiteRT cannot run the file.
    """
    runner = interpreter(content, threads=threads)
    random = np.random.default_rng(0)
    for detail in runner.get_input_details():
        runner.set_tensor(detail["index"], noise(random, detail))
    # LiteRT offers no public count; delegated pieces appear in the plan as nodes named DELEGATE.
    partitions = sum(op["op_name"] == "DELEGATE" for op in runner._get_ops_details())
    return {**measured(runner.invoke, **limits), "threads": threads, "partitions": partitions}


def benchmark_file(content, *, threads=1):
    """{signature: its row} of a TFLite file with several; {None: the row of `benchmark_tflite`} of any other."""
    names = list(interpreter(content, threads=threads).get_signature_list())
    if len(names) < 2:
        return {None: benchmark_tflite(content, threads=threads)}
    return {name: benchmark_signature(content, name, threads=threads) for name in names}


def benchmark_signature(content, name, *, threads=1):
    """{"median_ms", "p90_ms", "runs", "threads"} of one signature of a TFLite file's bytes, run on noise at batch 1.

    State, an input and an output of the same name and shape, has one buffer for both, as in the programs that use it.

    Raises:
        ValueError, RuntimeError: LiteRT cannot run the file.
    """
    silent_at_exit()
    with muffled():  # it tells which accelerators it does not find, and when it ends
        return {**timed_signature(content, name, threads), "threads": threads}


def timed_signature(content, name, threads):
    random = np.random.default_rng(0)
    options = Options(hardware_accelerators=HardwareAccelerator.CPU, cpu_options=CpuOptions(num_threads=threads))
    model = CompiledModel.from_buffer(content, options=options)
    takes, gives = model.get_input_tensor_details(name), model.get_output_tensor_details(name)
    inputs = {key: model.create_input_buffer_by_name(name, key) for key in takes}
    for key, detail in takes.items():
        inputs[key].write(np.asarray(noise(random, detail)))
    outputs = {
        key: inputs[key] if is_state(takes.get(key), detail) else model.create_output_buffer_by_name(name, key)
        for key, detail in gives.items()
    }
    return measured(lambda: model.run_by_name(name, inputs, outputs))


def is_state(taken, given):
    """Whether an output can take the place of an input of its name, None where there is no such input."""
    return taken is not None and all(np.array_equal(taken[key], given[key]) for key in ("shape", "dtype"))


def measured(invoke, *, runs=50, warmup=5, seconds=2.0):
    """{"median_ms", "p90_ms", "runs"} of a function.

    Stops after `runs` runs or `seconds`, whichever comes first (never before 5 runs), `warmup` ones before not counted.
    """
    times, start = [], time.perf_counter()
    while len(times) < warmup + 5 or (len(times) < warmup + runs and time.perf_counter() - start < seconds):
        before = time.perf_counter()
        invoke()
        times.append(1e3 * (time.perf_counter() - before))
    kept = times[warmup:]
    return {"median_ms": float(np.median(kept)), "p90_ms": float(np.quantile(kept, 0.9)), "runs": len(kept)}


def noise(random, detail):
    """Uniform values in [0, 1) for a float input, in the lower half of the range for an integer one.

    One integer for the whole batch is a position, which is 0: from another, a prompt might not fit the cache.
    """
    shape, dtype = detail["shape"], np.dtype(detail["dtype"])
    if not len(shape) and dtype.kind == "i":
        return np.zeros(shape, dtype)
    if dtype.kind == "f":
        return random.random(shape, dtype="float32").astype(dtype)
    if dtype.kind == "b":
        return random.random(shape) < 0.5
    return random.integers(0, 2 if dtype.itemsize > 1 else 128, shape).astype(dtype)
