"""What a configuration may say, what is said of a wrong one, and what its fingerprints cover."""

import copy
import pathlib
import re

import pytest
import yaml

from twotower_tf.binding import examples_fingerprint, model_fingerprint
from twotower_tf.config_loader import load_config
from twotower_tf.errors import InputError

CONFIGS = pathlib.Path(__file__).resolve().parents[2] / "configs"

SMALL = {
    "name": "films",
    "source": {"events": {"path": "events.csv"}, "items": {"path": "items.csv"}},
    "tables": {"films": {"buckets": 100, "dim": 4}},
    "query": {
        "features": [{"name": "history", "kind": "id_bag", "table": "films"}],
        "layers": [8, 4],
    },
    "candidate": {
        "features": [
            {"name": "item_id", "kind": "id", "table": "films"},
            {"name": "year", "kind": "dense"},
        ],
        "layers": [4],
    },
}


@pytest.fixture
def load(tmp_path):
    """Returns a function that loads SMALL, with overrides, from a file."""
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL), encoding="utf-8")
    return lambda *overrides: load_config(str(path), overrides)


@pytest.fixture
def refusal(tmp_path):
    """Returns a function that edits a copy of SMALL and returns the refusal of the result."""

    def refuse(edit):
        values = copy.deepcopy(SMALL)
        edit(values)
        path = tmp_path / "wrong.yaml"
        path.write_text(yaml.safe_dump(values), encoding="utf-8")
        with pytest.raises(InputError) as raised:
            load_config(str(path))
        message = str(raised.value)
        assert message.startswith(f"configuration {path}: ")
        assert "\n" not in message
        return message.removeprefix(f"configuration {path}: ")

    return refuse


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_shipped_configuration_loads(path):
    assert load_config(str(path)).query.features


def test_a_file_says_only_what_differs_from_the_defaults(load):
    config = load()
    assert config.loss.kind == "refined_softmax"
    assert config.query.features[0].column == "history"
    assert config.query.features[0].combiner == "mean"


@pytest.mark.parametrize(
    ("section", "key", "suggestion"),
    [
        (("loss",), "temprature", "temperature"),
        (("query", "features", 0), "combinner", "combiner"),
        (("source", "events", "columns"), "user", "user_id"),
        ((), "quary", "query"),
    ],
)
def test_an_unknown_key_is_refused_and_the_nearest_known_one_suggested(
    refusal, section, key, suggestion
):
    def edit(values):
        place = values
        for step in section:
            place = place.setdefault(step, {}) if isinstance(place, dict) else place[step]
        place[key] = 1

    message = refusal(edit)
    assert f"unknown key '{key}'; did you mean '{suggestion}'? (allowed: " in message
    where = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in section).lstrip(".")
    assert message.startswith(where)


def test_a_key_like_no_known_one_is_refused_without_a_suggestion(refusal):
    message = refusal(lambda values: values.update(loss={"qqqq": 1}))
    assert message == "loss: unknown key 'qqqq' (allowed: kind, temperature)"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("training", {"batch_size": "many"}, "training.batch_size: .*integer.*, got 'many'"),
        ("training", {"batch_size": 0}, "training.batch_size: .*greater than or equal to 1, got 0"),
        ("loss", {"kind": "softmax"}, "loss: unknown kind 'softmax'; did you mean 'plain_softmax'"),
        ("loss", {"temperature": -1}, "loss.temperature: .*greater than 0, got -1"),
        ("examples", {"holdout_share": 1.0}, "examples.holdout_share: .*less than 1, got 1.0"),
        ("examples", [], r"examples: .*, got \[\]"),
        ("name", "no spaces", "name: .*pattern.*, got 'no spaces'"),
        ("evaluation", {"at": [50, 10]}, r"evaluation.at: must be ascending.*got \[50, 10\]"),
        ("gates", {"recall_at": 7}, r"gates.recall_at must be one of evaluation.at .*, got 7"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_path_and_what_is_right(refusal, key, value, expected):
    assert re.match(expected, refusal(lambda values: values.update({key: value})))


def test_repeats_need_a_past_that_is_counted(refusal):
    message = refusal(
        lambda values: values.update(examples={"own_length": 0}, evaluation={"repeats": "new"})
    )
    assert message == (
        "evaluation.repeats: new goes by what users acted on before, but examples.own_length is 0: "
        "no own items are counted"
    )


@pytest.mark.parametrize(
    ("evaluation", "name"), [({}, "item_knn"), ({"repeats": "new"}, "own_items")]
)
def test_a_gate_over_a_baseline_that_is_not_measured_is_refused(refusal, load, evaluation, name):
    gates = {"min_over_baseline": {name: 1.0}}
    message = refusal(lambda values: values.update(evaluation=evaluation, gates=gates))
    assert message.startswith(f"gates.min_over_baseline: '{name}' is not one of the baselines")


@pytest.mark.parametrize(
    ("nominator", "expected"),
    [
        ("popula", "nominators[1]: unknown kind 'popula'; did you mean 'popular'"),
        ({"kind": "popular", "days": []}, "nominators[1] (popular): days: it needs at least one"),
        (
            {"kind": "popular", "days": [7, 7]},
            "nominators[1] (popular): days: each number of days may come once, got [7, 7]",
        ),
        (
            {"kind": "own_items", "popularity_days": [1, 1]},
            "nominators[1] (own_items): popularity_days: each number of days may come once",
        ),
        ("fresh", "nominators[1] (fresh): it needs source.items.columns.published_at"),
        (
            "co_visitation",
            "nominators[1] (co_visitation): it needs a feature of the query of column seed_item_id",
        ),
    ],
)
def test_a_nominator_that_lacks_what_it_goes_by_is_refused(refusal, nominator, expected):
    def edit(values):
        values["nominators"] = ["index", nominator]
        if nominator == "co_visitation":
            values["query"]["features"] = [{"name": "device", "kind": "category", "values": ["tv"]}]

    assert refusal(edit).startswith(expected)


def test_the_reward_range_must_not_be_empty(refusal):
    reward = {"column": "stars", "low": 5, "high": 5}
    message = refusal(lambda values: values.update(examples={"reward": reward}))
    assert message == "examples.reward: low must be less than high, got low=5.0, high=5.0"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.retrain=weekly", "training.retrain: must be a section, such as {passes: ...}"),
        ("gates=", "gates: must be a section, such as {min_examples: ...}, got None (its keys: m"),
        ("examples.duplicates=all", "examples.duplicates: must be a section, such as {key: ...}, "),
        ("loss=plain_softmax", "loss: must be a section, such as {kind: plain_softmax}, got 'pla"),
        ("index=[1]", "index: must be a section, such as {kind: auto}, got [1] (kinds: auto, br"),
        ("query.features.0=history", "query.features[0]: must be a section, such as {kind: id}, "),
        ("query.features=history", "query.features: must be a list, such as [a, b], got 'history'"),
        ("tables=films", "tables: must be names and what each stands for, such as {a: ..., b: "),
    ],
)
def test_what_is_no_section_is_refused_with_what_would_be_one(load, override, expected):
    with pytest.raises(InputError, match=re.escape(f": {expected}")):
        load(override)


def test_a_missing_section_is_named(refusal):
    assert refusal(lambda values: values.pop("candidate")).startswith("candidate: ")


def test_several_mistakes_are_counted(refusal):
    def edit(values):
        values["seed"] = -1
        values["loss"] = {"temperature": 0}

    assert refusal(edit).endswith("(and 1 more)")


def test_a_feature_that_names_no_table_is_refused(refusal):
    message = refusal(lambda values: values["query"]["features"][0].update(table="film"))
    assert message == (
        "query.features[0] (history): table 'film' is not one of tables: films"
        "; did you mean 'films'?"
    )


def test_a_kind_of_feature_that_there_is_not_is_refused(refusal):
    message = refusal(lambda values: values["query"]["features"][0].update(kind="idbag"))
    assert message.startswith("query.features[0]: ")
    assert "'idbag'" in message
    assert "'id_bag'" in message


def test_two_features_of_a_tower_must_not_share_a_name(refusal):
    message = refusal(lambda values: values["candidate"]["features"][1].update(name="item_id"))
    assert message == (
        "candidate.features: feature names must differ, but these come twice: item_id"
    )


def test_towers_that_end_in_different_sizes_are_refused(refusal):
    message = refusal(lambda values: values["candidate"].update(layers=[8]))
    assert message == (
        "query and candidate must make vectors of the same length (the last of layers), got 4 and 8"
    )


def test_a_feature_of_the_other_side_is_refused(refusal):
    message = refusal(lambda values: values["candidate"]["features"][1].update(of="user"))
    assert message == "candidate.features[1] (year): 'of' must be one of item, got 'user'"


def test_a_feature_of_the_user_needs_user_profiles(refusal):
    feature = {"name": "country", "kind": "category", "of": "user"}
    message = refusal(lambda values: values["query"]["features"].append(feature))
    assert message == "query.features[1] (country): 'of: user' needs source.users"


@pytest.mark.parametrize(
    "wrong", [{"normalise": "z", "powers": True}, {"powers": True, "buckets": 4}]
)
def test_what_excludes_each_other_in_a_dense_feature_is_refused(refusal, wrong):
    message = refusal(lambda values: values["candidate"]["features"][1].update(wrong))
    assert message.startswith("candidate.features[1]: ")
    assert "powers" in message


def test_a_missing_file_is_named(tmp_path):
    path = tmp_path / "nowhere.yaml"
    with pytest.raises(InputError, match=rf"^configuration {path} can't be read: .*No such file"):
        load_config(str(path))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\xc3\x28"])
def test_a_file_that_is_not_text_is_named(tmp_path, content):
    path = tmp_path / "binary.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"^configuration {path} can't be read: "):
        load_config(str(path))


def test_a_file_that_is_not_yaml_is_refused_in_one_line_that_says_where(tmp_path):
    path = tmp_path / "broken.yaml"
    path.write_text("name: films\nquery: [1, 2\nseed: 3\n", encoding="utf-8")
    with pytest.raises(InputError, match=rf"^configuration {path} is not YAML: .*line 3") as raised:
        load_config(str(path))
    assert "\n" not in str(raised.value)


def test_a_key_that_is_there_twice_is_refused_with_both_lines(tmp_path, load):
    path = tmp_path / "twice.yaml"
    text = yaml.safe_dump(SMALL, sort_keys=False)
    for added, line in (("name: again", 1), ("\ntraining: {epochs: 1, seed: 2, epochs: 1}", None)):
        path.write_text(f"{text}{added}\n", encoding="utf-8")
        last = len(path.read_text().splitlines())
        key = "name" if line else "epochs"
        expected = (
            rf"^configuration {path}: the key '{key}' is there twice, in lines {line or last}"
        )
        with pytest.raises(InputError, match=rf"{expected} and {last}; leave one out$"):
            load_config(str(path))
    with pytest.raises(InputError, match=r"^--set=training=.*: the key 'a' is there twice"):
        load("training={a: 1, a: 2}")


def test_a_merge_key_may_be_overridden(tmp_path):
    path = tmp_path / "merged.yaml"
    # The usual way to say a thing once; "*" and "<<" are YAML's own.
    tables = "tables: {films: &one {buckets: 100, dim: 4}, words: {<<: *one, dim: 8}}\n"
    path.write_text(
        tables + yaml.safe_dump({**SMALL, "tables": None}).replace("tables: null\n", "")
    )
    loaded = load_config(str(path)).tables["words"]
    assert (loaded.buckets, loaded.dim) == (100, 8)


@pytest.mark.parametrize(("word", "said"), [("NO", "'NO'"), ("2024-01-31", "'2024-01-31'")])
def test_what_yaml_takes_for_no_text_is_to_be_quoted(load, word, said):
    feature = f"{{name: country, kind: category, values: [SE, {word}]}}"
    with pytest.raises(InputError, match=rf"values\[1\]: .*quote it.*{said}$"):
        load(f"query.features.0={feature}")
    loaded = load("query.features.0={name: country, kind: category, values: [SE, 'NO']}")
    assert loaded.query.features[0].values == ["SE", "NO"]


@pytest.mark.parametrize("content", ["", "just text", "- a\n- b\n"])
def test_a_file_without_keys_is_refused(tmp_path, content):
    path = tmp_path / "flat.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=rf"^configuration {path} must be a mapping of keys, got "):
        load_config(str(path))


def test_an_override_sets_a_value_a_list_an_element_and_a_section_not_in_the_file(load):
    config = load(
        "loss.temperature=0.2",
        "candidate.layers=[16, 4]",
        "query.layers.0=32",
        "query.features.0.combiner=sum",
        "tables.films.dim=8",
        "examples.reward={column: stars, low: 1, high: 5}",
        "name=other",
    )
    assert config.loss.temperature == 0.2
    assert config.candidate.layers == [16, 4]
    assert config.query.layers == [32, 4]
    assert config.query.features[0].combiner == "sum"
    assert config.tables["films"].dim == 8
    assert config.examples.reward.high == 5.0
    assert config.name == "other"


def test_a_later_override_wins(load):
    assert load("seed=1", "seed=2").seed == 2


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("loss.temperature", "--set=loss.temperature: give key.path=value"),
        ("=3", "--set==3: give key.path=value"),
        ("query.layers.2=4", "--set=query.layers.2=4: '2' must be the number of a list element"),
        ("query.layers.last=4", "'last' must be the number of a list element, 0 to 1"),
        ("query.features.7.name=x", "'7' must be the number of a list element, 0 to 0"),
        ("name.first=x", "--set=name.first=x: 'name' holds a value, not keys"),
        ("name.first.letter=x", "--set=name.first.letter=x: "),
        ("loss.temperature=[1", "--set=loss.temperature=[1: '[1' is not a YAML value"),
    ],
)
def test_an_override_that_fits_nowhere_is_refused(load, override, expected):
    with pytest.raises(InputError, match=re.escape(expected)):
        load(override)


def test_an_override_of_an_unknown_key_is_refused_like_one_in_the_file(load):
    with pytest.raises(InputError, match="loss: unknown key 'temprature'; did you mean"):
        load("loss.temprature=0.1")


MODEL_ONLY = [
    "name=other",
    "seed=18",
    "tables.films.dim=8",
    "tables.films.buckets=101",
    "query.layers.0=16",
    "estimator.alpha=0.1",
    "training.batch_size=32",
]
EXAMPLES_TOO = [
    "examples.history_length=10",
    "source.events.columns.user_id=account",
    "query.features.0.max_length=5",
    "candidate.features.1.column=released",
]
NEITHER = [
    "gates.min_examples=5",
    "evaluation.at=[5, 20]",
    "index.kind=scann",
    "training.keep_checkpoints=9",
    "training.tensorboard=false",
    "index={kind: portable, recall_at: 20}",
    "source.homepage=https://example.org/",
    "source.events.path=elsewhere/*.csv",
    "loss.temperature=0.09",
    "loss.kind=plain_softmax",
    "optimizer.learning_rate=0.3",
    "examples.holdout_share=0.2",
    "examples.reward={column: stars}",
    "examples.shards=3",
]


@pytest.mark.parametrize("override", MODEL_ONLY)
def test_a_key_of_the_model_changes_its_fingerprint_and_not_that_of_the_examples(load, override):
    assert model_fingerprint(load(override)) != model_fingerprint(load())
    assert examples_fingerprint(load(override)) == examples_fingerprint(load())


@pytest.mark.parametrize("override", EXAMPLES_TOO)
def test_a_key_of_the_examples_changes_both_fingerprints(load, override):
    assert model_fingerprint(load(override)) != model_fingerprint(load())
    assert examples_fingerprint(load(override)) != examples_fingerprint(load())


@pytest.mark.parametrize("override", NEITHER)
def test_what_may_change_from_night_to_night_changes_no_fingerprint(load, override):
    assert model_fingerprint(load(override)) == model_fingerprint(load())
    assert examples_fingerprint(load(override)) == examples_fingerprint(load())


def test_a_default_that_is_written_out_changes_no_fingerprint(load):
    written_out = load("examples.history_length=50", "query.features.0.column=history")
    assert model_fingerprint(written_out) == model_fingerprint(load())
    assert examples_fingerprint(written_out) == examples_fingerprint(load())


def test_traits_of_past_events_bind_a_work_directory_only_where_they_are_asked_for(load):
    events = "source.events.columns={dwell: seconds, event_type: what}"
    history = "query.features.0={{name: history, kind: id_bag, encode: item, encoder: {}}}"
    plain, asking = (
        load(events, history.format(encoder))
        for encoder in ("recency", "{kind: recency, dwell: true, types: [buy]}")
    )
    assert examples_fingerprint(asking) != examples_fingerprint(plain)


def test_a_built_vocabulary_is_part_of_the_model_and_not_of_words(load):
    fingerprints = {
        model_fingerprint(load(f"tables.films.vocabulary={given}", "statistics.days=3"))
        for given in ("{built: 10}", "{built: 20}", "null")
    }
    # The window says from which days a new model's vocabulary comes: it binds nothing.
    assert len(fingerprints) == len(fingerprints | {model_fingerprint(load())}) == 3
    for given, message in {
        "{built: 0}": r"tables\.films\.vocabulary\.built: .*greater than or equal to 1, got 0",
        "{biult: 9}": r"tables\.films\.vocabulary: unknown key 'biult'; did you mean 'built'",
        "[a]": r"tables\.films\.vocabulary: ",
    }.items():
        with pytest.raises(InputError, match=message):
            load(f"tables.films.vocabulary={given}")
    title = "candidate.features.1={name: title, kind: text, table: films}"
    with pytest.raises(InputError, match="table 'films' is built of ids, not of words"):
        load("tables.films.vocabulary={built: 10}", title)


def test_a_table_without_buckets_needs_a_vocabulary(load):
    load("tables.films={buckets: 0, dim: 4, vocabulary: {built: 10}}")
    with pytest.raises(InputError, match=r"tables\.films: buckets: 0 leaves all ids without a vec"):
        load("tables.films={buckets: 0, dim: 4}")


def test_a_vocabulary_must_be_there_and_its_ids_are_part_of_the_model(tmp_path):
    path, words = tmp_path / "c.yaml", tmp_path / "words.txt"
    values = yaml.safe_load((CONFIGS / "demo.yaml").read_text(encoding="utf-8"))
    values["tables"] = {"words": {"vocabulary": str(words), "buckets": 10, "dim": 64}}
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(InputError, match=r"tables.words.vocabulary: there is no file .*words.txt"):
        load_config(str(path))
    fingerprints = []
    for text in ("a\nb\n", "a\nb\n", "a\nc\n"):
        words.write_text(text, encoding="utf-8")
        fingerprints.append(model_fingerprint(load_config(str(path))))
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Zurich", "America/Argentina/Ushuaia"])
def test_time_zones_have_the_names_of_the_iana(load, zone):
    assert load(f"source.events.time_zone={zone}").source.events.time_zone == zone


def test_when_a_day_starts_is_bound_to_the_work_directory(load):
    assert load().source.day_starts == "00:00 UTC"
    local = load("source.day_starts=04:00 America/New_York")
    assert local.source.day_starts == "04:00 America/New_York"
    assert examples_fingerprint(local) != examples_fingerprint(load())
    assert model_fingerprint(local) != model_fingerprint(load())
    assert examples_fingerprint(load("source.day_starts=00:00 UTC")) == examples_fingerprint(load())


@pytest.mark.parametrize("start", ["04:00", "4:00 UTC", "24:00 UTC", "UTC", "04:00 Europe/Zürich"])
def test_a_start_of_the_day_that_is_none_is_refused(load, start):
    right = "Europe/Zurich'|such as '04:00 America/New_York'"
    with pytest.raises(InputError, match=rf"source\.day_starts: .*({right})"):
        load(f"source.day_starts={start}")


@pytest.mark.parametrize("zone", ["Europe/Zürich", "Europe", "../zones", "", "+02:00", "CEST"])
def test_a_time_zone_that_there_is_not_is_refused_with_the_nearest(refusal, zone):
    def edit(values):
        values["source"]["items"]["time_zone"] = zone

    message = refusal(edit)
    assert message.startswith(f"source.items.time_zone: there is no time zone {zone!r}")
    assert "give an IANA name such as Europe/Zurich" in message
    assert ("did you mean 'Europe/Zurich'" in message) == (zone == "Europe/Zürich")
