"""Which impressions make an example, of which split and weight: all of a shard at once."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twotower_tf.config import Config
from twotower_tf.examples import hashes
from twotower_tf.examples.hashes import Purpose
from twotower_tf.examples.shards.choice import EVAL, TRAIN, ValidEvents, capped
from twotower_tf.examples.shards.timeline import first_of_group, group_starts

# With more between them, impressions of one page id are of two pages: the id was used again.
_PAGE_SECONDS = 3600
# What stands for the page id of impressions whose log has none.
_NO_PAGE = np.uint64(hashes.text_hash(""))


@dataclasses.dataclass(frozen=True)
class Pages:
    """The pages of n impressions.

    Attributes:
        page: uint64 [n], a hash of user, page id and when the page began.
        again: bool [n], whether an impression begins a page whose id the user had before that day.
    """

    page: np.ndarray
    again: np.ndarray


def pages_of(impressions: ValidEvents, page_ids: pa.Array) -> Pages:
    """Returns the page of each impression.

    A page is what a user was shown on a day with one page id, as long as no more than an hour lies
    between two impressions; without page ids what was shown in one second is one.

    Args:
        impressions: They, [n].
        page_ids: Their page ids, text [n], null: none.
    """
    size = len(impressions)
    named = page_ids.is_valid().to_numpy(zero_copy_only=False)
    ids = np.where(named, hashes.text_hashes(pc.fill_null(page_ids, "")), _NO_PAGE)
    # Those without an id are apart by their second, which no gap has to tell.
    ids ^= np.where(named, 0, hashes.mixed(impressions.time.astype(np.uint64)))
    order = np.lexsort((impressions.time, ids, impressions.day, impressions.user))
    same = group_starts(*(one[order] for one in (impressions.user, impressions.day, ids)))
    time = impressions.time[order]
    begins = np.zeros(size, bool)
    begins[same] = True
    gap = np.zeros(size, bool)
    gap[1:] = time[1:] - time[:-1] > _PAGE_SECONDS
    gap &= ~begins
    first = first_of_group(np.flatnonzero(begins | gap), size)
    page, again = np.empty(size, np.uint64), np.empty(size, bool)
    users, began = impressions.user_hash[order], time[first]
    page[order] = hashes.event_hashes(users, ids[order], began)
    again[order] = gap
    return Pages(page, again)


def page_splits(pages: Pages, holdout_share: float) -> np.ndarray:
    """Returns the split of each impression, int64 [n] of ``TRAIN`` and ``EVAL``: of whole pages."""
    held_out = hashes.shares(pages.page, Purpose.HOLD_OUT) < holdout_share
    return np.where(held_out, EVAL, TRAIN)


def weights(
    config: Config, impressions: ValidEvents, splits: np.ndarray, clicked: np.ndarray
) -> np.ndarray:
    """Returns for how many impressions each stands, float64 [n]; 0: it makes no example.

    Held-out ones all do. Of those to train on ``ranking.max_per_user_and_day`` takes some away,
    for which no other stands; then ``negatives_per_positive`` some without a click, for which those
    that are left of the day, here, stand.

    Args:
        config: Says how many.
        impressions: They, [n].
        splits: From ``page_splits``.
        clicked: bool [n].
    """
    section = config.ranking
    result = np.where(splits == EVAL, 1.0, 0.0)
    training = np.flatnonzero(splits == TRAIN)
    if section.max_per_user_and_day is not None:
        training = capped(impressions, training, section.max_per_user_and_day)
    result[training] = 1.0
    if section.negatives_per_positive is not None:
        for day in np.unique(impressions.day[training]):
            of_day = training[impressions.day[training] == day]
            negatives = of_day[~clicked[of_day]]
            # Those of a day without a click stand for something, too.
            positives = max(1, len(of_day) - len(negatives))
            most = int(np.ceil(section.negatives_per_positive * positives))
            if len(negatives) > most:
                shares = hashes.shares(impressions.hash[negatives], Purpose.SAMPLE)
                negatives = negatives[np.lexsort((impressions.hash[negatives], shares))]
                result[negatives[:most]] = len(negatives) / most
                result[negatives[most:]] = 0.0
    return result
