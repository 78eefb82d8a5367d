"""How long a TFLite file takes, and into how many delegate partitions it falls."""

import time

import numpy as np

from tfdl.core.litert import interpreter


def benchmark_tflite(content, *, threads=1, runs=50, warmup=5, seconds=2.0):
    """{"median_ms", "p90_ms", "runs", "threads", "partitions"} of a TFLite file's bytes, run on noise at batch 1.

    Stops after `runs` runs or `seconds`, whichever comes first (never before 5 runs).
    partitions: how many pieces of the graph the XNNPACK delegate runs.  Each operator that it lacks splits the graph
    further, and the change from one piece to the next costs more than the operator itself.

    Raises:
        ValueError, RuntimeError: LiteRT cannot run the file.
    """
    runner = interpreter(content, threads=threads)
    random = np.random.default_rng(0)
    for detail in runner.get_input_details():
        runner.set_tensor(detail["index"], noise(random, detail))
    times, start = [], time.perf_counter()
    while len(times) < warmup + 5 or (len(times) < warmup + runs and time.perf_counter() - start < seconds):
        before = time.perf_counter()
        runner.invoke()
        times.append(1e3 * (time.perf_counter() - before))
    kept = times[warmup:]
    return {
        "median_ms": float(np.median(kept)),
        "p90_ms": float(np.quantile(kept, 0.9)),
        "runs": len(kept),
        "threads": threads,
        # LiteRT offers no public count; delegated pieces appear in the plan as nodes named DELEGATE.
        "partitions": sum(op["op_name"] == "DELEGATE" for op in runner._get_ops_details()),
    }


def noise(random, detail):
    """Uniform values in [0, 1) for a float input, in the lower half of the range for an integer one."""
    shape, dtype = detail["shape"], np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return random.random(shape, dtype="float32").astype(dtype)
    if dtype.kind == "b":
        return random.random(shape) < 0.5
    return random.integers(0, 2 if dtype.itemsize > 1 else 128, shape).astype(dtype)
