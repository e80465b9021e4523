"""Serialised examples are what TensorFlow itself would make of the same values."""

import random

import pytest
from tensorflow import train

import twotower_tf  # noqa: F401
from twotower_tf.examples.encoding import encode_features, example_of


def tensorflow_example(texts, floats, integers) -> train.Example:
    feature = {key: train.Feature(bytes_list=train.BytesList(value=v)) for key, v in texts.items()}
    feature |= {
        key: train.Feature(float_list=train.FloatList(value=v)) for key, v in floats.items()
    }
    feature |= {
        key: train.Feature(int64_list=train.Int64List(value=v)) for key, v in integers.items()
    }
    return train.Example(features=train.Features(feature=feature))


def random_features(rng: random.Random, prefix: str):
    def features(kind: str, value) -> dict[str, list]:
        keys = [f"{prefix}{kind}{rng.randrange(10**6)}" for _ in range(rng.randrange(1, 5))]
        return {key: [value() for _ in range(rng.randrange(4))] for key in keys}

    return (
        features("t", lambda: rng.randbytes(rng.randrange(200))),
        features("f", lambda: rng.gauss(0, 1e3)),
        features("n", lambda: rng.randrange(-(2**62), 2**62)),
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_bytes_are_those_of_tensorflow(seed):
    values = random_features(random.Random(seed), "key")
    expected = tensorflow_example(*values).SerializeToString(deterministic=True)
    assert example_of(encode_features(*values)) == expected


@pytest.mark.parametrize("seed", range(5))
def test_parts_with_ascending_keys_make_the_same_bytes_as_the_whole(seed):
    rng = random.Random(seed)
    first, second = random_features(rng, "a/"), random_features(rng, "b/")
    whole = [one | other for one, other in zip(first, second, strict=True)]
    parts = example_of(encode_features(*first), encode_features(*second))
    assert parts == tensorflow_example(*whole).SerializeToString(deterministic=True)


def test_the_order_of_keys_makes_no_difference():
    assert encode_features({"a": [b"1"], "b": [b"2"]}, {}) == encode_features(
        {"b": [b"2"], "a": [b"1"]}, {}
    )


def test_an_empty_list_keeps_its_type():
    parsed = train.Example.FromString(example_of(encode_features({"t": []}, {"f": []})))
    assert parsed.features.feature["t"].WhichOneof("kind") == "bytes_list"
    assert parsed.features.feature["f"].WhichOneof("kind") == "float_list"


@pytest.mark.parametrize("size", [0, 100, 127, 128, 16_383, 16_384, 3_000_000])
def test_examples_of_any_size_can_be_parsed(size):
    record = example_of(encode_features({"k": [b"x" * size]}, {}))
    parsed = train.Example.FromString(record)
    assert parsed.features.feature["k"].bytes_list.value[0] == b"x" * size
