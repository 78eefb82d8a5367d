"""Standard output and error that cannot stop a run: a reader that leaves, or a stream that was closed, is no error.

tfdl run classify_images | head -1      # prints one line, and trains to the end
tfdl run classify_images >&-            # trains without a word
"""

import io
import os
import sys


def make_safe():
    """Makes `sys.stdout` and `sys.stderr` safe to write to, for the rest of the process.

    A closed one goes to os.devnull, for otherwise the next file that is opened would get its number and with it all
    that is printed.  What a pipe no longer takes is dropped.  Characters that the terminal lacks become escapes.
    A stream that somebody has put in place of the process's own is left alone.
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
    """Whether it is the one that Python made, and not yet safe."""
    try:
        raw = getattr(stream.buffer, "raw", stream.buffer)  # without a buffer under `python -u`
        return stream.fileno() == number and not isinstance(raw, Patient)
    except (AttributeError, OSError, ValueError):
        return False


def safe(number, **how):
    """A text stream on the file descriptor `number`."""
    raw = io.BufferedWriter(Patient(number, "w", closefd=False))
    return io.TextIOWrapper(raw, errors="backslashreplace", **how)


def drop_what_cannot_be_written():
    """After an error that has been reported: Python would report the same text, on a full disk, again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            discard(stream.fileno())


def discard(number):
    """Sends a file descriptor to os.devnull from now on."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)


class Patient(io.FileIO):
    """A file descriptor that goes to os.devnull once nobody reads it any more."""

    def write(self, data):
        try:
            return super().write(data)
        except BrokenPipeError:
            discard(self.fileno())
            return super().write(data)
