"""What vectors differ by from the centres of their partitions, in few dimensions of 8 bits."""

import dataclasses

import numpy as np

from twotower_tf.indexing.kinds.balanced_partitions import Partitions
from twotower_tf.indexing.kinds.principal_dimensions import PrincipalDimensions

# Dimensions are kept until they hold this share of the residuals' squared length.
_KEPT = 0.95
# Residuals from which the dimensions are learned.
_SAMPLE = 100_000
_PARTITIONS_AT_A_TIME = 256


@dataclasses.dataclass(frozen=True)
class Residuals:
    """Residuals x - c in their principal dimensions; the dimensions dropped count as 0.

    <q, x> is about <q, c> + (q basis) codes.

    Attributes:
        basis: float32 [d, r], the principal dimensions times the steps between codes.
        codes: int8 [P, r, size], a column for each place of a partition; 0 where it is not filled.
        spread: float32 [P], the standard deviation of <q, x> around <q, c> within a partition, for
            a q of length 1 that lies among the dimensions the residuals fill.
    """

    basis: np.ndarray
    codes: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, vectors: np.ndarray, parts: Partitions) -> "Residuals":
        """Computes the residuals of vectors, float32 [N, d], in their partitions."""
        count, size = parts.members.shape
        some = np.linspace(0, count - 1, num=min(count, max(1, _SAMPLE // size)), dtype=np.int64)
        sample = _residuals(vectors, parts, some).reshape(-1, vectors.shape[1])
        principal = PrincipalDimensions.of(sample)
        kept = principal.needed(_KEPT)
        dimensions = principal.basis[:, :kept]
        steps = np.abs(sample @ dimensions).max(axis=0) / 127
        codes = np.empty([count, kept, size], np.int8)
        squares = np.empty(count)
        # Where all residuals are 0, any step will do.
        to_codes = dimensions / np.where(steps > 0, steps, 1.0)
        for start in range(0, count, _PARTITIONS_AT_A_TIME):
            rows = np.arange(start, min(start + _PARTITIONS_AT_A_TIME, count))
            residuals = _residuals(vectors, parts, rows)
            places = np.rint(residuals @ to_codes.astype(np.float32)).clip(-127, 127)
            codes[rows] = places.transpose(0, 2, 1)
            squares[rows] = np.sum(residuals * residuals, axis=(1, 2))
        # As many equal dimensions as would scatter as these do (the participation ratio).
        scatter = principal.squares
        effective = scatter.sum() ** 2 / max(np.sum(scatter**2), np.finfo(float).tiny)
        members = np.count_nonzero(parts.members >= 0, axis=1)
        spread = np.sqrt(squares / members / max(effective, 1.0))
        return cls((dimensions * steps).astype(np.float32), codes, spread.astype(np.float32))


def _residuals(vectors: np.ndarray, parts: Partitions, rows: np.ndarray) -> np.ndarray:
    """Returns float32 [len(rows), size, d]; 0 at places that are not filled."""
    members = parts.members[rows]
    residuals = vectors[members] - parts.centres[rows, None, :]
    return np.where(members[:, :, None] >= 0, residuals, np.float32(0.0))
