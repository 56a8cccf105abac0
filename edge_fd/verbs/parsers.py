"""The options of each verb; imports nothing but argparse, for every verb starts here."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TypeAlias

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"  # noqa: SLF001


def add_verbs(verbs: Verbs) -> None:
    """Add the parser of each verb, in the order of the help."""
    _demo(verbs)
    _methods(verbs)
    _run(verbs)
    _sweep(verbs)
    _export(verbs)
    _serve(verbs)
    _device(verbs)
    _report(verbs)
    _channel(verbs)


def _add(verbs: Verbs, name: str, text: str, example: str) -> argparse.ArgumentParser:
    return verbs.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example: {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _demo(verbs: Verbs) -> None:
    parser = _add(
        verbs,
        "demo",
        "Run a small deployment on this machine, simulate a larger one, compare methods.",
        "edge-fd demo --out runs/demo",
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder of the demo")
    parser.add_argument("--broker", default="auto", help="auto, mosquitto, amqtt or a URL")


def _run(verbs: Verbs) -> None:
    parser = _add(
        verbs,
        "run",
        "Simulate a scenario: same methods, same bytes, modelled radio and time.",
        "edge-fd run scenario.toml --devices 20 --method local,fd,fedmd,dsfl --seeds 3",
    )
    parser.add_argument("scenario", type=Path, help="scenario file (TOML)")
    _common(parser)
    parser.add_argument(
        "--radio", metavar="PRESET",
        help="another radio than the scenario's: a preset (edge-fd channel), ideal or fdma",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument(
        "--method", help="one or more methods, with commas between (default: the scenario's)"
    )
    parser.add_argument(
        "--seeds", type=int, default=None, help="run this many seeds from the scenario's on"
    )
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N",
        help="spread the devices' computing over N processes; the results are the same bits",
    )  # fmt: skip
    parser.add_argument(
        "--backend", default="processes",
        help="where they run: processes (here), or a ray or dask cluster that is there",
    )  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print the summaries as JSON lines")


def _sweep(verbs: Verbs) -> None:
    parser = _add(
        verbs,
        "sweep",
        "Simulate every combination of some keys, methods and seeds; what is complete is kept.",
        "edge-fd sweep scenario.toml --grid rounds.participation=0.5,1 --method fd,fedmd --seeds 3",
    )
    parser.add_argument("scenario", type=Path, help="scenario file (TOML)")
    _common(parser)
    parser.add_argument(
        "--grid", action="append", default=[], metavar="KEY=VALUE,VALUE",
        help="a key of the scenario and its values; give it again for another key, for example"
        " method.fd.gamma=0.1,1 or channel.preset=wifi_n_home,zigbee or devices=5,20",
    )  # fmt: skip
    parser.add_argument(
        "--method", help="one or more methods, with commas between (default: the scenario's)"
    )
    parser.add_argument(
        "--seeds", type=int, default=None, help="run this many seeds from the scenario's on"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes at once (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder of the runs")
    parser.add_argument("--dry-run", action="store_true", help="print the cells and run nothing")


def _methods(verbs: Verbs) -> None:
    parser = _add(
        verbs,
        "methods",
        "List the methods: what each needs and sends; with a scenario, what it would cost there.",
        "edge-fd methods scenario.toml --method fd,fedmd --codec uint8",
    )
    parser.add_argument(
        "scenario", type=Path, nargs="?", help="scenario file (TOML): forecast its bytes"
    )
    _common(parser)
    parser.add_argument("--method", help="these methods only, with commas between")
    parser.add_argument("--codec", help="another codec than the scenario's")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--devices", type=int, help="this many devices, each group in its share")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="replace a key of the scenario, for example rounds.count=5",
    )  # fmt: skip


def _export(verbs: Verbs) -> None:
    parser = _add(
        verbs,
        "export",
        "Write the bundles and data files that boards need.",
        "edge-fd export scenario.toml --out kit",
    )
    parser.add_argument("scenario", type=Path, help="scenario file (TOML)")
    _common(parser)
    parser.add_argument("--method", help="a method instead of the scenario's")
    parser.add_argument("--out", type=Path, default=Path("kit"), help="folder of the kit")


def _serve(verbs: Verbs) -> None:
    parser = _add(
        verbs,
        "serve",
        "Run the aggregator, with a broker of its own or an external one.",
        "edge-fd serve scenario.toml --out runs/live --broker mqtt://192.0.2.7:1883",
    )
    parser.add_argument("scenario", type=Path, help="scenario file (TOML)")
    _common(parser)
    parser.add_argument("--method", help="a method instead of the scenario's")
    parser.add_argument("--out", type=Path, default=Path("runs/live"), help="run folder")
    parser.add_argument("--bundles", type=Path, help="folder of exported bundles (KIT/bundles)")
    parser.add_argument("--broker", default="auto", help="auto, mosquitto, amqtt or a URL")
    parser.add_argument(
        "--port", type=int, default=0, help="port of an own broker (default: a free one)"
    )
    parser.add_argument("--ca-file", help="CA certificate of an mqtts:// broker")


def _device(verbs: Verbs) -> None:
    parser = _add(
        verbs,
        "device",
        "Take part in a run as a device: learn and predict with ONNX Runtime, publish over MQTT.",
        "edge-fd device --bundle mlp.efdb --data board.npz --name pi-07 --broker mqtt://192.0.2.7:1883",
    )
    parser.add_argument("--bundle", type=Path, required=True, help="the student (.efdb)")
    parser.add_argument("--data", type=Path, required=True, help="this device's samples (.npz)")
    parser.add_argument("--name", required=True, help="name of this device in the run")
    parser.add_argument("--broker", default="mqtt://localhost:1883", help="URL of the broker")
    parser.add_argument("--run", help="name of the run (default: the bundle's)")
    parser.add_argument("--state", type=Path, help="state folder (default: state/NAME)")
    parser.add_argument("--ca-file", help="CA certificate of an mqtts:// broker")


def _report(verbs: Verbs) -> None:
    parser = _add(
        verbs,
        "report",
        "Compare runs: a table here, and one HTML file that opens offline.",
        "edge-fd report runs/demo/* --out report.html",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="run folders")
    parser.add_argument("--out", type=Path, default=Path("report.html"), help="the HTML file")


def _channel(verbs: Verbs) -> None:
    parser = _add(
        verbs,
        "channel",
        "What a radio does to a message: loss, rate, latency and energy over distance, alone and"
        " in a crowd.",
        "edge-fd channel zigbee --distance 1:200 --payload 400 --devices 1:100 --out zigbee.svg",
    )
    parser.add_argument("preset", nargs="?", help="name of a preset (without: list them all)")
    parser.add_argument("--distance", default="1:1000", help="metres, as 1:2000 or 1,10,100")
    parser.add_argument("--payload", default="1kB", help="bytes of a message, as 40kB")
    parser.add_argument(
        "--over", choices=("raw", "mqtt", "mqtts"), default="raw",
        help="what the radio carries: the payload as it is, or in MQTT, (TLS 1.3,) TCP and IP",
    )  # fmt: skip
    parser.add_argument("--devices", default="1:50", help="crowds, as 1:100 or 5,20")
    parser.add_argument(
        "--within", type=_metres, metavar="M",
        help="crowds lie within so many metres (default: half as far as a lone message gets)",
    )  # fmt: skip
    parser.add_argument(
        "--jitter", type=_seconds, default=0.0, metavar="S",
        help="also let the devices start spread over so many seconds",
    )  # fmt: skip
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="replace a number of the preset, for example tx_power_dbm=10",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, default=0, help="seed of the crowds")
    parser.add_argument("--sources", action="store_true", help="print every number's source")
    parser.add_argument("--out", type=Path, help="write the picture (.svg, .png or .pdf)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")


def _metres(text: str) -> float:
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} must be above 0; give metres")
    return value


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is negative or no time; give seconds")
    return value
