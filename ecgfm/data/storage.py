"""A folder on a local disk or in an object store, through pyarrow's filesystems."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

_COPY = "_ray_pkg_"  # and a hash of the code, as ray/_private/runtime_env/packaging.py names it


class StoreError(OSError):
    """An object store that cannot be asked. Its own errors have neither a file's name nor a number for their kind."""


@dataclass(frozen=True)
class Folder:
    """Names are relative to the folder. A write is seen whole or not at all."""

    uri: str
    _found: list = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self) -> None:
        if "://" not in self.uri:  # absolute, as whoever the folder travels to may stand elsewhere
            object.__setattr__(self, "uri", str(Path(self.uri).expanduser().resolve()))

    def __str__(self) -> str:
        """The folder for a reader: without keys and passwords, which a URI may hold before its host and after its ?."""
        scheme, found, rest = self.uri.partition("://")
        host, slash, path = rest.partition("?")[0].partition("/")  # a path may have an @ of its own: runs/dbeta@1
        host = host.rpartition("@")[2]
        if host.partition(":")[2].strip("0123456789"):  # no port, but a password that is cut by a / or a ? of its own
            return f"{scheme}://..."
        return f"{scheme}{found}{host}{slash}{path}" if found else self.uri

    @property
    def name(self) -> str:
        """The last part of its path."""
        return str(self).rstrip("/").rpartition("/")[2]

    def __getstate__(self) -> dict:
        return {"uri": self.uri, "_found": []}  # filesystems are opened anew in each process

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)

    def _open(self) -> tuple[fs.FileSystem, str]:
        if not self._found:
            local = "://" not in self.uri
            try:
                with self._told():
                    self._found.append((fs.LocalFileSystem(), self.uri) if local else fs.FileSystem.from_uri(self.uri))
            except pa.ArrowInvalid:  # its message quotes the URI
                raise ValueError(
                    f"{self} does not parse: in a key or password write a / as %2F, a ? as %3F and a # as %23, and "
                    "look at the scheme (s3, gs, hdfs or file) and at the names of the parameters after the ?"
                ) from None
        return self._found[0]

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Of an error of an object store, which store it is and what may be wrong."""
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            if "://" not in self.uri:
                raise
            raise StoreError(
                f"{self} cannot be reached, or not with these rights ({error}): look at its name, at region and "
                "endpoint_override in the URI, and at the credentials; then give the same command again"
            ) from error

    @property
    def is_local(self) -> bool:
        return isinstance(self._open()[0], fs.LocalFileSystem)

    def path(self, name: str = "") -> str:
        """The name as the filesystem spells it: for a local folder, an absolute path."""
        root = self._open()[1].rstrip("/")
        return f"{root}/{name}" if name else root

    def read(self, name: str) -> bytes:
        if self.is_local:  # plain open is 5 times faster than a pyarrow stream on small files
            return Path(self.path(name)).read_bytes()
        with self._told(), self._open()[0].open_input_stream(self.path(name)) as stream:
            return stream.read()

    def file(self, name: str) -> pa.NativeFile:
        """A file opened for random access."""
        with self._told():
            return self._open()[0].open_input_file(self.path(name))

    def write(self, name: str, content: bytes | pa.Buffer) -> None:
        filesystem, path = self._open()[0], self.path(name)
        if not self.is_local:  # an object store shows an object only once it is whole
            with self._told():
                filesystem.create_dir(path.rsplit("/", 1)[0], recursive=True)
                with filesystem.open_output_stream(path) as stream:
                    stream.write(content)
            return
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        partial = f"{path}.partial"
        with open(partial, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())  # else a name may outlive a power loss and its content not
        Path(partial).replace(path)

    def exists(self, name: str) -> bool:
        return self._info(name).type != fs.FileType.NotFound

    def size(self, name: str) -> int | None:
        """Bytes, or None when there is no such file."""
        info = self._info(name)
        return info.size if info.type == fs.FileType.File else None

    def delete(self, name: str) -> None:
        with self._told():
            self._open()[0].delete_file(self.path(name))

    def remove(self, name: str) -> None:
        """A folder in this one, with all that is in it."""
        with self._told():
            self._open()[0].delete_dir(self.path(name))

    def _info(self, name: str) -> fs.FileInfo:
        with self._told():
            return self._open()[0].get_file_info(self.path(name))

    def names(self, under: str = "", suffix: str = "") -> Iterator[str]:
        """Every file below `under`, sorted, as names relative to this folder."""
        selector = fs.FileSelector(self.path(under), recursive=True, allow_not_found=True)
        root = self.path() + "/"
        with self._told():
            infos = self._open()[0].get_file_info(selector)
        files = (f.path for f in infos if f.type == fs.FileType.File)
        return iter(sorted(f.removeprefix(root) for f in files if f.endswith(suffix)))


def lasting(uri: str) -> Folder:
    """A folder that a job writes to. Refused in the copy of the code in which `ray job submit` runs a job: a relative
    path means one in there, and the next change of the code makes another copy."""
    folder = Folder(uri)
    if f"/{_COPY}" in folder.uri:
        raise ValueError(
            f"{uri} lies in Ray's copy of the code, where nobody finds it again: give an absolute path that all nodes "
            "see, or a URI"
        )
    return folder
