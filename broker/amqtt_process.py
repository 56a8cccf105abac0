"""amqtt as a process of its own: ``python -m broker.amqtt_process PORT``.

Pure Python, so it is there wherever pip is, and weak: nothing survives its death.
It ends on SIGTERM.
"""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import signal
import sys


def found() -> bool:
    """Whether amqtt is installed."""
    return importlib.util.find_spec("amqtt") is not None


def command(port: int) -> list[str]:
    """Return the command line that starts it."""
    return [sys.executable, "-m", __name__, str(port)]


async def serve(port: int) -> None:
    """Serve on loopback until SIGTERM or SIGINT."""
    from amqtt.broker import Broker

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    broker = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {
                "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}
            },
        }
    )
    await broker.start()
    await stop.wait()
    await broker.shutdown()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(int(sys.argv[1])))
