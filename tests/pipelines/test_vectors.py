"""A site with vectors of events, users and items: from the logs to what the release recommends."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from twotower_tf.config_loader import load_config
from twotower_tf.datasets.files import SourceFile
from twotower_tf.examples.items.catalogue import parse_catalogue
from twotower_tf.examples.items.catalogue_reader import load_catalogue
from twotower_tf.examples.reader import ExampleReader
from twotower_tf.releases.recommendation import Recommender
from twotower_tf.storage import Workdir

QUERY = [
    {"name": "mood", "kind": "vector", "length": 2},
    {"name": "taste", "kind": "vector", "of": "user", "length": 3, "separator": ";"},
]
ITEM = {
    "name": "title_embedding",
    "kind": "vector",
    "length": 4,
    "projection": 2,
    "normalise": True,
}
FILES = {
    "float": pa.list_(pa.float32()),
    "double": pa.list_(pa.float64()),
    "fixed": pa.list_(pa.float32(), 4),
}


def _title(number: int) -> list[float] | None:
    return None if number == 5 else [number / 8, 1.0, -1.0, 0.5]


def _taste(number: int) -> list[float]:
    return [number / 4, 0.0, 2.5]


@pytest.fixture(scope="module")
def site(make_site, days, day_events, tmp_path_factory):
    """A day: items in Parquet, users in CSV, events in JSON, two of them wrong."""
    made = make_site(tmp_path_factory.mktemp("vectors")).write_usual()
    made.values["query"]["features"] += QUERY
    made.values["candidate"]["features"].append(ITEM)
    made.values["source"]["users"]["path"] = "users.csv"
    made.values["source"]["items"]["path"] = "items.parquet"
    items = [json.loads(line) for line in (made.source / "items.jsonl").open()]
    table = pa.Table.from_pylist(items)
    titles = [_title(number) for number in range(len(items))]
    column = pa.array(titles, FILES["float"])
    pq.write_table(table.append_column("title_embedding", column), made.source / "items.parquet")
    users = [f"u{n},c{n % 3},{';'.join(map(str, _taste(n)))}" for n in range(20)]
    (made.source / "users.csv").write_text("\n".join(["user_id,country,taste", *users, "u20,c0,"]))
    records = day_events(days[0])
    for number, record in enumerate(records):
        if number % 3:
            record["mood"] = [number / 16, -1]
    records[4]["mood"], records[7]["mood"] = [1.0, 2.0, 3.0], [1.0, float("nan")]
    made.write_day(days[0], records)
    run = made.run("run_daily", f"--date={days[0]}")
    assert run.status == 0, run.err
    return made


def test_examples_hold_the_vectors_of_events_users_and_items(site, days, day_events):
    config = load_config(str(site.config))
    partition = Workdir(str(site.workdir)).partition("examples", days[0])
    moods = {}
    for number, record in enumerate(day_events(days[0])):
        moods[record["timestamp"]] = [number / 16, -1.0] if number % 3 else [0.0, 0.0]
    seen = 0
    for split in ("train", "eval"):
        for batch in ExampleReader(config).read(partition, split, 32):
            rows = zip(
                batch["timestamp"].numpy().tolist(),
                batch["user_id"].numpy(),
                batch["item_id"].numpy(),
                batch["query"]["mood"].numpy().tolist(),
                batch["query"]["taste"].numpy().tolist(),
                batch["candidate"]["title_embedding"].numpy().tolist(),
                strict=True,
            )
            for timestamp, user, item, mood, taste, title in rows:
                number = int(user[1:])
                assert mood == np.float32(moods[timestamp]).tolist()
                assert taste == (_taste(number) if number < 20 else [0.0] * 3)
                assert title == (_title(int(item[1:])) or [0.0] * 4)
                seen += 1
    assert seen > 100


def test_wrong_lengths_and_numbers_that_are_not_finite_are_rejected_with_the_reason(site, days):
    lines = (site.workdir / "rejected" / f"dt={days[0]}").glob("*events*")
    reasons = [json.loads(line)["reason"] for path in lines for line in path.open()]
    assert sorted(reasons) == [
        "column 'mood' has 3 numbers; there must be 2",
        "column 'mood' is nan; it must be a finite number",
    ]


def test_a_query_gives_vectors_or_leaves_them_out(site):
    def asked(query) -> str:
        run = site.run("recommend", f"--query={json.dumps(query)}", "--k=24")
        assert run.status == 0, run.err
        return run.out

    nothing = asked({})
    assert asked({"mood": [0, 0], "taste": []}) == nothing
    assert asked({"mood": [5, -20.5]}) != nothing
    for wrong in ([1.0], [1.0, "2"], 3, [1.0, 2.0, 3.0]):
        run = site.run("recommend", f"--query={json.dumps({'mood': wrong})}")
        assert run.status == 2
        assert "query: 'mood' must be a list of 2 numbers, or an empty one, got" in run.error


def test_a_known_user_is_asked_for_with_the_vector_of_the_profile(site):
    user = "u3"
    known = site.run("recommend", f"--user_id={user}", "--k=24")
    assert known.status == 0, known.err
    config = load_config(str(site.config))
    recommender = Recommender(config, Workdir(str(site.workdir)))
    query = recommender.query_for_user(user)
    assert query["taste"] == _taste(3)
    changed = {**query, "taste": [-9.0, 9.0, -9.0]}
    scores = [[score for _, score, _ in recommender.recommend(one, 24)] for one in (query, changed)]
    assert scores[0] != scores[1]


def test_the_index_holds_the_vectors_of_the_candidate_tower(site, days):
    config = load_config(str(site.config))
    workdir = Workdir(str(site.workdir))
    items = load_catalogue(workdir, config, days[0])
    release = Recommender(config, workdir).release.load_saved_model()
    features = {
        name: values for name, values in items.features.items() if isinstance(values, np.ndarray)
    }
    tags = [f"t{int(item[1:]) % 4}" for item in items.item_ids]
    vectors = release.embed_item(**features, tags=[[tag, "all"] for tag in tags])[
        "embedding"
    ].numpy()
    query = {"mood": [[3.0, 4.0]]}
    embedded = release.embed_query(**query)["embedding"].numpy()
    expected = dict(zip(items.item_ids, (vectors @ embedded[0]).tolist(), strict=True))
    answer = release.serving_default(k=24, **query)
    found = [item.decode() for item in answer["item_ids"].numpy()[0]]
    assert found == sorted(expected, key=expected.get, reverse=True)[:24]


@pytest.mark.parametrize("kind", FILES)
def test_parquet_lists_of_every_kind_make_the_same_catalogue(kind, site, tmp_path, days):
    config = load_config(str(site.config))
    table = pq.read_table(site.source / "items.parquet")
    position = table.column_names.index("title_embedding")
    # Arrow can't read a missing list of a fixed length.
    given = table.filter(table["title_embedding"].is_valid())
    values = pa.array(given["title_embedding"].to_pylist(), FILES[kind])
    path = str(tmp_path / "items.parquet")
    pq.write_table(given.set_column(position, "title_embedding", values), path)
    parsed = parse_catalogue([SourceFile(path, "parquet")], str(tmp_path), config)
    assert not parsed.rejected
    stored = pq.read_table(site.workdir / "catalogue" / f"dt={days[0]}" / "items.parquet")
    lengths = pc.list_value_length(stored["candidate/title_embedding"])
    assert lengths.to_pylist().count(0) == 1
    assert parsed.items.equals(stored.filter(pc.greater(lengths, 0)))
