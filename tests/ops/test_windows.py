"""Windows: cutting and joining undo each other, shifting is a roll, and the mask parts what the roll joined."""

import keras
import numpy as np
import pytest

from tfdl.ops.windows import merge, partition, relative_positions, shift, shifted_window_mask, stack_neighbors


def map_of(*shape):
    return np.arange(np.prod(shape), dtype="float32").reshape(shape)


def test_windows_are_squares_of_the_map_row_by_row():
    x = map_of(2, 6, 9, 5)
    windows = np.array(partition(x, 3))
    assert windows.shape == (2, 6, 9, 5)
    np.testing.assert_array_equal(windows[1, 4], x[1, 3:6, 3:6].reshape(9, 5))  # second row, second window


@pytest.mark.parametrize("height, width, window", [(6, 9, 3), (4, 2, 2), (5, 10, 5), (3, 4, 1)])
def test_merge_undoes_partition(height, width, window):
    x = map_of(2, height, width, 3)
    np.testing.assert_array_equal(merge(partition(x, window), height, width), x)


@pytest.mark.parametrize("rows, columns", [(1, 2), (3, 0), (0, 4), (0, 0), (-2, -3)])
def test_shift_is_a_roll_and_its_negative_undoes_it(rows, columns):
    x = map_of(2, 5, 7, 3)
    moved = shift(x, rows, columns)
    np.testing.assert_array_equal(moved, np.roll(x, (-rows, -columns), axis=(1, 2)))
    np.testing.assert_array_equal(shift(moved, -rows, -columns), x)


@pytest.mark.parametrize("height, width, window, rows, columns", [(6, 9, 3, 1, 1), (8, 4, 4, 2, 0), (10, 5, 5, 0, 0)])
def test_shifted_neighbors_see_each_other_only_if_they_were_as_near_before(height, width, window, rows, columns):
    y, x = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    origin = np.roll(np.stack([y, x], -1), (-rows, -columns), axis=(0, 1))[None]  # where each place came from
    origin = np.array(partition(origin, window))[0]  # (n, N, 2)
    distance = origin[:, :, None] - origin[:, None]
    inside = np.stack(np.divmod(np.arange(window * window), window), -1)
    as_near = (distance == inside[:, None] - inside).all(-1)  # (n, N, N)
    np.testing.assert_array_equal(shifted_window_mask(height, width, window, rows, columns), as_near)


def test_relative_positions_tell_the_offset_and_use_every_row_of_the_table():
    window = 3
    rows = relative_positions(window)
    dy, dx = np.divmod(rows, 2 * window - 1)
    y, x = np.divmod(np.arange(window * window), window)
    np.testing.assert_array_equal(dy - (window - 1), y[:, None] - y)
    np.testing.assert_array_equal(dx - (window - 1), x[:, None] - x)
    assert set(rows.ravel()) == set(range((2 * window - 1) ** 2))


def test_neighbors_are_stacked_column_by_column():
    x = map_of(2, 4, 6, 3)
    corners = [x[:, a::2, b::2] for b in (0, 1) for a in (0, 1)]  # top left, bottom left, top right, bottom right
    np.testing.assert_array_equal(stack_neighbors(x), np.concatenate(corners, -1))


def test_a_free_batch_stays_free():
    x = keras.KerasTensor((None, 6, 9, 5))
    assert partition(x, 3).shape == (None, 6, 9, 5)
    assert merge(partition(x, 3), 6, 9).shape == (None, 6, 9, 5)
    assert stack_neighbors(keras.KerasTensor((None, 4, 6, 3))).shape == (None, 2, 3, 12)


def test_sizes_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="Windows of 4 do not tile a map of 6 x 8; pad it first"):
        partition(map_of(1, 6, 8, 2), 4)
    with pytest.raises(ValueError, match="6 windows of 9 positions do not make a map of 6 x 6"):
        merge(map_of(1, 6, 9, 2), 6, 6)
    with pytest.raises(ValueError, match="2 x 2 do not tile a map of 3 x 4"):
        stack_neighbors(map_of(1, 3, 4, 2))
