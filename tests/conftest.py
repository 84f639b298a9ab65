"""What tests share: the real recordings, an object store, a small text encoder, a local Ray, and shards made once."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that processes that share the files out end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def real() -> Path:
    """Real recordings, which are not part of the project: in a folder beside it, or where ECGFM_RECORDINGS says."""
    folder = Path(os.environ.get("ECGFM_RECORDINGS", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "ptb-xl" / "ptbxl_database.csv").exists():
        pytest.skip(f"needs the real recordings: no {folder / 'ptb-xl'}; set ECGFM_RECORDINGS to where they are")
    return folder


@pytest.fixture(scope="session")
def bucket() -> Iterator[str]:
    """A folder on an S3 server on the loopback address."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    with pytest.MonkeyPatch.context() as patch:
        for key, value in keys.items():
            patch.setenv(key, value)
        boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="bucket")
        yield f"s3://test:test@bucket/folder?scheme=http&region=us-east-1&endpoint_override={host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with a T5 of 128 channels and its tokenizer (tests/batches.py)."""
    from batches import make_text

    return make_text(tmp_path_factory.mktemp("text"))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    import ray

    known = os.pathsep.join(
        str(REPOSITORY / name) for name in ("tests", "tools")
    )  # where workers find made.py, claims.py
    paths = {"env_vars": {"PYTHONPATH": known}}
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False, runtime_env=paths)
    yield
    ray.shutdown()


@pytest.fixture(scope="session")
def made_shards(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shards of tests/made.py: 290 records of 6 to 12 s at 100 Hz, most with a pulse wave, in about eight shards."""
    from made import make

    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_words(local_ray: None, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The words of jobs/pretrain.py that train a tiny recipe on a few dozen synthetic recordings (tools/tiny.py)."""
    sys.path.append(str(REPOSITORY / "tools"))
    from tiny import make

    return make(tmp_path_factory.mktemp("tiny"))
