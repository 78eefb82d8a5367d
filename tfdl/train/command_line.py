"""How a recipe becomes a command: flags from its Config, errors as one sentence, exit codes with a meaning.

| code | meaning                                                                            |
|------|------------------------------------------------------------------------------------|
| 0    | done                                                                               |
| 2    | bad input: an unknown name, a missing file, a wrong shape, an unwritable folder    |
| 3    | the loss became NaN or infinite                                                    |
| 74   | a file could not be written, as on a full disk: go on once there is space          |
| 75   | stopped by SIGTERM after a checkpoint: go on with --run.resume                     |
| 130  | the same by Ctrl-C                                                                 |

TFDL_VERBOSE=1 shows the whole traceback.
"""

import errno
import os
import signal
import sys

import tyro

from tfdl.core.errors import explains_itself, sentence
from tfdl.train.callbacks import Interrupted, NonFiniteLoss

BAD_INPUT, NON_FINITE, INPUT_OUTPUT, TRY_AGAIN, CTRL_C = 2, 3, 74, 75, 130
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO}


def launch(main, config_class):
    """Parses the command line into `config_class`, calls `main(config)`, exits with a documented code."""
    config = tyro.cli(config_class, description=sys.modules[main.__module__].__doc__)
    try:
        main(config)
    except KeyboardInterrupt:
        sys.exit(CTRL_C)
    except Exception as error:
        if os.environ.get("TFDL_VERBOSE") or not explains_itself(error):
            raise
        print(f"error: {sentence(error)}", file=sys.stderr)
        sys.exit(code(error))


def code(error):
    """The exit code that tells what to do next."""
    if isinstance(error, Interrupted):
        return CTRL_C if error.signal == signal.SIGINT else TRY_AGAIN
    if isinstance(error, OSError) and error.errno in FULL:
        return INPUT_OUTPUT
    return NON_FINITE if isinstance(error, NonFiniteLoss) else BAD_INPUT
