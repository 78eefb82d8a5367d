"""Look inside a trained classifier: its filters, its feature maps, and the image regions that speak for a class.

Stage 2 (vision) - Grad-CAM arXiv:1610.02391, attention rollout arXiv:2005.00928, occlusion arXiv:1311.2901
Run:     tfdl run look_inside --checkpoint runs/NAME
Expect:  (digits, no checkpoint) masking Grad-CAM's peak changes 22 % of predictions, the center 11 %, random places 8 %
"""

from dataclasses import dataclass
from pathlib import Path

import tfdl
from tfdl.commands.export import trained_on
from tfdl.core.files import model_file
from tfdl.data import images
from tfdl.data.photos import read_photo
from tfdl.explain.attribution import cases, explanations, hiding_test, inner_maps
from tfdl.explain.filters import first_filters
from tfdl.figures.maps import feature_rows, overlays
from tfdl.figures.pictures import picture_grid
from tfdl.losses.classification import CrossEntropy


@dataclass(frozen=True, kw_only=True)
class Config:
    """Explain the predictions of an image classifier."""

    checkpoint: str = ""
    """a run folder or a .keras file; empty: a small ResNet is trained first"""
    data: str = "digits"
    """data set of the images; for a run folder its own"""
    photo: str = ""
    """an image file to explain, or "embedded"; empty: the first test image"""
    layer: str = ""
    """layer whose feature maps Grad-CAM uses; empty: the last one"""
    epochs: int = 8
    """of the small ResNet, if there is no checkpoint"""
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run = config.run.start(config, name="look_inside")

    # Data and model
    if config.checkpoint:
        source = Path(config.checkpoint)
        model = tfdl.load_model(model_file(source))
        data = load(run, trained_on(source) or config.data, model.input_shape[1:])
    else:
        data = load(run, config.data, (28, 28, None))
        model = trained(run, data, config.epochs)
    tests, truth = next(data.test.unbatch().batch(256).as_numpy_iterator())

    # Explain
    image = read_photo(config.photo, data.image_shape) if config.photo else tests[0]
    true_class = -1 if config.photo else truth[0]  # the class of a photograph is unknown
    shown, classes, titles = cases(model, image, tests[1:5], data.labels, truth=[true_class, *truth[1:5]])
    filters = first_filters(model)[:64]
    run.show("filters", picture_grid(filters, title="The filters of the first layer; gray is 0"))
    title = "Feature maps of one image, the most varied channels first"
    run.show("feature_maps", feature_rows(image, inner_maps(model, image), title=title))
    maps = explanations(model, shown, classes, layer=config.layer)
    run.show("where", overlays(shown, maps, titles, title="Image regions that speak for a class"))
    return run.finish(None, hiding_test(model, tests, truth, layer=config.layer, seed=run.seed))


def load(run, name, image_shape):
    height, width, channels = image_shape
    return images.load(name, batch_size=32, image_size=(height, width), channels=channels, run=run)


def trained(run, data, epochs):
    """A small ResNet, trained on `data`."""

    def compiled():
        model = tfdl.build("resnet", "cifar20", image_shape=data.image_shape, num_classes=data.num_classes)
        model.compile("adam", CrossEntropy(), metrics=["accuracy"])
        return model

    return run.compare(data, {"resnet": compiled}, epochs=epochs)["resnet"].model


if __name__ == "__main__":
    tfdl.launch(main, Config)
