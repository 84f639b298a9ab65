import re

import pyarrow as pa
import pytest

from ecgfm.data import tables
from ecgfm.data.storage import Folder

COLUMNS = {"name": pa.string(), "age": pa.float32()}


@pytest.fixture
def folder(tmp_path) -> Folder:
    return Folder(str(tmp_path))


def test_columns_by_name_in_any_order_with_a_byte_order_mark(folder: Folder):
    folder.write("t.csv", '\ufeffage,more,name\n3,x,"two\nlines"\n,,\n'.encode())
    found = tables.read(folder, "t.csv", COLUMNS)
    assert found.to_pydict() == {"name": ["two\nlines", None], "age": [3, None]}


def test_errors_name_the_table_and_quote_no_row(folder: Folder):
    with pytest.raises(FileNotFoundError, match=r"no t\.csv in .*corpora\.md"):
        tables.read(folder, "t.csv", COLUMNS)
    folder.write("t.csv", b"name,ages\nsecret,3\n")
    with pytest.raises(ValueError, match=r"no column 'age' \(nearest: 'ages'\); it has name, ages"):
        tables.read(folder, "t.csv", COLUMNS)
    for rows in (b"name,age\nx,secret\n", b"name,age\nx,1\nsecret,2,3\n", b"name,ages\nx,1\nsecret,2,3\n"):
        folder.write("t.csv", rows)
        with pytest.raises(ValueError, match=r"t\.csv .*cannot be read as a csv table with name \(string\)") as caught:
            tables.read(folder, "t.csv", COLUMNS)
        assert "secret" not in str(caught.value)


def test_a_first_line_that_may_be_a_record_is_not_told(folder: Folder):
    for rows in (b"rec/1,pat-12345,Herr Meier\nrec/2,pat-2,\n", b"nome;aged\nsecret;3\n"):
        folder.write("t.csv", rows)
        with pytest.raises(
            ValueError, match=r"does not name name or age in its first line: is there a header"
        ) as caught:
            tables.read(folder, "t.csv", COLUMNS)
        assert not re.search("Meier|rec/|pat-|nome|secret", str(caught.value))


def test_a_table_in_an_object_store():
    store = Folder("mock:///tables")
    store.write("t.csv", b"name,age\nx,1\n")
    assert tables.read(store, "t.csv", COLUMNS).to_pydict() == {"name": ["x"], "age": [1]}
