"""Reads a YAML file into a ``Config``: overrides, errors in one line."""

import pathlib
from collections.abc import Iterator, Sequence

import yaml
from pydantic import ValidationError

from twotower_tf.config import Config, strict_yaml
from twotower_tf.config.section import shown
from twotower_tf.errors import InputError
from twotower_tf.storage import exists

# For what pydantic words for programmers, by its types of error.
_OTHER_WORDS = {
    "list_type": "must be a list, such as [a, b]",
    "dict_type": "must be names and what each stands for, such as {a: ..., b: ...}",
}


def load_config(path: str, overrides: Sequence[str] = ()) -> Config:
    """Reads and validates a configuration.

    Args:
        path: A YAML file.
        overrides: ``key.path=value`` each, the value in YAML; a list's element by its number.

    Raises:
        InputError: One line that names the file, the key path, what is wrong, what is allowed.
    """
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"configuration {path} can't be read: {error}") from error
    try:
        values = strict_yaml.parse(text)
    except yaml.YAMLError as error:
        raise InputError(f"configuration {path} is not YAML: {_one_line(str(error))}") from error
    except ValueError as error:
        raise InputError(f"configuration {path}: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"configuration {path} must be a mapping of keys, got {shown(values)}")
    for override in overrides:
        _apply(values, override)
    try:
        config = Config.model_validate(values)
    except ValidationError as error:
        raise InputError(f"configuration {path}: {_describe(error)}") from error
    for key, file in _files_of_ids(config):
        if file is not None and not exists(file):
            raise InputError(
                f"configuration {path}: {key}: there is no file {file}; "
                "give a text file with an id a line"
            )
    return config


def _files_of_ids(config: Config) -> list[tuple[str, str | None]]:
    vocabularies = [
        (f"tables.{name}.vocabulary", table.vocabulary)
        for name, table in config.tables.items()
        if isinstance(table.vocabulary, str)
    ]
    lists = [(f"selection.{key}", getattr(config.selection, key)) for key in ("deny", "allow")]
    return vocabularies + lists


def _apply(values: dict, override: str) -> None:
    key_path, equals, text = override.partition("=")
    if not equals or not key_path:
        raise InputError(f"--set={override}: give key.path=value, such as loss.temperature=0.05")
    *parents, last = key_path.split(".")
    place = values
    for key in parents:
        place = _step(place, key, override)
    try:
        value = strict_yaml.parse(text)
    except yaml.YAMLError as error:
        raise InputError(f"--set={override}: '{text}' is not a YAML value") from error
    except ValueError as error:
        raise InputError(f"--set={override}: {error}") from error
    if isinstance(place, list):
        place[_list_position(place, last, override)] = value
    elif isinstance(place, dict):
        place[last] = value
    else:
        raise InputError(f"--set={override}: '{'.'.join(parents)}' holds a value, not keys")


def _step(place, key: str, override: str):
    if isinstance(place, list):
        return place[_list_position(place, key, override)]
    if isinstance(place, dict):
        if place.get(key) is None:
            place[key] = {}
        return place[key]
    raise InputError(f"--set={override}: there are no keys below the value above '{key}'")


def _list_position(place: list, key: str, override: str) -> int:
    if key.isdecimal() and int(key) < len(place):
        return int(key)
    raise InputError(
        f"--set={override}: '{key}' must be the number of a list element, 0 to {len(place) - 1}"
    )


def _describe(error: ValidationError) -> str:
    """Words the first mistake, key path first, and counts the others."""
    mistakes = list(_mistakes(error))
    location, first = mistakes[0]
    where = _key_path(location)
    message = _OTHER_WORDS.get(first["type"], first["msg"])
    message = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
    described = f"{where}: {message}" if where else message
    if first["type"] not in ("value_error", "missing"):
        described += f", got {shown(first['input'])}"
    if first["type"] == "string_type":
        described += strict_yaml.quote_it(first["input"])
    if len(mistakes) > 1:
        described += f" (and {len(mistakes) - 1} more)"
    return _one_line(described)


def _mistakes(error: ValidationError, above: tuple = ()) -> Iterator[tuple[tuple, dict]]:
    """Yields each mistake with its place; those of a section of a registry come one in another."""
    for mistake in error.errors(include_url=False):
        location = above + mistake["loc"]
        inner = mistake.get("ctx", {}).get("error")
        if isinstance(inner, ValidationError):
            yield from _mistakes(inner, location)
        else:
            yield location, mistake


def _key_path(location: tuple) -> str:
    """Joins a pydantic location; the tag of a union's member is no key, and left out."""
    path = ""
    for position, part in enumerate(location):
        if isinstance(part, int):
            path += f"[{part}]"
        elif _is_tag(location, position):
            continue
        else:
            path += f".{part}" if path else part
    return path


def _is_tag(location: tuple, position: int) -> bool:
    of_table = position == 3 and location[0] == "tables" and location[2] == "vocabulary"
    return of_table or location[:position] == ("loss", "temperature")


def _one_line(text: str) -> str:
    return " ".join(text.split())
