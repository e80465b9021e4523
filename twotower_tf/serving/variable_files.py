"""A SavedModel's variables in two parts, so that one of them can be written anew on its own.

TensorFlow keeps variables in data files and one index, which says where each is. Here the few
that ``refresh`` changes get a data file of their own, and a copy of the index of all others is kept
in ``assets.extra``. A refreshed release then has the old data files as hard links and a new small
one, and TensorFlow itself joins the two indexes: what it costs does not grow with the model.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf

from twotower_tf.indexing.candidates.item_hashes import EXTRA
from twotower_tf.storage.whole_files import link_file

FOLDER = "variables"
_VARIABLES = os.path.join(FOLDER, "variables")
INDEX_FILE = os.path.join(EXTRA, "variables_of_build.index")
# Held in memory at a time, at least one tensor.
_BYTES_AT_A_TIME = 1 << 29
_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def divide(folder: str, module: str) -> None:
    """Divides the variables of a SavedModel into those of one of its modules and all others.

    Args:
        folder: The SavedModel's, just written.
        module: The attribute of the saved object that holds the module.
    """
    whole = os.path.join(folder, _VARIABLES)
    shapes = tf.train.load_checkpoint(whole).get_variable_to_shape_map()
    own = sorted(key for key in shapes if key.startswith(f"{module}/"))
    with _scratch(folder) as parts:
        groups = _groups(whole, sorted(set(shapes) - set(own)))
        written = [
            _write(os.path.join(parts, f"group-{number}"), _read(whole, group))
            for number, group in enumerate(groups)
        ]
        build = os.path.join(parts, "build")
        _merge(written, build)
        changing = _write(os.path.join(parts, "changing"), _read(whole, own))
        _keep_index(build, folder)
        shutil.rmtree(os.path.dirname(whole))
        _merge([build, changing], whole)
    # It names a checksum of the variables' index, which is another now; it may be absent.
    with contextlib.suppress(FileNotFoundError):
        os.unlink(os.path.join(folder, "fingerprint.pb"))


def replace(old: str, new: str, module: str, values: Mapping[str, np.ndarray]) -> None:
    """Writes the variables of a SavedModel, those of the module with new values.

    Args:
        old: The folder of the SavedModel to take all other variables from.
        new: The folder to write to, on the same file system.
        module: As given to ``divide``.
        values: All of the module's variables by name.
    """
    with _scratch(new) as parts:
        build = os.path.join(parts, "build")
        shutil.copyfile(os.path.join(old, INDEX_FILE), f"{build}.index")
        data = _data_files(old)[:-1]
        for number, path in enumerate(data):
            link_file(path, f"{build}.data-{number:05d}-of-{len(data):05d}")
        tensors = {f"{module}/{name}{_SUFFIX}": tf.constant(v) for name, v in values.items()}
        changing = _write(os.path.join(parts, "changing"), tensors)
        _keep_index(build, new)
        _merge([build, changing], os.path.join(new, _VARIABLES))


def read_all(folder: str, module: str) -> dict[str, np.ndarray]:
    """Returns the values of the module's variables by name; what ``replace`` takes."""
    reader = tf.train.load_checkpoint(os.path.join(folder, _VARIABLES))
    own = [key for key in reader.get_variable_to_shape_map() if key.startswith(f"{module}/")]
    return {
        key.removeprefix(f"{module}/").removesuffix(_SUFFIX): reader.get_tensor(key) for key in own
    }


def _groups(prefix: str, keys: list[str]) -> Iterator[list[str]]:
    """Yields keys in groups that fit in memory together."""
    reader = tf.train.load_checkpoint(prefix)
    shapes, types = reader.get_variable_to_shape_map(), reader.get_variable_to_dtype_map()
    group, size = [], 0
    for key in keys:
        group.append(key)
        # Strings have no fixed size; ids are about as long as this many bytes.
        size += int(np.prod(shapes[key])) * (types[key].size or 16)
        if size >= _BYTES_AT_A_TIME:
            yield group
            group, size = [], 0
    if group:
        yield group


def _read(prefix: str, keys: list[str]) -> dict[str, tf.Tensor]:
    types = tf.train.load_checkpoint(prefix).get_variable_to_dtype_map()
    tensors = tf.raw_ops.RestoreV2(
        prefix=prefix,
        tensor_names=keys,
        shape_and_slices=[""] * len(keys),
        dtypes=[types[key] for key in keys],
    )
    return dict(zip(keys, tensors, strict=True))


def _write(prefix: str, tensors: Mapping[str, tf.Tensor]) -> str:
    tf.raw_ops.SaveV2(
        prefix=prefix,
        tensor_names=list(tensors),
        shape_and_slices=[""] * len(tensors),
        tensors=list(tensors.values()),
    )
    return prefix


def _merge(prefixes: list[str], target: str) -> None:
    """Makes one checkpoint of several, in their order; moves their data files."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    tf.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=prefixes, destination_prefix=target, delete_old_dirs=False
    )


def _keep_index(build: str, folder: str) -> None:
    kept = os.path.join(folder, INDEX_FILE)
    os.makedirs(os.path.dirname(kept), exist_ok=True)
    shutil.copyfile(f"{build}.index", kept)


def _data_files(folder: str) -> list[str]:
    """Returns the data files; the last one is the module's own."""
    parent = os.path.join(folder, os.path.dirname(_VARIABLES))
    return [os.path.join(parent, n) for n in sorted(os.listdir(parent)) if ".data-" in n]


@contextlib.contextmanager
def _scratch(folder: str) -> Iterator[str]:
    parts = os.path.join(folder, ".parts")
    os.makedirs(parts)
    yield parts
    shutil.rmtree(parts)
