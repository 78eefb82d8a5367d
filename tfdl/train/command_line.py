"""How a recipe becomes a command: flags from its Config, errors as one sentence, exit codes with a meaning.

| code | meaning                                                                            |
|------|------------------------------------------------------------------------------------|
| 0    | done                                                                               |
| 2    | bad input: an unknown name, a missing file, a wrong shape, an unwritable folder    |
| 3    | the loss became NaN or infinite                                                    |
| 75   | stopped by SIGTERM after a checkpoint: go on with --run.resume                     |
| 130  | the same by Ctrl-C                                                                 |

TFDL_VERBOSE=1 shows the whole traceback.
"""

import os
import signal
import sys

import tyro

from tfdl.train.callbacks import Interrupted, NonFiniteLoss

BAD_INPUT, NON_FINITE, TRY_AGAIN, CTRL_C = 2, 3, 75, 130


def launch(main, config_class):
    """Parses the command line into `config_class`, calls `main(config)`, exits with a documented code."""
    config = tyro.cli(config_class, description=sys.modules[main.__module__].__doc__)
    try:
        main(config)
    except (ValueError, OSError, ImportError) as error:
        stop(error, BAD_INPUT)
    except NonFiniteLoss as error:
        stop(error, NON_FINITE)
    except Interrupted as error:
        stop(error, CTRL_C if error.signal == signal.SIGINT else TRY_AGAIN)
    except KeyboardInterrupt:
        sys.exit(CTRL_C)


def stop(error, code):
    """Prints the message on stderr and exits; re-raises when TFDL_VERBOSE is set."""
    if os.environ.get("TFDL_VERBOSE"):
        raise error
    message = str(error)
    if isinstance(error, OSError) and error.strerror:
        message = error.strerror if error.filename is None else f"{error.strerror}: {error.filename}"
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)
