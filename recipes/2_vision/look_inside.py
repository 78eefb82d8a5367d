"""Look inside a trained classifier: its filters, its feature maps, and where in an image it found the class.

Stage 2 (vision) - Grad-CAM arXiv:1610.02391, attention rollout arXiv:2005.00928, occlusion arXiv:1311.2901
Run:     tfdl run look_inside --checkpoint runs/NAME
Expect:  (digits, no checkpoint) hiding Grad-CAM's peak changes 22 % of the classes, the middle 16 %, any place 7 %
"""

from dataclasses import dataclass
from pathlib import Path

import tfdl
from tfdl.commands.export import load, trained_on
from tfdl.core.files import model_file
from tfdl.data import images
from tfdl.data.photos import read_photo
from tfdl.explain.attribution import cases, explanations, hiding_test, inner_maps
from tfdl.explain.filters import first_filters
from tfdl.figures.maps import feature_rows, overlays
from tfdl.figures.pictures import picture_grid
from tfdl.losses.classification import CrossEntropy
from tfdl.train.command_line import launch
from tfdl.train.compare import compare


@dataclass(frozen=True, kw_only=True)
class Config:
    checkpoint: str = ""  # run folder or .keras file; empty: a small ResNet is trained first
    data: str = "digits"  # what the checkpoint was trained on; a run folder tells it by itself
    photo: str = ""  # image file to look at, or "embedded"; empty: the first test image
    layer: str = ""  # whose maps Grad-CAM weighs; empty: the last ones
    run: tfdl.Run = tfdl.Run()


def main(config: Config):
    run, file = config.run.start(config, name="look_inside"), Path(config.checkpoint)
    # data
    model = load(model_file(file)) if config.checkpoint else None
    *size, channels = model.input_shape[1:] if model else (28, 28, None)
    data = images.load((model and trained_on(file)) or config.data, batch_size=32, image_size=size, channels=channels,
                       seed=run.seed, position=run.position, limit=run.limit)  # fmt: skip
    tests, truth = next(data.test.unbatch().batch(256).as_numpy_iterator())

    # model
    def compiled():
        model = tfdl.build("resnet", "cifar20", image_shape=data.image_shape, num_classes=data.num_classes)
        model.compile("adam", CrossEntropy(), metrics=["accuracy"])
        return model

    model = model or compare(run, data, {"resnet": compiled}, epochs=run.epochs(8))["resnet"].model
    # explain
    image = read_photo(config.photo, data.image_shape) if config.photo else tests[0]
    shown, classes, titles = cases(model, image, tests[1:5], data.labels)
    run.show("filters", picture_grid(first_filters(model)[:64], title="the first filters; gray is 0"))
    run.show("feature_maps", feature_rows(image, inner_maps(model, image)))
    run.show("where", overlays(shown, explanations(model, shown, classes, layer=config.layer), titles))
    return run.finish(None, hiding_test(model, tests, truth, layer=config.layer, seed=run.seed))


if __name__ == "__main__":
    launch(main, Config)
