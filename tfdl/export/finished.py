"""Files of networks that end with what an app shows: boxes without their doubles, key points in pixels.

Such an end chooses (the highest score, the highest cell), so that the smallest difference may change it a lot; it is
compared by a measure of the task, on real samples, and not number by number.
"""

from tfdl.core.files import write_bytes
from tfdl.export.benchmark import benchmark_tflite
from tfdl.export.graph import graph
from tfdl.export.parity import ExportError
from tfdl.export.quantize import convert_int8
from tfdl.export.report import timed
from tfdl.export.tflite import convert_float, operators, run_tflite


def finished_files(folder, source, signature, files, formats, calibration, inputs, judge, left_out, say):
    """Writes the files whose kind is in `formats`; yields (name, row of a report).

    Args:
        source: the network with its end; signature: its own.
        files: {"tflite": name, "tflite_int8": name}.
        inputs: {name: array (N, ...)}, on which the files are judged.
        judge: (name, form, outputs) -> facts for the row; raises ExportError for a file that answers something else.
        left_out: gets name -> reason of an int8 file that answers something else.

    Raises:
        ExportError: the float file answers something else.
    """
    for form, name in files.items():
        if form not in formats:
            continue
        with timed(name, say):
            made = graph(source, signature, integers=form == "tflite_int8")
            if form == "tflite":
                content = convert_float(made)
            else:
                content = convert_int8(made, signature, calibration, decoding=True)
            write_bytes(folder / name, content)
            row = {"format": form, "bytes": len(content), "operators": operators(content)}
            try:
                row |= judge(name, form, run_tflite(content, inputs))
            except ExportError as error:
                if form == "tflite":
                    raise
                left_out[name] = str(error)
                (folder / name).unlink()
                continue
            row["latency"] = benchmark_tflite(content)
        yield name, row
    for name in files.values():
        if name in left_out:
            say(f"export: no {name}: {left_out[name]}")
