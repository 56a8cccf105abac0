"""FedAKD: FedMD on mixed public data (Gad & Fadlullah 2023, Sensors 23(1):6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from edge_fd.knowledge import Fused, Knowledge, smallest_unsigned
from edge_fd.methods.base import Device, DeviceHalf, Memory, Round, Server, ServerHalf, setting
from edge_fd.methods.fedmd import FedMD
from edge_fd.methods.proxy import chosen, with_indices
from edge_fd.requests import Predict, Samples


@dataclass(frozen=True)
class FedAKD(FedMD):
    """Agree on the logits of mixed public samples; the better a device, the more it counts.

    Each round mixes the public samples anew (mix-up, Zhang et al. 2018):
    x' = a x + (1 - a) x[order] with one ``a`` and one ``order`` for all of them,
    which every device draws from the seed of the run, so that neither is sent;
    the paper's server sends both. ``mix`` is m of a ~ Beta(m, m): 1 is the
    uniform ``a`` of the authors' notebooks, 0 mixes nothing, as in mix-up's own
    code. Samples are mixed in the data set's own units; scaling them after is
    the same. A consensus says by ``mixed`` of which round's samples it is, and
    is digested on those.

    ``weights`` of the consensus: ``accuracy``, as in the paper, or ``uniform``.
    The authors measure accuracy on the test set that they report on. Here a
    device measures it on the public samples of the round, unmixed, and sends
    how many it has right as ``hits``. Where all have none the mean is plain.

    With ``mix`` 0 and ``weights`` uniform it is FedMD. Defaults are those of
    the notebooks: 2 local epochs, 1 to digest, no transfer.
    """

    name: ClassVar[str] = "fedakd"
    paper: ClassVar[str] = "Gad & Fadlullah 2023, Sensors 23(1):6"

    transfer_epochs: int = setting(0, least=0)
    local_epochs: int = setting(2, least=1)
    mix: float = setting(1.0, least=0.0)
    weights: str = setting("accuracy", choices=("accuracy", "uniform"))

    @property
    def same_round(self) -> bool:
        """Each round mixes the samples anew, and differently mixed samples have no mean."""
        return self.mix > 0

    @property
    def needs_proxy_labels(self) -> bool:
        """To measure the accuracy, and for a transfer phase."""
        return self.weights == "accuracy" or self.transfer_epochs > 0

    def device_round(self, device: Device, round: Round, knowledge: Knowledge | None) -> DeviceHalf:
        """A round of FedMD on mixed samples; count the hits on those that are not mixed."""
        piece = yield from super().device_round(device, round, knowledge)
        if piece is None or self.weights == "uniform":
            return piece
        samples = chosen(device.proxy, round.indices)
        logits = yield Predict(samples)
        hits = int((logits.argmax(-1) == samples.labels).sum())
        return replace(piece, exact={"hits": smallest_unsigned([hits])})

    def fuse(self, server: Server, round: Round, uploads: Mapping[str, Knowledge]) -> ServerHalf:  # noqa: ARG002
        """Mean of the logits, weighted by the devices' hits on the same public samples.

        Raises UsageError where a buffered round holds logits of differently
        mixed samples, which have no mean.
        """
        shares = dict.fromkeys(uploads, 1)
        if self.weights == "accuracy":
            hits = {name: int(upload.exact["hits"][0]) for name, upload in uploads.items()}
            shares = hits if any(hits.values()) else shares
        total = np.zeros(next(iter(uploads.values())).value.shape, np.float64)
        for name, upload in uploads.items():
            total += shares[name] * upload.value.astype(np.float64)
        consensus = Knowledge("logits", (total / sum(shares.values())).astype(np.float32))
        if self.mix:
            consensus = replace(consensus, exact={"mixed": smallest_unsigned([round.number])})
        return Fused(shared=with_indices(consensus, round))
        yield

    def objection(self, knowledge: Knowledge, *, device: str, classes: int, memory: Memory) -> str:  # noqa: ARG002
        """Refuse an upload without hits, or with more than there are samples."""
        if self.weights == "uniform":
            return ""
        hits, samples = knowledge.exact.get("hits"), len(knowledge.value)
        if hits is None or hits.shape != (1,) or not 0 <= hits[0] <= samples:
            found = "none" if hits is None else hits.tolist()
            return f"'hits' must be one number of 0 to {samples}, found {found}"
        return ""

    def public(self, device: Device, round: Round, knowledge: Knowledge | None = None) -> Samples:
        """The samples of FedMD, mixed as the round in question mixes them."""
        samples = super().public(device, round, knowledge)
        if not self.mix:
            return samples
        number = round.number if knowledge is None else int(knowledge.exact["mixed"][0])
        return mixed(samples, replace(round, number=number).stream("mix"), self.mix)


def mixed(samples: Samples, rng: np.random.Generator, concentration: float) -> Samples:
    """Mix each sample with another, x (n, ...) float32 and without labels.

    The share of the first is drawn once from Beta(concentration, concentration).
    """
    order = rng.permutation(len(samples))
    share = np.float32(rng.beta(concentration, concentration))
    x = samples.x.astype(np.float32)
    return Samples(share * x + (1 - share) * x[order])
