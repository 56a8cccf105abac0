"""From a name and settings to a method; what is wrong is told with key, value and remedy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import special

from edge_fd import methods
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.methods.base import mean, softmax


def test_an_unknown_method_gets_the_nearest_name() -> None:
    with pytest.raises(UnknownNameError, match="unknown method 'fedmb'; did you mean 'fedmd'"):
        methods.create("fedmb")


def test_an_unknown_setting_gets_the_nearest_name() -> None:
    with pytest.raises(
        UnknownNameError,
        match="unknown setting of method fd 'local_epoch'; did you mean 'local_epochs'",
    ):
        methods.create("fd", {"local_epoch": 3})


@pytest.mark.parametrize(
    ("name", "key", "value", "remedy"),
    [
        ("local", "local_epochs", 0, "1 or more"),
        ("fedavg", "local_epochs", -1, "1 or more"),
        ("fd", "gamma", -0.5, "0.0 or more"),
        ("fd", "local_steps", -1, "0 or more"),
        ("dsfl", "temperature", -1e-9, "0.0 or more"),
        ("local", "local_epochs", 2.0, "must be a int, for example 1"),
        ("local", "local_epochs", "2", "must be a int"),
        ("local", "local_epochs", True, "must be a int"),
        ("local", "local_epochs", None, "must be a int"),
        ("fd", "gamma", "1", "must be a float, for example 1.0"),
        ("fd", "gamma", False, "must be a float"),
        ("fd", "gamma", [1.0], "must be a float"),
    ],
)
def test_a_value_that_cannot_be_is_named_with_its_key_and_what_is_allowed(
    name: str, key: str, value: Any, remedy: str
) -> None:
    with pytest.raises(UsageError) as told:
        methods.create(name, {key: value})
    text = str(told.value)
    assert text.startswith(f"method.{name}.{key} = {value!r} ")
    assert remedy in text


@pytest.mark.parametrize("value", [float("inf"), float("nan"), float("-inf"), 10**400])
def test_a_setting_must_be_finite(value: float) -> None:
    with pytest.raises(UsageError, match=r"method\.fd\.gamma must be finite"):
        methods.create("fd", {"gamma": value})


def test_whole_numbers_may_stand_for_floats_and_then_are_the_same_method() -> None:
    whole, broken = methods.create("fd", {"gamma": 2}), methods.create("fd", {"gamma": 2.0})
    assert isinstance(whole.settings()["gamma"], float)
    assert whole == broken
    assert whole.fingerprint() == broken.fingerprint()


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_a_fingerprint_tells_settings_and_methods_apart(name: str) -> None:
    default = methods.create(name)
    assert len(default.fingerprint()) == 8
    assert default.fingerprint() == methods.create(name).fingerprint()
    changed = methods.create(name, {"local_epochs": 7})
    assert changed.fingerprint() != default.fingerprint()
    others = {methods.create(other).fingerprint() for other in methods.METHODS if other != name}
    assert default.fingerprint() not in others


def test_a_fingerprint_covers_the_functions_beside_the_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Two sides with another sharpening would make other knowledge of the same settings.
    sources: list[Any] = []
    monkeypatch.setattr("inspect.getsource", lambda what: sources.append(what) or "")
    methods.create("dsfl").fingerprint()
    assert [vars(source)["sharpen"] for source in sources]


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_defaults_are_within_their_own_range(name: str) -> None:
    default = methods.create(name)
    assert methods.create(name, default.settings()) == default
    assert default.name == name


@settings(deadline=None)
@given(hnp.arrays(np.float32, (3, 4), elements=st.floats(-(2.0**99), 2.0**99, width=32)))
def test_softmax_is_scipys(logits: Any) -> None:
    np.testing.assert_allclose(softmax(logits), special.softmax(logits.astype(float), axis=-1))


@settings(deadline=None)
@given(hnp.arrays(np.float32, (4, 3), elements=st.floats(-1e6, 1e6, width=32)))
def test_mean_is_numpys_in_double_precision(arrays: Any) -> None:
    expected = arrays.astype(np.float64).mean(axis=0)
    np.testing.assert_allclose(mean(list(arrays)), expected, rtol=1e-12, atol=1e-9)
