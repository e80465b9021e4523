"""The documentation, held against the code: keys, jobs, flags, rooms, links, files, examples."""

import ast
import importlib
import json
import pathlib
import re
import types
import typing
from collections.abc import Iterator

import pydantic
import pytest

from tests.test_architecture import FLOORS, LAYERS
from twotower_tf.config import Config
from twotower_tf.config.reference import reference
from twotower_tf.config.registry import Registry
from twotower_tf.config_loader import load_config

ROOT = pathlib.Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
PAGES = [README, *sorted(ROOT.glob("docs/*.md")), *sorted(ROOT.glob("docker/*.md"))]
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _defines_main(path: pathlib.Path) -> bool:
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        names = [getattr(target, "id", None) for target in getattr(node, "targets", [])]
        if "main" in [*names, getattr(node, "name", None)]:
            return True
    return False


JOBS = [path.stem for path in sorted(ROOT.glob("pipelines/*.py")) if _defines_main(path)]


def _name(path: pathlib.Path) -> str:
    return str(path.relative_to(ROOT))


def _text(path: pathlib.Path) -> str:
    return path.read_text(encoding="utf-8")


def _blocks(path: pathlib.Path, language: str) -> list[str]:
    return [code for name, code in _BLOCK.findall(_text(path)) if name == language]


# --- configuration ----------------------------------------------------------------------------


def _parts(annotation) -> Iterator:
    """Yields an annotation and all it is made of: of unions, lists, dictionaries, Annotated."""
    yield annotation
    if typing.get_origin(annotation) is typing.Literal:
        return
    # The second of Annotated and what follows are no types, but do no harm.
    for part in typing.get_args(annotation):
        if isinstance(part, type | types.UnionType) or typing.get_origin(part) is not None:
            yield from _parts(part)


def _sections(model=Config, seen=None) -> dict[str, type[pydantic.BaseModel]]:
    """Returns every section of the configuration by the name of its class, Config first."""
    seen = {} if seen is None else seen
    if model.__name__ not in seen:
        seen[model.__name__] = model
        for field in model.model_fields.values():
            for registry in _registries(field):
                for section in registry.sections.values():
                    _sections(section, seen)
            for part in _parts(field.annotation):
                if isinstance(part, type) and issubclass(part, pydantic.BaseModel):
                    _sections(part, seen)
    return seen


def _registries(field) -> list[Registry]:
    """Returns the registries whose sections a field holds, itself or in a list."""
    annotated = [part for part in _parts(field.annotation) if hasattr(part, "__metadata__")]
    metadata = [*field.metadata, *(one for part in annotated for one in part.__metadata__)]
    return [one for one in metadata if isinstance(one, Registry)]


SECTIONS = _sections()


def _rows() -> Iterator[list[str]]:
    """Yields the cells of table rows: key, type, default, meaning, touches."""
    for line in _text(ROOT / "docs" / "configuration.md").splitlines():
        # A bar within backticks is none between cells.
        bars = re.sub(r"`[^`]*`", lambda quoted: quoted[0].replace("|", "/"), line)
        cells = [cell.strip() for cell in bars.strip("|").split("|")]
        if line.startswith("| `") and len(cells) == 5:
            yield [cells[0].strip("`"), *cells[1:]]


def _documented() -> set[tuple[str, str]]:
    """Returns the keys of table rows with their defaults."""
    return {(key, default) for key, _, default, *_ in _rows()}


def _literals(field) -> tuple:
    return tuple(
        value
        for part in _parts(field.annotation)
        if typing.get_origin(part) is typing.Literal
        for value in typing.get_args(part)
    )


def _default_is(field, written: str) -> bool:
    if field.is_required():
        return written == "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, pydantic.BaseModel) or _registries(field):
        return written == "section"
    if default is None:
        return written == "none"
    if default == "":
        # Filled in from another key.
        return bool(written)
    try:
        return json.loads(written) == default
    except json.JSONDecodeError:
        return written == default


def test_the_walk_finds_the_sections_inside_unions_lists_and_dictionaries():
    reached = {key for section in SECTIONS.values() for key in section.model_fields}
    assert {"timestamp", "divided_by", "vocabulary", "serving_days", "margin", "at"} <= reached
    assert {"layers", "brute_force_below", "initial_gap", "initial_accumulator"} <= reached


def test_the_reference_of_the_configuration_is_what_its_sections_say():
    written = _text(ROOT / "docs" / "configuration.md")
    assert written == reference(), "run make docs"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_of_the_reference_has_a_meaning(section):
    rows = {cells[0] for cells in _rows() if cells[3]}
    assert set(SECTIONS[section].model_fields) <= rows


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_documented_with_its_default(section):
    rows = _documented()
    wrong = {}
    for key, field in SECTIONS[section].model_fields.items():
        defaults = [default for documented, default in rows if documented == key]
        # The tag of a union is required of all but the default kind.
        is_tag = len(_literals(field)) == 1
        if not (defaults if is_tag else any(_default_is(field, one) for one in defaults)):
            wrong[key] = defaults
    assert not wrong, f"docs/configuration.md lacks these keys, or has other defaults: {wrong}"


@pytest.mark.parametrize("section", SECTIONS)
def test_every_allowed_word_is_documented(section):
    text = _text(ROOT / "docs" / "configuration.md")
    words = {
        word
        for field in SECTIONS[section].model_fields.values()
        for word in _literals(field)
        if isinstance(word, str)
    }
    assert not {word for word in words if f"`{word}`" not in text}


def test_no_key_is_documented_that_is_not_there():
    known = {key for section in SECTIONS.values() for key in section.model_fields}
    assert not {key for key, _ in _documented()} - known


# --- jobs -------------------------------------------------------------------------------------


def test_the_jobs_are_found():
    assert {"run_daily", "recommend"} <= set(JOBS)
    assert "command" not in JOBS


@pytest.mark.parametrize("job", JOBS)
def test_every_job_is_documented_with_its_flags(job, capsys):
    text = _text(ROOT / "docs" / "jobs.md")
    assert re.search(rf"^\| `{job}` \|", text, re.MULTILINE)
    assert importlib.import_module(f"pipelines.{job}").main([job, "--help"]) == 0
    ours = capsys.readouterr().out.split("absl.flags:")[0]
    flags = re.findall(r"^  (?:-\w,)?--(?:\[no\])?(\w+):", ours, re.MULTILINE)
    assert flags
    assert not {flag for flag in flags if f"--{flag}" not in text}


# --- architecture -----------------------------------------------------------------------------


def _first_cells(page: pathlib.Path, heading: str) -> list[str]:
    """Returns the first cells, in backticks, of the first table below a heading."""
    _, _, below = _text(page).partition(f"\n{heading}\n")
    cells: list[str] = []
    for line in below.splitlines():
        cell = re.match(r"\| `([^`]+)` \|", line)
        if cell:
            cells.append(cell[1])
        elif cells or line.startswith("#"):
            break
    return cells


def test_the_rooms_are_documented_in_their_order():
    assert _first_cells(ARCHITECTURE, "## The rooms and their order") == LAYERS


@pytest.mark.parametrize("room", FLOORS)
def test_the_floors_of_a_room_are_documented_in_their_order(room):
    assert _first_cells(ARCHITECTURE, f"### Inside `{room}`") == FLOORS[room]


# What is no public interface of TensorFlow, Keras or ScaNN, or hangs on their versions.
_INSIDES = re.compile(
    r"tf\.raw_ops|tf\.__internal__|tensorflow\.python|keras\.src|LEGACY_KERAS|make_\w+_function"
    r"|import (?:scann_ops|tensorflow_recommenders)|__signature__|namespace_whitelist|ATTRIBUTES"
)


def test_the_files_that_touch_the_insides_of_tensorflow_are_documented():
    heading = "## What touches the insides of TensorFlow and Keras"
    package = ROOT / "twotower_tf"
    found = {
        str(path.relative_to(package))
        for path in package.glob("**/*.py")
        if _INSIDES.search(_text(path))
    }
    assert found == set(_first_cells(ARCHITECTURE, heading))


# --- links and examples -----------------------------------------------------------------------


def _anchors(path: pathlib.Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub makes them."""
    without_code = _BLOCK.sub("", _text(path))
    headings = re.findall(r"^#+ (.*)$", without_code, re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page):
    broken = []
    for link in _LINK.findall(_BLOCK.sub("", _text(page))):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        inside = path == ROOT or ROOT in path.parents
        if not (inside and path.exists()) or (anchor and anchor not in _anchors(path)):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_the_source_files_that_a_page_names_are_there(page):
    # But those of a user's own package, which is called my_company.
    names = r"`(?!my_company)([\w/]+\.(?:py|c|Dockerfile))`"
    named = re.findall(names, _BLOCK.sub("", _text(page)))
    folders = ("twotower_tf", "pipelines", "tests", "benchmarks", "docker")
    there = [f"/{_name(path)}" for folder in folders for path in ROOT.glob(f"{folder}/**/*")]
    there += [f"/{path.name}" for path in ROOT.glob("*.py")]
    assert not {name for name in named if not any(path.endswith(f"/{name}") for path in there)}


def test_the_whole_configuration_of_the_readme_loads(tmp_path):
    whole = [code for code in _blocks(README, "yaml") if re.search(r"^name:", code, re.MULTILINE)]
    assert whole
    for number, code in enumerate(whole):
        path = tmp_path / f"{number}.yaml"
        path.write_text(code, encoding="utf-8")
        load_config(str(path))


_PARTS = _blocks(ROOT / "docs" / "parts.md", "python")


def test_the_parts_alone_have_examples():
    assert len(_PARTS) >= 3


@pytest.mark.parametrize("number", range(len(_PARTS)))
def test_the_python_examples_of_the_parts_alone_run(number):
    exec(compile(_PARTS[number], f"docs/parts.md, example {number}", "exec"), {})
