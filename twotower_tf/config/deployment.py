"""One deployment: all sections together, and what must fit between them."""

import keyword
from typing import Annotated

from pydantic import Field, model_validator

from twotower_tf.config.examples import Examples, Statistics
from twotower_tf.config.features import Table, Tower
from twotower_tf.config.index import Gates, Index
from twotower_tf.config.registries import FEATURE_KINDS, LOSSES
from twotower_tf.config.section import Name, Section
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
    read = (raw for one in config.query.features for raw in _raw_features(one, "query", config))
    if not any(raw.filled_in == "searches" for raw in read):
        raise ValueError(
            "source.searches: no feature of the query reads the searches; give it one, such as "
            "{name: searches, kind: text, table: words}, or leave source.searches out"
        )


def _raw_features(feature, tower: str, config: Config) -> list:
    return feature.raw_features(feature.owner(tower), config)


def _check_feature(where: str, feature, tower: str, config: Config) -> None:
    taken = _OTHER_INPUTS if tower == "query" else ()
    if feature.name in taken or keyword.iskeyword(feature.name):
        raise ValueError(
            f"{where}: a release can't have an input of this name; choose another one, and say "
            f"column: {feature.column}"
        )
    allowed = ("event", "user") if tower == "query" else ("item",)
    if feature.of is not None and feature.of not in allowed:
        raise ValueError(f"{where}: 'of' must be one of {', '.join(allowed)}, got '{feature.of}'")
    if feature.of == "user" and config.source.users is None:
        raise ValueError(f"{where}: 'of: user' needs source.users")
    try:
        feature.check(tower, config)
        _check_names(feature, tower, config)
        for raw in _raw_features(feature, tower, config):
            if raw.filled_in is not None:
                _check_filled_in(feature, raw, config)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _check_names(feature, tower: str, config: Config) -> None:
    others = [other for other in getattr(config, tower).features if other is not feature]
    taken = {raw.name for other in others for raw in _raw_features(other, tower, config)}
    for raw in _raw_features(feature, tower, config):
        if raw.name in taken:
            raise ValueError(f"it has an input called '{raw.name}', as another feature has")


def _check_filled_in(feature, raw, config: Config) -> None:
    """Checks a raw feature of a column that the build fills in, with ids or texts."""
    if raw.filled_in == "seed_item_id" and config.source.events.columns.seed_item_id is None:
        raise ValueError("a seed needs source.events.columns.seed_item_id")
    if raw.filled_in == "searches":
        if config.source.searches is None:
            raise ValueError(
                "the column 'searches' is the user's past searches, which the build fills in: it "
                "needs source.searches"
            )
        if not feature.reads_searches:
            able = [kind for kind, one in FEATURE_KINDS.sections.items() if one.reads_searches]
            raise ValueError(f"past searches need kind: {' or '.join(able)}, got {feature.kind}")
    if not raw.type.holds_text:
        raise ValueError(
            f"the column '{raw.column}' is filled in by the build, with ids or texts, which "
            f"'{raw.name}' can't hold; read it from another column"
        )
