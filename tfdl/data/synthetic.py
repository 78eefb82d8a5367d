"""A small learnable data set for every batch contract, generated from a seed.

| task | the rule that relates x and y |
|---|---|
| classification | class = shape of the single object (square, disc, plus, saltire, frame), then its brightness |
| detection | one box around each object, class as above |
| segmentation | 0 on the background, 1 + class on the object, 255 on the image's border pixels |
| keypoints | center, left, top, right and bottom of each object's box |
| points | class = surface from which the points are drawn (sphere, cube, disc, segment) |
| point_segmentation | class = slab along z, lowest first; the last point of each cloud is ignored |
| point_detection | a box around each cluster of points above the ground; class = its height, low or high |
| language_model | each token is followed by the next higher one, the highest by 1 |
| sequence_to_sequence | the target equals the source; 1 is the start token and 2 the end token |
| image_text | the caption is 1, 3 + class of the object, 2 |
| graph | most edges connect nodes of the same class; the features are the class plus noise |
| graph_classification | class 0: a ring; 1: a star |
| few_shot | as classification, with randomly chosen and numbered classes in each episode |
| images | as classification, without labels |
"""

import inspect

import numpy as np
import tensorflow as tf

from tfdl.core.batches import CONTRACTS, IGNORE, PADDING

START, END = 1, 2  # token ids, for tasks that use them; 0 is padding


def synthetic(task, *, batch_size=8, batches=4, seed=0, **shape):
    """A tf.data.Dataset of `batches` batches of `task`: (x, y), or x alone if the contract has no y.

    Batch i is a pure function of (seed, i).  `shape` are arguments of the task's function below, such as `image_shape`
    and `num_classes`.

    Raises:
        ValueError: an unknown task, an argument that it does not have, or one out of its range.
    """
    if task not in MAKERS:
        raise ValueError(f"There is no synthetic set for task {task!r}; choose one of {', '.join(MAKERS)}.")
    known = list(inspect.signature(MAKERS[task]).parameters)[2:]
    if unknown := sorted(set(shape) - set(known)):
        raise ValueError(f"A synthetic {task} set has no {', '.join(unknown)}; it has {', '.join(known) or 'nothing'}.")
    if batch_size < 1 or batches < 1:
        raise ValueError(f"batch_size is {batch_size} and batches is {batches}; give 1 or more of each.")
    made = [MAKERS[task](np.random.default_rng((seed, i)), batch_size, **shape) for i in range(batches)]
    x, y = (tf.nest.map_structure(lambda *values: np.stack(values), *side) for side in zip(*made, strict=True))
    return tf.data.Dataset.from_tensor_slices((x, y) if CONTRACTS[task].y else x)


# Images: objects of a few shapes on a dark, noisy background

FORMS = ("square", "disc", "plus", "saltire", "frame")


def form(number, size):
    """Stencil (size, size) bool."""
    u = np.linspace(-1, 1, size)
    x, y = np.abs(u)[None], np.abs(u)[:, None]
    name = FORMS[number]
    if name == "disc":
        return x**2 + y**2 <= 1.05
    if name == "plus":
        return np.minimum(x, y) <= 0.3
    if name == "saltire":
        return np.abs(x - y) <= 0.3
    if name == "frame":
        return np.maximum(x, y) > 0.6
    return np.ones((size, size), bool)


def draw(rng, image, label, num_classes):
    """Draws an object of class `label` at a random place into `image` (H, W, C).  -> its box (4), its mask (H, W)."""
    height, width, _ = image.shape
    side = min(height, width)
    size = int(rng.integers(max(side // 3, 5), max(side // 2, 5) + 1))
    left, top = int(rng.integers(0, width - size + 1)), int(rng.integers(0, height - size + 1))
    mask = np.zeros((height, width), bool)
    mask[top : top + size, left : left + size] = form(label % len(FORMS), size)
    levels = -(-num_classes // len(FORMS))
    image[mask] = 1.0 - 0.6 * (label // len(FORMS)) / levels
    return np.array((left, top, left + size, top + size), "float32"), mask


def background(rng, image_shape):
    """(H, W, C) in [0, 0.2)."""
    if min(image_shape[:2]) < 5:
        raise ValueError(f"image_shape is {image_shape}; the shapes need 5 pixels or more.")
    return rng.uniform(0.0, 0.2, image_shape).astype("float32")


def scenes(rng, batch_size, image_shape, num_classes, objects):
    """Images (B, H, W, C), labels (B, N), boxes (B, N, 4), masks (B, N, H, W); 1 ... N objects, padding after them.

    Later objects may cover earlier ones.
    """
    images = np.stack([background(rng, image_shape) for _ in range(batch_size)])
    labels = np.full((batch_size, objects), PADDING, "int32")
    boxes = np.zeros((batch_size, objects, 4), "float32")
    masks = np.zeros((batch_size, objects, *image_shape[:2]), "uint8")
    for b in range(batch_size):
        for n in range(rng.integers(1, objects + 1)):
            labels[b, n] = rng.integers(num_classes)
            boxes[b, n], mask = draw(rng, images[b], labels[b, n], num_classes)
            masks[b, :n][:, mask] = 0  # the covered parts of earlier objects
            masks[b, n] = mask
    return images, labels, boxes, masks


def classification(rng, batch_size, image_shape=(32, 32, 3), num_classes=5):
    images, labels, _, _ = scenes(rng, batch_size, image_shape, num_classes, objects=1)
    return images, labels[:, 0]


def detection(rng, batch_size, image_shape=(64, 64, 3), num_classes=3, objects=4, masks=False):
    images, labels, boxes, stencils = scenes(rng, batch_size, image_shape, num_classes, objects)
    instances = np.where(stencils.any(1), stencils.argmax(1), PADDING).astype("int32")  # stencils do not overlap
    return images, {"boxes": boxes, "labels": labels} | ({"instances": instances} if masks else {})


def segmentation(rng, batch_size, image_shape=(32, 32, 3), num_classes=4):
    if num_classes < 2:
        raise ValueError(f"num_classes is {num_classes}; segmentation needs 2 or more, the background included.")
    images, labels, _, stencils = scenes(rng, batch_size, image_shape, num_classes - 1, objects=1)
    masks = stencils[:, 0].astype("int32") * (1 + labels[:, :, None])
    inside = np.zeros(image_shape[:2], bool)
    inside[1:-1, 1:-1] = True
    return images, np.where(inside, masks, IGNORE).astype("int32")


def keypoints(rng, batch_size, image_shape=(64, 64, 3), objects=1, points=5):
    if not 1 <= points <= 5:
        raise ValueError(f"points is {points}; a synthetic object has 1 to 5 of them.")
    images, labels, boxes, _ = scenes(rng, batch_size, image_shape, 1, objects)
    left, top, right, bottom = np.moveaxis(boxes, -1, 0)
    x, y = (left + right) / 2, (top + bottom) / 2
    named = np.stack([np.stack(p, -1) for p in ((x, y), (left, y), (x, top), (right, y), (x, bottom))], 2)
    visible = np.broadcast_to((labels != PADDING)[:, :, None, None], (*named.shape[:3], 1))
    return images, {"keypoints": np.concatenate([named, visible], -1)[:, :, :points].astype("float32")}  # (B, N, K, 3)


def image_text(rng, batch_size, image_shape=(32, 32, 3), num_classes=5, length=6):
    if length < 3:
        raise ValueError(f"length is {length}; a caption has 3 tokens.")
    images, labels = classification(rng, batch_size, image_shape, num_classes)
    tokens = np.zeros((batch_size, length), "int32")
    tokens[:, 0], tokens[:, 1], tokens[:, 2] = START, 3 + labels, END
    return {"images": images, "tokens": tokens}, ()


def few_shot(rng, batch_size, image_shape=(28, 28, 1), ways=3, shots=2, queries=4, num_classes=10):
    """`batch_size` episodes; `shots` support images of each of `ways` classes, `queries` query images in all."""
    if ways > num_classes:
        raise ValueError(f"ways is {ways}; there are {num_classes} classes.")
    support_labels = np.tile(np.repeat(np.arange(ways, dtype="int32"), shots), (batch_size, 1))  # (B, S)
    query_labels = rng.integers(ways, size=(batch_size, queries)).astype("int32")  # (B, Q)

    def pictures(labels, classes):
        images = [background(rng, image_shape) for _ in labels]
        for image, label in zip(images, labels, strict=True):
            draw(rng, image, classes[label], num_classes)
        return np.stack(images)

    classes = [rng.permutation(num_classes)[:ways] for _ in range(batch_size)]
    support = np.stack([pictures(*pair) for pair in zip(support_labels, classes, strict=True)])
    query = np.stack([pictures(*pair) for pair in zip(query_labels, classes, strict=True)])
    return {"support": support, "support_labels": support_labels, "query": query}, query_labels


def images(rng, batch_size, image_shape=(32, 32, 3)):
    return classification(rng, batch_size, image_shape)[0], ()


# Points


def points(rng, batch_size, points=128, features=0, num_classes=4):
    if not 1 <= num_classes <= 4:
        raise ValueError(f"num_classes is {num_classes}; there are 4 synthetic surfaces.")
    labels = rng.integers(num_classes, size=batch_size).astype("int32")
    directions = rng.normal(size=(4, batch_size, points, 3))
    sphere = directions[0] / np.linalg.norm(directions[0], axis=-1, keepdims=True)
    cube = directions[1] / np.abs(directions[1]).max(-1, keepdims=True)
    disc = directions[2] / np.linalg.norm(directions[2], axis=-1, keepdims=True) * (1, 1, 0)
    segment = np.tanh(directions[3]) * (1, 0, 0)
    clouds = np.stack((sphere, cube, disc, segment))[labels, np.arange(batch_size)]  # (B, N, 3)
    return with_features(rng, clouds + rng.normal(0.0, 0.02, clouds.shape), features), labels


def point_segmentation(rng, batch_size, points=128, features=0, num_classes=3):
    clouds = rng.uniform(-1, 1, (batch_size, points, 3))
    labels = np.floor((clouds[..., 2] + 1) / 2 * num_classes).astype("int32")
    labels[:, -1] = PADDING
    return with_features(rng, clouds, features), labels


def point_detection(rng, batch_size, points=240, features=1, objects=2):
    """Boxes are 4 m long and 2 m wide, 1 or 2 m high and turned, in a square of 20 m; half of the points are ground."""
    clouds = rng.uniform((-10, -10, 0), (10, 10, 0.1), (batch_size, points, 3))
    labels = np.full((batch_size, objects), PADDING, "int32")
    boxes = np.zeros((batch_size, objects, 7), "float32")
    for b in range(batch_size):
        present = rng.integers(1, objects + 1)
        own = np.array_split(np.arange(points // 2), present)
        for n in range(present):
            label, yaw = rng.integers(2), rng.uniform(-np.pi, np.pi)
            center, size = np.array((*rng.uniform(-7, 7, 2), (1 + label) / 2)), np.array((4.0, 2.0, 1.0 + label))
            turn = np.array(((np.cos(yaw), np.sin(yaw), 0), (-np.sin(yaw), np.cos(yaw), 0), (0, 0, 1)))
            clouds[b, own[n]] = center + (rng.uniform(-0.5, 0.5, (len(own[n]), 3)) * size) @ turn
            labels[b, n], boxes[b, n] = label, (*center, *size, yaw)
    return with_features(rng, clouds, features), {"boxes": boxes, "labels": labels}


def with_features(rng, clouds, features):
    """(B, N, 3) -> (B, N, 3 + F) float32; the features are noise."""
    return np.concatenate([clouds, rng.normal(size=(*clouds.shape[:2], features))], -1).astype("float32")


# Tokens


def lengths(rng, batch_size, longest):
    """Mask of the tokens of each row, of which at least half are used.  -> (B, longest) bool."""
    return np.arange(longest) < rng.integers((longest + 1) // 2, longest + 1, (batch_size, 1))


def language_model(rng, batch_size, length=16, vocabulary=12):
    if vocabulary < 3:
        raise ValueError(f"vocabulary is {vocabulary}; give 3 or more, padding included.")
    first = rng.integers(0, vocabulary - 1, (batch_size, 1))
    text = 1 + (first + np.arange(length + 1)) % (vocabulary - 1)  # (B, T + 1)
    used = lengths(rng, batch_size, length)
    return (text[:, :-1] * used).astype("int32"), np.where(used, text[:, 1:], PADDING).astype("int32")


def sequence_to_sequence(rng, batch_size, length=8, vocabulary=12):
    """Sources have up to `length` tokens, targets one more."""
    if vocabulary < 4:
        raise ValueError(f"vocabulary is {vocabulary}; give 4 or more: padding, start, end and a word.")
    used = lengths(rng, batch_size, length)
    source = (rng.integers(END + 1, vocabulary, (batch_size, length)) * used).astype("int32")
    target_in = np.concatenate([np.full((batch_size, 1), START, "int32"), source], 1)
    target_out = np.pad(np.where(used, source, PADDING), ((0, 0), (0, 1)), constant_values=PADDING)
    target_out[np.arange(batch_size), used.sum(1)] = END
    return {"source": source, "target_in": target_in}, target_out


# Graphs


def graph(rng, batch_size, nodes=60, edges=240, features=8, num_classes=3):
    """One graph per batch, regardless of the batch size; the last tenth of its nodes and edges is padding."""
    real_nodes, real_edges = nodes - nodes // 10, edges - edges // 10
    if features < num_classes or real_nodes < 2 * num_classes:
        raise ValueError(
            f"features is {features} and nodes is {nodes}; {num_classes} classes need {num_classes} features and "
            f"{2 * num_classes} nodes or more besides the padding."
        )
    classes = rng.permutation(np.arange(real_nodes) % num_classes)
    source = rng.integers(real_nodes, size=real_edges)
    members = [np.flatnonzero(classes == c) for c in range(num_classes)]
    target = np.where(
        rng.uniform(size=real_edges) < 0.8,
        [rng.choice(members[classes[s]]) for s in source],
        rng.integers(real_nodes, size=real_edges),
    )
    x = rng.normal(0.0, 1.0, (nodes, features))
    x[np.arange(real_nodes), classes] += 1.5
    labels = np.full(nodes, PADDING, "int32")
    labels[:real_nodes] = classes
    return padded_graph(x, np.stack([source, target], 1), real_nodes, nodes, edges), labels


def graph_classification(rng, batch_size, nodes=8, features=4):
    """`batch_size` graphs of 4 ... `nodes` nodes each in one batch, followed by a node for the padding."""
    if nodes < 4:
        raise ValueError(f"nodes is {nodes}; a graph has 4 or more.")
    labels = rng.integers(2, size=batch_size).astype("int32")
    sizes = rng.integers(4, nodes + 1, batch_size)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    pairs = []
    for label, start, size in zip(labels, starts, sizes, strict=False):
        own = np.arange(size)
        pairs.append(start + np.stack([own[1:] * 0, own[1:]] if label else [own, (own + 1) % size], 1))
    pairs = np.concatenate(pairs)
    total = batch_size * nodes + 1
    x = rng.normal(1.0, 0.1, (total, features))
    batch = padded_graph(x, np.concatenate([pairs, pairs[:, ::-1]]), starts[-1], total, 2 * batch_size * nodes)
    owner = np.full(total, batch_size - 1, "int32")
    owner[: starts[-1]] = np.repeat(np.arange(batch_size), sizes)
    return batch | {"graphs": owner}, labels


def padded_graph(x, pairs, real_nodes, nodes, edges):
    """The x side of a graph batch; padded edges connect the last node to itself."""
    padded = np.full((edges, 2), nodes - 1, "int32")
    padded[: len(pairs)] = pairs
    mask = np.arange(nodes) < real_nodes
    return {
        "nodes": (x * mask[:, None]).astype("float32"),
        "edges": padded,
        "node_mask": mask,
        "edge_mask": np.arange(edges) < len(pairs),
    }


MAKERS = {
    maker.__name__: maker
    for maker in (
        classification, detection, segmentation, keypoints, points, point_segmentation, point_detection,
        language_model, sequence_to_sequence, image_text, graph, graph_classification, few_shot, images,
    )
}  # fmt: skip
