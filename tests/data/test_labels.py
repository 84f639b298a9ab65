import numpy as np
import pyarrow as pa

from ecgfm.data import entry, labels


def test_flags_become_maps_per_record():
    flags = np.array([[True, False, True], [False, False, False]])
    other = np.array([[False], [True]])
    maps = labels.maps({"all": (("a", "b", "c"), flags), "normal": (("yes",), other)})
    assert maps.to_pylist() == [[("all", ["a", "c"]), ("normal", [])], [("all", []), ("normal", ["yes"])]]
    assert maps.cast(entry.SCHEMA.field("labels").type).to_pylist() == maps.to_pylist()


def test_many_records_are_as_few():
    random = np.random.default_rng(0)
    sets = {name: (("a", "b", "c"), random.random((500, 3)) < 0.4) for name in ("x", "y", "z")}
    naive = [
        [(name, [n for n, has in zip(names, flags[i], strict=True) if has]) for name, (names, flags) in sets.items()]
        for i in range(500)
    ]
    assert labels.maps(sets).to_pylist() == naive


def test_no_records_at_all():
    maps = labels.maps({"all": (("a",), np.zeros((0, 1), bool))})
    assert maps.to_pylist() == []
    assert len(entry.table({"path": pa.array([], pa.string()), "subject": [], "labels": maps})) == 0
