"""Towers that were trained, exported, moved and loaded: what they make of a recording, however it is given."""

import shutil
from dataclasses import replace
from pathlib import Path

import batches
import labelled
import made
import numpy as np
import pytest
import torch
from jaxtyping import Float
from scipy.signal import resample_poly

import ecgfm
from ecgfm.data import transforms
from ecgfm.data.record import LEADS
from ecgfm.data.storage import Folder
from ecgfm.embedder import Embedder
from ecgfm.model import saved
from ecgfm.model.config import SIZES, TowerConfig
from ecgfm.model.pool import Project, Queries
from ecgfm.model.text import TextConfig
from ecgfm.model.towers import Towers
from ecgfm.run import Frame

FRAME = Frame(rate=100, seconds=4.0)


def card(towers: TowerConfig, **changes) -> saved.Card:
    return replace(saved.Card(towers, FRAME, "summary", True, 12, "0" * 64, 20), **changes)


def config(text: TextConfig | None = None, **pools) -> TowerConfig:
    return TowerConfig(heads=SIZES["tiny"], text=text, pools={"summary": Project("mean"), **pools})


@pytest.fixture(scope="module")
def ours(text_model: str, tmp_path_factory: pytest.TempPathFactory) -> Embedder:
    """With a text tower; the folder that it is loaded from stands where it was not written."""
    folder = tmp_path_factory.mktemp("written")
    text = shutil.copytree(text_model, folder / "t5")
    built = card(config(TextConfig(str(text))))
    torch.manual_seed(0)
    saved.write(Folder(str(folder / "run@1")), built, Towers(built.towers))
    shutil.copytree(folder / "run@1", moved := tmp_path_factory.mktemp("moved") / "run@1")
    shutil.rmtree(folder)
    return ecgfm.load(str(moved), "cpu")


def recording(number: int = 0, seconds: float = 4.0, rate: float = 100) -> Float[np.ndarray, "12 time"]:
    return made.ecg(number, seconds, rate).physical()


def close(one, other) -> bool:
    return np.allclose(one, other, atol=2e-4)


def test_as_from_shards(ours: Embedder) -> None:
    """A recording given in millivolts has the vector that its integers have in a batch of shards."""
    signals = [made.ecg(n, seconds, rate) for n, (seconds, rate) in enumerate([(4, 100), (3, 100), (4, 250), (4, 500)])]
    found = np.stack([ours.embed(s.physical(), s.rate, s.names) for s in signals])
    samples = np.zeros((4, 12, 400), np.int16)
    fitted = [transforms.fit(s, FRAME, 0.0, out) for s, out in zip(signals, samples, strict=True)]
    scale, offset, leads, length = (torch.from_numpy(np.array(c)) for c in zip(*fitted, strict=True))
    batch = replace(batches.make(4), signal=torch.from_numpy(samples), scale=scale, offset=offset, leads=leads)
    assert close(found, ours.embed_batch(replace(batch, length=length.int())))
    assert np.ptp(found, axis=0).max() > 0.01  # and they are not all alike


def test_padding_and_missing_leads_change_nothing(ours: Embedder) -> None:
    batch = batches.make(8)
    assert ours.embed_batch(batch).equal(ours.embed_batch(batches.fill_padding(batch, 999, 3.0, 7)))


def test_leads_are_known_by_their_names(ours: Embedder) -> None:
    whole = recording()
    expected = ours.embed(whole, 100, LEADS)
    order = [7, 3, 11, 0, 5, 2, 9, 1, 4, 10, 8, 6]
    assert np.array_equal(ours.embed(whole[order], 100, [LEADS[i].upper() for i in order]), expected)
    some = ours.embed(whole[[1, 6]], 100, ["ii", " v1"])
    assert np.array_equal(some, ours.embed(whole[[6, 1]], 100, ["V1", "II"]))
    assert not close(some, expected)


def test_one_or_several_of_any_length(ours: Embedder) -> None:
    several = [recording(n, seconds=2 + n % 3) for n in range(70)]  # more than one pass
    found = ours.embed(several, 100, LEADS)
    assert found.shape == (70, 128)
    assert found.dtype == np.float32
    assert all(close(found[n], ours.embed(several[n], 100, LEADS)) for n in (0, 1, 2, 69))
    alike = np.stack(several[::3])
    assert close(ours.embed(alike, 100, LEADS), found[::3])


def test_a_longer_recording_is_the_mean_of_its_windows(ours: Embedder) -> None:
    longer = recording(seconds=9)
    parts = [ours.embed(longer[:, start : start + 400], 100, LEADS) for start in (0, 250, 500)]
    assert close(ours.embed(longer, 100, LEADS), np.mean(parts, axis=0))


def test_resampled(ours: Embedder) -> None:
    twice = resample_poly(recording(), 2, 1, axis=1, padtype="line")
    assert np.abs(ours.embed(twice, 200, LEADS) - ours.embed(recording(), 100, LEADS)).mean() < 0.02


def flat(lead: int) -> np.ndarray:
    return np.where(np.arange(12) == lead, 0.0, 1.0)[:, None].astype(np.float32)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"leads": [*LEADS[:11], "VS"]}, r"no lead is called 'VS': did you mean V6"),
        ({"leads": [*LEADS[:11], "ECG"]}, r"no lead is called 'ECG': leads are I, II"),
        ({"leads": [*LEADS[:11], "v1"]}, "lead V1 is named twice"),
        ({"leads": LEADS[:3]}, "recording 0 has 12 rows for 3 leads"),
        ({"signal": recording().T}, "give its transpose"),
        ({"signal": recording()[0]}, r"recording 0 has the shape \(400,\), not \[lead, time\]"),
        ({"signal": []}, "there is no recording"),
        ({"signal": made.ecg(0, 4, 100).samples}, "holds int16: give millivolts"),
        ({"signal": recording()[:, :15]}, "shorter than one patch, 0.16 s"),
        ({"fs": 0}, "fs=0"),
        ({"signal": recording() * flat(5)}, "recording 0, lead aVF moves by 0 mV, less than 0.02: leave out a lead"),
        ({"signal": recording() * 1000}, "moves by .* mV, more than 30: give millivolts"),
    ],
)
def test_what_cannot_be_embedded_is_refused(ours: Embedder, change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ours.embed(**{"signal": recording(), "fs": 100, "leads": LEADS, **change})


def test_a_gap_is_refused_by_its_place(ours: Embedder) -> None:
    torn = recording()
    torn[7, 13] = np.nan
    with pytest.raises(ValueError, match="recording 1, lead V2: sample 13 is nan; leave out a lead that is missing"):
        ours.embed([recording(), torn], 100, LEADS)


PULSE = np.sin(np.arange(500) / 9)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"eeg": (PULSE, 125)}, "do not read 'eeg'; beside the ECG they read ppg"),
        ({"ppg": ([PULSE, PULSE], 125)}, "ppg of 2 recordings, and 1 to embed: give a list, one for each"),
        (
            {"ppg": (PULSE[:, None], 125)},
            r"recording 0, ppg has the shape \(500, 1\), not \[time\] or \[channel, time\]",
        ),
        ({"ppg": (np.where(np.arange(500) == 9, np.nan, PULSE), 125)}, "recording 0, ppg: sample 9 is nan; give None"),
        ({"ppg": (PULSE[:10], 125)}, r"at 125 Hz there is a recording shorter than one patch, 0\.128 s \(ppg\)"),
        ({"ppg": (PULSE, 0)}, "fs=0"),
    ],
)
def test_other_channels_that_cannot_be_embedded_are_refused(others: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        labelled.with_pulse(FRAME).embed(recording(), 100, LEADS, others=others)


def test_nothing_at_all_is_refused(ours: Embedder) -> None:
    with pytest.raises(ValueError, match="do not read 'ppg'; beside the ECG they read nothing"):
        ours.embed(recording(), 100, LEADS, others={"ppg": (PULSE, 125)})
    with pytest.raises(ValueError, match="recording 1 holds neither leads nor ppg"):
        labelled.with_pulse(FRAME).embed([], 100, [], others={"ppg": ([PULSE, None], 125)})
    with pytest.raises(ValueError, match="give a list of names"):
        ours.embed(np.zeros((0, 400)), 100, [])


def test_reports_are_read_as_in_training(ours: Embedder) -> None:
    texts = [*batches.reports(66), "", batches.PHRASES[0]]
    found = ours.embed_reports(texts)
    assert found.shape == (68, 128)
    assert torch.allclose(found[[67]], ours.embed_reports(texts[67:]), atol=1e-5)
    longest = max(texts, key=len)  # of which training reads the first 11 words and the end
    assert torch.allclose(found[texts.index(longest)], ours.embed_reports([longest + ". low voltage"])[0], atol=1e-5)
    assert not torch.allclose(found[0], found[67], atol=1e-3)


def test_reports_are_cleaned_as_shards_clean_them(ours: Embedder) -> None:
    plain, loud = ours.embed_reports(["sinus rhythm. low voltage", "*** SINUS RHYTHM.  Low Voltage ***"])
    assert torch.equal(plain, loud)
    with pytest.raises(ValueError, match="give a list of reports, also of one"):
        ours.embed_reports("sinus rhythm")
    with pytest.raises(ValueError, match="there is no report to embed"):
        ours.embed_reports([])


def test_a_pool_that_makes_several_vectors() -> None:
    """The k tokens of a fingerprint, of recordings of any length; without `tokens`, side by side."""
    made = config(several=Queries(3))
    several = Embedder(saved.Saved(card(made, pool="several"), Towers(made).eval(), None), "cpu")
    for seconds in (2, 4):
        vectors = several.embed(recording()[:, : 100 * seconds], 100, LEADS, tokens=True)
        assert vectors.shape == (3, 128)
        assert not close(vectors[0], vectors[1])
        assert close(several.embed(recording()[:, : 100 * seconds], 100, LEADS), vectors.ravel())
    assert several.embed([recording()], 100, LEADS, tokens=True).shape == (1, 3, 128)


def test_towers_without_words_say_so(tmp_path: Path) -> None:
    saved.write(Folder(str(tmp_path)), card(config()), Towers(config()))
    with pytest.raises(ValueError, match="trained without words"):
        ecgfm.load(str(tmp_path), "cpu").embed_reports(["normal ecg"])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same(ours: Embedder) -> None:
    held = saved.Saved(ours.card, Towers(config()), None)
    expected = Embedder(held, "cpu").embed(recording(), 100, LEADS)
    assert np.allclose(Embedder(held, "auto").embed(recording(), 100, LEADS), expected, atol=2e-3)
