"""Releases asked by a C program: no Python, no package of ours, session on the tag ``serve``."""

import os
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

from tests.serving.ranked_release import RankedWorld
from tests.shop import items_of_shop
from twotower_tf.storage import Workdir

# isort: split
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from twotower_tf.releases.refresh import refresh_release

pytestmark = pytest.mark.long

SOURCE = pathlib.Path(__file__).with_name("ask_release.c")
TYPES = {np.dtype(object): "string", np.dtype(np.float32): "float", np.dtype(np.int32): "int32"}
QUERIES = {
    "seed": np.array(["item-4", "ключ-5"], object),
    "history": np.array([["item-1", "", ""], ["a", "ключ-7", "item-8"]], object),
    "hour": np.array([0.1, 0.9], np.float32),
    "mood": np.array([[1.0, 2.0, -2.0], [0.0, 0.5, 0.0]], np.float32),
}
SEEN = np.array([["item-6", "item-8"], ["ключ-5", ""]], object)


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> str:
    """The compiled program, linked with the libraries of the installed wheel."""
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to compile the C program with")
    made = str(tmp_path_factory.mktemp("c") / "ask_release")
    folder = tf.sysconfig.get_lib()
    command = [
        *("gcc", "-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", str(SOURCE), "-o", made),
        *("-isystem", tf.sysconfig.get_include(), f"-L{folder}", f"-Wl,-rpath,{folder}"),
        *("-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"),
    ]
    subprocess.run(command, check=True)
    return made


def _signature(folder: str, name: str):
    with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
        (graph,) = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs
    return graph.signature_def[name]


def _written(value: np.ndarray) -> bytes:
    words = [TYPES[value.dtype], value.ndim, *value.shape]
    for one in value.ravel():
        text = str(one).encode()
        words += [len(text), text] if value.dtype == object else [one]
    return b" ".join(word if isinstance(word, bytes) else str(word).encode() for word in words)


def _ask(program, folder, signature, inputs, outputs, library="-") -> list[np.ndarray]:
    """Asks the program, which knows nothing of Python: neither its variables nor its paths."""
    described = _signature(folder, signature)
    lines = [str(len(inputs)).encode()]
    for name, value in inputs.items():
        lines.append(described.inputs[name].name.encode() + b" " + _written(np.asarray(value)))
    lines.append(str(len(outputs)).encode())
    lines += [described.outputs[name].name.encode() for name in outputs]
    done = subprocess.run(
        [program, folder, library],
        input=b"\n".join(lines) + b"\n",
        env={"TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd="/",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    answers, answered = [], iter(done.stdout.decode().splitlines())
    for line in answered:
        kind, _, *shape = line.split()
        shape = [int(size) for size in shape]
        values = [next(answered) for _ in range(int(np.prod(shape)))]
        dtype = object if kind == "string" else np.float32
        answers.append(np.array(values, dtype).reshape(shape))
    return answers


def _library(kind: str) -> str:
    if kind != "scann":
        return "-"
    from scann.scann_ops.py import scann_ops

    folder = os.path.dirname(os.path.dirname(scann_ops.__file__))
    return os.path.join(folder, "cc", "_scann_ops.so")


@pytest.fixture(scope="module", params=["brute_force", "portable", "scann"])
def release(request, shop):
    return shop.release(request.param)


def _refreshed(release, shop, records: list[dict], root: str):
    """The release with some fresh items, in a work directory of its own."""
    workdir = Workdir(root)
    shutil.copytree(release.path, workdir.path("releases", release.model, release.version))
    items = shop.catalogue_of(records)
    return refresh_release(shop.config_of(release.model), workdir, items).release


def test_a_c_program_gets_the_same_items_as_python(program, release):
    loaded = release.load_saved_model()
    library = _library(release.model)
    for k, excluded in ((5, {}), (20, {"exclude_ids": SEEN})):
        want = loaded.serving_default(k=k, **QUERIES, **excluded)
        inputs = {"k": np.int32(k), **QUERIES, **excluded}
        outputs = ("item_ids", "scores")
        ids, scores = _ask(program, release.path, "serving_default", inputs, outputs, library)
        decoded = [[item_id.decode() for item_id in row] for row in want["item_ids"].numpy()]
        assert ids.tolist() == decoded
        np.testing.assert_allclose(scores, want["scores"], atol=1e-6)


def test_a_c_program_gets_the_same_recommendations_as_python(program, tmp_path):
    release = RankedWorld(tmp_path).release()
    loaded = release.load_saved_model()
    past = {"history": [["item-1", "item-5"]], "shown_item_ids": [["item-2", ""]]}
    query = {name: np.array(values, object) for name, values in past.items()}
    for name in ("history_days", "history_dwell", "shown_days", "shown_clicked"):
        query[name] = np.array([[2.0, 0.0]], np.float32)
    outputs = ("item_ids", "expected_watch_seconds", "sources")
    inputs = {"k": np.int32(4), **query}
    ids, seconds, sources = _ask(program, release.path, "recommend", inputs, outputs)
    want = loaded.recommend(k=4, **query)
    assert ids.tolist() == [[one.decode() for one in row] for row in want["item_ids"].numpy()]
    np.testing.assert_allclose(seconds, want["expected_watch_seconds"], rtol=1e-5)
    assert sources.tolist() == [["index"] * 4]


def test_a_c_program_may_leave_inputs_out(program, release):
    loaded, library = release.load_saved_model(), _library(release.model)
    seed = {"seed": np.array(["item-4"], object)}
    (ids,) = _ask(program, release.path, "serving_default", seed, ["item_ids"], library)
    want = loaded.serving_default(**seed)["item_ids"].numpy()
    assert ids.tolist() == [[item_id.decode() for item_id in row] for row in want]
    assert ids.shape == (1, 7)
    (none,) = _ask(program, release.path, "serving_default", {}, ["item_ids"], library)
    assert none.shape == (0, 7)


def test_a_c_program_embeds_items(program, release):
    item = {
        "title": np.array(["a new item", "другой"], object),
        "cover": np.array([[0.5, -1.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]], np.float32),
    }
    (got,) = _ask(program, release.path, "embed_item", item, ["embedding"], _library(release.model))
    loaded = release.load_saved_model()
    np.testing.assert_allclose(got, loaded.embed_item(**item)["embedding"], atol=1e-6)


def test_a_c_program_loads_a_refreshed_release(program, release, shop, tmp_path):
    fresh = [{"sku": f"new-{n}", "title": f"title {n}"} for n in range(20)]
    refreshed = _refreshed(release, shop, items_of_shop()[9:] + fresh, str(tmp_path))
    loaded = refreshed.load_saved_model()
    want = loaded.serving_default(k=1000, **QUERIES)["item_ids"].numpy()
    assert want.shape == (2, 300 - 9 + 20)
    inputs = {"k": np.int32(1000), **QUERIES}
    (ids,) = _ask(
        program, refreshed.path, "serving_default", inputs, ["item_ids"], _library(release.model)
    )
    assert ids.tolist() == [[item_id.decode() for item_id in row] for row in want]
    assert {record["sku"] for record in fresh} < set(ids[0])
