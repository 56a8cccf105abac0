"""Error models of reception against ns-3.37, Sionna and closed forms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt

from channel_sim.reception import (
    bler,
    lowest_snr_db,
    oqpsk_ber,
    oqpsk_per,
    psk_ber,
    psk_ber_rayleigh,
    qam_ber,
    sinr_chunks,
    success_by_ber,
    threshold_db,
    wifi_per,
)

LONG_PER, SHORT_PER = (0.9, 0.5, 0.1, 0.01, 0.001), (0.5, 0.1, 0.01)
NS3 = "ns-3.37, measured; oracles.md 3.5"
# SNR in dB at LONG_PER of 1500 bytes, at SHORT_PER of 32 bytes.
WIFI = """
dsss1 -4.45 -3.85 -3.00 -2.15 -1.45 -6.20 -4.90 -3.65
dsss2 .05 .75 1.65 2.60 3.35 -2.00 -.45 .95
cck5.5 2.70 3.35 4.15 5.05 5.75 .80 2.25 3.50
cck11 5.70 6.35 7.20 8.05 8.75 3.85 5.25 6.50
ofdm9 1.70 2.25 3.05 3.90 4.60 .10 1.30 2.45
he0 -.20 .35 .95 1.60 2.20 -1.30 -.35 .50
he1 2.80 3.35 3.95 4.65 5.25 1.70 2.65 3.50
he2 5.25 5.80 6.45 7.15 7.85 4.20 5.15 6.00
he3 8.35 8.95 9.75 10.50 11.35 6.95 8.10 9.15
he4 11.55 12.05 12.85 13.60 14.40 10.20 11.30 12.25
he5 15.60 16.25 17.10 18.00 18.90 14.10 15.35 16.45
he6 16.95 17.55 18.40 19.35 20.20 15.45 16.65 17.80
he7 18.20 18.85 19.65 20.55 21.40 16.85 18.10 19.35
he8 22.10 22.80 23.75 24.80 25.75 20.40 21.75 23.00
he9 23.65 24.30 25.20 26.20 27.00 22.05 23.30 24.50
he10 30.85 31.55 32.45 33.35 34.10 28.90 30.40 31.75
he11 32.80 33.50 34.35 35.25 36.00 30.95 32.35 33.65
"""
MCS7 = ((18, 0.98075), (18.5, 0.7492), (19, 0.3453), (19.5, 0.1267), (20, 0.0365))
MCS7 += ((20.5, 0.0103), (21, 0.0028))
NIST = (4.0, 7.0, 9.9, 13.55, 16.65, 21.4, 22.65, 23.8, 28.5, 29.75, 34.35, 35.6)
YANS = (1.1, 4.1, 7.0, 10.5, 13.7, 18.15, 19.65, 21.4)
# oracles.md 3.4: by SNR in dB, PER of 20, 40, 100, 127 bytes.
OQPSK = {
    -2.0: (0.566, 0.811, 0.985, 0.995),
    -1.0: (0.168, 0.308, 0.601, 0.689),
    -0.5: (0.0708, 0.1366, 0.3073, 0.3727),
    0.0: (0.0255, 0.0504, 0.1212, 0.1514),
    0.5: (0.00787, 0.01568, 0.03874, 0.04894),
    1.0: (0.00206, 0.00412, 0.01028, 0.01303),
}
LTE = (-7.05, -6.1, -5.6, -4.45, -3.4, -2.4, -1.45, -0.3, 0.75, 1.55, 3.8, 3.85, 4.6, 5.6, 6.5)
LTE += (7.45, 8.4, 10.1, 10.4, 11.25, 12.3, 13.3, 14.25, 15.2, 16.1, 17.05, 17.85, 19.0, 19.7)
# Sionna 2.2.0, PDSCH_table1.json: MCS, bits, SNR in dB, BLER; all points of 500
# and 1000 bits between 5 and 95 % of these MCS.
SIONNA = (
    *((3, 500, -3.2143, 0.74714), (3, 1000, -3.2143, 0.865)),
    *((8, 500, 2.1429, 0.43167), (8, 1000, 2.1429, 0.37214)),
    *((11, 500, 3.9286, 0.40385), (11, 1000, 3.9286, 0.42333)),
    *((20, 500, 11.0714, 0.71125), (20, 1000, 11.0714, 0.81429)),
    *((24, 500, 14.6429, 0.85167), (24, 1000, 14.6429, 0.91833)),
    (28, 500, 18.2143, 0.86833),
)
# The same of 100 bits, two points and more per MCS.
SIONNA_SHORT = (
    *((3, 100, -3.2143, 0.62222), (3, 100, -1.4286, 0.023)),
    *((16, 100, 7.5, 0.84833), (16, 100, 9.2857, 0.14533)),
    *((20, 100, 9.2857, 0.975), (20, 100, 11.0714, 0.544), (20, 100, 12.8571, 0.04067)),
    *((24, 100, 12.8571, 0.97667), (24, 100, 14.6429, 0.60556), (24, 100, 16.4286, 0.08633)),
)
NR_BITS, MIDDLE_BITS = 1000, 500
"""Too near to 1000 bits to be drawn as well."""
CHUNK_RUNS = 100_000


def _claim(claim: str, ours: float, oracle: float, tolerance: float, unit: str, source: str) -> Any:
    return {
        "claim": claim,
        "ours": ours,
        "oracle": oracle,
        "tolerance": tolerance,
        "unit": unit,
        "source": source,
        "holds": bool(abs(ours - oracle) <= tolerance),
    }


def _wifi_claims() -> list[Any]:
    closed, tabled = [], []
    for line in WIFI.split("\n")[1:-1]:
        name, *words = line.split()
        sizes = [(per, 1500) for per in LONG_PER] + [(per, 32) for per in SHORT_PER]
        errors = [
            lowest_snr_db(name, per, size) - float(word)
            for (per, size), word in zip(sizes, words, strict=True)
        ]
        free = not name.startswith("he") or int(name[2:]) > 9
        (closed if free else tabled).extend(errors)
    mcs7 = [lowest_snr_db("ht7", per, 1500) - snr_db for snr_db, per in MCS7]
    nist = [lowest_snr_db(f"he{m}", 0.1, 1500, "ns3_nist") - x for m, x in enumerate(NIST)]
    yans = [lowest_snr_db(f"ht{m}", 0.1, 1500, "yans") - x for m, x in enumerate(YANS)]
    return [
        _claim(f"Wi-Fi {words}, largest distance", float(np.abs(errors).max()), 0, 0.1, "dB", NS3)
        for words, errors in (
            ("DSSS, CCK, 9 Mbit/s, HE 10-11 in closed form, 56 points", closed),
            ("MCS 0-9 at the 80 points of the table", tabled),
            ("MCS 7 at 7 points beside the table", mcs7),
            ("NIST model at 10 %, 12 MCS", nist),
            ("YANS model at 10 %, 8 MCS", yans),
        )
    ]


def _apart_db(point: tuple[int, int, float, float]) -> float:
    """How far our waterfall is from a simulated point, in dB to the right."""
    mcs, bits, snr_db, error = point
    grid_db = snr_db + np.linspace(-3, 3, 6001)
    errors = bler(mcs, grid_db, table="nr1", code_block_bits=bits)
    return float(grid_db[np.argmax(errors <= error)]) - snr_db


def _block_claims() -> list[Any]:
    lte = threshold_db(np.arange(29), table="lte") - np.array(LTE)
    sionna = "Sionna 2.2.0, sys/bler_tables/PDSCH_table1.json"
    return [
        _claim(
            "LTE 10 % SNR of 29 MCS, largest distance (they are our table)",
            *(float(np.abs(lte).max()), 0, 1e-9, "dB", "ns-3.37 MIESM; oracles.md 3.6"),
        ),
        *(
            _claim(
                f"NR blocks of {words} at {len(points)} simulated points, largest distance",
                *(max(abs(_apart_db(point)) for point in points), 0, tolerance, "dB", sionna),
            )
            for words, points, tolerance in (
                ("500 and 1000 bits", SIONNA, 0.2),
                ("100 bits", SIONNA_SHORT, 0.6),
            )
        ),
    ]


def _chunk_claim(runs: int) -> Any:
    """Every bit of every frame drawn with the SINR of who is on air in it."""
    rng = np.random.default_rng(15)
    bit_ns, bits, noise = 4000, 480, 0.25
    starts, ends, powers = np.array([[100, 200], [250, 900], [0.9, 0.4]])
    now = np.arange(bits)[:, np.newaxis]
    heard = (((starts <= now) & (now < ends)) * powers).sum(axis=1)
    wrong = oqpsk_ber(1 / (noise + heard))
    alive = sum(
        int((rng.random((1000, bits)) >= wrong).all(axis=1).sum()) for _ in range(runs // 1000)
    )
    ours = success_by_ber(
        *sinr_chunks(
            *(0, bits * bit_ns, 1.0),
            interferer_start_ns=starts * bit_ns,
            interferer_end_ns=ends * bit_ns,
            interferer_power_mw=powers,
            noise_mw=noise,
        ),
        rate_bps=250e3,
        ber=oqpsk_ber,
    )
    three_sigma = 3 * float(np.sqrt(ours * (1 - ours) / runs))
    return _claim(
        "802.15.4 frame through two interferers by chunks, against bit by bit",
        *(ours, alive / runs, three_sigma, "success", f"{runs} frames drawn here, 3 sigma"),
    )


def figures(*, quick: bool = False) -> dict[str, Any]:
    """Compare all error models with their oracles."""
    oqpsk = max(
        float(abs(oqpsk_per(snr_db, size) / per - 1))
        for snr_db, row in OQPSK.items()
        for size, per in zip((20, 40, 100, 127), row, strict=True)
    )
    closed = "oracles.md 3.1"
    claims = [
        *_wifi_claims(),
        _claim(
            "O-QPSK PER at 24 points, largest relative distance",
            *(oqpsk, 0, 0.005, "", "ns-3.37; oracles.md 3.4, three digits"),
        ),
        *_block_claims(),
        _chunk_claim(10_000 if quick else CHUNK_RUNS),
        _claim("BPSK at 8 dB", float(psk_ber(10**0.8)), 1.909e-4, 5e-8, "BER", closed),
        _claim("BPSK, Rayleigh, 10 dB", float(psk_ber_rayleigh(10)), 0.023269, 5e-7, "BER", closed),
        _claim("64-QAM at 10 dB", float(qam_ber(10, 64)), 2.653e-2, 5e-6, "BER", closed),
    ]
    return {"claims": claims, "curves": _curves()}


def _curves() -> dict[str, Any]:
    wifi_db, oqpsk_db, nr_db = (
        np.linspace(*ends, 301) for ends in ((-3, 38), (-2.5, 1.5), (-5, 22))
    )
    rows = [line.split() for line in WIFI.split("\n")[1:-1] if line.startswith("he")]
    return {
        "wifi_snr_db": wifi_db.tolist(),
        "wifi": {name: wifi_per(name, wifi_db, 1500).tolist() for name, *_ in rows},
        "wifi_oracle": {name: [float(word) for word in words[:5]] for name, *words in rows},
        "oqpsk_snr_db": oqpsk_db.tolist(),
        "oqpsk": {size: oqpsk_per(oqpsk_db, size).tolist() for size in (20, 40, 100, 127)},
        "nr_snr_db": nr_db.tolist(),
        "nr": [
            {
                "mcs": mcs,
                "bits": bits,
                "ours": bler(mcs, nr_db, table="nr1", code_block_bits=bits).tolist(),
                "oracle": [point[2:] for point in points if point[:2] == (mcs, bits)],
            }
            for points in (SIONNA, SIONNA_SHORT)
            for mcs, bits in sorted({point[:2] for point in points})
            if bits != MIDDLE_BITS
        ],
    }


def draw(figures: dict[str, Any], path: Path) -> None:
    """Draw Wi-Fi, 802.15.4 and NR error rates over SNR: lines ours, markers the oracles."""
    curves = figures["curves"]
    figure, (wifi, oqpsk, nr) = plt.subplots(
        1, 3, figsize=(12, 3.8), width_ratios=(2, 1.1, 1.3), layout="constrained"
    )
    colours = plt.get_cmap("viridis")(np.linspace(0, 0.9, 12))
    for colour, (name, pers) in zip(colours, curves["wifi"].items(), strict=True):
        wifi.semilogy(curves["wifi_snr_db"], pers, color=colour, label=f"MCS {name[2:]}")
        wifi.plot(curves["wifi_oracle"][name], LONG_PER, "o", color=colour, ms=3.5)
    wifi.set(
        title="802.11 HE, 1500 bytes (markers: ns-3.37)",
        xlabel="SNR (dB)",
        ylabel="PER",
        xlim=(-14, 38),
    )
    wifi.legend(fontsize=6.5, loc="lower left")
    for index, (size, pers) in enumerate(curves["oqpsk"].items()):
        (line,) = oqpsk.semilogy(curves["oqpsk_snr_db"], pers, label=f"{size} bytes")
        points = [row[index] for row in OQPSK.values()]
        oqpsk.plot(list(OQPSK), points, "o", color=line.get_color(), ms=4)
    oqpsk.set(title="802.15.4 (markers: ns-3.37)", xlabel="SNR (dB)", ylabel="PER")
    oqpsk.legend(fontsize=7)
    for curve in curves["nr"]:
        style, marker = ("-", "o") if curve["bits"] == NR_BITS else ("--", "s")
        colour = plt.get_cmap("viridis")(curve["mcs"] / 31)
        label = f"MCS {curve['mcs']}, {curve['bits']} bits"
        nr.semilogy(curves["nr_snr_db"], curve["ours"], style, color=colour, label=label)
        nr.plot(*zip(*curve["oracle"], strict=True), marker, color=colour, ms=4, ls="")
    nr.set(title="NR table 1 (markers: Sionna)", xlabel="SNR (dB)", ylabel="BLER", xlim=(-26, 22))
    nr.legend(fontsize=6.5, loc="lower left")
    for axes in (wifi, oqpsk, nr):
        axes.set_ylim(7e-4, 1.15)
        axes.grid(alpha=0.3, which="both")
    figure.savefig(path)
    plt.close(figure)
