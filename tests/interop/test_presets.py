"""Published weights by name: a table that is right, a hub that is asked once, and a model that fits the weights."""

import http.server
import socket
import sys
import threading
import types

import keras
import numpy as np
import pytest
from huggingface_hub import errors

import tfdl
from tfdl import catalog
from tfdl.commands import show
from tfdl.interop import presets
from tfdl.interop.files import hub
from tfdl.interop.files.archives import read_arrays, write_arrays
from tfdl.interop.presets import PRESETS, Preset
from tfdl.interop.weights import LAYOUTS, load_weights, save_weights
from tfdl.layers.pixels import normalization_of

TEXTS = {"bart", "bert", "gpt", "llama", "mixtral", "roberta", "t5"}
ROWS = [row for variants in PRESETS.values() for rows in variants.values() for row in rows]


def test_names_are_unique_and_found():
    names = [row.name for row in ROWS]
    assert len(names) == len(set(names)) > 150
    assert presets.find("timm/resnet50.a1_in1k") == ("resnet", "50", Preset("timm/resnet50.a1_in1k", "timm"))
    assert presets.find("hf:timm/resnet50.a1_in1k").variant == "50"
    assert presets.find("timm/resnet50") is None


@pytest.mark.parametrize("model", PRESETS)
def test_every_row_is_of_a_variant_and_of_a_layout_that_knows_the_model(model):
    source = (show.ROOT / (catalog.find(model).module.replace(".", "/") + ".py")).read_text(encoding="utf-8")
    assert PRESETS[model].keys() <= set(show.variants(source))
    for rows in PRESETS[model].values():
        for row in rows:
            assert model in LAYOUTS[row.layout].families
            if model in TEXTS:
                assert (row.layout, row.normalize, row.size, row.classes) == ("transformers", None, None, None)
            else:
                assert row.normalize in ("imagenet", "unit", "caffe", None) and row.classes > 1 and row.size >= 160


# --- building from them ----------------------------------------------------------------------------------------------


def network(seed=0, **options):
    keras.utils.set_random_seed(seed)
    return tfdl.build("mobilenet", "nano", **{"image_shape": (32, 32, 3), "num_classes": 7} | options)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A table with one row, whose file lies in a folder; returns the model that it is of."""
    model = network(seed=1, normalize="unit")
    save_weights(model, tmp_path / "theirs.safetensors", layout="torchvision")
    row = Preset("owner/nano", "torchvision", normalize="unit", size=32, classes=7)
    monkeypatch.setattr(presets, "PRESETS", {"mobilenet": {"nano": (row,)}, "vit": {}})
    monkeypatch.setattr("tfdl.interop.files.archives.from_hub", lambda name: tmp_path / "theirs.safetensors")
    return model


def equal(first, second, but="none"):
    pairs = zip(first.weights, second.weights, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs if a.path.split("/")[0] != but)


def test_published_weights_bring_variant_classes_size_and_normalization(published, capsys):
    model = tfdl.build("mobilenet", weights="owner/nano")
    assert model.output_shape == (None, 7) and model.input_shape == (None, 32, 32, 3)
    assert normalization_of(model) == "unit" and equal(model, published)
    assert capsys.readouterr().out == ""


def test_with_other_classes_all_but_the_classifier_is_loaded_and_said(published, capsys):
    model = tfdl.build("mobilenet", "nano", weights="owner/nano", num_classes=3)
    assert model.output_shape == (None, 3) and equal(model, published, but="logits")
    assert capsys.readouterr().out == "The classifier is new: owner/nano has 7 classes, this model 3.\n"
    pyramid = tfdl.build("mobilenet", weights="owner/nano", num_classes=None)
    np.testing.assert_array_equal(pyramid.weights[0], published.weights[0])


def test_other_pixels_variants_and_models_are_refused_before_anything_is_fetched(published, monkeypatch, capsys):
    monkeypatch.setattr("tfdl.interop.files.archives.from_hub", lambda name: pytest.fail("it was fetched"))
    with pytest.raises(ValueError, match="trained with normalize='unit', and this model has 'imagenet'; leave"):
        tfdl.build("mobilenet", weights="owner/nano", normalize="imagenet")
    with pytest.raises(ValueError, match="trained with normalize='unit', and this model has 'imagenet'"):
        load_weights(network(), "owner/nano")
    with pytest.raises(ValueError, match="weights of mobilenet's variant 'nano', not of 'v2'"):
        tfdl.build("mobilenet", "v2", weights="owner/nano")
    with pytest.raises(ValueError, match="owner/nano are weights of a mobilenet, not of a vit"):
        tfdl.build("vit", weights="owner/nano")
    with pytest.raises(ValueError, match="neither a file owner/nan nor published .* nearest are owner/nano"):
        tfdl.build("mobilenet", weights="owner/nan")


@pytest.mark.parametrize(
    "model, options, more",
    [
        ("bert", {"head": "masked_lm"}, "cls.predictions.decoder.bias"),
        ("t5", {}, "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"),
        ("gpt", {}, "h.0.attn.bias"),
    ],
)
def test_weights_of_texts_bring_their_variant(model, options, more, tmp_path, monkeypatch, capsys):
    """With what the published files have beside the weights."""
    keras.utils.set_random_seed(1)
    theirs = tfdl.build(model, "nano", **options)
    save_weights(theirs, tmp_path / "theirs.safetensors", layout="transformers")
    arrays = dict(read_arrays(tmp_path / "theirs.safetensors")) | {more: np.zeros((3, 2), "float32")}
    write_arrays(tmp_path / "theirs.safetensors", arrays)
    monkeypatch.setattr(presets, "PRESETS", {model: {"nano": presets.texts("owner/nano")}})
    monkeypatch.setattr("tfdl.interop.files.archives.from_hub", lambda name: tmp_path / "theirs.safetensors")
    found = tfdl.build(model, weights="owner/nano", **options)
    assert equal(found, theirs) and capsys.readouterr().out == ""
    keras.utils.set_random_seed(2)
    assert equal(load_weights(tfdl.build(model, "nano", **options), "owner/nano"), theirs)


def test_model_that_leaves_pixels_alone_is_told(published, capsys):
    load_weights(network(normalize=None), "owner/nano")
    assert capsys.readouterr().out == (
        'owner/nano wants pixels normalized as normalize="unit" does it; this model does not.\n'
    )


def test_files_of_others_give_their_classes_and_say_nothing_of_pixels(tmp_path, capsys):
    first = network(seed=1)
    save_weights(first, tmp_path / "w.pth", layout="torchvision")
    model = tfdl.build("mobilenet", "nano", weights=str(tmp_path / "w.pth"), image_shape=(32, 32, 3))
    assert equal(model, first)
    assert "does not say how its pixels were normalized; this model has normalize='imagenet'" in capsys.readouterr().out
    save_weights(first, tmp_path / "w.npz")
    model = tfdl.build("mobilenet", "nano", weights=tmp_path / "w.npz", image_shape=(32, 32, 3), normalize="imagenet")
    assert equal(model, first) and capsys.readouterr().out == ""


@pytest.mark.parametrize("mode", ["imagenet", "caffe", "unit", None])
@pytest.mark.parametrize("channels", [1, 3])
def test_normalization_of_a_model_is_known(mode, channels):
    assert normalization_of(network(normalize=mode, image_shape=(32, 32, channels))) == mode


# --- the Hugging Face hub --------------------------------------------------------------------------------------------


class Hub:
    """Stands in for huggingface_hub: `found` is what happens to each file, a path or an error."""

    errors = errors
    constants = types.SimpleNamespace(HF_HUB_CACHE="the-cache")

    def __init__(self, cached=(), **found):
        self.cached, self.found, self.asked = dict(cached), found, []

    def try_to_load_from_cache(self, repository, file):
        return self.cached.get(file)

    def hf_hub_url(self, repository, file):
        return f"{repository}/{file}"

    def get_hf_file_metadata(self, url, timeout):
        assert timeout <= 10
        self.asked.append(url)
        answer = self.found.get(url.rpartition("/")[2].removesuffix(".json").replace(".", "_"), missing())
        if isinstance(answer, Exception):
            raise answer

    def hf_hub_download(self, repository, file):
        return self.found[file.replace(".", "_")]


def missing():
    return answer("RemoteEntryNotFoundError")


def answer(kind):
    """An error of the hub, without the response that some of them ask for."""
    kind = getattr(errors, kind)
    return kind.__new__(kind)


def test_hub_ids_fetch_safetensors_first(tmp_path, monkeypatch):
    write_arrays(tmp_path / "theirs.npz", {"a": np.ones(3)})
    stand_in = Hub(pytorch_model_bin=tmp_path / "theirs.npz")
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    assert read_arrays("hf:owner/name").keys() == {"a"}
    files = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")
    assert stand_in.asked == [f"owner/name/{file}" for file in files]


def test_what_is_in_the_cache_is_not_asked_for(tmp_path, monkeypatch):
    write_arrays(tmp_path / "theirs.npz", {"a": np.ones(3)})
    stand_in = Hub(cached={"pytorch_model.bin": str(tmp_path / "theirs.npz")})
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    assert read_arrays("hf:owner/name").keys() == {"a"}
    assert not stand_in.asked


class OfTheHttpLibrary(Exception):
    """Its classes have other homes in each version of the hub's package."""


HTTPError = type("HTTPError", (OfTheHttpLibrary,), {})
ConnectError = type("ConnectError", (HTTPError,), {})


@pytest.mark.parametrize(
    "error, kind, message",
    [
        (
            ConnectError("no route"),
            ConnectionError,
            r"owner/name is not in the cache \(the-cache\) and huggingface.co cannot be reached; go on line, or give"
            r" the path of its model.safetensors, fetched elsewhere\.$",
        ),
        (TimeoutError(), ConnectionError, "cannot be reached"),
        (answer("LocalEntryNotFoundError"), ConnectionError, "cannot be reached"),
        (answer("OfflineModeIsEnabled"), ConnectionError, "cannot be reached"),
        (answer("RepositoryNotFoundError"), FileNotFoundError, "no owner/name; check the name"),
        (missing(), FileNotFoundError, "no model.safetensors or .* in owner/name"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_after_one_request(error, kind, message, monkeypatch):
    stand_in = Hub(model_safetensors=error)
    monkeypatch.setitem(sys.modules, "huggingface_hub", stand_in)
    with pytest.raises(kind, match=message):
        read_arrays("hf:owner/name")
    assert len(stand_in.asked) == (4 if "no model.safe" in message else 1)


def test_full_disk_is_not_taken_for_a_missing_network(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", Hub(model_safetensors=OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        read_arrays("hf:owner/name")


def test_hub_needs_its_package_and_a_whole_name(monkeypatch):
    for name in ("resnet50", "../x", "owner/../name", "a b/c"):
        with pytest.raises(ValueError, match=f"hf:{name} names no model"):
            read_arrays(f"hf:{name}")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        read_arrays("hf:owner/name")


def test_the_real_package_has_what_is_called():
    import huggingface_hub

    for name in ("try_to_load_from_cache", "hf_hub_url", "get_hf_file_metadata", "hf_hub_download"):
        assert callable(getattr(huggingface_hub, name))
    assert huggingface_hub.constants.HF_HUB_CACHE and huggingface_hub.errors.EntryNotFoundError


# --- torchvision and Keras -------------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of one file, `content`, which understands ranges; `asked` lists their beginnings."""
    place = types.SimpleNamespace(content=bytes(range(256)) * 8, asked=[])

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            start = int((self.headers.get("Range") or "bytes=0-")[6:-1])
            place.asked.append(start)
            if start >= len(place.content):
                self.send_error(416)
                return
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(place.content) - start))
            self.end_headers()
            self.wfile.write(place.content[start:])

        def log_message(self, *words):
            pass

    listener = http.server.HTTPServer(("localhost", 0), Handler)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    monkeypatch.setattr(hub, "TORCHVISION", f"http://localhost:{listener.server_port}/")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    place.cache = tmp_path / "hub" / "checkpoints"
    yield place
    listener.shutdown()


NAME = "net-10fc3c51.pth"  # the SHA-256 of 0, 1, ... 255, eight times over


def test_torchvision_s_files_are_fetched_once_checked_and_continued(server):
    assert hub.from_torchvision(NAME).read_bytes() == server.content
    assert hub.from_torchvision(NAME) == server.cache / NAME and server.asked == [0]
    (server.cache / NAME).rename(server.cache / f"{NAME}.part")
    with open(server.cache / f"{NAME}.part", "r+b") as file:
        file.truncate(1000)
    assert hub.from_torchvision(NAME).read_bytes() == server.content
    assert server.asked == [0, 1000]
    (server.cache / NAME).rename(server.cache / f"{NAME}.part")  # whole, but not renamed yet
    assert hub.from_torchvision(NAME).read_bytes() == server.content


def test_a_file_that_is_not_the_one_that_its_name_says_is_refused(server):
    server.content = b"another"
    with pytest.raises(ValueError, match=r"net-10fc3c51.pth gave is not that file \(SHA-256\); it was deleted"):
        hub.from_torchvision(NAME)
    assert [file.suffix for file in server.cache.iterdir()] == [".lock"]
    (server.cache / NAME).write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"net-10fc3c51.pth is damaged \(SHA-256\); delete it"):
        hub.from_torchvision(NAME)


def test_torchvision_off_line_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(hub, "TORCHVISION", "http://localhost:1/")
    with pytest.raises(ConnectionError, match=r"net-10fc3c51.pth is not in the cache \(.*checkpoints\) and"):
        hub.from_torchvision(NAME)


def test_keras_off_line_is_one_sentence_and_the_time_limit_is_restored(monkeypatch):
    def off_line(weights, classifier_activation):
        assert socket.getdefaulttimeout() <= 10
        raise Exception("URL fetch failure on https://x: None -- no route")

    monkeypatch.setattr(keras.applications, "ResNet50", off_line)
    with pytest.raises(ConnectionError, match=r"keras.applications.ResNet50 are not in the cache \(.*models\)"):
        hub.from_keras("ResNet50")
    assert socket.getdefaulttimeout() is None
