"""Asks the current release: prints item ids, scores and titles, best first.

    python -m pipelines.recommend --config=FILE --workdir=DIR --user_id=ID --k=10
    python -m pipelines.recommend --config=FILE --workdir=DIR --query='{"seed_item_id": "v17"}'
    python -m pipelines.recommend --config=FILE --workdir=DIR --user_id=ID --exclude=v4 --exclude=v9

Features that a query does not name have their declared defaults. With ranking the order is that of
the expected watch time, in seconds, which then comes first; behind each item stands who proposed
it, and what the user had to do with it before.
"""

import json
from collections.abc import Iterator, Sequence

from pipelines import command
from twotower_tf.errors import InputError


def _job(values, _) -> None:
    config = command.config_of(values)
    if (values.query is None) == (values.user_id is None):
        raise InputError("give either --query or --user_id")
    if not all(values.exclude):
        raise InputError("--exclude is empty; give the id of an item, one with each --exclude")
    from twotower_tf.releases.recommendation import Recommender

    recommender = Recommender(config, command.open_workdir(values, config))
    if values.user_id is not None:
        query = recommender.query_for_user(values.user_id)
    else:
        query = _parse(values.query)
    for line in recommendation_lines(recommender, query, values.k, values.exclude):
        print(line)


def recommendation_lines(
    recommender, query: dict, k: int, exclude: Sequence[str] = ()
) -> Iterator[str]:
    """Yields a line for each item that a ``Recommender`` recommends, best first."""
    if not recommender.ranks:
        for item_id, score, title in recommender.recommend(query, k, exclude):
            yield f"{score:8.4f}  {item_id:<20}  {title}".rstrip()
        return
    for found, title, why in recommender.recommend_ranked(query, k, exclude):
        numbers = f"{found.expected_watch_seconds:8.1f} s  {found.score:8.4f}"
        yield f"{numbers}  {found.item_id:<20}  {title:<20}  {', '.join(why)}".rstrip()


def _parse(text: str) -> dict:
    try:
        query = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"--query is not JSON: {error}") from error
    if not isinstance(query, dict):
        raise InputError(f"--query must be a JSON object of query features, got {text[:60]}")
    return query


main = command.Command(
    __doc__,
    ["config", "set", "workdir", "query", "user_id", "k", "exclude"],
    ["config", "workdir"],
    _job,
)

if __name__ == "__main__":
    main.run()
