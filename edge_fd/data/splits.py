"""Who holds what: private parts, a proxy part and a test part, as indices.

The order of the draws is proxy, validation, test, private parts, each from a stream of its own: the
proxy and test parts stay as they are when devices are added.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from edge_fd.data.device_file import DeviceData
from edge_fd.data.sampling import stratified
from edge_fd.errors import UnknownNameError, UsageError
from edge_fd.requests import Samples
from edge_fd.streams import stream

if TYPE_CHECKING:
    from edge_fd.data.dataset import Dataset

Indices: TypeAlias = npt.NDArray[np.int64]
Kind: TypeAlias = Literal["iid", "dirichlet", "group"]

KINDS = ("dirichlet", "group", "iid")
MAX_DRAWS = 10_000
ALPHA_MIN, ALPHA_MAX = 1e-3, 1e6


@dataclass(frozen=True, eq=False)
class Split:
    """Sorted int64 indices; no sample is in two parts.

    ``private`` maps each device to rows of the data set's ``x``; ``test`` are rows of
    ``test_x``; ``proxy`` are rows of ``proxy_x`` where ``own_proxy`` (the set came with
    public data), else rows of ``x``; ``validation`` are rows of ``x``.
    """

    private: Mapping[str, Indices]
    proxy: Indices
    test: Indices
    own_proxy: bool
    validation: Indices


def split(
    dataset: Dataset,
    devices: Sequence[str],
    *,
    kind: Kind,
    seed: int,
    alpha: float | None = None,
    min_per_device: int = 1,
    max_per_device: int | None = None,
    proxy: int = 0,
    validation: int = 0,
    test: int | None = None,
) -> Split:
    """Divide a data set over devices.

    ``proxy`` samples are held out first, stratified by label (from ``proxy_x`` where the
    set has one), then ``validation`` samples for the server; ``test`` samples are a
    stratified part of the test set, None takes all.
    The rest goes to the devices (``alpha`` counts for ``dirichlet`` only):

    * ``iid``: at random, sizes equal within one sample;
    * ``dirichlet``: for each class, shares over the devices from a symmetric Dirichlet of
      ``alpha`` (Li et al., "Federated Learning on Non-IID Data Silos: An Experimental
      Study", ICDE 2022, distribution-based label imbalance), drawn anew until each device
      has ``min_per_device``, at most ``MAX_DRAWS`` times. Devices above the mean size are
      not masked, as the code of that paper does and its text does not;
    * ``group``: the data set's groups in sorted order, one to each device; groups beyond
      the last device stay unused.

    A device above ``max_per_device`` keeps a stratified part of its samples.

    Raises :class:`UsageError` that names the setting and the remedy for settings that
    contradict each other or the data.
    """
    _check_names(devices, kind)
    _check_sizes(dataset, minimum=min_per_device, maximum=max_per_device, proxy=proxy, test=test)
    held, pool = _proxy(dataset, proxy, seed)
    checked, pool = _validation(dataset, pool, validation, seed)
    _check_room(len(devices), min_per_device, len(pool))
    if kind == "iid":
        order = stream(seed, "split", "iid").permutation(pool)
        parts = np.array_split(order, len(devices))
    elif kind == "group":
        parts = _groups(dataset, pool, devices, minimum=min_per_device)
    else:
        parts = _dirichlet(
            dataset, pool, len(devices), alpha=alpha, minimum=min_per_device, seed=seed
        )
    private = {
        device: _capped(
            dataset, np.sort(part), max_per_device, stream(seed, "split", "cap", device)
        )
        for device, part in zip(devices, parts, strict=True)
    }
    own_proxy = dataset.proxy_x is not None
    return Split(private, held, _test(dataset, test, seed), own_proxy, checked)


def device_data(dataset: Dataset, part: Split, device: str) -> DeviceData:
    """Return what ``device`` holds; the proxy and test rows are the same for all."""
    whole = Samples(dataset.x, dataset.y)
    public = whole
    if dataset.proxy_x is not None:
        public = Samples(dataset.proxy_x, dataset.proxy_y)
    return DeviceData(
        private=whole.take(part.private[device]),
        proxy=public.take(part.proxy),
        test=Samples(dataset.test_x, dataset.test_y).take(part.test),
    )


def label_counts(y: npt.NDArray[np.int64], classes: int) -> Indices:
    """Return how often each label 0..classes-1 occurs in ``y``, (classes,) int64."""
    return np.bincount(y, minlength=classes).astype(np.int64)


def _check_names(devices: Sequence[str], kind: str) -> None:
    if kind not in KINDS:
        raise UnknownNameError("kind of split", kind, KINDS)
    if not devices:
        raise UsageError("a split needs at least one device, got none")
    if len(set(devices)) < len(devices):
        twice = next(name for name in devices if list(devices).count(name) > 1)
        raise UsageError(f"the device name {twice!r} is given twice; names must differ")


def _check_sizes(
    dataset: Dataset, *, minimum: int, maximum: int | None, proxy: int, test: int | None
) -> None:
    if minimum < 0:
        raise UsageError(f"min_per_device = {minimum} must not be below 0")
    if maximum is not None and maximum < max(1, minimum):
        raise UsageError(
            f"max_per_device = {maximum} must be at least 1 and at least min_per_device = {minimum}"
        )
    public = len(dataset.x if dataset.proxy_x is None else dataset.proxy_x)
    if not 0 <= proxy <= public:
        raise UsageError(f"proxy = {proxy} must be from 0 to {public}, the samples there are")
    if test is not None and not 0 <= test <= len(dataset.test_x):
        raise UsageError(
            f"test = {test} must be from 0 to {len(dataset.test_x)}, the test samples there are"
        )


def _check_room(devices: int, minimum: int, left: int) -> None:
    if devices * minimum > left:
        raise UsageError(
            f"{devices} devices with min_per_device = {minimum} need {devices * minimum} samples,"
            f" but {left} are left beside the proxy part; lower min_per_device, proxy or the"
            " number of devices"
        )


def _proxy(dataset: Dataset, count: int, seed: int) -> tuple[Indices, Indices]:
    """Return the proxy part and the rows of ``x`` that are left."""
    rng = stream(seed, "split", "proxy")
    everything = np.arange(len(dataset.x))
    if dataset.proxy_x is None:
        held = stratified(dataset.y, count, rng)
        return held, np.setdiff1d(everything, held)
    if dataset.proxy_y is None:
        return np.sort(rng.permutation(len(dataset.proxy_x))[:count]), everything
    return stratified(dataset.proxy_y, count, rng), everything


def _validation(dataset: Dataset, pool: Indices, count: int, seed: int) -> tuple[Indices, Indices]:
    """Return the server's validation part and the rows of ``pool`` that are left."""
    if count > len(pool):
        raise UsageError(
            f"validation = {count} is more than the {len(pool)} samples beside the proxy part;"
            " lower it"
        )
    held = pool[stratified(dataset.y[pool], count, stream(seed, "split", "validation"))]
    return held, np.setdiff1d(pool, held)


def _test(dataset: Dataset, count: int | None, seed: int) -> Indices:
    if count is None:
        return np.arange(len(dataset.test_x))
    return stratified(dataset.test_y, count, stream(seed, "split", "test"))


def _dirichlet(
    dataset: Dataset, pool: Indices, devices: int, *, alpha: float | None, minimum: int, seed: int
) -> list[Indices]:
    if alpha is None or not ALPHA_MIN <= alpha <= ALPHA_MAX:
        raise UsageError(
            f"kind = 'dirichlet' needs alpha from {ALPHA_MIN:g} to {ALPHA_MAX:g}, got {alpha};"
            " 0.1 is a strong skew, 100 is near IID"
        )
    y = dataset.y[pool]
    totals = label_counts(y, dataset.classes)
    rng = stream(seed, "split", "dirichlet")
    best = -1
    for _ in range(MAX_DRAWS):
        shares = rng.dirichlet(np.full(devices, alpha), size=dataset.classes)
        # Rounding the running sum keeps each class whole and each device within one sample.
        ends = np.rint(np.cumsum(shares, axis=1) * totals[:, None]).astype(np.int64)
        smallest = int(np.diff(ends, axis=1, prepend=0).sum(axis=0).min())
        best = max(best, smallest)
        if smallest >= minimum:
            break
    else:
        raise UsageError(
            f"alpha = {alpha} over {devices} devices never gave each min_per_device = {minimum}"
            f" samples in {MAX_DRAWS} draws (best: {best}); raise alpha, or lower"
            " min_per_device or the number of devices"
        )
    parts: list[list[Indices]] = [[] for _ in range(devices)]
    for label in range(dataset.classes):
        rows = stream(seed, "split", "class", label).permutation(pool[y == label])
        for device, rows_of_device in enumerate(np.split(rows, ends[label, :-1])):
            parts[device].append(rows_of_device)
    return [np.concatenate(part) for part in parts]


def _groups(dataset: Dataset, pool: Indices, devices: Sequence[str], minimum: int) -> list[Indices]:
    if dataset.group is None:
        raise UsageError(
            f"kind = 'group' needs groups and data set {dataset.name!r} has none;"
            " use 'iid' or 'dirichlet', or add the key 'group' to your file"
        )
    groups = np.unique(dataset.group)
    if len(devices) > len(groups):
        raise UsageError(
            f"{len(devices)} devices, but data set {dataset.name!r} has {len(groups)} groups;"
            f" use at most {len(groups)} devices"
        )
    held_by = dataset.group[pool]
    parts = [pool[held_by == group] for group in groups[: len(devices)]]
    for device, group, part in zip(devices, groups, parts, strict=False):
        if len(part) < minimum:
            raise UsageError(
                f"group {group!s} of device {device!r} has {len(part)} samples beside the proxy"
                f" part, below min_per_device = {minimum}; lower min_per_device or proxy"
            )
    return parts


def _capped(
    dataset: Dataset, part: Indices, maximum: int | None, rng: np.random.Generator
) -> Indices:
    if maximum is None or len(part) <= maximum:
        return part
    return part[stratified(dataset.y[part], maximum, rng)]
