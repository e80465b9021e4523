"""Why an item was recommended: who proposed it, and what the user had to do with it before.

It is said in words what the ranking model sees in numbers (``models.ranking.interactions``); how
much each weighs it does not say.
"""

from collections.abc import Mapping, Sequence

from twotower_tf.examples.schema import SHOWN


def reasons(
    item_id: str,
    source: str,
    query: Mapping[str, object],
    history: str,
    likes: Mapping[str, Mapping[str, str]],
) -> list[str]:
    """Returns why, a few words each.

    Args:
        item_id: Of the item.
        source: The nominator that proposed it.
        query: What was asked.
        history: The query's list of what the user watched.
        likes: By feature what items have in common: its value by item id.
    """
    watched: Sequence[str] = query.get(history, [])
    ids, _, clicked_name = SHOWN
    shown = zip(query.get(ids, []), query.get(clicked_name, []), strict=True)
    in_vain = [one for one, clicked in shown if clicked <= 0]
    said = [f"from {source}"]
    said += _counted("it was watched", watched.count(item_id))
    said += _counted("it was shown in vain", in_vain.count(item_id))
    for name, values in likes.items():
        own = values.get(item_id)
        if own is not None:
            what = f"{name} {own}"
            said += _counted(f"{what} watched", [values.get(one) for one in watched].count(own))
            vain = [values.get(one) for one in in_vain].count(own)
            said += _counted(f"{what} shown in vain", vain)
    return said


def _counted(what: str, times: int) -> list[str]:
    if not times:
        return []
    return [f"{what} {'once' if times == 1 else f'{times} times'}"]
