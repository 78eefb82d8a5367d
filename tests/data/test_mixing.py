import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdl.data.mixing import cutmix, mixup

RNG = np.random.default_rng(0)
IMAGES = tf.constant(RNG.uniform(size=(6, 5, 7, 3)).astype("float32"))
LABELS = tf.one_hot([0, 1, 2, 3, 4, 5], 6)  # each image is a class of its own, so the label tells its partner
EACH = pytest.mark.parametrize("mix", [mixup(0.4), cutmix()], ids=["mixup", "cutmix"])


@EACH
def test_seed_alone_decides(mix):
    first, again, other = (mix(IMAGES, LABELS, tf.constant(seed, tf.int64)) for seed in ((3, 1), (3, 1), (3, 2)))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert (one.numpy() != different.numpy()).any()


@EACH
def test_shapes_stay_and_labels_stay_distributions(mix):
    signature = [tf.TensorSpec((None, 5, 7, 3)), tf.TensorSpec((None, 6)), tf.TensorSpec((2,), tf.int64)]
    traced = tf.function(mix, input_signature=signature)
    for seed in range(20):
        images, labels = traced(IMAGES, LABELS, (0, seed))
        assert images.shape == IMAGES.shape and images.dtype == labels.dtype == tf.float32
        assert images.numpy().min() >= 0 and images.numpy().max() <= 1
        np.testing.assert_allclose(labels.numpy().sum(-1), 1, atol=1e-6)
        assert labels.numpy().min() >= 0
    images, labels = traced(IMAGES[:0], LABELS[:0], (0, 0))
    assert images.shape == (0, 5, 7, 3) and labels.shape == (0, 6)


def test_mixup_blends_images_as_it_blends_labels():
    images, labels = mixup(0.4)(IMAGES, LABELS, (0, 1))
    expected = np.einsum("bn,nhwc->bhwc", labels, IMAGES)  # eq. in section 2 of the paper, both lines of it
    np.testing.assert_allclose(images, expected, atol=1e-6)
    assert len(np.unique(labels.numpy().max(-1))) > 1, "each pair has a share of its own"


def test_cutmix_label_is_the_share_of_pixels():
    mixed = []
    for seed in range(10):
        images, labels = (x.numpy() for x in cutmix()(IMAGES, LABELS, (0, seed)))
        own = (images == IMAGES.numpy()).all(-1)  # (B, H, W)
        for b, label in enumerate(labels):
            partner = int(np.argmax(label * (np.arange(6) != b)))
            if label[b] == 1:
                assert own[b].all()
                continue
            np.testing.assert_array_equal(images[b][~own[b]], IMAGES.numpy()[partner][~own[b]])
            np.testing.assert_allclose(label[b], own[b].mean(), atol=1e-6)
            rows, columns = (~own[b]).any(1), (~own[b]).any(0)
            assert (~own[b] == rows[:, None] & columns[None]).all(), "the pasted part is a box"
            mixed.append(label[b])
    assert len(mixed) > 30 and len(np.unique(mixed)) > 10


def test_cutmix_shares_follow_equation_2():
    """A box of the side s = sqrt(1 - share) with its center anywhere, cut at the border; Beta(1, 1) is uniform."""
    many = tf.zeros((4000, 40, 40, 1))
    labels = tf.reshape(tf.cast(tf.range(4000) % 2, tf.float32), (-1, 1)) * [[1.0, -1.0]] + [[0.0, 1.0]]
    marked = tf.reshape(labels[:, 0], (-1, 1, 1, 1)) + many
    images, _ = cutmix()(marked, labels, (0, 0))
    pasted = (images.numpy() != marked.numpy())[..., 0]
    area = pasted.mean((1, 2))[pasted.any((1, 2))]
    # Of a side s, s - s^2/4 lies inside on average; E[(s - s^2/4)^2] = E[s^2] - E[s^3]/2 + E[s^4]/16, s^2 uniform.
    assert area.mean() == pytest.approx(1 / 2 - 1 / 5 + 1 / 48, abs=0.015)
    # Where the box is from top to bottom says nothing of where it is from left to right.
    middles = [np.argwhere(box).mean(0) for box in pasted if box.any()]
    down, across = np.transpose(middles)
    assert abs(np.corrcoef(down, across)[0, 1]) < 0.1 and np.ptp(down) > 36 < np.ptp(across)


def test_keras_cut_mix_mislabels_small_images():
    """Why there is one of ours; once this fails, Keras's may do."""
    layer = keras.layers.CutMix(seed=0)
    pairs = layer.get_random_transformation(tf.zeros((500, 8, 8, 1)), seed=1)
    left = 1 - pairs["batch_masks"].numpy().mean((1, 2, 3))
    assert np.abs(left - np.ravel(pairs["mix_weight"])).max() > 0.1


def test_mixup_shares_are_beta():
    shares = np.concatenate(
        [mixup(0.5)(tf.zeros((500, 1, 1, 1)), tf.eye(500), (0, s))[1].numpy().max(-1) for s in range(4)]
    )
    arcsine = 0.5 + 1 / np.pi  # mean of max(s, 1 - s) for Beta(1/2, 1/2)
    assert shares.mean() == pytest.approx(arcsine, abs=0.015)


@pytest.mark.parametrize(
    "make, words", [(lambda: mixup(0), "mixup got alpha=0"), (lambda: cutmix(-1.0), "cutmix got alpha=-1")]
)
def test_bad_alpha_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()
