"""Principal dimensions: a rotation that puts what vectors differ in into few dimensions."""

import dataclasses

import numpy as np

_STEP = 8


@dataclasses.dataclass(frozen=True)
class PrincipalDimensions:
    """The eigenvectors of the second moments of vectors, by descending eigenvalue.

    Attributes:
        basis: float64 [d, d], a dimension in each column; orthogonal.
        squares: float64 [d], the squared lengths that lie in each, summed over the vectors.
    """

    basis: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray) -> "PrincipalDimensions":
        """Computes them for vectors, float32 [n, d]."""
        squares, basis = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
        return cls(basis[:, ::-1], np.maximum(squares[::-1], 0.0))

    def needed(self, share: float) -> int:
        """Returns how many, by eights, hold this share of the squared length."""
        held = np.cumsum(self.squares) / max(self.squares.sum(), np.finfo(float).tiny)
        count = int(np.searchsorted(held, share)) + 1
        return min(len(held), -(-count // _STEP) * _STEP)
