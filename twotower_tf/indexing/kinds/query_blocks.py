"""Retrieving for many queries some at a time, so that memory stays that of some."""

from collections.abc import Callable, Sequence

import tensorflow as tf

# Maps queries, float32 [B, d], and k, an int32 scalar, to scores and positions, [B, k].
Retriever = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def in_blocks(
    retrieve: Callable[..., tuple[tf.Tensor, tf.Tensor]], rows: Sequence[tf.Tensor], block: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns what ``retrieve(*rows)`` does, asked for a block of the rows after the other.

    Args:
        retrieve: Maps b <= block rows of each tensor to float32 scores and int32 positions, [b, k].
        rows: Tensors of B rows each; B may be 0.
        block: How many rows to ask for at a time, 1 or more.
    """
    count = tf.shape(rows[0])[0]
    blocks = tf.maximum(1, (count + block - 1) // block)

    def body(number, scores, positions):
        some = retrieve(*(each[number * block : (number + 1) * block] for each in rows))
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
