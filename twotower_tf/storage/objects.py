"""Objects of a store that speaks S3, seen as files and folders."""

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from twotower_tf.storage import connection

_THREADS = 16
# What S3 lists in one request.
LISTED_AT_ONCE = 1000
_READ_BUFFER_BYTES = 1 << 20
# Above this a server-side copy goes part by part; S3 copies at most 5 GB in one request.
_COPY_IN_PARTS_BYTES = 4 << 30
_REFUSED_CONDITIONS = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}


class ObjectStore:
    """Objects seen as files: a folder is what the keys of its files begin with.

    Paths are ``s3://bucket/key``. There is no renaming: a folder is replaced object by object,
    and what stands for the whole (its manifest) comes last.
    """

    def open_input(self, path: str) -> BinaryIO:
        """Opens a file to read it; raises FileNotFoundError where there is none."""
        return io.BufferedReader(self.arrow_input(path), _READ_BUFFER_BYTES)

    def arrow_input(self, path: str):
        """Opens a file as Arrow reads it best, a ``pyarrow.NativeFile``."""
        with connection.explained(path):
            return connection.arrow_filesystem().open_input_file("/".join(_parts(path)))

    @contextlib.contextmanager
    def open_output(self, path: str) -> Iterator[BinaryIO]:
        """Opens a file to write it; it is there, whole, when the block ends without an error."""
        with connection.explained(path):
            file = connection.arrow_filesystem().open_output_stream("/".join(_parts(path)))
            try:
                yield file
            except BaseException:
                # Arrow has no way to give up an upload: closing is what ends it.
                with contextlib.suppress(OSError):
                    file.close()
                    self.remove(path)
                raise
            file.close()

    def write(self, path: str, content: bytes) -> str:
        """Writes a file whole; returns its tag."""
        with connection.explained(path):
            return _put(path, content)

    def create(self, path: str, content: bytes) -> str | None:
        """Writes a file if there is none yet, which the store itself checks.

        Of a store that can't check it (OpenStack Swift) the question is asked before, and two
        processes that ask at the same time both write.

        Returns:
            Its tag; None if there was one.
        """
        from botocore.exceptions import ClientError

        with connection.explained(path):
            try:
                return _put(path, content, IfNoneMatch="*")
            except ClientError as error:
                code = error.response["Error"]["Code"]
                if code == "NotImplemented":
                    return None if self.exists(path) else self.write(path, content)
                if code in _REFUSED_CONDITIONS:
                    return None
                raise

    def tag(self, path: str) -> str | None:
        """Returns a file's tag, which changes when it is written; None where there is no file."""
        found = self._head(path)
        return found and found["ETag"]

    def exists(self, path: str) -> bool:
        """Says whether there is such a file."""
        return self._head(path) is not None

    def existing(self, paths: Iterable[str]) -> list[str]:
        """Returns those of the files that are there, in their order."""
        paths = list(paths)
        there = _in_parallel(self.exists, paths)
        return [path for path, found in zip(paths, there, strict=True) if found]

    def is_folder(self, path: str) -> bool:
        """Says whether any file is below such a path."""
        return next(self._listed(path), None) is not None

    def size(self, path: str) -> int:
        """Returns how many bytes a file has."""
        found = self._head(path)
        if found is None:
            raise FileNotFoundError(2, "there is no such object", path)
        return found["ContentLength"]

    def names(self, folder: str) -> list[str]:
        """Returns the names of the files and folders in a folder, sorted; none if it is empty."""
        return sorted({name.rstrip("/") for name, _ in self._listed(folder, Delimiter="/")})

    def files_below(self, folder: str) -> list[str]:
        """Returns the files at any depth of a folder, as paths from it, sorted."""
        return sorted(name for name, _ in self._listed(folder))

    def make_folder(self, folder: str) -> None:
        """Does nothing: a folder is there once a file is in it."""

    def make_lasting_folder(self, folder: str) -> None:
        """Does nothing: a folder is there once a file is in it."""

    def copy(self, source: str, target: str) -> None:
        """Copies a file; one of the two may be on this machine."""
        from boto3.s3.transfer import TransferConfig

        client = connection.objects_client()
        with connection.explained(target if connection.is_url(target) else source):
            if not connection.is_url(source):
                client.upload_file(source, *_parts(target))
            elif not connection.is_url(target):
                os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
                client.download_file(*_parts(source), target)
            else:
                bucket, key = _parts(source)
                config = TransferConfig(multipart_threshold=_COPY_IN_PARTS_BYTES)
                client.copy({"Bucket": bucket, "Key": key}, *_parts(target), Config=config)

    def move(self, source: str, target: str) -> None:
        """Copies a file, then removes the first."""
        self.copy(source, target)
        if connection.is_url(source):
            self.remove(source)
        else:
            os.unlink(source)

    def move_all(self, paths: Mapping[str, str]) -> None:
        """Moves files, given where each is to go."""
        _in_parallel(lambda source: self.move(source, paths[source]), list(paths))

    def remove(self, path: str) -> None:
        """Removes a file, if it is there."""
        bucket, key = _parts(path)
        with connection.explained(path):
            connection.objects_client().delete_object(Bucket=bucket, Key=key)

    def remove_folder(self, folder: str) -> None:
        """Removes all files of a folder."""
        _in_parallel(self.remove, [f"{folder}/{name}" for name in self.files_below(folder)])

    def remove_temporary(self, folder: str) -> None:
        """Does nothing: a file that is not written to its end is not there."""

    def remove_empty(self, folder: str) -> None:
        """Does nothing: there is no folder without a file in it."""

    def recover(self, folder: str, target: str) -> None:
        """Does nothing: what a killed ``replace_folder`` leaves has no manifest."""

    def replace_folder(self, folder: str, target: str, last: tuple[str, ...]) -> None:
        """Copies a folder's files into the place of another's, those named ``last`` at the end.

        A target that holds the same already is left alone. Otherwise it loses its ``last`` files
        first, so that there is no moment at which they stand for files that are not theirs.
        """
        new, old = dict(self._listed(folder)), dict(self._listed(target))
        if not _are_same(new, old):
            for name in reversed(last):
                if name in old:
                    self.remove(f"{target}/{name}")
            gone = [f"{target}/{name}" for name in old if name not in new and name not in last]
            _in_parallel(self.remove, gone)
            _in_parallel(
                lambda name: self.copy(f"{folder}/{name}", f"{target}/{name}"),
                [name for name in new if name not in last],
            )
            for name in last:
                if name in new:
                    self.copy(f"{folder}/{name}", f"{target}/{name}")
        self.remove_folder(folder)

    def _head(self, path: str) -> dict | None:
        bucket, key = _parts(path)
        try:
            with connection.explained(path):
                return connection.objects_client().head_object(Bucket=bucket, Key=key)
        except FileNotFoundError:
            return None

    def _listed(self, folder: str, **options) -> Iterator[tuple[str, dict]]:
        """Yields the names in a folder, from it on, and what the store says of them."""
        bucket, key = connection.split_url(folder)
        prefix = f"{key}/" if key else ""
        pages = connection.objects_client().get_paginator("list_objects_v2")
        with connection.explained(folder):
            at_once = {"PageSize": LISTED_AT_ONCE}
            for page in pages.paginate(
                Bucket=bucket, Prefix=prefix, PaginationConfig=at_once, **options
            ):
                for found in page.get("Contents", ()):
                    # Some tools mark folders by an empty object whose name ends with a slash.
                    if not found["Key"].endswith("/"):
                        yield found["Key"].removeprefix(prefix), found
                for found in page.get("CommonPrefixes", ()):
                    yield found["Prefix"].removeprefix(prefix), found


def _parts(url: str) -> tuple[str, str]:
    bucket, key = connection.split_url(url)
    if not key:
        raise IsADirectoryError(21, "is a bucket, not a file", url)
    return bucket, key


def _put(url: str, content: bytes, **condition: str) -> str:
    bucket, key = _parts(url)
    client = connection.objects_client()
    return client.put_object(Bucket=bucket, Key=key, Body=content, **condition)["ETag"]


def _in_parallel(work: Callable, paths: list[str]) -> list:
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, paths))


def _are_same(new: dict[str, dict], old: dict[str, dict]) -> bool:
    """Says whether two listings are of the same files with the same content.

    The tag of an object that was uploaded in parts says how, not what, and a copy of it may have
    an ordinary one. There the size must do: the manifest, which is small and has the checksums of
    the others, would differ.
    """

    def same(one: dict, other: dict) -> bool:
        comparable = ("-" in one["ETag"]) == ("-" in other["ETag"])
        return one["Size"] == other["Size"] and (not comparable or one["ETag"] == other["ETag"])

    return new.keys() == old.keys() and all(same(new[name], old[name]) for name in new)
