"""The house rules of docs/architecture.md, read off the source itself."""

import ast
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
SOURCES = sorted([*ROOT.glob("twotower_tf/**/*.py"), *ROOT.glob("pipelines/**/*.py")])
TREE = sorted(
    path
    for folder in ("twotower_tf", "pipelines", "tests", "benchmarks")
    for path in ROOT.glob(f"{folder}/**/*.py")
)

# Data flows down this list; imports only ever point up it.
LAYERS = [
    "errors",
    "config",
    "storage",
    "config_loader",
    "progress",
    "beam_runs",
    "graph",
    "datasets",
    "examples",
    "inspection",
    "discovery",
    "frequency",
    "models",
    "indexing",
    "training",
    "evaluation",
    "serving",
    "releases",
    "daily",
    "simulator",
    "studies",
]
# The same inside the large rooms: files and folders, an order each.
FLOORS = {
    "examples": [
        "values",
        "calendar",
        "hashes",
        "rejects",
        "unreadable_files",
        "encoding",
        "value_types",
        "schema",
        "event_table",
        "records",
        "source_columns",
        "impression_records",
        "items",
        "users",
        "outcome",
        "build_progress",
        "plan",
        "matches",
        "reading",
        "counts",
        "statistics",
        "statistics_sources",
        "shards",
        "reader",
        "building",
    ],
    "models": [
        "embeddings",
        "history",
        "features",
        "losses",
        "candidates",
        "compiled_model",
        "inference",
        "item_features",
        "towers",
        "mlp_tower",
        "tower_sections",
        "self_supervised",
        "two_tower",
        "ranking",
    ],
    "discovery": [
        "words",
        "times",
        "layouts",
        "file_groups",
        "samples",
        "tables",
        "joins",
        "roles",
        "behaviour",
        "rewards",
        "features",
        "query_features",
        "parts",
        "proposal",
        "discover",
        "writing",
        "summary",
    ],
    "indexing": ["candidates", "ranking", "kinds", "nominators"],
    "serving": [
        "serving_description",
        "asking",
        "fresh_items",
        "retrieval",
        "blending",
        "candidates",
        "ranking_stage",
        "signatures",
        "variable_files",
        "self_test",
        "warm_up",
        "stitching",
    ],
    "releases": [
        "newest_items",
        "build",
        "gates",
        "model_card",
        "releases",
        "fresh_part",
        "release_day",
        "release_changes",
        "refresh",
        "reasons",
        "recommendation",
    ],
}
FOUNDATION = {
    "errors": set(),
    "config": {"config"},
    "config_loader": {"errors", "storage", "config"},
    "storage": {"errors", "storage"},
}
HEAVY = ["tensorflow", "tf_keras", "tensorflow_io", "scann", "apache_beam", "matplotlib"]


def _name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def _layer(path: pathlib.Path) -> str:
    return path.relative_to(ROOT / "twotower_tf").parts[0].removesuffix(".py")


def _absolute(node: ast.ImportFrom, path: pathlib.Path) -> str:
    """Returns the module that ``from ... import`` names, a relative one written out."""
    if not node.level:
        return node.module or ""
    package = path.relative_to(ROOT).parts[: -node.level]
    return ".".join([*package, *([node.module] if node.module else [])])


def _imports(path: pathlib.Path) -> set[str]:
    """Returns every dotted name a file imports, those inside functions included."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, path)
            names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def _layers_imported(path: pathlib.Path) -> set[str]:
    ours = (name.split(".") for name in _imports(path) if name.startswith("twotower_tf."))
    return {parts[1] for parts in ours}


def _package_files() -> list[pathlib.Path]:
    files = [path for path in SOURCES if path.is_relative_to(ROOT / "twotower_tf")]
    # The package's own __init__ names modules for the public API, and loads none of them.
    return [path for path in files if path != ROOT / "twotower_tf" / "__init__.py"]


def _floor(path: pathlib.Path) -> str:
    return path.relative_to(ROOT / "twotower_tf").parts[1].removesuffix(".py")


def _room_files(room: str) -> list[pathlib.Path]:
    files = [path for path in _package_files() if _layer(path) == room]
    return [path for path in files if path.parent.name != room or path.stem != "__init__"]


def test_every_module_of_the_package_has_its_place_in_the_order():
    unplaced = {_name(path) for path in _package_files() if _layer(path) not in LAYERS}
    assert not unplaced


def test_imports_only_point_up_the_order():
    wrong = []
    for path in _package_files():
        own = LAYERS.index(_layer(path))
        for layer in _layers_imported(path):
            if layer not in LAYERS[: own + 1]:
                wrong.append(f"{_name(path)} imports twotower_tf.{layer}")
    assert not wrong


@pytest.mark.parametrize("room", FLOORS)
def test_imports_only_point_up_the_floors_of_a_room(room):
    floors = FLOORS[room]
    assert {_floor(path) for path in _room_files(room)} == set(floors)
    wrong = []
    for path in _room_files(room):
        for name in _imports(path):
            parts = name.split(".")
            inside = parts[:2] == ["twotower_tf", room] and len(parts) > 2
            if inside and parts[2] not in floors[: floors.index(_floor(path)) + 1]:
                wrong.append(f"{_name(path)} imports {name}")
    assert not wrong


@pytest.mark.parametrize("module", FOUNDATION)
def test_the_foundation_imports_nothing_else_of_ours(module):
    files = [path for path in _package_files() if _layer(path) == module]
    assert files
    assert set().union(*map(_layers_imported, files)) <= FOUNDATION[module]


def test_the_package_imports_no_pipeline_test_or_benchmark():
    outside = {"pipelines", "tests", "benchmarks"}
    wrong = {
        f"{_name(path)} imports {name}"
        for path in [*_package_files(), ROOT / "twotower_tf" / "__init__.py"]
        for name in _imports(path)
        if name.split(".")[0] in outside
    }
    assert not wrong


def test_no_file_is_a_drawer_for_anything():
    drawers = {"utils", "util", "common", "helpers", "helper", "misc"}
    relative = [path.relative_to(ROOT) for path in TREE]
    assert not [path for path in relative if drawers & {path.stem, *path.parts}]


def test_no_module_is_longer_than_400_lines():
    lengths = {_name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in SOURCES}
    assert not {name: length for name, length in lengths.items() if length > 400}


def _length_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    length = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        length -= docstring.end_lineno - docstring.lineno + 1
    return length


def test_no_function_is_longer_than_50_lines_without_its_docstring():
    too_long = {}
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                length = _length_without_docstring(node)
                if length > 50:
                    too_long[f"{_name(path)}:{node.lineno} {node.name}"] = length
    assert not too_long


def test_the_light_modules_and_every_pipeline_import_without_the_heavy_libraries():
    light = ["twotower_tf", *(f"twotower_tf.{module}" for module in FOUNDATION)]
    jobs = [f"pipelines.{path.stem}" for path in sorted(ROOT.glob("pipelines/[a-z]*.py"))]
    script = (
        "import importlib, sys\n"
        f"for module in {light + jobs}:\n"
        "    importlib.import_module(module)\n"
        f"    loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "    if loaded: sys.exit(f'importing {module} loads {loaded}')\n"
        "from twotower_tf.config.reference import reference\n"
        "from twotower_tf.config_loader import load_config\n"
        # The one reads a configuration, the other asks every registry for its sections.
        "load_config('configs/demo.yaml'), reference()\n"
        f"loaded = [name for name in {HEAVY} if name in sys.modules]\n"
        "if loaded: sys.exit(f'reading a configuration loads {loaded}')\n"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
