from __future__ import annotations

import subprocess
import sys

import channel_sim


def test_every_exported_name_is_there_under_its_name() -> None:
    assert len(set(channel_sim.__all__)) == len(channel_sim.__all__)
    for name in channel_sim.__all__:
        assert getattr(channel_sim, name) is not None
    assert set(channel_sim.__all__) == set(channel_sim._HOME_OF)


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, channel_sim; print('numpy' in sys.modules, 'scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
