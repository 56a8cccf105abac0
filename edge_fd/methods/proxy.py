"""Knowledge about proxy samples: which rows belong to which samples."""

from __future__ import annotations

from dataclasses import replace

from edge_fd.errors import UsageError
from edge_fd.knowledge import Exact, Knowledge
from edge_fd.methods.base import Round
from edge_fd.requests import Samples


def chosen(proxy: Samples | None, indices: Exact | None) -> Samples:
    """Return the proxy samples at ``indices``, all of them for None."""
    if proxy is None:
        raise UsageError("this method needs proxy data; give the data file a 'proxy_x' array")
    if indices is None:
        return proxy
    if int(indices.max(initial=0)) >= len(proxy):
        raise UsageError(
            f"proxy sample {int(indices.max())} was asked for, the proxy set has {len(proxy)};"
            " use the data file that belongs to this run"
        )
    return proxy.take(indices)


def with_indices(knowledge: Knowledge, round: Round) -> Knowledge:
    """Name the proxy samples of this round beside the knowledge about them."""
    if round.indices is None:
        return knowledge
    return replace(knowledge, exact={**knowledge.exact, "indices": round.indices})
