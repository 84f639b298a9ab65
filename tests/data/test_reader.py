from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from made import ecg, pulse

from ecgfm.batch import Batch, locate
from ecgfm.data import reader, shards
from ecgfm.data.plan import Position
from ecgfm.data.storage import Folder
from ecgfm.data.tokens import TokenTable
from ecgfm.run import Frame

FRAME = Frame(100, 8.0)


def opened(folder: Path, **options: object) -> reader.Reader:
    return reader.open_reader([str(folder)], "train", 16, FRAME, slices=4, window=4, **options)  # type: ignore[arg-type]


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(getattr(one, f.name), getattr(other, f.name)) for f in fields(one) if f.name != "far")


def numbers(uri: Path) -> dict[tuple[int, int, int], int]:
    """Which record of tests/made.py stands where."""
    folder, paths = Folder(str(uri)), {}
    for number, made in enumerate(shards.manifest(folder).shards):
        for row, path in enumerate(shards.read(folder, made.name, range(-(-made.rows // 8)), ["path"])["path"]):
            paths[0, number, row] = int(path.as_py()[-5:])
    return paths


def test_a_batch_holds_what_was_recorded(made_shards: Path) -> None:
    paths = numbers(made_shards)
    for batch, _ in reader.read(opened(made_shards), 20):
        for i in range(len(batch)):
            number = paths[locate(int(batch.record[i]))]
            stored, length = ecg(number, 6 + number % 7, 100), int(batch.length[i])
            assert length == min(100 * (6 + number % 7), 800)
            millivolts = batch.signal[i, :, :length] * batch.scale[i, :, None] + batch.offset[i, :, None]
            windows = np.lib.stride_tricks.sliding_window_view(stored.physical()[0], length)
            start = int(np.abs(windows - millivolts[0].numpy()).max(axis=1).argmin())
            assert millivolts.numpy() == pytest.approx(stored.physical()[:, start : start + length], abs=1e-4)
            assert (batch.signal[i, :, length:] == 0).all()


def test_every_worker_and_every_start_sees_the_same_batches(made_shards: Path) -> None:
    opened_once = opened(made_shards, kinds=("ppg",))
    whole = [batch for batch, _ in reader.read(opened_once, 24)]
    for workers in (1, 2, 4):
        for start in (0, 7, 23):
            per_rank = [
                list(reader.read(opened_once, 24, Position(start), rank, workers, threads=2)) for rank in range(workers)
            ]
            for rank, batches in enumerate(per_rank):
                assert [position.batch for _, position in batches] == [*range(start + 1, 25)]
                rows = np.concatenate([np.arange(4 * s, 4 * s + 4) for s in range(rank, 4, workers)])
                for (batch, _), expected in zip(batches, whole[start:], strict=True):
                    for f in ("record", "signal", "scale", "leads", "length", "subject", "report"):
                        assert torch.equal(getattr(batch, f), getattr(expected, f)[rows]), f
                    assert torch.equal(batch.others["ppg"].signal, expected.others["ppg"].signal[rows])


def test_many_threads_read_what_one_does(made_shards: Path) -> None:
    one, many = (
        [batch.signal for batch, _ in reader.read(opened(made_shards), 400, threads=threads)] for threads in (1, 8)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, many, strict=True))


def test_windows_of_long_recordings_change_from_epoch_to_epoch(made_shards: Path) -> None:
    seen: dict[int, list[torch.Tensor]] = {}
    for batch, _ in reader.read(opened(made_shards), 60):
        for record, signal, length in zip(batch.record.tolist(), batch.signal, batch.length.tolist(), strict=True):
            if length == 800:  # cut from 8 to 12 s
                seen.setdefault(record, []).append(signal)
    again = [signals for signals in seen.values() if len(signals) > 1]
    assert np.mean([torch.equal(signals[0], signals[1]) for signals in again]) < 0.4  # 8 s has one window only


def test_words_follow_the_report(made_shards: Path) -> None:
    table = TokenTable.build([f"{i}" for i in range(40)], lambda texts: [[*map(ord, t), 1] for t in texts], limit=9)
    for batch, _ in reader.read(opened(made_shards), 4, tokens=table):
        for report, words, count in zip(batch.report.tolist(), batch.words, batch.word_count.tolist(), strict=True):
            assert words[: count - 1].tolist() == ([] if report < 0 else [*map(ord, str(report))])


def test_two_visits_of_a_subject_stand_together(made_shards: Path) -> None:
    subjects = [batch.subject.view(-1, 2) for batch, _ in reader.read(opened(made_shards, visits=True), 16)]
    pairs = torch.cat(subjects)
    assert (pairs[:, 0] == pairs[:, 1]).float().mean() > 0.6


def test_channels_of_another_kind_come_with_the_records_that_have_them(made_shards: Path) -> None:
    """At their own rate, of the same seconds as the ECG; a record without them, or with a gap in them, has none."""
    paths, there = numbers(made_shards), []
    for batch, _ in reader.read(opened(made_shards, kinds=("ppg",)), 20):
        found = batch.others["ppg"]
        assert found.signal.shape == (16, 1, 1000)
        for i in range(len(batch)):
            number = paths[locate(int(batch.record[i]))]
            there.append(number % 3 != 0 and number % 8 != 0)
            assert found.leads[i].tolist() == [there[-1]]
            length = int(found.length[i])
            assert length == there[-1] * min(125 * (6 + number % 7), 1000)
            assert not found.signal[i, 0, length:].any()
            if not there[-1]:
                continue
            beginning = (int(found.signal[i, 0, 0]) - number % 100) / 125  # in seconds
            physical = pulse(number, 6 + number % 7).physical()[0, round(beginning * 125) :][:length]
            value = found.signal[i, 0, :length] * found.scale[i] + found.offset[i]
            assert value.numpy() == pytest.approx(physical, abs=1e-4)
            begins = (ecg(number, 6 + number % 7, 100).samples == batch.signal[i, :, :1].numpy()).all(0)
            assert abs(begins.argmax() / 100 - beginning) <= 0.02
    assert 0.4 < np.mean(there) < 0.7


def test_a_reader_that_is_not_asked_reads_no_other_channels(made_shards: Path) -> None:
    ((batch, _),) = reader.read(opened(made_shards), 1)
    assert batch.others == {}
    with pytest.raises(ValueError, match="'eda' can be read: there are ppg"):
        opened(made_shards, kinds=("eda",))


def test_numbers_of_workers_that_do_not_divide_a_batch_are_refused(made_shards: Path) -> None:
    with pytest.raises(ValueError, match="use 1, 2, 4 workers"):
        reader.read(opened(made_shards), 10, rank=0, workers=3)


def test_two_corpora_keep_their_subjects_and_reports_apart(made_shards: Path) -> None:
    two = reader.open_reader([str(made_shards)] * 2, "train", 16, FRAME, slices=4, window=4)
    reports = shards.manifest(Folder(str(made_shards))).reports
    batches = [batch for batch, _ in reader.read(two, 20)]
    corpus = torch.cat([batch.record for batch in batches]) >> 40
    assert corpus.bincount().tolist() == [160, 160]
    subject = torch.cat([batch.subject for batch in batches])
    assert not {*subject[corpus == 0].tolist()} & {*subject[corpus == 1].tolist()}
    report = torch.cat([batch.report for batch in batches])
    assert report[corpus == 0].max() < reports <= report[(corpus == 1) & (report >= 0)].min()
