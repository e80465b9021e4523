"""Reads a YAML file into a ``Config``: overrides, errors in one line, fingerprints."""

import hashlib
import json
import pathlib
from collections.abc import Iterator, Sequence

import yaml
from pydantic import ValidationError

from twotower_tf.config import Config, strict_yaml
from twotower_tf.config.examples import Duplicates
from twotower_tf.config.registries import TOWERS
from twotower_tf.config.section import shown
from twotower_tf.config.times import MIDNIGHT
from twotower_tf.errors import InputError
from twotower_tf.storage import checksum, exists

# What the examples on disk depend on, and what the checkpoints depend on besides. The rest
# (evaluation, selection, embedding, index, gates) may change in the life of a work directory.
_EXAMPLE_SECTIONS = ("source", "examples", "query", "candidate")
_OF_BOTH_MODELS = ("name", "seed", "statistics", "tables")
_MODEL_SECTIONS = (*_OF_BOTH_MODELS, "loss", "estimator", "optimizer")
# And what the examples depend on of ``ranking``.
_RANKING_DATA = (
    "shown_length",
    "time_zone",
    "negatives_per_positive",
    "max_per_user_and_day",
    "overlong",
)
# Keys of ``examples`` that say which days pass, not what is made of them.
_LETTING_THROUGH = (
    "max_rejected_share",
    "max_rejected",
    "unreadable_files",
    "missing_hours",
    "warn_match_share",
)
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


def binding_sections(config: Config) -> dict:
    """Returns the sections a work directory is bound to, as plain JSON values.

    Two configurations that agree in these may share examples and checkpoints; the paths and the
    homepage of the source may differ, for logs move.
    """
    whole = config.model_dump(mode="json")
    sections = {name: whole[name] for name in _EXAMPLE_SECTIONS + _MODEL_SECTIONS}
    sections["source"] = {
        kind: {key: value for key, value in files.items() if key != "path"}
        for kind, files in whole["source"].items()
        if isinstance(files, dict)
    }
    _drop_unused(sections, config)
    if config.source.day_starts != MIDNIGHT:
        # Work directories are older than days that start at another time.
        sections["source"]["day_starts"] = config.source.day_starts
    # A day with many rejects may be let through without starting anew.
    for key in _LETTING_THROUGH:
        del sections["examples"][key]
    for name, table in config.tables.items():
        if isinstance(table.vocabulary, str):
            # The ids count, wherever they are.
            sections["tables"][name]["vocabulary"] = checksum(table.vocabulary)
    for name in ("query", "candidate"):
        # Work directories are older than kinds of towers: their one kind goes without saying.
        if sections[name]["kind"] == TOWERS.default:
            del sections[name]["kind"]
    # So they are older than what past events were: who does not ask for it says nothing.
    _drop_unset(sections["source"]["events"]["columns"], "event_type", "dwell")
    for feature in sections["query"]["features"]:
        _drop_unset(feature.get("encoder") or {}, "types", "dwell")
    for feature in (*sections["query"]["features"], *sections["candidate"]["features"]):
        if feature["required"]:
            del feature["required"]
        if feature["kind"] == "text" and feature["tokens"] == "auto":
            del feature["tokens"]
    sections["training"] = {"batch_size": config.training.batch_size}
    # So they are older than ``negatives``, and have uniform draws where those were configured.
    negatives = {key: value for key, value in whole["negatives"].items() if value}
    if getattr(config.loss, "uniform_negatives", False):
        sections["loss"]["negatives"] = config.negatives.uniform_draws
        negatives.pop("uniform", None)
    if negatives:
        sections["negatives"] = negatives
    if config.ranking is not None:
        # They are older than the second stage, whose examples and checkpoints are its own.
        sections["ranking"] = {key: whole["ranking"][key] for key in _RANKING_DATA}
    if config.self_supervised is not None:
        # Work directories are older than this one, too.
        sections["self_supervised"] = whole["self_supervised"]
    return sections


def _drop_unused(sections: dict, config: Config) -> None:
    """Leaves keys out of the source and the examples that work directories are older than."""
    for files in sections["source"].values():
        if files["missing"] is None:
            del files["missing"]
        if files["quote"] == "auto":
            del files["quote"]
        _drop_unset(files, "optional", "encoding", "header", "delimiter", "comment")
        _drop_unset(files, "where", "lists")
    _drop_unset(sections["examples"], "normalise_ids")
    if config.examples.duplicates == Duplicates():
        del sections["examples"]["duplicates"]
    _drop_unset(sections["examples"]["reward"] or {}, "values", "times")


def _drop_unset(section: dict, *keys: str) -> None:
    for key in keys:
        if not section.get(key):
            section.pop(key, None)


def examples_fingerprint(config: Config) -> str:
    """Returns the SHA-256 (hex) of what the examples depend on."""
    sections = binding_sections(config)
    kept = {name: sections[name] for name in _EXAMPLE_SECTIONS}
    for tower in ("query", "candidate"):
        kept[tower] = {"features": kept[tower]["features"]}
    if "ranking" in sections:
        kept["ranking"] = sections["ranking"]
    return _fingerprint(kept)


def model_fingerprint(config: Config) -> str:
    """Returns the SHA-256 (hex) of what a checkpoint depends on."""
    return _fingerprint(binding_sections(config))


def ranking_fingerprint(config: Config) -> str:
    """Returns the SHA-256 (hex) of what a checkpoint of the ranking model depends on.

    That is not what nominates the candidates, nor how much each head counts: these may change.
    """
    sections = binding_sections(config)
    kept = {name: sections[name] for name in (*_EXAMPLE_SECTIONS, *_OF_BOTH_MODELS)}
    ranking = config.ranking.model_dump(mode="json")
    ranking["training"] = {"batch_size": config.ranking.training.batch_size}
    del ranking["candidates"]
    for head in filter(None, ranking["heads"].values()):
        del head["weight"]
    return _fingerprint({**kept, "ranking": ranking})


def _fingerprint(values: dict) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()
