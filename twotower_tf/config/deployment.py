"""One deployment: all sections together, and what must fit between them."""

import keyword
import math
from typing import Annotated

from pydantic import Field, model_validator

from twotower_tf.config.examples import Examples, Statistics
from twotower_tf.config.features import BuiltVocabulary, Table, Tower
from twotower_tf.config.index import Gates, Index
from twotower_tf.config.registries import LOSSES
from twotower_tf.config.section import Name, Section, nearest
from twotower_tf.config.selection import Embedding, Selection, check_selection
from twotower_tf.config.source import Source
from twotower_tf.config.training import Estimator, Evaluation, Optimizer, Training

# What a release takes beside the query's features.
_OTHER_INPUTS = ("k", "exclude_ids")


class Config(Section):
    """One deployment: its data, its model and what a release must reach."""

    name: Name
    seed: Annotated[int, Field(ge=0)] = 17
    source: Source
    examples: Examples = Examples()
    statistics: Statistics = Statistics()
    tables: dict[Name, Table] = Field(default_factory=dict)
    query: Tower
    candidate: Tower
    loss: LOSSES.section = Field(default_factory=dict, validate_default=True)
    estimator: Estimator = Estimator()
    optimizer: Optimizer = Optimizer()
    training: Training = Training()
    evaluation: Evaluation = Evaluation()
    selection: Selection = Selection()
    embedding: Embedding = Embedding()
    index: Index = Index()
    gates: Gates = Gates()

    @model_validator(mode="after")
    def _check_references(self):
        for tower_name, tower in (("query", self.query), ("candidate", self.candidate)):
            for number, feature in enumerate(tower.features):
                where = f"{tower_name}.features[{number}] ({feature.name})"
                _check_feature(where, feature, tower_name, self)
        _check_searches(self)
        if self.query.layers[-1] != self.candidate.layers[-1]:
            raise ValueError(
                "query.layers and candidate.layers must end in the same size, got "
                f"{self.query.layers[-1]} and {self.candidate.layers[-1]}"
            )
        if self.gates.recall_at is not None and self.gates.recall_at not in self.evaluation.at:
            raise ValueError(
                f"gates.recall_at must be one of evaluation.at {self.evaluation.at}, "
                f"got {self.gates.recall_at}"
            )
        check_selection(self)
        return self


def _check_searches(config: Config) -> None:
    if config.source.searches is None:
        return
    if config.source.events.columns.history is not None:
        raise ValueError(
            "source.searches: searches are carried from day to day with the histories, which the "
            "build does not do where the log gives them (source.events.columns.history)"
        )
    if not any(map(_reads_searches, config.query.features)):
        raise ValueError(
            "source.searches: no feature of the query reads the searches; give it one, such as "
            "{name: searches, kind: text, table: words}, or leave source.searches out"
        )


def _reads_searches(feature) -> bool:
    """Says whether a feature of the query is of the past searches; ages read ``since`` alone."""
    return feature.kind != "age" and feature.of != "user" and feature.column == "searches"


def _check_feature(where: str, feature, tower: str, config: Config) -> None:
    taken = _OTHER_INPUTS if tower == "query" else ()
    if feature.name in taken or keyword.iskeyword(feature.name):
        raise ValueError(
            f"{where}: a release can't have an input of this name; choose another one, and say "
            f"column: {feature.column}"
        )
    table = getattr(feature, "table", None)
    if table is not None and table not in config.tables:
        known = ", ".join(sorted(config.tables)) or "none"
        raise ValueError(
            f"{where}: table '{table}' is not one of tables: {known}{nearest(table, config.tables)}"
        )
    is_built = table is not None and isinstance(config.tables[table].vocabulary, BuiltVocabulary)
    if feature.kind == "text" and is_built:
        raise ValueError(
            f"{where}: the vocabulary of table '{table}' is built of ids, not of words; "
            "give words a table of their own"
        )
    allowed = ("event", "user") if tower == "query" else ("item",)
    if feature.of is not None and feature.of not in allowed:
        raise ValueError(f"{where}: 'of' must be one of {', '.join(allowed)}, got '{feature.of}'")
    if feature.of == "user" and config.source.users is None:
        raise ValueError(f"{where}: 'of: user' needs source.users")
    seeded = config.source.events.columns.seed_item_id is not None
    if feature.column == "seed_item_id" and not seeded and tower == "query":
        raise ValueError(f"{where}: a seed needs source.events.columns.seed_item_id")
    if tower == "query" and _reads_searches(feature):
        if config.source.searches is None:
            raise ValueError(
                f"{where}: the column 'searches' is the user's past searches, which the build "
                "fills in: it needs source.searches"
            )
        if feature.kind != "text":
            raise ValueError(f"{where}: past searches need kind: text, got {feature.kind}")
    if feature.kind == "weighted_id_bag":
        weights = f"{feature.name}_weights"
        if any(other.name == weights for other in getattr(config, tower).features):
            raise ValueError(f"{where}: its weights are called '{weights}', as another feature is")
        if feature.column == "history" and tower == "query":
            raise ValueError(f"{where}: a history has no weights; use kind: id_bag")
    if not math.isfinite(getattr(feature, "default", 0.0)):
        raise ValueError(f"{where}: default must be finite")
