"""Principal dimensions against NumPy's singular values."""

import numpy as np
import pytest

from twotower_tf.indexing.kinds.principal_dimensions import PrincipalDimensions


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(4)
    stretched = rng.normal(size=(500, 40)) * 0.8 ** np.arange(40)
    turned, _ = np.linalg.qr(rng.normal(size=(40, 40)))
    return (stretched @ turned).astype(np.float32)


def test_dimensions_are_those_of_the_singular_values_in_descending_order(vectors):
    principal = PrincipalDimensions.of(vectors)
    singular = np.linalg.svd(vectors.astype(np.float64), compute_uv=False)
    np.testing.assert_allclose(principal.squares, singular**2, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(principal.basis.T @ principal.basis, np.eye(40), atol=1e-12)
    along = np.sum((vectors.astype(np.float64) @ principal.basis) ** 2, axis=0)
    np.testing.assert_allclose(along, principal.squares, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.97, 0.999])
def test_as_many_as_are_needed_hold_the_share_and_eight_fewer_do_not(vectors, share):
    principal = PrincipalDimensions.of(vectors)
    needed = principal.needed(share)
    held = np.cumsum(principal.squares) / principal.squares.sum()
    assert needed % 8 == 0
    assert held[needed - 1] >= share
    assert needed == 8 or held[needed - 9] < share


def test_vectors_without_length_need_few_dimensions():
    assert PrincipalDimensions.of(np.zeros([9, 40], np.float32)).needed(0.97) <= 40
    assert PrincipalDimensions.of(np.eye(5, dtype=np.float32)).needed(1.0) == 5
