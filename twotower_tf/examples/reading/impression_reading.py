"""Reads the records of a split of the impression log; see ``event_reading``."""

import numpy as np
import pyarrow as pa

from twotower_tf.config.ranking import knows_length
from twotower_tf.examples.event_table import impression_schema
from twotower_tf.examples.plan import Plan
from twotower_tf.examples.reading.event_reading import LogReader
from twotower_tf.examples.reading.impression_columns import ImpressionColumns
from twotower_tf.examples.reading.item_joins import ItemJoin
from twotower_tf.examples.reading.log_columns import Reason


class ImpressionReader(LogReader):
    """Reads splits of impression files, and looks the items up."""

    log = "impressions"
    one = "an impression"

    def __init__(self, plan: Plan):
        super().__init__(plan, ImpressionColumns(plan.config), impression_schema(plan.config))
        self._items = ItemJoin(plan)
        refuses = plan.config.ranking.overlong == "reject"
        self._refuses_overlong = refuses and knows_length(plan.config)
        self._watched_column = plan.config.source.impressions.columns.watched_seconds

    def _more_columns(
        self, parsed: pa.Table, days: np.ndarray
    ) -> tuple[dict[str, np.ndarray], list[Reason]]:
        lengths, unknown = self._items.of(parsed["item_id"].combine_chunks(), days)
        reasons = dict(unknown)
        if self._refuses_overlong:
            watched = parsed["watched_seconds"].to_numpy()
            for place in np.flatnonzero((lengths > 0.0) & (watched > lengths)).tolist():
                reasons.setdefault(place, self._overlong(watched[place], lengths[place]))
        return {}, sorted(reasons.items())

    def _overlong(self, watched: float, length: float) -> str:
        return (
            f"column '{self._watched_column}' is {watched:g}, longer than its item lasts, "
            f"{length:g} (ranking.overlong: reject)"
        )
