"""NFC inside the graph, against Python's own."""

import random
import unicodedata

import twotower_tf  # noqa: F401

# isort: split
import tensorflow as tf

from twotower_tf.examples import value_types
from twotower_tf.graph.normal_form import nfc


def _texts() -> list[str]:
    """Returns all that is composed or taken apart, and characters that meet in any order."""
    characters = [chr(code) for code in range(0x30000) if not 0xD800 <= code < 0xE000]
    apart = [one for one in characters if unicodedata.normalize("NFD", one) != one]
    letters = [chr(code) for code in (*range(0x1100, 0x1113), *range(0x1161, 0x1176), 0x11A8)]
    marks = [one for one in characters if unicodedata.combining(one)]
    pool = [*"aeo 1", *letters] * 20 + marks
    pool += [part for one in apart for part in unicodedata.normalize("NFD", one)][::5]
    rng = random.Random(1)
    met = ["".join(rng.choices(pool, k=rng.randint(0, 9))) for _ in range(3000)]
    return [*apart[::3], *(unicodedata.normalize("NFD", one) for one in apart[::3]), *met]


def test_texts_become_what_python_makes_of_them():
    texts = _texts()
    made = [text.decode() for text in tf.function(nfc)(tf.constant(texts)).numpy()]
    wrong = [
        (text, found)
        for text, found in zip(texts, made, strict=True)
        if found != unicodedata.normalize("NFC", text)
    ]
    assert not wrong


def test_lists_keep_their_shape_and_plain_text_its_bytes():
    ragged = tf.ragged.constant([["e\u0301", "a"], [], ["\u00e9"]])
    assert nfc(ragged).to_list() == [["é".encode(), b"a"], [], ["é".encode()]]
    plain = tf.constant([[b"a\xff", b""]])
    assert nfc(plain).numpy().tolist() == [[b"a\xff", b""]]


def test_ids_of_a_request_are_written_as_the_build_writes_them():
    torn, whole = "e\u0301", "\u00e9"
    one = value_types.Text(form=value_types.NFC_ID)
    some = value_types.TextList(form=value_types.NFC_ID)
    assert one.as_parsed(tf.constant([torn]), "x", {}).numpy()[0].decode() == whole
    assert some.as_parsed(tf.constant([[torn, "a"]]), "x", {}).to_list() == [[whole.encode(), b"a"]]
    assert (one.asked(torn), some.asked([torn, 6.0, "6.0"])) == (whole, [whole, "6", "6"])
    as_they_are = value_types.Text(form=value_types.ID)
    assert as_they_are.as_parsed(tf.constant([torn]), "x", {}).numpy()[0].decode() == torn
