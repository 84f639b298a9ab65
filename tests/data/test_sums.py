import hashlib
from pathlib import Path

import pytest

from ecgfm.data import sums
from ecgfm.data.storage import Folder

CONTENT = {"LICENSE.txt": b"free", "files/p10/a b.dat": bytes(range(256)), "files/p10/c.hea": b""}


@pytest.fixture
def tree(tmp_path: Path) -> Folder:
    folder = Folder(str(tmp_path))
    for name, content in CONTENT.items():
        folder.write(name, content)
    marks = (" ", "  ", " *")  # publishers write one blank, sha256sum two, or a star
    lines = [f"{hashlib.sha256(c).hexdigest()}{m}{n}" for (n, c), m in zip(CONTENT.items(), marks, strict=True)]
    folder.write("SHA256SUMS.txt", "\n".join(lines).encode() + b"\n")
    return folder


def test_every_file_is_named_with_its_state(tree: Folder):
    assert list(sums.verify(tree)) == [(name, "ok") for name in CONTENT]
    tree.write("files/p10/a b.dat", bytes(256))
    tree.delete("LICENSE.txt")
    assert [state for _, state in sums.verify(tree)] == ["missing", "changed", "ok"]


@pytest.mark.skipif(
    not Path("/proc/self/mem").exists(), reason="needs a file that fails when it is read: Linux has one"
)
def test_a_file_that_cannot_be_read_does_not_hide_the_others(tree: Folder):
    tree.delete("files/p10/a b.dat")
    Path(tree.path("files/p10/a b.dat")).symlink_to("/proc/self/mem")  # an input/output error at its beginning
    tree.delete("LICENSE.txt")
    assert [state for _, state in sums.verify(tree)] == ["missing", "unreadable", "ok"]


def test_the_other_spelling(tree: Folder):
    digest = hashlib.sha256(CONTENT["LICENSE.txt"]).hexdigest().upper()
    tree.delete("SHA256SUMS.txt")
    tree.write("SHA256SUMS", f"{digest}  ./LICENSE.txt\n\n".encode())
    assert list(sums.verify(tree)) == [("LICENSE.txt", "ok")]


def test_more_files_than_are_under_way_at_once(tree: Folder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sums, "_BLOCK", 2)
    assert list(sums.verify(tree)) == [(name, "ok") for name in CONTENT]


def test_without_a_list_nothing_is_verified(tree: Folder):
    tree.delete("SHA256SUMS.txt")
    with pytest.raises(FileNotFoundError, match=r"SHA256SUMS\.txt"):
        list(sums.verify(tree))


def test_a_list_that_is_none_is_an_error(tree: Folder):
    tree.write("SHA256SUMS.txt", b"<html>not found</html>\n")
    with pytest.raises(ValueError, match="download it again"):
        list(sums.verify(tree))
