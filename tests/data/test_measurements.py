import numpy as np
import pytest

from ecgfm.data import measurements
from ecgfm.data.measurements import MEASUREMENTS, NAMES

BEAT = {"rr": 800, "p_onset": 40, "p_end": 150, "qrs_onset": 190, "qrs_end": 290, "t_end": 600}
WHOLE = {**BEAT, "p_axis": 61, "qrs_axis": -13, "t_axis": 35}


def maps(**values: float) -> dict[str, float]:
    columns = {name: np.array([{**WHOLE, **values}[name]], float) for name in MEASUREMENTS}
    return dict(measurements.maps(columns).to_pylist()[0])


def test_a_whole_set_gives_intervals_and_rate():
    found = maps()
    assert tuple(found) == NAMES
    assert {name: found[name] for name in WHOLE} == WHOLE
    assert (found["pr"], found["qrs"], found["qt"], found["hr"]) == (150, 100, 410, 75)


@pytest.mark.parametrize("sentinel", [29999, 32767, 65535, np.nan, 0, -29999])
@pytest.mark.parametrize(("name", "derived"), [("rr", {"hr"}), ("p_onset", {"pr"}), ("qrs_onset", {"pr", "qrs", "qt"})])
def test_what_was_not_measured_is_absent_with_what_depends_on_it(name: str, derived: set[str], sentinel: float):
    assert maps(**{name: sentinel}).keys() == set(NAMES) - {name} - derived


def test_an_axis_may_be_zero_or_negative_and_not_beyond_the_circle():
    assert maps(qrs_axis=0)["qrs_axis"] == 0
    assert maps(qrs_axis=-180)["qrs_axis"] == -180
    assert "qrs_axis" not in maps(qrs_axis=271)


def test_ends_before_starts_give_no_interval():
    assert "qrs" not in maps(qrs_end=180)


def test_rows_stay_apart():
    columns = {name: np.array([WHOLE[name], np.nan, WHOLE[name]], float) for name in MEASUREMENTS}
    columns["rr"][2] = 1000
    first, second, third = map(dict, measurements.maps(columns).to_pylist())
    assert (first["hr"], second, third["hr"]) == (75, {}, 60)
