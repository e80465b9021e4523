"""The weighted softmax over a batch's items, its value and its gradient in one pass over blocks."""

from typing import NamedTuple

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import own_column
from twotower_tf.models.losses.query_negatives import NOTHING

# Logits per block: 8 MB in float32. What the processor's caches hold is passed over at their
# speed, and the allocator hands it out again; the whole matrix would come from memory, page by
# page, at every step.
_BLOCK_LOGITS = 2**21


class _Rows(NamedTuple):
    """What is known of each example, beside its query: tensors of n entries, or None."""

    positives: tf.Tensor
    shares: tf.Tensor
    change: tf.Tensor | None
    beside: tf.Tensor | None
    explicit: tf.Tensor | None

    def take(self, rows: slice) -> "_Rows":
        return _Rows(*(None if one is None else one[rows] for one in self))


def softmax_losses(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    log_weights: tf.Tensor,
    positives: tf.Tensor,
    shares: tf.Tensor,
    own_log_weights: tf.Tensor | None = None,
    beside: tf.Tensor | None = None,
    explicit: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Cross entropy of each example's softmax, in which every item has a weight, and their sum.

    L_i = -log softmax_i(<queries, candidates> + log_weights)[positive_i],    L = sum_i shares_i L_i

    The logits [n, D] never exist as a whole: a block of examples at a time, its logits give the
    loss and, while they are in the cache, the gradient of L. That is why the shares must be known
    beforehand. Stable for logits of any finite size.

    Args:
        queries: [n, d] floating point, divided by the temperature if there is one.
        candidates: [D, d].
        log_weights: [D], the logarithm of each item's weight in the softmax; a constant, no
            gradient flows to it.
        positives: int [n] in [0, D), the item of each example.
        shares: [n], the factor of each example's loss in L; a constant too.
        own_log_weights: [n], in place of `log_weights` for each example's own item; a constant.
        beside: [n], a logit more in each example's softmax, which is of none of the candidates.
        explicit: bool [n], which examples' items are negatives: L_i = -log(1 - softmax_i[...]).

    Returns:
        L, a scalar of the queries' type with gradients to queries, candidates and what is beside,
        and the losses L_i [n], without. 0 and none for an empty batch.
    """
    # An empty batch is given a candidate: the matrix product, which TensorFlow 2.16 fuses with the
    # sum after it, aborts the process if there is none. Any other batch stays as it is.
    missing = tf.cast(tf.equal(tf.shape(candidates)[0], 0), tf.int32)
    candidates = tf.pad(candidates, [[0, missing], [0, 0]])
    log_weights = tf.pad(tf.cast(log_weights, queries.dtype), [[0, missing]])
    if own_log_weights is None:
        change = None
    else:
        change = tf.cast(own_log_weights, queries.dtype) - tf.gather(log_weights, positives)

    @tf.custom_gradient
    def total_and_losses(queries, candidates, *beside):
        rows = _Rows(positives, shares, change, beside[0] if beside else None, explicit)
        losses, *gradients = _over_blocks(queries, candidates, log_weights, rows)

        def gradient(upstream, _):
            return [upstream * one for one in gradients]

        return (tf.reduce_sum(shares * losses), losses), gradient

    of_queries = () if beside is None else (beside,)
    total, losses = total_and_losses(queries, candidates, *of_queries)
    return total, tf.stop_gradient(losses)


def _over_blocks(queries, candidates, log_weights, of_rows: _Rows) -> list[tf.Tensor]:
    """The losses [n], and the gradients of L to queries, candidates and what is beside, if any."""
    n, dtype = tf.shape(queries)[0], queries.dtype
    size = _BLOCK_LOGITS // tf.shape(candidates)[0] + 1
    # At least one, be it empty: nothing can't be concatenated.
    count = tf.maximum((n + size - 1) // size, 1)

    def block(number, of_candidates, *arrays):
        rows = slice(number * size, tf.minimum((number + 1) * size, n))
        of_candidate, *found = _block(queries[rows], candidates, log_weights, of_rows.take(rows))
        written = (array.write(number, one) for array, one in zip(arrays, found, strict=True))
        return number + 1, of_candidates + of_candidate, *written

    def array(shape):
        return tf.TensorArray(dtype, count, infer_shape=False, element_shape=shape)

    arrays = [array([None]), array([None, queries.shape[1]])]
    if of_rows.beside is not None:
        arrays.append(array([None]))
    _, of_candidates, *arrays = tf.while_loop(
        # Blocks in turn, each on all cores: together they would not fit into the cache.
        lambda number, *_: number < count,
        block,
        (0, tf.zeros_like(candidates), *arrays),
        parallel_iterations=1,
    )
    losses, of_queries, *of_beside = (array.concat() for array in arrays)
    return [losses, of_queries, of_candidates, *of_beside]


def _block(queries, candidates, log_weights, rows: _Rows) -> list[tf.Tensor]:
    """The same for some of the examples, all their logits at once; the candidates' part first."""
    logits = tf.nn.bias_add(tf.matmul(queries, candidates, transpose_b=True), log_weights)
    own = own_column(rows.positives)
    if rows.change is not None:
        logits = tf.tensor_scatter_nd_add(logits, own, rows.change)
    own_logits = tf.gather_nd(logits, own)
    if rows.explicit is not None:
        # The softmax of the other candidates: 1 - P would be all rounding where P is near 1.
        hidden = tf.where(rows.explicit, tf.constant(NOTHING, logits.dtype), own_logits)
        logits = tf.tensor_scatter_nd_update(logits, own, hidden)
    top = tf.reduce_max(logits, axis=1)
    if rows.beside is not None:
        top = tf.maximum(top, rows.beside)
    odds = tf.exp(logits - top[:, tf.newaxis])
    total = tf.reduce_sum(odds, axis=1)
    if rows.beside is not None:
        beside = tf.exp(rows.beside - top)
        total += beside
    losses = tf.math.log(total) - (own_logits - top)
    scale = rows.shares / total
    if rows.explicit is not None:
        scale *= tf.where(rows.explicit, -tf.sigmoid(-losses), tf.ones_like(losses))
        losses = tf.where(rows.explicit, tf.nn.softplus(-losses), losses)
    # Softmax minus one-hot, times `total`: the rows are scaled where they are short.
    error = tf.tensor_scatter_nd_sub(odds, own, total)
    of_queries = tf.matmul(error, candidates) * scale[:, tf.newaxis]
    of_candidates = tf.matmul(error, queries * scale[:, tf.newaxis], transpose_a=True)
    found = [of_candidates, losses, of_queries]
    return found if rows.beside is None else [*found, beside * scale]
