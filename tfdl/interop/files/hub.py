"""Published weights on this machine: looked up in the caches, else downloaded once, and kept.

| from               | cache                             | checked by                        | resumed |
|--------------------|-----------------------------------|-----------------------------------|---------|
| Hugging Face       | of huggingface_hub (HF_HOME)      | huggingface_hub                   | yes     |
| torchvision        | of torch.hub (TORCH_HOME)         | the digits of SHA-256 in the name | yes     |
| keras.applications | of Keras (~/.keras/models)        | Keras                             | no      |

Off line nothing is tried twice: one request of a few seconds, then one sentence.
"""

import fcntl
import http.client
import os
import re
import socket
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import keras

from tfdl.core.files import sha256

TIMEOUT = 5  # seconds to wait for a server's first answer
HUB_FILES = (  # in the order of preference
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
TORCHVISION = "https://download.pytorch.org/models/"  # where torchvision's own registry points to


def from_hub(name):
    """Path of a weights file of the Hugging Face hub; `name` is OWNER/NAME or OWNER/NAME/FILE.

    Raises:
        ValueError: `name` is not of this form.
        ImportError: huggingface_hub is not installed.
        ConnectionError: the file is not in the cache and the hub cannot be reached.
        FileNotFoundError: the hub has no such model or file.
    """
    form = re.fullmatch(r"(?P<repository>[\w.-]+/[\w.-]+?)(?:/(?P<file>[\w./-]+))?", name)
    if not form or ".." in name:
        raise ValueError(f"hf:{name} names no model of the hub; write hf:owner/name.")
    try:
        import huggingface_hub as hub
    except ImportError:
        raise ImportError("hf: sources need the package huggingface_hub: pip install huggingface_hub.") from None
    repository = form["repository"]
    files = [form["file"]] if form["file"] else list(HUB_FILES)
    for file in files:
        found = hub.try_to_load_from_cache(repository, file)
        if isinstance(found, str | Path):
            return found
    for file in files:
        if found := downloaded(hub, repository, file):
            return found
    raise FileNotFoundError(f"The hub has no {' or '.join(files)} in {repository}.")


def downloaded(hub, repository, file):
    """Path of the file, or None if the repository has none of this name.  Errors as in `from_hub`."""
    try:
        # One request without repetition: hf_hub_download by itself repeats it for twenty seconds when off line.
        hub.get_hf_file_metadata(hub.hf_hub_url(repository, file), timeout=TIMEOUT)
        return hub.hf_hub_download(repository, file)
    except hub.errors.RepositoryNotFoundError:
        raise FileNotFoundError(
            f"The hub shows no {repository}; check the name, and log in (hf auth login) if it is private."
        ) from None
    except hub.errors.LocalEntryNotFoundError as error:  # is an EntryNotFoundError, too
        raise unreachable(hub, repository, file) from error
    except hub.errors.EntryNotFoundError:
        return None
    except Exception as error:
        if is_refused_by_network(error):
            raise unreachable(hub, repository, file) from error
        raise


def is_refused_by_network(error):
    """True for an error of the network.  The classes of the HTTP library differ between versions of the hub's."""
    names = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, ConnectionError | TimeoutError) or bool(names & {"HTTPError", "RequestException"})


def unreachable(hub, repository, file):
    return ConnectionError(
        f"{repository} is not in the cache ({hub.constants.HF_HUB_CACHE}) and huggingface.co cannot be reached; go on"
        f" line, or give the path of its {file}, fetched elsewhere."
    )


# --- torchvision -----------------------------------------------------------------------------------------------------


def from_torchvision(name):
    """Path of a file that torchvision publishes, such as "resnet50-11ad3fa6.pth": the digits begin its SHA-256.

    Raises:
        ConnectionError: the file is not in the cache and cannot be fetched.
        ValueError: what was fetched is not that file.
    """
    home = Path(os.environ.get("TORCH_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "torch")
    path = home.expanduser() / "hub" / "checkpoints" / name
    digits = re.fullmatch(r".+-([0-9a-f]{8,})\.pth", name)[1]
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path.with_name(f"{name}.lock"), "w") as lock:  # workers of one run ask for the same file
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.is_file():
                download(name, digits, path)
    if not sha256(path).startswith(digits):
        raise ValueError(f"{path} is damaged (SHA-256); delete it, and it is fetched again.")
    return path


def download(name, digits, path):
    """Puts the file into its place once it is whole."""
    part = path.with_name(f"{name}.part")
    try:
        fetch(TORCHVISION + name, part)
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise ConnectionError(
            f"{name} is not in the cache ({path.parent}) and {TORCHVISION} cannot be reached; go on line, or give the"
            " path of the file, fetched elsewhere."
        ) from error
    if not sha256(part).startswith(digits):
        part.unlink()
        raise ValueError(f"What {TORCHVISION}{name} gave is not that file (SHA-256); it was deleted, try again.")
    part.replace(path)


def fetch(address, part):
    """Appends to the file `part` what is missing of it."""
    there = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={there}-"} if there else {})
    try:
        answer = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:  # nothing is missing
            return
        raise
    with answer:
        continues = answer.status == http.HTTPStatus.PARTIAL_CONTENT
        size = int(answer.headers.get("Content-Length") or 0) + (there if continues else 0)
        bar = keras.utils.Progbar(size or None, unit_name="byte")
        print(f"Downloading {address}")
        with open(part, "ab" if continues else "wb") as file:
            while block := answer.read(1 << 20):
                file.write(block)
                bar.update(file.tell())
        if size and part.stat().st_size != size:
            raise ConnectionError(f"{address} broke off")


# --- keras.applications ----------------------------------------------------------------------------------------------


def from_keras(network):
    """Path -> array of a network of keras.applications, such as "ResNet50", trained on ImageNet.

    Raises:
        ConnectionError: the file is not in Keras's cache and cannot be fetched.
    """
    build = getattr(keras.applications, network)
    with quick_to_give_up():
        try:
            model = build(weights="imagenet", classifier_activation=None)
        except Exception as error:  # Keras raises no narrower one
            if "URL fetch failure" not in str(error) and not isinstance(error, OSError):
                raise
            cache = Path(os.environ.get("KERAS_HOME") or "~/.keras") / "models"
            raise ConnectionError(
                f"The weights of keras.applications.{network} are not in the cache ({cache}) and Keras cannot fetch"
                " them; go on line, or give the path of an .h5 file, fetched elsewhere."
            ) from error
    return {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}


@contextmanager
def quick_to_give_up():
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
