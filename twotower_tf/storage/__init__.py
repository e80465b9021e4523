"""Day partitions, manifests and atomic publishing in a work directory, on disk or object store.

A partition is a folder ``<kind>/dt=YYYY-MM-DD`` that exists for readers once it holds a
``manifest.json``. It is written in a staging folder beside it and put into place whole, so that
nothing a reader can see is ever half-written. Paths may be URLs, ``s3://bucket/folder``.
"""

from twotower_tf.storage.connection import is_of_store, is_url
from twotower_tf.storage.days import day_range, parse_day
from twotower_tf.storage.files import (
    arrow_input,
    checksum,
    copy,
    exists,
    files_below,
    filled_on_disk,
    for_tensorflow,
    is_folder,
    move,
    move_all,
    names,
    open_input,
    open_output,
    read_json,
    read_on_disk,
    remove,
    remove_folder,
    remove_temporary,
    size,
    write_json,
    write_text,
)
from twotower_tf.storage.partitions import MANIFEST, Partition
from twotower_tf.storage.publishing import clear_away, has_leftovers, scratch, staged
from twotower_tf.storage.workdir import (
    CHECKPOINTS,
    EXAMPLES,
    RANKING,
    RANKING_CHECKPOINTS,
    SIZES,
    Workdir,
    is_bound_by,
    is_workdir,
)

__all__ = [
    "CHECKPOINTS",
    "EXAMPLES",
    "MANIFEST",
    "RANKING",
    "RANKING_CHECKPOINTS",
    "SIZES",
    "Partition",
    "Workdir",
    "arrow_input",
    "checksum",
    "clear_away",
    "copy",
    "day_range",
    "exists",
    "files_below",
    "filled_on_disk",
    "for_tensorflow",
    "has_leftovers",
    "is_bound_by",
    "is_folder",
    "is_of_store",
    "is_url",
    "is_workdir",
    "move",
    "move_all",
    "names",
    "open_input",
    "open_output",
    "parse_day",
    "read_json",
    "read_on_disk",
    "remove",
    "remove_folder",
    "remove_temporary",
    "scratch",
    "size",
    "staged",
    "write_json",
    "write_text",
]
