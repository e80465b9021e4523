"""What an example of the deployment of `tests/examples/conftest.py` is, in plain Python."""

SECONDS_PER_DAY = 86_400


def naive_example(
    record: dict, past: list[dict], basket: list[str], items: dict, users: dict
) -> dict[str, list]:
    """Returns the values of an event's example by key, by the definition.

    Args:
        record: The event.
        past: The events of the history before it, oldest first.
        basket: The item ids of its second that stand before it.
        items: The catalogue as of its day, by item id.
        users: The profiles, by user id.
    """
    item, user = items[record["item_id"]], users.get(record["user_id"])
    timestamp = record["timestamp"]
    history, recent = [one["item_id"] for one in past], past[-2:]
    share = record["watched"] / item["length"]
    return {
        "user_id": [record["user_id"]],
        "item_id": [record["item_id"]],
        "seed_item_id": [record.get("seed", "")],
        "timestamp": [timestamp],
        "reward": [min(1.0, max(0.0, (share - 0.1) / 0.9))],
        "query/seed_item_id": [record.get("seed", "")],
        "query/history": history,
        "query/recent": history[-2:],
        "query/recent_days": [(timestamp - one["timestamp"]) / SECONDS_PER_DAY for one in recent],
        "query/recent_types": [one.get("device", "") for one in recent],
        "query/recent_dwell": [one["watched"] for one in recent],
        "query/basket": basket,
        "query/device": [record.get("device", "")],
        "query/country": [user["country"] if user else ""],
        "query/years": [user["years"] if user else 33.0],
        "query/tenure": [(timestamp - user["joined"]) / SECONDS_PER_DAY if user else 0.0],
        "candidate/item": [record["item_id"]],
        "candidate/tags": item["tags"][-2:],
        "candidate/tags_weights": item["tag_weights"][-2:],
        "candidate/age": [max(0, timestamp - item["published"]) / SECONDS_PER_DAY],
        "candidate/length": [item["length"]],
    }
