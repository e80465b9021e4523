"""Searching for many queries some at a time, so that memory stays that of some."""

from collections.abc import Callable

import tensorflow as tf

# Maps queries, float32 [B, d], and k, an int32 scalar, to scores and positions, [B, k].
Search = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def search_in_blocks(
    search: Search, queries: tf.Tensor, k: tf.Tensor, block: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what ``search(queries, k)`` does, asked for a block of the queries after the other.

    Args:
        search: Maps float32 [b, d], b <= block, and k to float32 scores and int32 positions,
            [b, k] both.
        queries: float32 [B, d]; B may be 0.
        k: int32 scalar, how many results the search gives.
        block: How many queries to search for at a time, 1 or more.
    """
    count = tf.shape(queries)[0]
    blocks = tf.maximum(1, (count + block - 1) // block)

    def body(number, scores, positions):
        some = search(queries[number * block : (number + 1) * block], k)
        return number + 1, scores.write(number, some[0]), positions.write(number, some[1])

    def array(dtype):
        # The last block may have fewer rows than the others.
        return tf.TensorArray(dtype, blocks, infer_shape=False, element_shape=[None, None])

    _, scores, positions = tf.while_loop(
        lambda number, *_: number < blocks,
        body,
        (0, array(tf.float32), array(tf.int32)),
        parallel_iterations=1,
    )
    return scores.concat(), positions.concat()
