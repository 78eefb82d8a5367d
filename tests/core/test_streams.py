"""Whoever stops reading stops nothing."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def python(text, *flags, shell="", before="", **kwargs):
    """Runs Python text with `streams` made safe, through a shell line such as "| head -1"."""
    start = f"import os, sys\nfrom tfdl.core import streams\n{before}\nstreams.make_safe()\n"
    text = start + textwrap.dedent(text)
    command = ["bash", "-c", f'set -o pipefail; "$0" "$@" {shell}', sys.executable, *flags, "-c", text]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, **kwargs)


@pytest.mark.parametrize("flags", [[], ["-u"]])
def test_a_reader_that_leaves_does_not_stop_the_program(flags, tmp_path):
    mark = tmp_path / "end"
    text = f"for i in range(200_000): print('line', i, flush=i % 100 == 0)\nopen({str(mark)!r}, 'w').close()"
    done = python(text, *flags, shell="| head -1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "line 0\n", "")
    assert mark.exists()


@pytest.mark.parametrize("closing", [">&-", "2>&-", ">&- 2>&- <&-"])
def test_closed_streams_take_what_is_printed_and_files_keep_theirs(closing, tmp_path):
    text = f"""
        file = open({str(tmp_path / "data")!r}, "w")
        print("chatter"); print("error", file=sys.stderr); os.write(1, b"raw"); os.write(2, b"raw")
        file.write("data"); file.close()
    """
    done = python(text, shell=closing)
    assert done.returncode == 0
    assert (tmp_path / "data").read_text() == "data"


def test_characters_that_the_terminal_lacks_are_escaped():
    done = python("print('\\udcff é')", env=os.environ | {"PYTHONIOENCODING": "ascii"})
    assert (done.stdout, done.returncode) == ("\\udcff \\xe9\n", 0)


def test_what_was_printed_before_comes_first():
    assert python("print('second', flush=True); os.write(1, b'third')", before="print('first')").stdout == (
        "first\nsecond\nthird"
    )


def test_a_stream_that_somebody_put_in_place_stays():
    done = python("""
        import io
        sys.stdout = mine = io.StringIO()
        streams.make_safe()
        print(sys.stdout is mine, file=sys.stderr)
        before = sys.stderr
        streams.make_safe()
        print(sys.stderr is before, file=sys.stderr)
    """)
    assert done.stderr == "True\nTrue\n"


def test_tensorflow_loads_where_standard_error_is_closed():
    done = python("from tfdl.core.quiet import muffled\nwith muffled(): os.write(2, b'x')\nprint('ok')", shell="2>&-")
    assert done.stdout == "ok\n"
