"""Standard output and error that cannot stop a run: neither a closed stream nor a pipe without a reader is an error.

tfdl run classify_images | head -1      # prints one line, and trains to the end
tfdl run classify_images >&-            # trains without output
"""

import io
import os
import sys


def make_safe():
    """Makes `sys.stdout` and `sys.stderr` safe to write to, for the rest of the process.

    A closed stream is redirected to os.devnull; otherwise the next file that is opened would get its descriptor and
    everything that is printed.  Output to a broken pipe is dropped.  Characters that the terminal cannot encode are
    escaped.  Streams that other code has put in place of the process's own are left unchanged.
    """
    for number in (0, 1, 2):
        open_if_closed(number)
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, safe(number, encoding="utf-8"))
        elif is_own(stream, number):
            stream.flush()
            how = {key: getattr(stream, key) for key in ("encoding", "line_buffering", "write_through")}
            setattr(sys, name, safe(number, **how))


def open_if_closed(number):
    """Opens os.devnull as a file descriptor that is closed."""
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:
            os.dup2(null, number)
            os.close(null)


def is_own(stream, number):
    """Whether `stream` is the one that Python created, and not yet safe."""
    try:
        raw = getattr(stream.buffer, "raw", stream.buffer)  # without a buffer under `python -u`
        return stream.fileno() == number and not isinstance(raw, SafeFile)
    except (AttributeError, OSError, ValueError):
        return False


def safe(number, **how):
    """A text stream on the file descriptor `number`."""
    raw = io.BufferedWriter(SafeFile(number, "w", closefd=False))
    return io.TextIOWrapper(raw, errors="backslashreplace", **how)


def drop_unwritten():
    """Drops buffered output that cannot be written, as on a full disk: Python would report the error again at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream.fileno())


def discard(number):
    """Redirects a file descriptor to os.devnull."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)


class SafeFile(io.FileIO):
    """A file descriptor that is redirected to os.devnull once its pipe has no reader."""

    def write(self, data):
        try:
            return super().write(data)
        except BrokenPipeError:
            discard(self.fileno())
            return super().write(data)
