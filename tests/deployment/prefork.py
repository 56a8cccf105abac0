"""Processes forked from a template that has imported what they need.

    python prefork.py MODULE ...

The template reads a request a line and answers each: ``start`` a program with its output
in a file, or ``poll`` one. A child is a process of its own, with the modules that its
role loads and no other; what it is spared is their import, most of a short test's time.
"""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from pathlib import Path


def serve() -> None:
    for name in sys.argv[1:]:
        importlib.import_module(name)
    for line in sys.stdin:
        request = json.loads(line)
        if "poll" in request:
            pid, status = os.waitpid(request["poll"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        else:
            answer = os.fork()
            if not answer:
                become(request["start"], request["log"], request["cwd"])
                return
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def become(arguments: list[str], log: str, cwd: str) -> None:
    """Run the program as ``python`` would: its status is that of this process."""
    for number, path, flags in ((0, os.devnull, os.O_RDONLY), (1, log, os.O_WRONLY | os.O_CREAT)):
        opened = os.open(path, flags)
        os.dup2(opened, number)
        os.close(opened)
    os.dup2(1, 2)
    os.chdir(cwd)
    if arguments[0] == "-m":
        sys.argv, sys.path[0] = arguments[1:], cwd
        runpy.run_module(arguments[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv, sys.path[0] = arguments, str(Path(arguments[0]).parent)
        runpy.run_path(arguments[0], run_name="__main__")


if __name__ == "__main__":
    serve()
