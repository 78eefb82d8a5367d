"""How a recipe becomes a command: flags from its Config, errors as one sentence, exit codes with a meaning.

| code | meaning                                                                            |
|------|------------------------------------------------------------------------------------|
| 0    | done                                                                               |
| 2    | bad input: an unknown name, a missing file, a wrong shape, an unwritable folder    |
| 3    | the loss became NaN or infinite                                                    |
| 74   | a file could not be written, as on a full disk: continue once there is space       |
| 75   | stopped by SIGTERM after a checkpoint: continue with --run.resume                  |
| 130  | the same by Ctrl-C                                                                 |

TFDL_VERBOSE=1 shows the whole traceback.
"""

import dataclasses
import errno
import os
import re
import signal
import sys
from pathlib import Path

import tensorflow as tf
import tyro

from tfdl.core.errors import explains_itself, sentence
from tfdl.session.defaults import with_defaults
from tfdl.train.callbacks import Interrupted, NonFiniteLoss

BAD_INPUT, NON_FINITE, INPUT_OUTPUT, TRY_AGAIN, CTRL_C = 2, 3, 74, 75, 130
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


def launch(main, config_class):
    """Parses the command line into `config_class`, calls `main(config)`, exits with a documented code.

    Where Config has a `model` and fields that are None, --help shows the defaults of the model that is given.
    """
    try:
        arguments = sys.argv[1:]
        main(
            tyro.cli(
                config_class,
                args=arguments,
                prog=f"tfdl run {Path(sys.argv[0]).stem}",
                description=lines_kept(sys.modules[main.__module__].__doc__),
                default=preset(config_class, arguments),
            )
        )
    except KeyboardInterrupt:
        sys.exit(CTRL_C)
    except Exception as error:
        if is_full_disk(error):
            error = OSError(errno.ENOSPC, f"{first_line(error)}. Free some space, then continue with --run.resume.")
        elif os.environ.get("TFDL_VERBOSE") or not explains_itself(error):
            raise
        print(f"error: {sentence(error)}", file=sys.stderr)
        sys.exit(code(error))


def lines_kept(text):
    """A docstring whose lines tyro does not join: it leaves indented ones alone."""
    headline, _, rest = (text or "").partition("\n")
    return headline + "\n" + re.sub(r"^(?=\S)", " ", rest, flags=re.MULTILINE)


def preset(config_class, arguments):
    """The Config whose values --help shows as defaults."""
    fields = {field.name for field in dataclasses.fields(config_class)}
    given = {name: last(arguments, name) for name in ("model", "data") if name in fields}
    config = config_class(**{name: value for name, value in given.items() if value is not None})
    return with_defaults(config) if "model" in fields and has_open_fields(config) else config


def has_open_fields(config):
    """Whether some fields wait for the model's defaults."""
    return any(getattr(config, field.name) is None for field in dataclasses.fields(config))


def last(arguments, name):
    """The value of --NAME VALUE or --NAME=VALUE, where it was given last; None without."""
    found = None
    for flag, following in zip(arguments, [*arguments[1:], None]):
        if flag == f"--{name}" and following is not None:
            found = following
        elif flag.startswith(f"--{name}="):
            found = flag.partition("=")[2]
    return found


def is_full_disk(error):
    """Whether one of TensorFlow's own writers found no space."""
    return isinstance(error, tf.errors.OpError) and "No space left on device" in str(error)


def first_line(error):
    """TensorFlow's message about a file, without the operation that wrote it."""
    line = next(line for line in str(error).splitlines() if "No space left on device" in line)
    return line.split("}} ")[-1].strip()


def code(error):
    """The exit code that tells what to do next."""
    if isinstance(error, Interrupted):
        return CTRL_C if error.signal == signal.SIGINT else TRY_AGAIN
    if isinstance(error, OSError) and error.errno in FULL:
        return INPUT_OUTPUT
    return NON_FINITE if isinstance(error, NonFiniteLoss) else BAD_INPUT
