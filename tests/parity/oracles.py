"""Networks that no library on PyPI has, from their papers in plain PyTorch, to compare ours with.

A method `our_weights()` gives NAME.LEAF -> array, with our layers' names and PyTorch's leaves and shapes, in which a
grouped convolution is cut into the parts that we build side by side.
"""

from collections import OrderedDict

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from tests.parity.references import torchvision
from tfdl.models.convnets.lenet import TABLE

LEAVES = ("weight", "bias", "running_mean", "running_var")


def arrays_of(network, names):
    """Arrays under our names; `names` is module -> our layer, or a list of ours that share its channels."""
    found = {}
    for name, parts in names.items():
        parts = [parts] if isinstance(parts, str) else parts
        for leaf in LEAVES:
            if (tensor := getattr(network.get_submodule(name), leaf, None)) is not None:
                arrays = np.split(tensor.detach().numpy(), len(parts))
                found |= {f"{part}.{leaf}": array for part, array in zip(parts, arrays)}
    return found


class LeNet5(nn.Module):
    """LeCun et al. 1998, Fig. 2, with what is used since: all maps connected, max pooling, relu."""

    def __init__(self, height, width):
        super().__init__()
        self.c1, self.c3 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.c5 = nn.Linear(16 * (height // 4 - 3) * (width // 4 - 3), 120)
        self.f6, self.logits = nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x):
        x = functional.max_pool2d(self.c1(x).relu(), 2)
        x = functional.max_pool2d(self.c3(x).relu(), 2)
        return self.logits(self.f6(self.c5(x.flatten(1)).relu()).relu())

    def our_weights(self):
        return arrays_of(self, {name: name for name in ("c1", "c3", "c5", "f6", "logits")})


class OriginalLeNet5(LeNet5):
    """The same in 1998: Table I, subsampling that learns, scaled tanh, distances to codes."""

    # Table I: a row for each map of S2, a column for each map of C3.
    CONNECTED = """
        X...XXX..XXXX.XX
        XX...XXX..XXXX.X
        XXX...XXX..X.XXX
        .XXX..XXXX..X.XX
        ..XXX..XXXX.XX.X
        ...XXX..XXXX.XXX
    """

    def __init__(self, height, width):
        super().__init__(height, width)
        del self.logits
        mask = [[cell == "X" for cell in row] for row in self.CONNECTED.split()]
        self.register_buffer("mask", torch.tensor(mask).T[:, :, None, None])
        self.unconnected = 25 * int((~self.mask).sum())  # weights of c3 that are none
        for name, channels in (("s2", 6), ("s4", 16)):
            self.register_parameter(f"{name}_coefficient", nn.Parameter(torch.zeros(channels)))
            self.register_parameter(f"{name}_bias", nn.Parameter(torch.zeros(channels)))
        codes = np.random.default_rng(3).choice([-1.0, 1.0], (10, 84)).astype("float32")
        self.register_buffer("codes", torch.from_numpy(codes))

    def forward(self, x):
        x = self.subsample(squash(self.c1(x)), self.s2_coefficient, self.s2_bias)
        x = squash(functional.conv2d(x, self.c3.weight * self.mask, self.c3.bias))
        x = self.subsample(x, self.s4_coefficient, self.s4_bias)
        x = squash(self.f6(squash(self.c5(x.flatten(1)))))
        return -((x[:, None] - self.codes) ** 2).sum(-1)

    @staticmethod
    def subsample(x, coefficient, bias):
        sums = 4 * functional.avg_pool2d(x, 2)
        return squash(sums * coefficient[:, None, None] + bias[:, None, None])

    def our_weights(self):
        found = arrays_of(self, {name: name for name in ("c1", "c3", "c5", "f6")})
        kernels = found["c3.weight"]  # ours are listed connection by connection, (K, K, N)
        found["c3.weight"] = np.stack([kernels[i, channel].T for i, row in enumerate(TABLE) for channel in row])
        found |= {name.replace("_", "."): p.detach().numpy() for name, p in self.named_parameters() if name[0] == "s"}
        return found | {"logits.codes": self.codes.numpy()}


def squash(x):
    return 1.7159 * torch.tanh(2 / 3 * x)


def two_tower_alexnet():
    """torchvision's AlexNet with the layers of Krizhevsky et al. 2012, section 3, in their places."""
    network = torchvision().models.alexnet()
    norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)  # PyTorch divides alpha by the size, 5
    for place, module in {
        0: nn.Conv2d(3, 96, 11, 4, 2),
        1: nn.Sequential(nn.ReLU(), norm),
        3: nn.Conv2d(96, 256, 5, padding=2, groups=2),
        4: nn.Sequential(nn.ReLU(), norm),
        6: nn.Conv2d(256, 384, 3, padding=1),
        8: nn.Conv2d(384, 384, 3, padding=1, groups=2),
        10: nn.Conv2d(384, 256, 3, padding=1, groups=2),
    }.items():
        network.features[place] = module
    names = {"features.0": "conv1", "features.6": "conv3", "classifier.1": "fc1", "classifier.4": "fc2"}
    names |= {f"features.{at}": [f"conv{i}_tower1", f"conv{i}_tower2"] for at, i in ((3, 2), (8, 4), (10, 5))}
    network.our_weights = lambda: arrays_of(network, names | {"classifier.6": "logits"})
    return network


def cifar_resnet(blocks, projection, zeros_after=False):
    """He et al. 2015, section 4.2, from torchvision's blocks, under torchvision's names."""
    block = torchvision().models.resnet.BasicBlock

    class OptionA(nn.Module):
        def forward(self, x):
            new = x.shape[1]
            sides = (0, new) if zeros_after else (new // 2, new - new // 2)
            return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, *sides))

    def shortcut(before, after):
        if not projection:
            return OptionA()
        return nn.Sequential(nn.Conv2d(before, after, 1, 2, bias=False), nn.BatchNorm2d(after))

    parts = OrderedDict(conv1=nn.Conv2d(3, 16, 3, padding=1, bias=False), bn1=nn.BatchNorm2d(16), relu=nn.ReLU())
    for i in range(3):
        before, after = 16 * 2 ** max(i - 1, 0), 16 * 2**i
        first = block(before, after, 2, shortcut(before, after)) if i else block(16, 16)
        parts[f"layer{i + 1}"] = nn.Sequential(first, *(block(after, after) for _ in range(blocks - 1)))
    return nn.Sequential(parts | dict(pool=nn.AdaptiveAvgPool2d(1), flatten=nn.Flatten(), fc=nn.Linear(64, 10)))


class ShuffleNetV1(nn.Module):
    """Zhang et al. 2017, Fig. 2 and Table 1, with 3 groups and 240, 480, 960 channels."""

    def __init__(self):
        super().__init__()
        self.bricks, self.units, before = nn.ModuleDict(), {2: [], 3: [], 4: []}, 24
        self.add("stem", 3, 24, 3, 2)
        for stage, channels, repeats in ((2, 240, 4), (3, 480, 8), (4, 960, 4)):
            for i in range(repeats):
                unit, inner = f"stage{stage}_block{i}", channels // 4
                self.add(f"{unit}_reduce", before, inner, groups=1 if before == 24 else 3)
                self.add(f"{unit}_depthwise", inner, inner, 3, 1 if i else 2, groups=inner)
                self.add(f"{unit}_expand", inner, channels if i else channels - before, groups=3)
                self.units[stage].append(unit)
                before = channels
        self.stages = nn.ModuleDict({str(stage): nn.Identity() for stage in self.units})  # places to look at the maps
        self.logits = nn.Linear(960, 1000)

    def add(self, name, before, after, kernel=1, stride=1, groups=1):
        convolution = nn.Conv2d(before, after, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.bricks[name] = nn.Sequential(OrderedDict(conv=convolution, norm=nn.BatchNorm2d(after)))

    def forward(self, x):
        x = functional.max_pool2d(self.bricks["stem"](x).relu(), 3, 2, 1)
        for stage, units in self.units.items():
            for unit in units:
                y = self.bricks[f"{unit}_reduce"](x).relu()
                y = y.unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 2)  # the shuffle: one of each group in turn
                y = self.bricks[f"{unit}_expand"](self.bricks[f"{unit}_depthwise"](y))
                x = (x + y if x.shape == y.shape else torch.cat([functional.avg_pool2d(x, 3, 2, 1), y], 1)).relu()
            x = self.stages[str(stage)](x)
        return self.logits(x.mean((2, 3)))

    def our_weights(self):
        names = {"logits": "logits"}
        for name, brick in self.bricks.items():
            for kind in ("conv", "norm"):
                parts = [f"{name}_group{g}_{kind}" for g in range(3)]
                names[f"bricks.{name}.{kind}"] = parts if brick.conv.groups == 3 else f"{name}_{kind}"
        return arrays_of(self, names)
