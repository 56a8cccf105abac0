"""Mosquitto as a child: where it is, and its configuration for one run."""

from __future__ import annotations

import os
import pwd
import shutil
from pathlib import Path
from typing import Final

# Debian puts it into /usr/sbin, which is not on every user's PATH.
_EXTRA_PATH: Final = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")
_CONFIG: Final = """\
listener {port} 127.0.0.1
user {user}
allow_anonymous true
set_tcp_nodelay true
max_queued_messages 100000
max_packet_size 2000000
persistence true
persistence_location {folder}/
persistence_file broker.db
autosave_interval 10
autosave_on_changes false
log_dest stderr
log_type error
log_type warning
"""


def find() -> str | None:
    """Path of the mosquitto program, None where there is none."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_EXTRA_PATH))
    return shutil.which("mosquitto", path=path)


def command(program: str, folder: Path, port: int) -> list[str]:
    """Write the configuration into ``folder`` and return the command line.

    Loopback only. The state is saved every 10 s instead of every 30 minutes, not after
    each change: its fsync in the path of each message was measured to take a round trip
    from 0.4 to 12 ms, and the aggregator publishes its retained state anew whenever it
    connects. Started as root, mosquitto would become another user that cannot write into
    the folder, so it is told to stay.
    """
    user = pwd.getpwuid(os.geteuid()).pw_name
    config = folder / "mosquitto.conf"
    config.write_text(_CONFIG.format(port=port, user=user, folder=folder), encoding="utf-8")
    return [program, "-c", str(config)]
