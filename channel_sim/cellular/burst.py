"""Many cells at once, uplink, all arrivals known: the batch engine.

Random access goes in lock step over all cells, HARQ in one draw for all
blocks, and each carrier through its own heap: an event per arrival and
departure, which is n log n however long the messages are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from channel_sim.cellular.access import NEVER, contend
from channel_sim.cellular.harq import Ints
from channel_sim.cellular.sharing import Carrier, serve
from channel_sim.cellular.transfer import Sender, Transfers
from channel_sim.checks import check_count, check_not_negative
from channel_sim.family import Blocks
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.units import to_ns

if TYPE_CHECKING:
    from channel_sim.cellular.family import Cellular


def burst(
    family: Cellular,
    losses_db: npt.NDArray[np.float64],
    sizes_bytes: Ints,
    ready_ns: Ints,
    *,
    cells: Ints,
    rng: np.random.Generator,
    blocks: Blocks | None = None,
) -> Outcomes:
    """Send one message up per device; arrays of shape (devices,), see the family.

    Raises ValueError for arrays of different length, a size below 1 byte and
    times or cells below 0.
    """
    _check(losses_db, sizes_bytes, ready_ns, cells)
    sender = Sender(family, "up", losses_db, blocks=blocks)
    heard = np.flatnonzero(sender.heard)
    start_ns, gave_up_ns, tries = _enter(family, sender, heard, cells, ready_ns, rng)
    got_in = start_ns[heard] != NEVER
    links = heard[got_in]
    out = sender.transfer(links, sizes_bytes[links], start_ns[links], rng=rng)
    through_ns = _serve(family, sender, links, cells, start_ns, out)

    count = len(losses_db)
    finish_ns = ready_ns.copy()
    shut = heard[~got_in]
    finish_ns[shut] = gave_up_ns[shut]
    finish_ns[links] = np.maximum(through_ns, start_ns[links] + out.least_ns)
    reason = np.full(count, CODES["below_sensitivity"], dtype=np.uint8)
    reason[shut] = CODES["retry_limit"]
    reason[links] = np.where(out.lost, CODES["retry_limit"], CODES["delivered"])
    columns = {name: np.zeros(count, dtype=np.int64) for name in ("attempts", "air_ns", "rx_ns")}
    columns["attempts"][links] = out.attempts
    columns["air_ns"][links] = out.air_ns
    columns["rx_ns"][links] = out.attempts * sender.control_ns[sender.chosen[links]]
    packets = np.ones(count, dtype=np.int64)
    packets[heard] = sender.cut(heard, sizes_bytes[heard]).packets
    tx_ns = columns["air_ns"] + tries * to_ns(family.preamble_s)
    # Full duplex: what overlaps with its own frames takes no time of its own.
    admitted = np.zeros(count, dtype=np.int32)
    admitted[links] = 1
    rest_ns = np.maximum(finish_ns - ready_ns - tx_ns, 0)
    rx_ns = np.minimum(columns["rx_ns"], rest_ns)
    return Outcomes(
        reason=reason,
        ready_ns=ready_ns,
        start_ns=np.where(columns["attempts"] > 0, start_ns, finish_ns),
        finish_ns=finish_ns,
        packets=packets.astype(np.int32),
        attempts=columns["attempts"].astype(np.int32),
        air_ns=columns["air_ns"],
        tx_ns=tx_ns,
        rx_ns=rx_ns,
        idle_ns=rest_ns - rx_ns,
        wakes=np.zeros_like(admitted) if family.connected else admitted,
        tails=admitted if family.connected else None,
    )


def _check(losses_db: npt.NDArray[np.float64], *others: Ints) -> None:
    lengths = [len(losses_db), *(len(other) for other in others)]
    if len(set(lengths)) != 1:
        raise ValueError(f"arrays have lengths {lengths}; give one entry per device")
    for key, values in zip(("sizes_bytes", "ready_ns", "cells"), others, strict=True):
        check_not_negative(key, values)
    if len(others[0]):
        check_count("sizes_bytes", int(others[0].min()))


def _enter(
    family: Cellular,
    sender: Sender,
    heard: Ints,
    cells: Ints,
    ready_ns: Ints,
    rng: np.random.Generator,
) -> tuple[Ints, Ints, Ints]:
    """When each device starts to send (NEVER: it did not get in) or gave up, and its preambles."""
    start_ns = np.full(len(cells), NEVER, dtype=np.int64)
    gave_up_ns, tries = ready_ns.copy(), np.zeros(len(cells), dtype=np.int64)
    begin_ns = ready_ns[heard]
    if not family.connected:
        used_ns, entered_ns, tries[heard] = contend(cells[heard], begin_ns, family.access, rng=rng)
        gave_up_ns[heard] = used_ns + family.access.response_ns
        setup_ns = to_ns(family.setup_s) + sender.signalling_ns[sender.chosen[heard]]
        begin_ns = np.where(entered_ns == NEVER, NEVER, entered_ns + setup_ns)
    start_ns[heard] = np.where(begin_ns == NEVER, NEVER, begin_ns + to_ns(family.grant_s))
    return start_ns, gave_up_ns, tries


def _serve(
    family: Cellular, sender: Sender, links: Ints, cells: Ints, start_ns: Ints, out: Transfers
) -> Ints:
    """When the carrier of each cell is through with each message."""
    through_ns = np.zeros(len(links), dtype=np.int64)
    # Ties fall by row: cells sort first, rows stay in order.
    order = np.argsort(cells[links], kind="stable")
    edges = np.flatnonzero(np.diff(cells[links][order])) + 1
    for rows in np.split(order, edges) if len(order) else []:
        carrier: Carrier[int] = Carrier(
            sender.caps, sender.values, scheduler=family.scheduler, capacity=sender.fraction
        )
        through_ns[rows] = serve(
            start_ns[links[rows]].tolist(),
            sender.chosen[links[rows]].tolist(),
            out.work_ns[rows].tolist(),
            carrier,
        )
    return through_ns
