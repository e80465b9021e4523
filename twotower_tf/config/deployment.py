"""One deployment: all sections together, and what must fit between them."""

import keyword
from typing import Annotated

from pydantic import Field, model_validator

from twotower_tf.config.evaluation import Evaluation, check_evaluation
from twotower_tf.config.examples import ExamplesSection, StatisticsSection
from twotower_tf.config.extensions import import_modules
from twotower_tf.config.features import TableSection
from twotower_tf.config.index import Gates
from twotower_tf.config.negatives import Negatives, check_negatives
from twotower_tf.config.nominators import Blend, Nominator, check_nominators
from twotower_tf.config.ranking import Ranking, check_ranking
from twotower_tf.config.registries import (
    ESTIMATORS,
    FEATURE_KINDS,
    INDEX_KINDS,
    LOSSES,
    OPTIMIZERS,
    TOWERS,
)
from twotower_tf.config.section import Name, Natural, Section, Touches
from twotower_tf.config.selection import EmbeddingSection, SelectionSection, check_selection
from twotower_tf.config.self_supervised import SelfSupervised, check_self_supervised
from twotower_tf.config.source import Source
from twotower_tf.config.training import Training
from twotower_tf.config.usual_tables import with_usual_tables

# What a release takes beside the query's features.
_OTHER_INPUTS = ("k", "exclude_ids")
_Module = Annotated[str, Field(min_length=1, title="Python modules")]


class Config(Section):
    """One deployment: its data, its model and what a release must reach."""

    name: Annotated[Name, Touches.MODEL]
    """The model's name: the folder below ``releases/``, and what the server is asked for."""
    extensions: Annotated[list[_Module], Touches.NOTHING] = Field(default_factory=list)
    """Python modules of your own, imported before the rest is read: they add kinds of loss, tower,
    estimator, optimiser and index. [extending.md](extending.md) has an example."""
    seed: Annotated[Natural, Touches.MODEL] = 17
    """Of initial weights, hash functions and draws: same seed, same data, same model to the bit
    (CPU)."""
    source: Annotated[Source, Touches.EXAMPLES]
    """Where the data is.

    With ``searches``, a feature of the query tower must read them (``kind: text`` of the column
    ``searches``), and the build must make the histories (no ``source.events.columns.history``).
    [data.md](data.md) says what files may hold, and what is rejected.
    """
    examples: ExamplesSection = ExamplesSection()
    """How events become examples."""
    statistics: Annotated[StatisticsSection, Touches.NOTHING] = StatisticsSection()
    """The window of days that a model's statistics come from."""
    tables: Annotated[dict[Name, TableSection], Touches.MODEL] = Field(default_factory=dict)
    """The embedding tables, by a name of your choice."""
    query: Annotated[TOWERS.section, Touches.MODEL]
    """The query tower.

    All features are computed inside the TensorFlow graph: the server takes raw values. Three
    columns of the event are filled in by the build, and columns of these names in the event files
    are not read: ``history``, the item ids before the event, oldest first (in a feature of one
    id: the last of them), ``seed_item_id``, the item on screen, and ``searches``, the user's past
    searches (``kind: text`` only; needs ``source.searches``).

    For the user's id write ``{name: user_id, kind: id, table: users, of: user}``: then
    ``recommend --user_id`` knows it; as a column of the event it is only known of events. The
    column is then the one that ``source.users.columns.user_id`` names.
    """
    candidate: Annotated[TOWERS.section, Touches.MODEL]
    """The candidate tower."""
    loss: Annotated[LOSSES.section, Touches.NOTHING] = Field(
        default_factory=dict, validate_default=True
    )
    """What is minimised.

    To change the kind on the command line give the whole section:
    ``--set 'loss={kind: pairwise_hinge, margin: 0.3}'``. What each computes, and when to use
    which: [losses.md](losses.md).
    """
    negatives: Annotated[Negatives, Touches.NOTHING] = Negatives()
    """What an example's item is set against, beside the other items of its batch."""
    self_supervised: Annotated[SelfSupervised | None, Touches.NOTHING] = None
    """A second loss, of items alone; without it there is none."""
    estimator: Annotated[ESTIMATORS.section, Touches.MODEL] = Field(
        default_factory=dict, validate_default=True
    )
    """The streaming frequency estimator.

    Which kind and which size: [estimator.md](estimator.md).
    """
    optimizer: Annotated[OPTIMIZERS.section, Touches.NOTHING] = Field(
        default_factory=dict, validate_default=True
    )
    """Which Keras optimiser."""
    training: Training = Training()
    """The sequential protocol."""
    evaluation: Annotated[Evaluation, Touches.NOTHING] = Evaluation()
    """What is measured on held-out examples."""
    selection: Annotated[SelectionSection, Touches.NOTHING] = SelectionSection()
    """Which items are recommended."""
    embedding: Annotated[EmbeddingSection, Touches.NOTHING] = EmbeddingSection()
    """How the catalogue is embedded."""
    index: Annotated[INDEX_KINDS.section, Touches.NOTHING] = Field(
        default_factory=dict, validate_default=True
    )
    """What finds the nearest items.

    [index.md](index.md) compares the kinds.
    """
    nominators: Annotated[list[Nominator], Touches.NOTHING] = Field(
        default_factory=lambda: ["index"], validate_default=True, min_length=1
    )
    """What proposes items: the kinds, or sections.

    ``nominators: [index, own_items]`` is short for ``[{kind: index}, {kind: own_items}]``. Which
    when, and what a request then brings: [nominators.md](nominators.md).
    """
    blend: Annotated[Blend, Touches.NOTHING] = Blend()
    """How what several nominators propose comes on one scale."""
    ranking: Annotated[Ranking | None, Touches.EXAMPLES] = None
    """The second stage; without it there is none."""
    gates: Annotated[Gates, Touches.NOTHING] = Gates()
    """What a release must reach."""

    @model_validator(mode="before")
    @classmethod
    def _import_extensions(cls, values):
        names = values.get("extensions") if isinstance(values, dict) else None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            try:
                import_modules(names)
            except ValueError as error:
                raise ValueError(f"extensions: {error}") from error
        return with_usual_tables(values)

    def __setstate__(self, state):
        # A Beam worker gets its configuration pickled, and nothing else says what to import.
        super().__setstate__(state)
        import_modules(self.extensions)

    @model_validator(mode="after")
    def _check_references(self):
        for tower_name, tower in (("query", self.query), ("candidate", self.candidate)):
            for number, feature in enumerate(tower.features):
                where = f"{tower_name}.features[{number}] ({feature.name})"
                _check_feature(where, feature, tower_name, self)
        _check_searches(self)
        if self.query.dimension != self.candidate.dimension:
            raise ValueError(
                "query and candidate must make vectors of the same length (the last of layers), "
                f"got {self.query.dimension} and {self.candidate.dimension}"
            )
        check_evaluation(self)
        check_negatives(self)
        check_selection(self)
        check_self_supervised(self)
        check_ranking(self)
        inputs = [raw for one in self.query.features for raw in _raw_features(one, "query", self)]
        check_nominators(self, self.nominators, {raw.name for raw in inputs})
        if self.index.exclude_seed and not any(map(_is_seed, inputs)):
            raise ValueError(
                "index.exclude_seed: no feature of the query reads the seed item; give it one, "
                "such as {name: seed_item_id, kind: id}, or leave exclude_seed out"
            )
        return self


def _is_seed(raw) -> bool:
    return raw.filled_in == "seed_item_id" and not raw.type.is_list


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
        raise ValueError("a seed item needs source.events.columns.seed_item_id")
    if raw.filled_in == "searches":
        if config.source.searches is None:
            raise ValueError(
                "the column 'searches' is the user's past searches, which the build fills in: it "
                "needs source.searches"
            )
        if not feature.reads_searches:
            able = [kind for kind, one in FEATURE_KINDS.sections.items() if one.reads_searches]
            raise ValueError(f"past searches need kind: {' or '.join(able)}, got {feature.kind}")
    if raw.filled_in == "basket" and config.source.events.columns.history is not None:
        raise ValueError(
            "a basket is made of the events of one second, which the build does not look at where "
            "the log gives the histories (source.events.columns.history)"
        )
    asked_by = {"history_days": "times", "history_types": "types", "history_dwell": "dwell"}
    if raw.filled_in in asked_by:
        if raw.type.weighs is None:
            raise ValueError(
                f"the column '{raw.filled_in}' is filled in by the build; say "
                f"{asked_by[raw.filled_in]} in the encoder of the history"
            )
        return
    if not raw.type.holds_text:
        raise ValueError(
            f"the column '{raw.column}' is filled in by the build, with ids or texts, which "
            f"'{raw.name}' can't hold; read it from another column"
        )
