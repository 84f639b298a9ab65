import numpy as np
import pytest

from ecgfm.data.record import LEADS
from ecgfm.data.synthetic.leads import FIELD, INDEPENDENT, limb_axis, twelve


def test_limb_leads_owe_each_other_what_einthoven_and_goldberger_say():
    independent = np.random.default_rng(0).integers(-3000, 3000, (8, 500))
    lead: dict[str, np.ndarray] = dict(zip(LEADS, twelve(independent), strict=True))
    np.testing.assert_array_equal(lead["III"], lead["II"] - lead["I"])
    for name, exact in (
        ("aVR", -(lead["I"] + lead["II"]) / 2),
        ("aVL", lead["I"] - lead["II"] / 2),
        ("aVF", lead["II"] - lead["I"] / 2),
    ):
        assert np.abs(lead[name] - exact).max() <= 0.5
    for row, name in enumerate(INDEPENDENT):
        np.testing.assert_array_equal(lead[name], independent[row])


@pytest.mark.parametrize(("dipole", "angle"), [((1, 0, 0), 0), ((0, 1, 0), 90)])
def test_the_axis_of_a_dipole(dipole, angle):
    i, ii = FIELD[:2] @ dipole
    assert limb_axis(i, ii) == pytest.approx(angle, abs=25)  # a body is no circle
