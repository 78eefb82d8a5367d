"""The folder of a run: its name, its lock, and what an earlier process left in it.

runs/NAME/
  config.json   the recipe's flags            tb/                      TensorBoard
  env.json      versions, devices, commit     checkpoints/last         the two newest states, for --run.resume
  task.json     labels and preprocessing      checkpoints/best         model.keras of the best epoch
  metrics.jsonl a line for each epoch         figures/                 PNG files
  summary.json  every metric, seconds, hash   export/, MODEL_CARD.md   what the recipe exports
  run.lock      held while a process runs     variants/NAME/           the same for each training of a comparison

Nothing is written before `open`, which comes right before the first training step: a start that fails leaves nothing.
"""

import contextlib
import fcntl
import json
import os
import re
import shutil
import socket
import warnings
from pathlib import Path

from tfdl.core.files import read_json, refuse_links, write_json
from tfdl.train import checkpoints

RUNS = Path("runs")
# Flags that may differ between a run and its continuation.
MAY_CHANGE = {"epochs", "run.resume", "run.out", "run.strategy", "run.tracker"}
# What is read or written in a run folder.  Users may put links beside it.
OURS = (
    *(
        "config.json",
        "env.json",
        "task.json",
        "tokenizer.json",
        "metrics.jsonl",
        "summary.json",
        "run.lock",
        "MODEL_CARD.md",
    ),
    *("tb", "checkpoints", "figures", "export", "variants"),
)


class RunFolder:
    """One run's folder.

    Args:
        path: as the user gave it; "" takes runs/NAME, or the next free runs/NAME-2, runs/NAME-3 ...
        name: of the run.
        flags: flat dict of the recipe's flags.
        environment: versions, devices and the launch that this process belongs to.
        resume: whether to continue what is in the folder.

    Raises:
        FileExistsError: `path` is not empty and `resume` is off.
        ValueError: the flags differ from those that the run began with, or one of its files is a link.
    """

    def __init__(self, path, name, *, flags, environment, resume):
        self.flags, self.environment = flags, environment
        self.is_numbered = not path
        self.name = short_name(name)
        self.path = Path(path) if path else self.choose(resume)
        self.resumes = self.continues(resume)
        self.lock, self.is_new, self.is_open = None, False, False

    def choose(self, resume):
        """runs/NAME or a numbered one: the newest that exists when resuming, else the first free one."""
        taken = numbered(RUNS, self.name)
        for folder in reversed(taken):
            if resume or self.is_of_this_launch(folder):
                return folder
        return first_free(RUNS, self.name)

    def is_of_this_launch(self, folder):
        """Whether the launcher that started this process has started that very run before."""
        launch = self.environment["launch"]
        return launch is not None and read_or_empty(folder / "env.json").get("launch") == launch

    def continues(self, resume):
        """Whether this process goes on with an earlier one's run."""
        if not is_taken(self.path):
            if resume:
                print(f"There is no run in {self.path} yet: it starts at the beginning.")
            return False
        if not resume and not self.is_of_this_launch(self.path):
            raise FileExistsError(
                f"The run folder {self.path} is not empty. Continue that run with --run.resume, or choose another"
                " folder with --run.out."
            )
        refuse_links(self.path, *OURS)
        saved = read_or_empty(self.path / "config.json")
        if not saved:
            raise ValueError(
                f"{self.path} holds no config.json, so it is no run that could be resumed. Choose another folder with"
                " --run.out."
            )
        keys = saved.keys() | self.flags.keys()
        changed = sorted({key for key in keys if saved.get(key) != self.flags.get(key)} - MAY_CHANGE)
        if changed:
            differences = ", ".join(
                f"{key} was {saved.get(key, 'unknown')} and is {self.flags.get(key, 'gone')}" for key in changed
            )
            raise ValueError(
                f"Cannot resume {self.path}: {differences}. Repeat the flags that the run began with, or start another"
                " run with --run.out."
            )
        if saved.get("epochs", 0) != self.flags.get("epochs", 0):
            print(
                f"epochs was {saved['epochs']} and is {self.flags['epochs']}: a learning-rate schedule that depends on"
                " the number of epochs changes from here on."
            )
        return True

    @property
    def board(self):
        """The folder for TensorBoard."""
        return self.path / "tb"

    def checkpoint(self):
        """The newest undamaged `Checkpoint` to continue from, or None."""
        last = self.path / "checkpoints" / "last"
        if not self.resumes or not checkpoints.newest_first(last):
            return None
        return checkpoints.read_newest(last)

    def open(self):
        """Makes the folder, takes its lock and writes config.json and env.json.  Repeating it does nothing.

        Raises:
            ValueError: another process is running in the folder, or it appeared since this one started.
            OSError: it cannot be written.
        """
        if self.is_open:
            return
        if not self.resumes and is_taken(self.path):
            if not self.is_numbered:
                raise ValueError(
                    f"Another process has begun a run in {self.path}; choose another folder with --run.out."
                )
            self.path = first_free(RUNS, self.name)
        self.is_new = not self.path.exists()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise type(error)(
                error.errno, f"Cannot write {self.path}: {error.strerror}. Choose another folder with --run.out."
            ) from error
        self.lock = Lock(self.path / "run.lock")
        self.is_open = True
        write_json(self.path / "config.json", self.flags)
        write_json(self.path / "env.json", self.environment)

    def close(self):
        """Releases the lock."""
        if self.lock is not None:
            self.lock.release()

    def discard(self):
        """Removes the folder again, if this process made it: the start failed."""
        self.close()
        if self.is_open and not self.resumes:
            if self.is_new:
                shutil.rmtree(self.path, ignore_errors=True)
            else:
                for entry in self.path.iterdir():  # an empty folder that the user had made stays
                    shutil.rmtree(entry, ignore_errors=True) if entry.is_dir() else entry.unlink()
        self.is_open = False

    def earlier(self, name):
        """A JSON file of the interrupted run, {} where there is none or it is damaged."""
        return read_or_empty(self.path / name) if self.resumes else {}

    def variant(self, name):
        """The folder of one of several trainings, below this one."""
        return VariantFolder(self, name)


class VariantFolder:
    """variants/NAME in the folder of a comparison, with the same members as a `RunFolder`."""

    def __init__(self, parent, name):
        self.parent, self.name, self.resumes = parent, name, parent.resumes

    @property
    def path(self):
        return self.parent.path / "variants" / self.name

    @property
    def board(self):
        return self.parent.board / self.name

    checkpoint = RunFolder.checkpoint
    earlier = RunFolder.earlier

    def open(self):
        self.parent.open()
        self.path.mkdir(parents=True, exist_ok=True)

    def discard(self):
        """Removes this variant, and the run's folder too if it was the first."""
        shutil.rmtree(self.path, ignore_errors=True)
        variants = self.parent.path / "variants"
        if variants.is_dir() and not any(variants.iterdir()):
            self.parent.discard()


class Lock:
    """An exclusive lock on a file; the operating system releases it when the process ends, however it ends.

    Raises:
        ValueError: another process holds it; the message names that process.
    """

    def __init__(self, path):
        self.path = path
        # O_NOFOLLOW: a link in a folder that comes from elsewhere must not be written through.
        self.file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666), "r+")
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = self.holder()
            self.file.close()
            if holder.get("pid") == os.getpid():
                self.file = None  # an earlier session of this very process, as in a notebook
                return
            raise ValueError(
                f"Process {holder.get('pid', '?')} on {holder.get('host', 'another machine')} is training in"
                f" {path.parent}. Wait until it is done, or stop it first."
            ) from None
        except OSError:  # some network file systems have no locks
            self.file.close()
            self.file = None
            return
        self.file.truncate(0)
        self.file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        self.file.flush()

    def holder(self):
        """Process number and host of the process that has the lock."""
        try:
            value = json.loads(self.file.read())
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}

    def release(self):
        if self.file is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
            self.file.close()
            self.file = None


DATA_FILES = ("txt", "csv", "tsv", "json", "jsonl", "conll", "xml", "gz")


def short_name(name):
    """A name for a folder: of paths the last part, without "folder:", versions and endings of data files.

    "folder:my/photos_mobilenet" -> "photos_mobilenet", "mnist:3.0.1_resnet" -> "mnist_resnet",
    "my/talks.jsonl_gpt" -> "talks_gpt".
    """
    name = re.sub(r":\d+\.\d+\.\d+", "", name)
    name = re.sub(r"/+(?=_|$)", "", name)  # "photos/_mobilenet"
    name = re.split(r"[/:\\]", name)[-1]
    name = re.sub(rf"(\.({'|'.join(DATA_FILES)}))+(?=_|$)", "", name)
    name = re.sub(r"[^\w.+-]+", "-", name).strip("-.")
    return name or "run"


def numbered(parent, name):
    """The existing folders NAME, NAME-2, NAME-3 ... that are not empty, in this order."""
    pattern = re.compile(re.escape(name) + r"(?:-(\d+))?")
    found = []
    for path in parent.glob(f"{name}*"):
        match = pattern.fullmatch(path.name)
        if match and is_taken(path):
            found.append((int(match[1] or 1), path))
    return [path for _, path in sorted(found)]


def first_free(parent, name):
    """The first of NAME, NAME-2, NAME-3 ... that nobody uses."""
    number, path = 1, parent / name
    while is_taken(path):
        number += 1
        path = parent / f"{name}-{number}"
    return path


def is_taken(path):
    """Whether something is there already."""
    return path.exists() and not (path.is_dir() and not any(path.iterdir()))


def read_or_empty(path):
    """The dict in a JSON file; {} where there is none, or, with a warning, where it is damaged."""
    try:
        value = read_json(path)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        warnings.warn(f"{error} It is ignored.", stacklevel=2)
        return {}
    return value if isinstance(value, dict) else {}
