"""The launcher's supervision of a program as several workers, with little patience.

python supervised.py WORKERS HANG_AFTER PROGRAM [FLAGS OF THE PROGRAM]
"""

import sys

from tfdl.distribution.local_cluster import Launch, supervise

if __name__ == "__main__":
    workers, hang_after, *command = sys.argv[1:]
    launch = Launch(workers=int(workers), hang_after=float(hang_after), grace=3.0, restarts=2)
    sys.exit(supervise([sys.executable, *command], launch))
