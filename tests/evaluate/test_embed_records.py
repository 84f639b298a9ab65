from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from labelled import GAIN, RATE, Made, with_pulse

from ecgfm.data import shards
from ecgfm.data.record import LEADS
from ecgfm.data.storage import Folder
from ecgfm.data.synthetic.recording import record
from ecgfm.embedder import Embedder
from ecgfm.evaluate import embed, tasks
from ecgfm.evaluate.tasks import Task
from ecgfm.run import Frame


def test_a_recording_is_the_mean_of_the_windows_that_cover_it(made: Made, embedder: Embedder):
    """As `Embedder.embed` gives it, from the same recording in millivolts."""
    test = tasks.read(Task(made.shards, made.table, 3)).splits["test"]
    rows = np.array([40, 3, 17, 16])
    found = embed.embed(embedder, Folder(made.shards), test.record[rows])
    for vector, row in zip(found, rows, strict=True):
        millivolts = record(made.visits["test"][row], RATE).digital(GAIN) / GAIN
        np.testing.assert_allclose(vector, embedder.embed(millivolts, RATE, LEADS), atol=2e-3)
        nearest = np.linalg.norm(found - vector, axis=1).argsort()[1]
        assert np.abs(found[nearest] - vector).max() > 0.01


def test_vectors_are_made_once(made: Made, embedder: Embedder, monkeypatch: pytest.MonkeyPatch):
    record, folder = tasks.read(Task(made.shards, made.table, 3)).splits["test"].record, Folder(made.shards)
    expected, asked = embed.embed(embedder, folder, record[:9]), []
    monkeypatch.setattr(
        embed, "windows", lambda _, some, *rest, read=embed.windows: asked.extend(some) or read(_, some, *rest)
    )
    vectors = embed.Vectors(embedder)
    for rows in (slice(6), slice(3, 9), slice(None, 9, 2)):
        np.testing.assert_allclose(vectors.of(folder, record[rows]), expected[rows], atol=1e-5)
    assert asked == record[:9].tolist()


def test_windows_see_every_second(made: Made, embedder: Embedder):
    test = tasks.read(Task(made.shards, made.table, 3)).splits["test"]
    (batch, which), *rest = embed.windows(Folder(made.shards), test.record[:5], embedder.frame)
    assert rest == []
    assert which.tolist() == np.repeat(np.arange(5), 3).tolist()  # 10 s through windows of 4 s
    assert batch.record.tolist() == np.repeat(test.record[:5], 3).tolist()
    assert batch.subject.tolist() == np.repeat(test.subject[:5], 3).tolist()
    whole = record(made.visits["test"][0], RATE).digital(GAIN)
    np.testing.assert_array_equal(batch.signal[0], whole[:, :400])
    np.testing.assert_array_equal(batch.signal[2], whole[:, -400:])


def test_channels_of_another_kind_come_along_where_they_are_asked_for(made_shards: Path):
    """From records that have them: two of three of tests/made.py, less those with a gap."""
    folder = Folder(str(made_shards))
    rows = shards.read(folder, shards.manifest(folder).shards[0].name, [0], ["others"])["others"].to_pylist()
    record, frame = np.arange(len(rows)), Frame(100, 20.0)
    ((batch, which),) = embed.windows(folder, record, frame, ("ppg",))
    ((plain, _),) = embed.windows(folder, record, frame)
    assert plain.others == {}
    assert torch.equal(plain.signal, batch.signal)
    found = batch.others["ppg"]
    for i, row in enumerate(which.tolist()):
        channels = shards.channels({"others": rows[row]}, "ppg")
        samples = np.zeros((1, 0)) if channels is None else channels.samples
        assert found.leads[i].tolist() == [channels is not None]
        assert found.length[i] == samples.shape[1]
        np.testing.assert_array_equal(found.signal[i, :, : samples.shape[1]], samples)
    assert 0 < found.leads.sum() < len(rows)


def test_a_pulse_in_arrays_is_embedded_as_one_from_shards(made_shards: Path) -> None:
    """Beside the leads, for records with one and without, and alone."""
    folder, both = Folder(str(made_shards)), with_pulse(Frame(RATE, 4.0))
    name, columns = shards.manifest(folder).shards[0].name, (*shards.ECG_COLUMNS, "others")
    rows = shards.read(folder, name, [0], columns).to_pylist()
    expected = embed.embed(both, folder, np.arange(len(rows)))
    ecgs = [shards.signal(row).physical() for row in rows]
    pulses = [shards.channels(row, "ppg") for row in rows]
    waves = [None if pulse is None else pulse.physical()[0] for pulse in pulses]
    np.testing.assert_allclose(both.embed(ecgs, RATE, LEADS, others={"ppg": (waves, 125)}), expected, atol=2e-3)
    silent = both.embed(ecgs, RATE, LEADS)
    assert [np.allclose(*pair, atol=2e-3) for pair in zip(silent, expected, strict=True)] == [w is None for w in waves]

    (batch, which), *_ = embed.windows(folder, np.arange(len(rows)), both.frame, ("ppg",))
    deaf = both.embed_batch(replace(batch, leads=torch.zeros_like(batch.leads)))
    there = [i for i, wave in enumerate(waves) if wave is not None]
    heard = both.embed([], RATE, [], others={"ppg": ([waves[i] for i in there], 125)})
    for vector, i in zip(heard, there, strict=True):
        np.testing.assert_allclose(vector, deaf[which == i].mean(0), atol=2e-3)
        assert not np.allclose(vector, expected[i], atol=2e-3)
    one = both.embed(np.zeros((0, 0)), RATE, [], others={"ppg": (pulses[there[0]].physical(), 125)})  # type: ignore[union-attr]
    np.testing.assert_allclose(one, heard[0], atol=1e-4)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_averages(order: list[int]):
    parts = [(torch.tensor([[1.0], [3.0]]), torch.tensor([0, 2])), (torch.tensor([[5.0]]), torch.tensor([1]))]
    parts.append((torch.tensor([[7.0], [0.0]]), torch.tensor([2, 1])))
    np.testing.assert_allclose(embed.averaged((parts[i] for i in order), 3), [[1.0], [2.5], [5.0]])
