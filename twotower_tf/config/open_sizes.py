"""The sizes that a configuration leaves to the data, by how much of it there is."""

_FEWEST_BUCKETS, _MOST_BUCKETS = 1 << 10, 1 << 24
# Of ids that hash into so many times as many rows a tenth share one.
_BUCKETS_PER_ID = 4
# Where the catalogue does not say how many ids there are: of users, of queries.
_BUCKETS_UNKNOWN = 1 << 16
# A pass over the first days should be some hundred steps; and in-batch negatives should be many.
_STEPS_PER_PASS = 600
_SMALLEST_BATCH, _LARGEST_BATCH = 128, 8192


def buckets_of(ids: int | None) -> int:
    """Returns how many buckets a table has, given how many distinct ids of the catalogue's features
    are looked up in it; None: no such feature is."""
    if ids is None:
        return _BUCKETS_UNKNOWN
    return min(max(_power_of_2(_BUCKETS_PER_ID * ids), _FEWEST_BUCKETS), _MOST_BUCKETS)


def batch_size_of(examples: int) -> int:
    """Returns how many examples a batch has, given how many a model starts with."""
    return min(max(_power_of_2(examples // _STEPS_PER_PASS), _SMALLEST_BATCH), _LARGEST_BATCH)


def _power_of_2(number: int) -> int:
    """Returns the smallest power of 2 that is not below a number."""
    return 1 << max(0, number - 1).bit_length()
