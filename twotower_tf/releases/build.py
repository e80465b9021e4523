"""The index build, stage by stage: selection, embeddings, index, the stitched release candidate.

Yi et al. 2019, section 5.
"""

import dataclasses
import datetime
import time
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from absl import logging

from twotower_tf.config import Config
from twotower_tf.config.index import IndexSection
from twotower_tf.config.registries import INDEX_KINDS
from twotower_tf.examples.calendar import Calendar
from twotower_tf.examples.counts import Counts
from twotower_tf.examples.items.catalogue_reader import latest_catalogue
from twotower_tf.examples.schema import raw_features
from twotower_tf.indexing.candidates.embedding import CatalogueEmbedder, publish_embeddings
from twotower_tf.indexing.candidates.item_hashes import ItemHashes
from twotower_tf.indexing.candidates.selection import Selected, coverage, select_candidates
from twotower_tf.indexing.candidates.withdrawals import read_withdrawals
from twotower_tf.indexing.kinds.approximate_index import ApproximateIndex
from twotower_tf.indexing.kinds.index_recall import IndexRecall
from twotower_tf.indexing.kinds.indexes import Index, chosen_section
from twotower_tf.indexing.nominators.blend import Blend, fit_blend
from twotower_tf.indexing.nominators.known import Known
from twotower_tf.indexing.nominators.nominator import beside_the_index
from twotower_tf.models.ranking.ranking_model import RankingModel
from twotower_tf.models.two_tower import TwoTowerModel
from twotower_tf.serving.blending import Blending
from twotower_tf.serving.candidates import CandidateStage
from twotower_tf.serving.ranking_stage import RankingStage, request_features
from twotower_tf.serving.stitching import StitchedModel
from twotower_tf.storage import Workdir, scratch


@dataclasses.dataclass(frozen=True)
class BuiltIndex:
    """A release candidate.

    Attributes:
        stitched: The model to be saved.
        index: What its index was made of: the section of the kind that was chosen.
        extensions: Modules of the user's own that were imported.
        metrics: ``selection`` (``Selected.report``), ``broken`` (items whose vectors are not
            finite), ``coverage`` (the share of the training examples of the last
            ``selection.coverage_days`` days whose item is in the index; None without examples),
            ``kind``, ``items``, ``dim``, ``index_recall`` (None if there were no queries),
            ``index_recall_at``, ``extent`` (how far an approximate index looks), and
            ``selection_seconds``, ``embedding_seconds``, ``index_seconds``, ``seconds``.
    """

    stitched: StitchedModel
    index: IndexSection
    extensions: Sequence[str]
    metrics: dict

    def save(self, folder: str) -> None:
        """Writes the SavedModel; what ``releases.publish`` takes."""
        self.stitched.save(folder, self.index, self.extensions)


def build_index(
    config: Config,
    workdir: Workdir,
    model: TwoTowerModel,
    day: datetime.date,
    query_embeddings: np.ndarray | None,
    counts: Counts | None = None,
    embedder: CatalogueEmbedder | None = None,
    blend: Blend | None = None,
    ranking: RankingModel | None = None,
) -> BuiltIndex:
    """Builds a release candidate of the day's catalogue, and the partition ``embeddings`` with it.

    An approximate index gets the cheapest setting that reaches ``index.recall``.

    Args:
        config: Says which features there are, which items to take, which index, which gates.
        workdir: Has the catalogue; the newest one up to the day is taken.
        model: Its towers.
        day: Items published after it are left out.
        query_embeddings: float32 [Q, d] of real queries to measure the index with; with None, or
            Q = 0, its recall is not measured.
        counts: Of the training examples of the work directory's days; None: its own reader.
        embedder: Of the model, which may have embedded the catalogue before; None: one of its own.
        blend: Of what the nominators propose; None: the one that nothing was fitted to.
        ranking: What ranks it, with ``ranking`` configured; None: the release only retrieves.

    Raises:
        InputError: If there is no catalogue of the day or before, or a list of ids can't be read.
        JobError: If no item is left to recommend, or too many embeddings are not finite; or if
            another process is building an index in this work directory.
    """
    start = time.monotonic()
    counts = counts or Counts(workdir)
    embedder = embedder or CatalogueEmbedder(config, workdir, model)
    selected = _select(config, workdir, counts, day)
    embedding_start = time.monotonic()
    with scratch(workdir.path("build_index")):
        partition, items = publish_embeddings(config, workdir, embedder.embed(day), selected, day)
    index_start = time.monotonic()
    section = chosen_section(config.index, len(items.embeddings))
    index, measured = _index(section, items.embeddings, query_embeddings)
    known = Known(workdir, counts, day, items.item_ids, Calendar.of(config))
    blending, blend = _blending(config, known, index, items.embeddings, blend)
    if ranking is not None:
        ranking.set_day(workdir, config, day)
    stitched = StitchedModel(
        model.query_tower,
        model.candidate_tower,
        index,
        ItemHashes(pa.array(items.item_ids, pa.string()), items.hashes),
        raw_features(config, "query"),
        raw_features(config, "candidate"),
        config.index.default_k,
        items.embeddings.shape[1],
        blending,
        _ranking_stage(config, ranking, index, blending),
    )
    end = time.monotonic()
    metrics = {
        "selection": selected.report,
        "broken": partition.manifest()["broken"],
        "coverage": _coverage(config, counts, day, items.item_ids),
        **measured,
        "blend": dataclasses.asdict(blend) if blending is not None else None,
        "selection_seconds": embedding_start - start,
        "embedding_seconds": index_start - embedding_start,
        "index_seconds": end - index_start,
        "seconds": end - start,
    }
    return BuiltIndex(stitched, section, config.extensions, metrics)


def _select(config: Config, workdir: Workdir, counts: Counts, day: datetime.date) -> Selected:
    withdrawn = list(read_withdrawals(workdir))
    return select_candidates(config, counts, day, latest_catalogue(workdir, day), withdrawn)


def _ranking_stage(
    config: Config, model: RankingModel | None, index: Index, blending: Blending | None
) -> RankingStage | None:
    if model is None:
        return None
    candidates = CandidateStage(config.nominators, config.ranking.candidates, index, blending)
    return RankingStage(model, candidates, request_features(config))


def _blending(
    config: Config, known: Known, index: Index, embeddings: np.ndarray, blend: Blend | None
) -> tuple[Blending | None, Blend | None]:
    """Returns what is asked beside the index, if anything is, and its blend."""
    nominators = beside_the_index(config)
    if not nominators:
        return None, None
    for nominator in nominators:
        nominator.learn(known)
    blend = blend or fit_blend([], nominators)
    return Blending(nominators, blend, index, known.item_ids, embeddings), blend


def _index(
    section: IndexSection, embeddings: np.ndarray, query_embeddings: np.ndarray | None
) -> tuple[Index, dict]:
    """Returns the index, and what it is and was measured to be."""
    index = INDEX_KINDS.make(section, embeddings)
    recall = None
    if query_embeddings is not None and len(query_embeddings):
        measure = IndexRecall(query_embeddings, embeddings, section.recall_at)
        recall = measure.reach(index, section.recall)
    return index, {
        "kind": section.kind,
        "items": len(embeddings),
        "dim": embeddings.shape[1],
        "index_recall": recall,
        "index_recall_at": min(section.recall_at, len(embeddings)),
        "extent": dataclasses.asdict(index.extent) if isinstance(index, ApproximateIndex) else None,
    }


def _coverage(
    config: Config, counts: Counts, day: datetime.date, item_ids: np.ndarray
) -> float | None:
    days = config.selection.coverage_days
    covered = coverage(counts.items_until(day, days), item_ids)
    if covered is not None:
        logging.info(
            "the index covers %.2f %% of the training examples of the last %d days",
            100 * covered,
            days,
        )
    return covered
