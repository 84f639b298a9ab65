import labelled
import pytest

from ecgfm.data.storage import Folder
from ecgfm.embedder import Embedder
from ecgfm.model import saved


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> labelled.Made:
    return labelled.make(tmp_path_factory.mktemp("labelled"))


@pytest.fixture(scope="session")
def towers(tmp_path_factory: pytest.TempPathFactory, text_model: str) -> str:
    return labelled.towers(tmp_path_factory.mktemp("towers"), text_model)


@pytest.fixture(scope="session")
def embedder(towers: str) -> Embedder:
    return Embedder(saved.read(Folder(towers)), "cpu")
