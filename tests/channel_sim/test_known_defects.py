"""Defects published in other simulators, put into ours: a test that exists must catch each.

Every defect is a replacement of a text that occurs once, so that a rewrite of the
file cannot disarm it unseen. The named tests pass on our code and fail on the defect.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = ("channel_sim", "validation", "tests/channel_sim", "tests/conftest.py", "pyproject.toml")
"""What the named tests need of the project."""
LIBRARIES = ("pytest", "hypothesis.strategies", "numpy", "scipy.stats", "scipy.integrate", "simpy")


@dataclass(frozen=True, kw_only=True)
class Defect:
    """``ours`` in ``file`` of channel_sim becomes ``theirs``; ``caught_by`` test file and test."""

    name: str
    found_in: str
    file: str
    ours: str
    theirs: str
    caught_by: str


LORA = "test_lora_collisions.py::"

DEFECTS = (
    Defect(
        name="hertz-compared-with-kilohertz",
        found_in="LoRaSim frequencyCollision, LoRaEnergySim frequency_collision",
        file="lora/isolation.py",
        ours="apart_hz <= rule.guard_share * bandwidth_hz",
        theirs="apart_hz <= rule.guard_share * bandwidth_hz / 1000",
        caught_by=LORA + "test_channels_twenty_kilohertz_apart_meet",
    ),
    Defect(
        name="natural-logarithm",
        found_in="LoRaSim rev. 218: math.log in 10 gamma log(d / d0)",
        file="propagation/basic.py",
        ours="return reference_loss_db + 10 * exponent * np.log10(ratio)",
        theirs="return reference_loss_db + 10 * exponent * np.log(ratio)",
        caught_by="test_basic_loss.py::test_log_distance_gives_lorasims_edge_of_the_disc",
    ),
    # We invert no loss law; what is left of a reach is the way from decibels back to a ratio.
    Defect(
        name="decibels-undone-with-e",
        found_in="LoRaSim 0.2.1: cell radius e**((L - L0) / (10 gamma))",
        file="units.py",
        ours="np.power(10.0, np.asarray(value_db",
        theirs="np.power(np.e, np.asarray(value_db",
        caught_by="test_sinr.py::test_noise_is_that_of_the_table",
    ),
    Defect(
        name="outage-threshold-with-e",
        found_in="LoRaSim 0.2.1: cell radius e**((L - L0) / (10 gamma))",
        file="link.py",
        ours="return 10 ** ((self.required_snr_db",
        theirs="return 2.718281828 ** ((self.required_snr_db",
        caught_by="test_link.py::test_outage_is_the_rayleigh_closed_form",
    ),
    Defect(
        name="sensitivity-of-the-next-bandwidth",
        found_in="LoRaSim: column 2 (250 kHz) read for 125 kHz",
        file="lora/sensitivity.py",
        ours="zip(BANDWIDTHS_HZ, row, strict=True)",
        theirs="zip(BANDWIDTHS_HZ, row[1:] + row[:1], strict=True)",
        caught_by="test_lora_airtime.py::test_sensitivities_are_read_by_key",
    ),
    Defect(
        name="sensitivity-of-the-next-spreading-factor",
        found_in="LoRaSim: columns read by number; here the rows",
        file="lora/sensitivity.py",
        ours="zip(SPREADING_FACTORS, values_dbm, strict=True)",
        theirs="zip(SPREADING_FACTORS[1:] + SPREADING_FACTORS[:1], values_dbm, strict=True)",
        caught_by="test_lora_airtime.py::test_sensitivities_are_read_by_key",
    ),
    Defect(
        name="newcomer-flag-overwritten",
        found_in="LoRaSim rev. 218: the newcomer's collided flag is set to 0 on return",
        file="lora/collisions.py",
        ours="self._lost[late[power_late < to_late * power_early]] = True",
        theirs="self._lost[late] = False",
        caught_by=LORA + "test_a_newcomer_that_is_weak_loses_to_a_frame_on_air",
    ),
    Defect(
        name="newcomer-never-loses-in-the-calendar",
        found_in="LoRaSim rev. 218, in our other engine",
        file="lora/gateway.py",
        ours="frame.others.append(other)",
        theirs="frame.others = []",
        caught_by=LORA + "test_the_gateway_of_the_calendar_judges_as_brute_force[0-capture_6db]",
    ),
    Defect(
        name="frequency-for-bandwidth",
        found_in="LoRaSim MulBS: p2.freq == 500 should be bandwidth",
        file="lora/isolation.py",
        ours="rule.guard_share * bandwidth_hz)",
        theirs="rule.guard_share * centres_hz)",
        caught_by=LORA + "test_channels_twenty_kilohertz_apart_meet",
    ),
    Defect(
        name="error-built-but-not-raised",
        found_in="LoRaEnergySim COST231: ValueError without raise",
        file="checks.py",
        ours='raise ValueError(f"{key} = {_shown(value)} is outside',
        theirs='ValueError(f"{key} = {_shown(value)} is outside',
        caught_by="test_itu_loss.py::test_outside_hatas_range_is_an_error",
    ),
    Defect(
        name="station-height-not-looked-at",
        found_in="LoRaEnergySim COST231: branches on self.hb, which is None whatever is given",
        file="propagation/scene.py",
        ours="station_height_m=self.station_height_m or model.station_height_m,",
        theirs="station_height_m=model.station_height_m,",
        caught_by="test_propagation.py::test_mean_loss_is_the_models_own",
    ),
    Defect(
        name="shadowing-drawn-with-every-gain",
        found_in="LoRaEnergySim: path-loss noise drawn again per packet of a static node",
        file="fading/blocks.py",
        ours="return self.law.gain_from_uniforms(uniforms)",
        theirs="return self.law.gain_from_uniforms(uniforms) * 10 ** np.random.default_rng(0)"
        ".normal(0.0, 0.8, uniforms.shape[1:])",
        caught_by="test_propagation.py::test_a_static_link_varies_between_links_not_within",
    ),
    Defect(
        name="shadowing-drawn-with-every-frame",
        found_in="LoRaEnergySim: path-loss noise drawn again per packet of a static node",
        file="lora/columns.py",
        ours="np.asarray(tx_power_dbm - devices.loss_db[rows])",
        theirs="np.asarray(tx_power_dbm - devices.loss_db[rows])"
        " + np.random.default_rng(0).normal(0.0, 7.8, len(rows))",
        caught_by="test_lora_burst.py::test_without_chance_both_engines_agree_message_by_message",
    ),
    Defect(
        name="noise-figure-absent",
        found_in="LoRaEnergySim: SNR without the noise figure",
        file="rate.py",
        ours="10 * math.log10(bandwidth_hz) + noise_figure_db",
        theirs="10 * math.log10(bandwidth_hz)",
        caught_by="test_rate.py::test_thermal_noise_is_that_of_the_table",
    ),
    Defect(
        name="noise-figure-absent-in-a-family",
        found_in="LoRaEnergySim: SNR without the noise figure",
        file="lora/family.py",
        ours="noise_dbm(BANDWIDTH_HZ, self.noise_figure_db)",
        theirs="noise_dbm(BANDWIDTH_HZ, 0.0)",
        caught_by="test_lora_burst.py::test_adaptive_data_rate_chooses_by_loss",
    ),
    Defect(
        name="every-earlier-node-looked-at",
        found_in="LoRaSim: node placement in O(N^2)",
        file="places/placement.py",
        ours="return area.spread(rng.random((n, 2)))",
        theirs="places = area.spread(rng.random((n, 2)))\n"
        "    for late in range(n):\n"
        "        assert all(np.hypot(*(places[late] - place)) >= 0 for place in places[:late])\n"
        "    return places",
        caught_by="test_placement.py::test_work_of_placing_is_not_done_device_by_device",
    ),
    # Named in the survey of tools (channel.md 1.1).
    Defect(
        name="gain-with-the-wrong-sign",
        found_in="LoRaEnergySim issue 12",
        file="propagation/scene.py",
        ours="PathLosses(loss_db=loss_db - self.gains_db",
        theirs="PathLosses(loss_db=loss_db + self.gains_db",
        caught_by="test_propagation.py::test_a_drop_is_the_loss_in_its_state_plus_its_shadow",
    ),
    Defect(
        name="wrong-node-of-a-collision",
        found_in="LoRaEnergySim issue 12",
        file="lora/collisions.py",
        ours="self._lost[early[power_early < to_early * power_late]] = True",
        theirs="self._lost[late[power_early < to_early * power_late]] = True",
        caught_by=LORA + "test_collisions_are_those_of_brute_force[0-capture_6db]",
    ),
    Defect(
        name="aloha-matrix-of-the-wrong-sign",
        found_in="signetlabdei/lorawan issue 98",
        file="lora/isolation.py",
        ours="np.where(np.eye(6, dtype=np.bool_), value_db, -np.inf)",
        theirs="np.where(np.eye(6, dtype=np.bool_), -value_db, -np.inf)",
        caught_by=LORA + "test_collisions_are_those_of_brute_force[0-aloha]",
    ),
    Defect(
        name="no-interference-in-the-ratio",
        found_in="signetlabdei/lorawan issue 33: SNIR always infinite",
        file="lora/collisions.py",
        ours="self._rule.isolation[self._sf] * self._energy",
        theirs="self._rule.isolation[self._sf] * 0.0",
        caught_by=LORA + "test_collisions_are_those_of_brute_force[0-goursaud]",
    ),
    Defect(
        name="reference-distance-of-another-set",
        found_in="FLoRa issue 49: default d0 gave 9 % delivery",
        file="propagation/basic.py",
        ours="reference_distance_m: float = 1.0",
        theirs="reference_distance_m: float = 40.0",
        caught_by="test_basic_loss.py::test_log_distance_with_exponent_2_is_free_space",
    ),
    Defect(
        name="1024-for-1000",
        found_in="FLASH models/device.py: 1024 down, 1000 up",
        file="replay/speeds.py",
        ours='"kB/s": 8e3',
        theirs='"kB/s": 8 * 1024',
        caught_by="test_replay_curve_fit.py::"
        "test_speeds_are_log_normal_with_the_measured_mean_and_deviation",
    ),
    Defect(
        name="gaussian-speeds-without-the-negative",
        found_in="FLASH: one Gaussian draw per transfer, negatives drawn again",
        file="replay/speeds.py",
        ours="np.exp(middle + np.sqrt(spread) * rng.standard_normal((n, 2)))",
        theirs="np.abs(self.mean_bps[phone] + self.sigma_bps[phone] * rng.normal(size=(n, 2)))",
        caught_by="test_replay_curve_fit.py::"
        "test_speeds_are_log_normal_with_the_measured_mean_and_deviation",
    ),
    Defect(
        name="availability-one-period-per-call",
        found_in="FedScale client_metadata.py: the index lags after a jump in time",
        file="availability/trace.py",
        ours="        while self._edge_s(number) <= t_s:\n            number += 1\n",
        theirs="        if self._edge_s(number) <= t_s:\n            number += 1\n"
        "        number = min(number, getattr(self, '_seen', 0) + len(self._edges_s))\n"
        "        self._seen = number\n",
        caught_by="test_availability_laws.py::test_a_trace_is_that_of_a_scan_at_any_jump",
    ),
    Defect(
        name="one-bandwidth-for-both-directions",
        found_in="FedScale client_metadata.py",
        file="cell.py",
        ours='links("down", parameters.bandwidth_down_hz,',
        theirs='links("down", parameters.bandwidth_up_hz,',
        caught_by="test_cell.py::test_each_direction_has_its_own_bandwidth",
    ),
    Defect(
        name="terms-cut-to-whole-decibels",
        found_in="Mininet-WiFi mn_wifi/propagationModels.py",
        file="link.py",
        ours="return self.tx_power_dbm - self.path_loss_db - self.shadowing_db",
        theirs="return int(self.tx_power_dbm) - int(self.path_loss_db) - int(self.shadowing_db)",
        caught_by="test_link.py::test_the_chain_of_the_budget_adds_up",
    ),
    Defect(
        name="backoff-goes-down-in-busy-slots",
        found_in="DCF-NumPy-simulation",
        file="wifi/cell.py",
        ours="self._slot = slot + self._rules.after_slot",
        theirs="self._slot = slot + 1",
        caught_by="test_wifi_cell.py::"
        "test_the_first_slot_after_a_busy_period_is_for_who_has_just_sent",
    ),
    Defect(
        name="unknown-radio-is-the-first",
        found_in="ns3-fl: an unknown device falls into the else branch",
        file="energy/radio.py",
        ours='check_known("radio", name, table)',
        theirs="name = name if name in table else next(iter(table))",
        caught_by="test_radios.py::test_an_unknown_radio_is_met_with_the_nearest",
    ),
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, without compiled files: a defect may be as long as our text."""
    copy = tmp_path_factory.mktemp("project")
    for part in PARTS:
        if (ROOT / part).is_dir():
            no_cache = shutil.ignore_patterns("__pycache__", Path(__file__).name)
            shutil.copytree(ROOT / part, copy / part, ignore=no_cache)
        else:
            shutil.copy(ROOT / part, copy / part)
    return copy


@pytest.fixture
def defective(project: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """The copy with one defect put in, as long as the test runs."""
    defect: Defect = request.param
    path = project / "channel_sim" / defect.file
    text = path.read_text(encoding="utf-8")
    assert text.count(defect.ours) == 1, f"{defect.ours!r} is not once in {defect.file}; adapt it"
    path.write_text(text.replace(defect.ours, defect.theirs), encoding="utf-8")
    yield project
    path.write_text(text, encoding="utf-8")


class Lane:
    """Runs pytest in forks of one process that has loaded the libraries, and nothing of ours."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([*LIBRARIES])

    def run(self, project: Path, *tests: str) -> tuple[int, str]:
        """Return the exit status of pytest and what it said."""
        nodes = [f"tests/channel_sim/{test}" for test in tests]
        process = self._context.Process(target=_pytest, args=(str(project), nodes))
        process.start()
        process.join()
        assert process.exitcode is not None
        return process.exitcode, (project / "said.txt").read_text()


def _pytest(project: str, nodes: list[str]) -> None:
    said = os.open(Path(project, "said.txt"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    os.dup2(said, 1)
    os.dup2(said, 2)
    sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w")
    os.chdir(project)
    sys.path.insert(0, project)
    sys.dont_write_bytecode = True
    for name in [name for name in os.environ if name.startswith("PYTEST_")]:
        del os.environ[name]
    os.environ["HYPOTHESIS_PROFILE"] = "steady"
    # What is loaded already is not rewritten, and need not be.
    loaded = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    status = int(pytest.main(["-q", "-x", "-p", "no:cacheprovider", *loaded, *nodes]))
    home = str(sys.modules["channel_sim"].__file__)
    assert home.startswith(project), f"the tests ran on {home}"
    sys.exit(status)


@pytest.fixture(scope="module")
def lane() -> Lane:
    return Lane()


def test_ours_passes_what_the_defects_fail(project: Path, lane: Lane) -> None:
    """One test of each file: that they find in the copy what they need. The suite runs all."""
    tests = {defect.caught_by.partition("::")[0]: defect.caught_by for defect in DEFECTS}
    status, said = lane.run(project, *tests.values())
    assert status == 0, said


@pytest.mark.parametrize(
    ("defective", "caught_by"),
    [pytest.param(defect, defect.caught_by, id=defect.name) for defect in DEFECTS],
    indirect=["defective"],
)
def test_a_known_defect_is_caught(defective: Path, caught_by: str, lane: Lane) -> None:
    status, said = lane.run(defective, caught_by)
    assert status == pytest.ExitCode.TESTS_FAILED, said
    assert "NameError" not in said  # the defect itself, no slip in how it is put here
