"""The weighted softmax over a batch's items, its value and its gradient in one pass over blocks."""

import tensorflow as tf

from twotower_tf.models.losses.batch_loss import own_column

# Logits per block: 8 MB in float32. What the processor's caches hold is passed over at their
# speed, and the allocator hands it out again; the whole matrix would come from memory, page by
# page, at every step.
_BLOCK_LOGITS = 2**21


def softmax_losses(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    log_weights: tf.Tensor,
    positives: tf.Tensor,
    shares: tf.Tensor,
    own_log_weights: tf.Tensor | None = None,
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

    Returns:
        L, a scalar of the queries' type with gradients to queries and candidates, and the losses
        L_i [n], without. 0 and none for an empty batch.
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
    def total_and_losses(queries, candidates):
        losses, of_queries, of_candidates = _over_blocks(
            queries, candidates, log_weights, positives, shares, change
        )

        def gradient(upstream, _):
            return upstream * of_queries, upstream * of_candidates

        return (tf.reduce_sum(shares * losses), losses), gradient

    total, losses = total_and_losses(queries, candidates)
    return total, tf.stop_gradient(losses)


def _over_blocks(queries, candidates, log_weights, positives, shares, change):
    """The losses [n], and the gradients of the sum of shares * losses to both embeddings."""
    n, dtype = tf.shape(queries)[0], queries.dtype
    size = _BLOCK_LOGITS // tf.shape(candidates)[0] + 1
    # At least one, be it empty: nothing can't be concatenated.
    count = tf.maximum((n + size - 1) // size, 1)

    def block(number, losses, of_queries, of_candidates):
        rows = slice(number * size, tf.minimum((number + 1) * size, n))
        loss, of_query, of_candidate = _block(
            queries[rows],
            candidates,
            log_weights,
            positives[rows],
            shares[rows],
            None if change is None else change[rows],
        )
        return (
            number + 1,
            losses.write(number, loss),
            of_queries.write(number, of_query),
            of_candidates + of_candidate,
        )

    def array(shape):
        return tf.TensorArray(dtype, count, infer_shape=False, element_shape=shape)

    start = (0, array([None]), array([None, queries.shape[1]]), tf.zeros_like(candidates))
    _, losses, of_queries, of_candidates = tf.while_loop(
        # Blocks in turn, each on all cores: together they would not fit into the cache.
        lambda number, *_: number < count,
        block,
        start,
        parallel_iterations=1,
    )
    return losses.concat(), of_queries.concat(), of_candidates


def _block(queries, candidates, log_weights, positives, shares, change):
    """The same for some of the examples, with all their logits at once."""
    logits = tf.nn.bias_add(tf.matmul(queries, candidates, transpose_b=True), log_weights)
    own = own_column(positives)
    if change is not None:
        logits = tf.tensor_scatter_nd_add(logits, own, change)
    logits -= tf.reduce_max(logits, axis=1, keepdims=True)
    own_logits = tf.gather_nd(logits, own)
    odds = tf.exp(logits)
    total = tf.reduce_sum(odds, axis=1)
    losses = tf.math.log(total) - own_logits
    # Softmax minus one-hot, times `total`: the rows are scaled where they are short.
    error = tf.tensor_scatter_nd_sub(odds, own, total)
    scale = (shares / total)[:, tf.newaxis]
    of_queries = tf.matmul(error, candidates) * scale
    of_candidates = tf.matmul(error, queries * scale, transpose_a=True)
    return losses, of_queries, of_candidates
