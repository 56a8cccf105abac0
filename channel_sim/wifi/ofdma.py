"""Uplink OFDMA of 802.11ax: the access point schedules, nobody contends.

A model of trigger-based access. The access point knows at once who has a
message (buffer reports are free). One exchange after another, at least the gap
and a backoff apart: a trigger frame; after SIFS the messages that wait
longest, each on its resource unit (RU); after SIFS one acknowledgement for
all. RUs of one exchange are of one size, the largest of which there is one for
everybody who waits, else the smallest. A device puts all its power into its
RU. All units last as long as the longest, padding is sent. What failed goes
again with the next trigger, up to the retry limit per packet. Messages down
take turns with those up, oldest first, each to one device over the full width.

IEEE 802.11ax-2021 9.3.1.22 (trigger), 27.3.2.2 (units), 27.5.3 (as remembered).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from channel_sim.calendar import Calendar, Message
from channel_sim.energy import RadioPower
from channel_sim.family import Blocks
from channel_sim.outcomes import CODES, Outcomes
from channel_sim.units import decibel, to_ns
from channel_sim.wifi.awake import Awake
from channel_sim.wifi.jobs import Aggregate, Link, Single
from channel_sim.wifi.listening import Listening
from channel_sim.wifi.rules import Rules
from channel_sim.wifi.timing import CONTROL, RU_TONES, he_mode

UNITS = {
    20: {242: 1, 106: 2, 52: 4, 26: 9},
    40: {484: 1, 242: 2, 106: 4, 52: 8, 26: 18},
    80: {996: 1, 484: 2, 242: 4, 106: 8, 52: 16, 26: 37},
    160: {1992: 1, 996: 2, 484: 4, 242: 8, 106: 16, 52: 32, 26: 74},
}
"""Resource units of each size in each width."""
TONE_HZ = 78_125.0
TRIGGER_BYTES, TRIGGER_USER_BYTES = 28, 5
BLOCK_ACK_BYTES, BLOCK_ACK_USER_BYTES = 22, 12
PREAMBLE_NS = 48_000
"""Of a trigger-based PPDU: 20 legacy, 4 RL-SIG, 8 HE-SIG-A, 8 HE-STF, 8 HE-LTF us."""
TRIGGER_MODE, ANSWER_MODE = CONTROL["ofdm6"], CONTROL["ofdm24"]


@lru_cache(maxsize=64)
def unit_rules(whole: Rules, width_mhz: int, tones: int) -> Rules:
    """Return the rules of one resource unit: its modes, one stream, the noise in its band."""
    modes = tuple(
        he_mode(
            index,
            tones=RU_TONES[tones],
            streams=1,
            interval_ns=mode.symbol_ns - 12_800,
            preamble_ns=PREAMBLE_NS,
        )
        for index, mode in enumerate(whole.modes)
    )
    share_db = float(decibel(tones * TONE_HZ / (1e6 * width_mhz)))
    return replace(whole, modes=modes, streams=1, noise_dbm=whole.noise_dbm + share_db)


@dataclass(slots=True, eq=False)
class _Upload:
    """A message up: ``tries`` of each packet that is not through, the short one last."""

    message: Message
    last_bytes: int
    tries: list[int]
    whole: bool = True
    lost: bool = False

    def frames(self, most: int, full_bytes: int) -> list[tuple[int, int]]:
        """(count, bytes) of the packets that go next, full ones first."""
        count = min(most, len(self.tries))
        ends = self.whole and count == len(self.tries)
        return [(count - ends, full_bytes), (int(ends), self.last_bytes)]


@dataclass(slots=True, eq=False)
class _Exchange:
    """An exchange: a trigger from ``start_ns`` on and users up, or one job down.

    Data from ``begin_ns`` to ``data_ns``, the answer to ``end_ns``.
    """

    start_ns: int
    trigger_ns: int
    begin_ns: int
    data_ns: int
    end_ns: int
    answer_ns: int
    listening: Listening
    users: list[tuple[_Upload, Link, int]] = field(default_factory=list)
    job: Single | Aggregate | None = None

    def devices(self) -> set[str]:
        """Whose messages are in it."""
        jobs = [] if self.job is None else [self.job]
        return {item.message.device for item in (*jobs, *(user[0] for user in self.users))}


class OfdmaCell(Calendar):
    """Devices and one access point that schedules; parameters as of ``WifiCell``."""

    def __init__(
        self,
        losses_db: Mapping[str, float],
        *,
        rules: Rules,
        width_mhz: int,
        up_dbm: float,
        down_dbm: float,
        radio: RadioPower,
        rng: np.random.Generator,
        blocks: Blocks | None = None,
    ) -> None:
        super().__init__(tuple(losses_db), radio=radio)
        self._rules = rules
        self._rng = rng
        self._width_mhz = width_mhz
        self._listening = Listening(rules, blocks)
        self._up_dbm = up_dbm - np.array(list(losses_db.values()), dtype=np.float64)
        self._powers_dbm = (up_dbm, down_dbm)
        self._numbers = {name: number for number, name in enumerate(losses_db)}
        down = self._listening.links(down_dbm - up_dbm + self._up_dbm)
        self._down = dict(zip(losses_db, down, strict=True))
        self._reached = dict(zip(losses_db, rules.reached(self._up_dbm).tolist(), strict=True))
        self._blocks = blocks
        self._units: dict[int, tuple[Listening, dict[str, Link]]] = {}
        self._awake = {name: Awake() for name in losses_db}
        self._uploads: list[_Upload] = []
        self._downloads: deque[Single | Aggregate] = deque()
        self._on_air: _Exchange | None = None
        self._planned = False
        self._free_ns = 0

    def messages(self) -> dict[int, Message]:
        """The messages that have not ended, by ticket."""
        return dict(self._messages)

    # What a driver makes happen.

    def _arrive(self, message: Message) -> None:
        awake = self._awake[message.device]
        awake.take(message)
        link = self._down[message.device]
        up = message.direction == "up"
        packets, last_bytes = (int(item) for item in self._rules.cut(message.size_bytes))
        message.packets = packets
        if not (self._reached[message.device] if up else link.reached):
            awake.rest(message, self.now_ns)
            self._end(message, "below_sensitivity")
            return
        if up:
            self._uploads.append(_Upload(message, last_bytes, [0] * packets))
        else:
            self._downloads.append(self._listening.job(message, link))
        self._plan()

    def _withdraw(self, message: Message) -> None:
        self._uploads = [item for item in self._uploads if item.message is not message]
        self._downloads = deque(item for item in self._downloads if item.message is not message)
        end_ns, air = self.now_ns, self._on_air
        if air is not None:
            if any(item.message is message for item, _, _ in air.users):
                air.users = [user for user in air.users if user[0].message is not message]
                heard_ns = min(air.trigger_ns, self.now_ns - air.start_ns)
                self._charge(message, air, min(self.now_ns, air.data_ns), heard_ns)
            elif air.job is not None and air.job.message is message:
                air.job = None
                self._charge(message, air, min(self.now_ns, air.data_ns), 0)
            elif message.device in air.devices():
                end_ns = air.start_ns  # its other message is charged when that ends
        self._awake[message.device].rest(message, end_ns)

    def _relink(self, device: str, loss_db: float) -> None:
        number, (up_dbm, down_dbm) = self._numbers[device], self._powers_dbm
        self._up_dbm[number] = up_dbm - loss_db
        here_dbm = self._up_dbm[number : number + 1]
        self._reached[device] = bool(self._rules.reached(here_dbm)[0])
        below_dbm = down_dbm - up_dbm + here_dbm
        (self._down[device],) = self._listening.links(below_dbm, first=number)
        for listening, links in self._units.values():
            (links[device],) = listening.links(here_dbm, first=number)

    # One exchange after another.

    def _plan(self) -> None:
        if not self._planned and (self._uploads or self._downloads):
            self._planned = True
            self._at(max(self.now_ns, self._free_ns), self._begin)

    def _begin(self, _: None) -> None:
        if not self._uploads and not self._downloads:
            self._planned = False
            return
        self._note("begin", "station")
        up = bool(self._uploads)
        if up and self._downloads:
            up = self._uploads[0].message.ready_ns <= self._downloads[0].message.ready_ns
        air = self._on_air = self._trigger() if up else self._download(self._downloads[0])
        self._at(air.data_ns, self._settle, air)

    def _trigger(self) -> _Exchange:
        rules, now_ns = self._rules, self.now_ns
        tones = self._choose_unit()
        listening, links = self._unit(tones)
        waiting = self._first_of_each_device()[: UNITS[self._width_mhz][tones]]
        trigger_ns = TRIGGER_MODE.frame_ns(TRIGGER_BYTES + TRIGGER_USER_BYTES * len(waiting))
        answer_ns = ANSWER_MODE.frame_ns(BLOCK_ACK_BYTES + BLOCK_ACK_USER_BYTES * len(waiting))
        begin_ns = now_ns + trigger_ns + rules.sifs_ns
        users, longest_ns = [], 0
        for upload in waiting:
            message = upload.message
            link = links[message.device]
            frames = upload.frames(link.exchange.frames, rules.full_bytes)
            longest_ns = max(longest_ns, link.exchange.data_ns(frames))
            users.append((upload, link, sum(count for count, _ in frames)))
            self._note("send", message.device)
        data_ns = begin_ns + longest_ns
        end_ns = data_ns + rules.sifs_ns + answer_ns
        return _Exchange(
            now_ns, trigger_ns, begin_ns, data_ns, end_ns, answer_ns, listening, users=users
        )

    def _first_of_each_device(self) -> list[_Upload]:
        first: dict[str, _Upload] = {}
        for upload in self._uploads:
            first.setdefault(upload.message.device, upload)
        return list(first.values())

    def _choose_unit(self) -> int:
        waiting = len(self._first_of_each_device())
        units = UNITS[self._width_mhz]
        return next((tones for tones, count in units.items() if count >= waiting), min(units))

    def _unit(self, tones: int) -> tuple[Listening, dict[str, Link]]:
        """Receivers and links of one size of RU: its modes, and the noise in its band."""
        if tones not in self._units:
            listening = Listening(unit_rules(self._rules, self._width_mhz, tones), self._blocks)
            links = listening.links(self._up_dbm)
            self._units[tones] = listening, dict(zip(self.devices, links, strict=True))
        return self._units[tones]

    def _download(self, job: Single | Aggregate) -> _Exchange:
        link = self._down[job.message.device]
        if link is not job.link:
            self._listening.relink(job, link)
        exchange = link.exchange
        data_ns = self.now_ns + job.compose()
        self._note("send", "station")
        bare = job.count == 1 and not job.request
        answer_ns = exchange.ack_ns if bare else exchange.block_ack_ns
        end_ns = data_ns + self._rules.sifs_ns + answer_ns
        now_ns = self.now_ns
        return _Exchange(now_ns, 0, now_ns, data_ns, end_ns, answer_ns, self._listening, job=job)

    def _settle(self, air: _Exchange) -> None:
        rules = self._rules
        self._on_air = None
        for upload, link, count in air.users:
            self._settle_upload(air, upload, link, count)
        if air.job is not None:
            self._settle_download(air, air.job)
        backoff = int(self._rng.random() * (rules.cw_min + 1))
        self._free_ns = air.end_ns + rules.ifs_ns + backoff * rules.slot_ns
        self._planned = False
        self._plan()

    def _settle_upload(self, air: _Exchange, upload: _Upload, link: Link, count: int) -> None:
        message = upload.message
        message.attempts += count
        self._charge(message, air, air.data_ns, air.trigger_ns + air.answer_ns)
        heard, snr_db = air.listening.strongest([link], air.begin_ns)
        sent, rest = upload.tries[:count], upload.tries[count:]
        curves = air.listening.curves
        ends = upload.whole and not rest
        last_row = curves.row(link.exchange.mode.name, upload.last_bytes)
        failed = []
        for place, tries in enumerate(sent):
            is_last = ends and place == count - 1
            per = 1.0 if heard is None else curves.one(last_row if is_last else link.row, snr_db)
            if per > 0 and self._rng.random() < per:
                if tries + 1 < self._rules.retry_limit:
                    failed.append(tries + 1)
                    continue
                upload.lost = True
            if is_last:
                upload.whole = False
        upload.tries = failed + rest
        if not upload.tries or (upload.lost and self._rules.abort):
            self._uploads.remove(upload)
            self._finish(message, air, lost=upload.lost)

    def _settle_download(self, air: _Exchange, job: Single | Aggregate) -> None:
        message = job.message
        message.attempts += job.count
        heard, snr_db = air.listening.strongest([job.link], air.begin_ns)
        arrived = 0
        if heard is not None:
            curves = air.listening.curves
            arrived = job.heard(lambda row: curves.one(row, snr_db), self._rng.random)
        self._charge(message, air, air.data_ns, air.answer_ns if arrived else 0)
        if not arrived:
            job.missed()
        if job.done:
            self._downloads.popleft()
            self._finish(message, air, lost=job.lost)

    def _charge(self, message: Message, air: _Exchange, until_ns: int, heard_ns: int) -> None:
        """The data were on air until ``until_ns``; the other side, for ``heard_ns`` in all."""
        air_ns = max(0, until_ns - air.begin_ns)
        if air_ns and message.start_ns is None:
            message.start_ns = air.begin_ns
        message.air_ns += air_ns
        self._awake[message.device].spend(message, air_ns, heard_ns)

    def _finish(self, message: Message, air: _Exchange, *, lost: bool) -> None:
        self._awake[message.device].rest(message, air.end_ns)
        self._end(message, "retry_limit" if lost else "delivered")


def run_cells(
    cell_of: Callable[[dict[str, float], Blocks | None], OfdmaCell],
    losses_db: npt.NDArray[np.float64],
    sizes_bytes: npt.NDArray[np.int64],
    ready_ns: npt.NDArray[np.int64],
    *,
    cells: npt.NDArray[np.int64],
    blocks: Blocks | None,
) -> Outcomes:
    """Run the calendar of each cell in turn: what is scheduled costs little.

    ``cell_of`` builds one from losses by device and its blocks.
    """
    names = [item.name for item in fields(Outcomes)]
    columns = {name: np.zeros(len(cells), dtype=np.int64) for name in names}
    columns["ready_ns"] = ready_ns
    order = np.lexsort((ready_ns, cells))
    for rows in np.split(order, np.flatnonzero(np.diff(cells[order])) + 1):
        if len(rows) == 0:
            continue
        losses = {str(row): float(losses_db[row]) for row in rows.tolist()}
        cell = cell_of(losses, None if blocks is None else _SomeBlocks(blocks, rows))
        row_of = {}
        for row in rows.tolist():
            row_of[cell.submit(str(row), int(sizes_bytes[row]), int(ready_ns[row]))] = row
        messages = cell.messages()
        for ticket, delivery in cell.advance(None):
            row, message = row_of[ticket], messages[ticket]
            columns["reason"][row] = CODES[delivery.reason]
            columns["start_ns"][row] = to_ns(delivery.start_s)
            columns["finish_ns"][row] = to_ns(delivery.finish_s)
            for name in ("packets", "attempts", "air_ns", "tx_ns", "rx_ns", "idle_ns"):
                columns[name][row] = getattr(message, name)
    kinds = {"reason": np.uint8, "packets": np.int32, "attempts": np.int32}
    return Outcomes(
        **{name: column.astype(kinds.get(name, np.int64)) for name, column in columns.items()}
    )


class _SomeBlocks:
    """The fading of some links, numbered from 0."""

    def __init__(self, blocks: Blocks, links: npt.NDArray[np.int64]) -> None:
        self._blocks, self._links = blocks, links

    @property
    def coherence_ns(self) -> int:
        return self._blocks.coherence_ns

    def gain(self, link: int, block: int) -> float:
        return self._blocks.gain(int(self._links[link]), block)

    def gains(
        self, links: npt.NDArray[np.int64], blocks: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        return self._blocks.gains(self._links[links], blocks)
