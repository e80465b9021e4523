"""From item ids to their places, inside the TensorFlow graph."""

import numpy as np
import tensorflow as tf

from twotower_tf.graph.hashing import fingerprint

# Above all fingerprints of texts, which have fewer bits.
_END = np.iinfo(np.int64).max


def find(fingerprints: tf.Tensor, places: tf.Tensor, wanted: tf.Tensor) -> tf.Tensor:
    """Returns where items are, int32 [B, L]; -1: nowhere.

    Args:
        fingerprints: int64 [N + 1] as ``by_fingerprint`` gives them.
        places: int32 [N + 1], too.
        wanted: int64 [B, L], the fingerprints of ids.
    """
    flat = tf.reshape(wanted, [1, -1])
    # A variable that is gathered from is copied whenever it is read: gather from what was read.
    known = tf.convert_to_tensor(fingerprints)
    at = tf.raw_ops.LowerBound(sorted_inputs=known[tf.newaxis], values=flat)
    found = tf.where(tf.gather(known, at) == flat, tf.gather(places, at), -1)
    return tf.reshape(found, tf.shape(wanted))


def by_fingerprint(item_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns what ``find`` takes for items, [N] objects (str), at the places 0 to N - 1.

    Returns:
        Their fingerprints, int64, ascending, and their places, int32; both with one more at the
        end, which is nobody's, so that a search always ends at one.
    """
    fingerprints = fingerprint(tf.constant(item_ids, tf.string, [len(item_ids)])).numpy()
    places = np.argsort(fingerprints, kind="stable")
    return (
        np.append(fingerprints[places], _END),
        np.append(places, -1).astype(np.int32),
    )


class ItemFinder(tf.Module):
    """Finds items by their ids.

    Args:
        item_ids: [N] objects (str), each once.
    """

    def __init__(self, item_ids: np.ndarray):
        super().__init__(name="item_finder")
        fingerprints, places = by_fingerprint(item_ids)
        # Variables, not constants: a graph may not be larger than 2 GB.
        self._fingerprints = tf.Variable(fingerprints, trainable=False, name="fingerprints")
        self._places = tf.Variable(places, trainable=False, name="places")

    def __call__(self, wanted: tf.Tensor) -> tf.Tensor:
        """Returns the places of fingerprints, int64 [B, L]: int32 [B, L]; -1: nowhere."""
        return find(self._fingerprints, self._places, wanted)
