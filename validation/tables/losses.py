"""Losses that others computed: label, our function, carrier, distances, dB, tolerance, source.

ns-3 columns: 3.37 without shadowing (docs/channel/oracles.md, 2.1) and the vectors of
ns-3's own test suite.
"""

from __future__ import annotations

from functools import partial

from channel_sim.propagation import (
    hata_db,
    inh_los_db,
    inh_nlos_db,
    p1238_db,
    rma_los_db,
    rma_nlos_db,
    uma_los_db,
    uma_nlos_db,
    umi_los_db,
    umi_nlos_db,
)

GRID_M = (10.0, 50.0, 100.0, 200.0, 500.0, 1000.0)
KM = (1000.0, 2000.0, 5000.0, 10_000.0)
RURAL_M = (10.0, 100.0, 1000.0, 5000.0)
NS3, NS3_TEST = "ns-3.37, oracles.md 2.1", "ns-3 three-gpp-propagation-loss-model-test-suite.cc"
ROWS = (
    # label, loss, carrier, distances, dB of the oracle, tolerance, source
    (
        "UMa LOS 2 GHz",
        uma_los_db,
        2e9,
        GRID_M,
        (64.979, 72.351, 78.277, 84.709, 96.885, 108.912),
        1e-3,
        NS3,
    ),
    (
        "UMa NLOS 2 GHz",
        uma_nlos_db,
        2e9,
        GRID_M,
        (74.554, 87.650, 98.177, 109.601, 125.055, 136.805),
        1e-3,
        NS3,
    ),
    (
        "UMa NLOS 0.8 GHz",
        uma_nlos_db,
        0.8e9,
        GRID_M,
        (66.595, 79.691, 90.218, 101.642, 117.096, 128.846),
        1e-3,
        NS3,
    ),
    (
        "UMi LOS 3.5 GHz",
        umi_los_db,
        3.5e9,
        GRID_M,
        (66.761, 79.090, 85.314, 91.611, 107.114, 119.153),
        1e-3,
        NS3,
    ),
    (
        "UMi NLOS 3.5 GHz",
        umi_nlos_db,
        3.5e9,
        GRID_M,
        (73.457, 94.181, 104.644, 115.229, 129.265, 139.889),
        1e-3,
        NS3,
    ),
    ("InH LOS 2.4 GHz", inh_los_db, 2.4e9, GRID_M[:3], (57.452, 69.402, 74.606), 1e-3, NS3),
    ("InH NLOS 2.4 GHz", inh_nlos_db, 2.4e9, GRID_M[:3], (65.393, 91.851, 103.371), 1e-3, NS3),
    ("InH NLOS 5.2 GHz", inh_nlos_db, 5.2e9, GRID_M[:3], (73.755, 100.212, 111.732), 1e-3, NS3),
    (
        "RMa LOS 5 GHz",
        rma_los_db,
        5e9,
        RURAL_M[:3],
        (77.3784, 87.2965, 108.5577),
        1e-4,
        NS3_TEST,
    ),
    (
        "RMa NLOS 5 GHz",
        rma_nlos_db,
        5e9,
        RURAL_M,
        (77.3784, 95.7718, 133.5223, 160.5169),
        1e-4,
        NS3_TEST,
    ),
    (
        "Hata urban 868 MHz",
        partial(hata_db, area="urban"),
        868e6,
        KM,
        (125.99, 136.60, 150.62, 161.22),
        0.02,
        NS3,
    ),
    (
        "Hata suburban 868 MHz",
        partial(hata_db, area="suburban"),
        868e6,
        KM,
        (116.15, 126.75, 140.77, 151.37),
        0.02,
        NS3,
    ),
    (
        "Hata open 868 MHz",
        partial(hata_db, area="open"),
        868e6,
        KM,
        (97.64, 108.25, 122.26, 132.87),
        0.02,
        "formula, oracles.md 2.1 (ns-3.37 is 0.71 dB off)",
    ),
    (
        "P.1238 office 2.4 GHz",
        partial(p1238_db, building="office"),
        2.4e9,
        (10.0,),
        (69.60,),
        0.01,
        NS3,
    ),
)
