"""A proposal as a commented YAML file, checked before it is written."""

import os
import tempfile
import textwrap
from collections.abc import Iterable
from typing import Any

import yaml

from twotower_tf.config import Config
from twotower_tf.config_loader import load_config
from twotower_tf.datasets.files import find_files
from twotower_tf.discovery.features import Feature
from twotower_tf.discovery.parts import Part
from twotower_tf.discovery.proposal import (
    Key,
    Proposal,
    example_keys,
    nominator_key,
    other_keys,
    tables_of,
    training_key,
)
from twotower_tf.errors import InputError
from twotower_tf.examples.source_columns import check_columns

_WIDTH = 96
_PARTS = ("events", "items", "users", "searches", "impressions")


def as_yaml(proposal: Proposal, source: str) -> str:
    """Returns the text of a configuration, with what was seen and what is unsure in comments."""
    lines = [f"# Written by `python -m pipelines.init` from what is in {source}."]
    if proposal.doubts:
        lines.append("# It is unsure of this:")
        lines += _comment(f"- {doubt}" for doubt in proposal.doubts)
    lines += [f"name: {proposal.name}", "", "source:"]
    for part in proposal.parts:
        lines += _part(part)
    examples = example_keys(proposal)
    if examples:
        lines += ["", "examples:"]
        for key in examples:
            lines += _key(key, "  ")
    tables = tables_of(proposal)
    if tables:
        lines += ["", "# Of other tables the catalogue tells the sizes.", "tables:"]
        lines += [f"  {name}: {flow(values)}" for name, values in tables.items()]
    lines += ["", "query:", "  features:", *_features(proposal.query)]
    if proposal.residual:
        lines += [f"  residual: {flow(list(proposal.residual))}"]
    lines += ["", "candidate:", "  features:", *_features(proposal.candidate), ""]
    if proposal.part("impressions") is not None:
        lines += ["# What was shown tells a second model how to rank.", "ranking: {}", ""]
    nominators = nominator_key(proposal)
    keys = [*([nominators] if nominators else []), training_key(proposal), *other_keys(proposal)]
    for key in keys:
        lines += _key(key, "")
    if proposal.passed_over:
        lines += ["", "# Not used:"]
        lines += _comment(f"- {name}: {why}" for name, why in _few(proposal.passed_over))
    return "\n".join(lines) + "\n"


def check_yaml(text: str, source: str) -> Config:
    """Reads a configuration as jobs would, and finds its files and their columns.

    Raises:
        InputError: If it could not be run: then the guesses do not fit together.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "proposed.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        config = load_config(path)
    for what in _PARTS:
        files = getattr(config.source, what)
        if files is not None:
            found = find_files(source, files, what, None)
            for file in {0: found[0], 1: found[-1]}.values():
                check_columns(file, config, what)
    return config


def write_new(path: str, text: str) -> None:
    """Writes a file that must not be there yet.

    Raises:
        InputError: If it is there, or can't be written.
    """
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise InputError(f"--out={path}: the file is there already; name another one") from None
    except OSError as error:
        raise InputError(f"--out={path} can't be written: {error.strerror}") from error


def flow(value: Any) -> str:
    """Returns a value as YAML in one line."""
    text = yaml.safe_dump(
        value, default_flow_style=True, sort_keys=False, width=float("inf"), allow_unicode=True
    )
    return text.removesuffix("...\n").strip()


def _part(part: Part) -> list[str]:
    lines = [f"  {part.what}:"]
    sample = part.table.sample
    about = "" if sample.whole else "about "
    lines.append(f"    # {about}{sample.rows:,} rows; columns: {_columns(part)}")
    return lines + [f"    {key}: {flow(value)}" for key, value in part.values.items()]


def _columns(part: Part) -> str:
    names = list(part.table.columns)
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _key(key: Key, indent: str) -> list[str]:
    notes = textwrap.wrap(key.note, _WIDTH - len(indent))
    return [*(f"{indent}# {note}" for note in notes), f"{indent}{key.name}: {flow(key.value)}"]


def _features(features: list[Feature]) -> list[str]:
    lines = []
    for feature in features:
        if feature.left_out is None:
            lines.append(f"    - {flow(feature.values)}")
    for feature in features:
        if feature.left_out is not None:
            lines.append(f"    # - {flow(feature.values)}  # {feature.left_out}")
    return lines


def _comment(texts: Iterable[str]) -> list[str]:
    return [
        line
        for text in texts
        for line in textwrap.wrap(
            text, _WIDTH, initial_indent="#   ", subsequent_indent="#     ", break_on_hyphens=False
        )
    ]


def _few(passed_over: dict[str, str], most: int = 20):
    yield from list(passed_over.items())[:most]
    if len(passed_over) > most:
        yield f"{len(passed_over) - most} more", "of other kinds"
