from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits as published

from edge_fd.data import load


def rows(x: np.ndarray, y: np.ndarray) -> list[bytes]:
    return sorted(
        image.tobytes() + bytes([label])
        for image, label in zip(x.astype(np.uint8), y.tolist(), strict=True)
    )


def test_train_and_test_part_together_are_the_published_digits_once_each() -> None:
    found = load("digits")
    source = published()
    both = rows(found.x, found.y) + rows(found.test_x, found.test_y)
    assert sorted(both) == rows(source.images, source.target)


def test_each_class_keeps_its_share_in_the_test_part() -> None:
    found = load("digits")
    # 178 182 177 183 181 182 181 179 174 180 in scikit-learn's copy; 359 / 1797 of each.
    counts = np.bincount(published().target)
    assert counts.sum() == 1797
    assert len(found.test_y) == 359
    assert np.abs(np.bincount(found.test_y) - counts * 359 / 1797).max() < 1


def test_the_test_part_is_the_same_in_every_run() -> None:
    assert load("digits").test_x.tobytes() == load("digits").test_x.tobytes()


def test_digits_are_small_integers_that_scale_to_one() -> None:
    found = load("digits")
    assert found.x.dtype == np.uint8
    assert found.x.shape[1:] == (8, 8)
    assert found.x.max() * found.scale + found.offset == 1.0
