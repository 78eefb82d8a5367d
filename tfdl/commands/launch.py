"""`tfdl launch [flags] -- run RECIPE [flags]`: the same recipe in several processes that train one model together.

On one machine `--workers 2` starts two processes, each with its part of the cores or GPUs.  On several machines the
same command runs on each, with all `--hosts`, the chief's first, and the machine's own `--index`.  When a worker dies
or hangs, all are started again and continue from the newest checkpoint.  `--on ray` leaves all that to a Ray cluster.

TensorFlow's workers listen on all network interfaces, without a password or encryption: use a network that you trust.
"""

import argparse
import sys

from tfdl.distribution.local_cluster import Launch, check, supervise
from tfdl.distribution.ray_cluster import supervise_on_ray


def main(argv):
    end = argv.index("--") if "--" in argv else len(argv)
    own, command = argv[:end], argv[end + 1 :]
    parser = argparse.ArgumentParser(
        prog="tfdl launch",
        usage="tfdl launch [flags] -- run RECIPE [flags]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--workers", type=int, default=2, help="processes on this machine; default: 2")
    parser.add_argument("--hosts", default="", metavar="HOST:PORT,...", help="one worker on each of these machines")
    parser.add_argument("--index", type=int, default=0, help="this machine's place in --hosts; default: 0, the chief")
    parser.add_argument("--restarts", type=int, default=3, help="how often all are started again; default: 3")
    parser.add_argument(
        "--grace",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="for the others to stop by themselves, before SIGKILL; default: 15",
    )
    parser.add_argument(
        "--hang-after",
        type=float,
        default=600.0,
        metavar="SECONDS",
        help="a worker that finishes no batch for so long counts as hung; default: 600",
    )
    parser.add_argument(
        "--on",
        choices=["machine", "ray"],
        default="machine",
        help="ray: workers of a Ray cluster, its own or RAY_ADDRESS; default: machine",
    )
    flags = vars(parser.parse_args(own))
    place = flags.pop("on")
    if not command:
        raise ValueError("`tfdl launch` needs a command: tfdl launch --workers 2 -- run classify_images")
    launch = Launch(**flags | {"hosts": tuple(flags["hosts"].split(",")) if flags["hosts"] else ()})
    check(launch)
    if place == "ray":
        return supervise_on_ray(command, launch)
    return supervise([sys.executable, "-m", "tfdl", *command], launch)
