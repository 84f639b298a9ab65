import numpy as np
import pytest
from scipy.signal import resample_poly

from ecgfm.data.resample import resampled

RATES = [(500, 100), (500, 250), (257, 500), (1000, 100), (125, 100), (360, 500), (100, 500)]


def noise(leads: int = 12, length: int = 5000) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(leads, length)).astype(np.float32)


@pytest.mark.parametrize(("rate", "wanted"), RATES)
@pytest.mark.parametrize("length", [1, 7, 2570])
def test_scipys_filter(rate: int, wanted: int, length: int) -> None:
    """A signal that begins and ends at zero, where both have the same line to go on along."""
    signal = noise(length=length)
    signal[:, [0, -1]] = 0
    divisor = np.gcd(rate, wanted)
    expected = resample_poly(signal, wanted // divisor, rate // divisor, axis=1)
    found = resampled(signal, wanted / rate)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_a_line_stays_a_line(rate: int, wanted: int) -> None:
    found = resampled((3 + np.arange(10 * rate, dtype=np.float32) / rate)[None], wanted / rate)
    np.testing.assert_allclose(found, 3 + np.arange(10 * wanted)[None] / wanted, rtol=1e-5)


@pytest.mark.parametrize(("rate", "wanted"), RATES)
def test_what_both_rates_can_hold_is_kept(rate: int, wanted: int) -> None:
    frequency = 0.35 * min(rate, wanted)
    found = resampled(
        np.sin(2 * np.pi * frequency * np.arange(10 * rate)[None] / rate).astype(np.float32), wanted / rate
    )
    expected = np.sin(2 * np.pi * frequency * np.arange(10 * wanted)[None] / wanted)
    assert np.abs(found - expected)[:, wanted:-wanted].max() < 0.01


def test_what_the_slower_rate_cannot_hold_is_gone() -> None:
    found = resampled(np.sin(2 * np.pi * 70 * np.arange(5000)[None] / 500).astype(np.float32), 0.2)
    assert np.abs(found)[:, 100:-100].max() < 0.01


def test_a_lead_is_no_other_leads_business() -> None:
    one, other = noise(), noise()
    other[5:] *= 3
    np.testing.assert_array_equal(resampled(one, 0.2)[:5], resampled(other, 0.2)[:5])
