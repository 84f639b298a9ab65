import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from ecgfm.data import codec, wfdb
from ecgfm.data.storage import Folder

TYPES = (np.int8, np.int16, np.int32, np.int64, np.float32, np.float64)


@given(
    st.sampled_from(TYPES).flatmap(lambda kind: arrays.arrays(kind, st.tuples(st.integers(1, 15), st.integers(1, 40)))),
    st.booleans(),
)
def test_every_bit_comes_back(samples: np.ndarray, limb_leads: bool) -> None:
    limb_leads = limb_leads and len(samples) >= 6
    back = codec.decode(codec.encode(samples, limb_leads))
    assert back.dtype == samples.dtype
    assert back.tobytes() == samples.tobytes()  # bytes, so that NaN and -0.0 count


def test_extremes_of_16_bits_wrap_and_come_back() -> None:
    samples = np.tile(np.array([-32768, 32767, 0, -1, 1], np.int16), (12, 50))
    assert (codec.decode(codec.encode(samples, limb_leads=True)) == samples).all()


def test_unsigned_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="uint16"):
        codec.encode(np.zeros((12, 10), np.uint16))


def test_real_recordings_are_kept_losslessly_at_a_fraction_of_their_size(real) -> None:
    goals = {"JS": 3.6, "E0": 4.4, "HR": 5.0}  # raw int16 over stored
    folder = Folder(str(real / "cinc-2021-form" / "cinc2021"))
    raw, stored = dict.fromkeys(goals, 0), dict.fromkeys(goals, 0)
    for name in folder.names(suffix=".hea"):
        samples = wfdb.read(folder, name.removesuffix(".hea")).signals[0].samples
        blob = codec.encode(samples, limb_leads=True)
        assert (codec.decode(blob) == samples).all()
        raw[name[:2]] += samples.nbytes
        stored[name[:2]] += len(blob)
    for name, goal in goals.items():
        assert raw[name] / stored[name] > goal, name
