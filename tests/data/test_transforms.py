import numpy as np
import pytest

from ecgfm.data.record import LEADS, Signal
from ecgfm.data.transforms import Frame, begins, fit, windows


def sine(rate: float, seconds: float, kind: type = np.int16, leads: tuple[str, ...] = LEADS) -> Signal:
    """5 Hz of 1 mV, a quarter turn later in each lead."""
    t = np.arange(round(rate * seconds)) / rate
    millivolts = np.stack([np.sin(2 * np.pi * 5 * t + LEADS.index(lead)) for lead in leads])
    gain, baseline = (1000.0, 7.0) if kind == np.int16 else (1.0, 0.0)
    samples = (millivolts * gain + baseline).astype(kind)
    return Signal("ecg", leads, rate, samples, (gain,) * len(leads), (baseline,) * len(leads))


def fitted(ecg: Signal, frame: Frame) -> tuple[np.ndarray, np.ndarray, int]:
    """Millivolts, leads and length."""
    out = np.zeros((12, frame.samples), np.int16)
    scale, offset, leads, length = fit(ecg, frame, 0.0, out)
    assert (out[:, length:] == 0).all()
    assert (out[~leads] == 0).all()
    return out * scale[:, None] + offset[:, None], leads, length


def test_samples_at_the_frames_rate_pass_untouched() -> None:
    ecg, out = sine(500.0, 10), np.zeros((12, 5000), np.int16)
    scale, offset, _, _ = fit(ecg, Frame(500, 10.0), 0.0, out)
    assert (out == ecg.samples).all()
    assert scale == pytest.approx([0.001] * 12)
    assert offset == pytest.approx([-0.007] * 12)


@pytest.mark.parametrize(
    ("rate", "seconds"), [(125, 2.5), (500, 2.001), (100, 1.1), (400, 1.1), (100, 2.2), (400, 2.2), (500, 2.0012)]
)
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_frames_of_no_whole_number_of_samples(rate: float, seconds: float, kind: type) -> None:
    ecg, frame = sine(rate, 10, kind), Frame(int(rate), seconds)
    millivolts, _, length = fitted(ecg, frame)
    assert length == frame.samples
    assert np.abs(millivolts - ecg.physical()[:, :length]).max() < 1e-4


@pytest.mark.parametrize("rate", [100.0, 257.0, 400.0, 1000.0])
@pytest.mark.parametrize("kind", [np.int16, np.float32])
def test_other_rates_are_resampled(rate: float, kind: type) -> None:
    millivolts, _, length = fitted(sine(rate, 10, kind), Frame(500, 10.0))
    expected = sine(500.0, 10, np.float32).samples
    assert length == 5000
    middle = slice(250, 4750)  # a filter has no samples beyond the ends
    assert np.abs(millivolts - expected)[:, middle].max() < 0.02


def test_floats_are_rounded_to_16_bits_of_their_lead() -> None:
    ecg = sine(500.0, 10, np.float32)
    ecg.samples[3] *= 1e-3
    millivolts, _, _ = fitted(ecg, Frame(500, 10.0))
    error = np.abs(millivolts - ecg.samples).max(axis=1)
    assert (error <= np.abs(ecg.samples).max(axis=1) / 65534 * 1.001).all()


def test_short_recordings_are_padded_and_missing_leads_are_absent() -> None:
    some = ("II", "V1")
    millivolts, leads, length = fitted(sine(500.0, 7, leads=some), Frame(500, 10.0))
    assert length == 3500
    assert [LEADS[i] for i in np.flatnonzero(leads)] == [*some]
    assert (millivolts[~leads] == 0).all()
    assert np.abs(millivolts[1, :3500]).max() > 0.9


def test_a_window_of_a_long_recording() -> None:
    ecg = sine(500.0, 60)
    ecg.samples[:] = np.arange(30_000) % 30_000  # says where it is
    for where, first in ((0.0, 0), (0.5, 12_500), (np.nextafter(1, 0), 25_000)):
        out = np.zeros((12, 5000), np.int16)
        frame = Frame(500, 10.0)
        fit(ecg, frame, begins(ecg, frame, float(where)), out)
        assert (out == np.arange(first, first + 5000)).all()


@pytest.mark.parametrize("seconds", [15.0, 30.0, 42.0])
def test_a_wave_is_seen_when_the_ecg_is(seconds: float) -> None:
    """Both say by their samples, which rise by 10 a second, where they are; the ECG's 30 s decide how many windows."""
    ecg, pulse = (
        Signal(
            kind, names, rate, (np.arange(round(rate * length)) * 10 / rate).astype(np.float32)[None], (1.0,), (0.0,)
        )
        for kind, names, rate, length in (("ecg", ("II",), 500.0, 30.0), ("ppg", ("ppg",), 125.0, seconds))
    )
    frame = Frame(500, 10.0)
    for number, (seen, others) in enumerate(windows(ecg, {"ppg": pulse}, frame)):
        there = min(max(seconds - 10 * number, 0.0), 10.0)
        _, scale, _, leads, length = others["ppg"]
        assert length == round(there * frame.of("ppg").rate)
        assert leads.tolist() == [there > 0]
        if there:
            assert others["ppg"][0][0, 0] * scale[0] == pytest.approx(seen[0][1, 0] * seen[1][1], abs=0.02)
    assert number == 2
