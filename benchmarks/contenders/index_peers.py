"""hnswlib and faiss, each with the settings that trade recall for speed."""

import pathlib
from typing import ClassVar

import faiss
import hnswlib
import numpy as np

_NEIGHBOURS = 16
_CONSTRUCTION = 200
_WIDTHS = (100, 110, 125, 150, 200, 250, 300, 400, 500, 700, 1000, 1500, 2000)


class Hnswlib:
    """hnswlib's graph, inner product; its setting is ``ef``."""

    settings: ClassVar = [[width] for width in _WIDTHS]

    def __init__(self, vectors: pathlib.Path, kept: pathlib.Path, threads: int):
        dim = np.load(vectors / "queries.npy", mmap_mode="r").shape[1]
        self._index = hnswlib.Index(space="ip", dim=dim)
        self._index.set_num_threads(threads)
        file = kept / "hnswlib.bin"
        if file.exists():
            self._index.load_index(str(file))
        else:
            items = np.load(vectors / "items.npy")
            self._index.init_index(
                len(items), M=_NEIGHBOURS, ef_construction=_CONSTRUCTION, random_seed=17
            )
            self._index.add_items(items)
            self._index.save_index(str(file))
        self._index.set_num_threads(1)

    def use(self, setting: list[int]) -> None:
        """Sets how many candidates a search keeps."""
        self._index.set_ef(setting[0])

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Returns the positions, [B, k]."""
        return self._index.knn_query(queries, k)[0]


class _Faiss:
    def __init__(self, vectors: pathlib.Path, kept: pathlib.Path, threads: int):
        faiss.omp_set_num_threads(threads)
        file = kept / f"{type(self).__name__}.faiss"
        if file.exists():
            self._index = faiss.read_index(str(file))
        else:
            items = np.load(vectors / "items.npy")
            self._index = self._made(*items.shape)
            self._index.train(items)
            self._index.add(items)
            faiss.write_index(self._index, str(file))

    def search(self, queries: np.ndarray, k: int) -> np.ndarray:
        """Returns the positions, [B, k]."""
        return self._index.search(queries, k)[1]


class FaissHnsw(_Faiss):
    """faiss's graph with float32 vectors; its setting is ``efSearch``."""

    settings: ClassVar = [[width] for width in _WIDTHS]

    def _made(self, items: int, dim: int) -> faiss.Index:
        del items
        index = faiss.IndexHNSWFlat(dim, _NEIGHBOURS, faiss.METRIC_INNER_PRODUCT)
        index.hnsw.efConstruction = _CONSTRUCTION
        return index

    def use(self, setting: list[int]) -> None:
        """Sets how many candidates a search keeps."""
        self._index.hnsw.efSearch = setting[0]


class FaissIvfPq(_Faiss):
    """faiss's inverted file of 4-bit product codes in its fast-scan form, refined exactly.

    Its setting is the lists searched, and how many times the results are scored exactly.
    """

    settings: ClassVar = [
        [lists, factor] for factor in (2, 4, 8, 16, 32) for lists in (4, 8, 16, 32, 48, 64, 96)
    ]

    def _made(self, items: int, dim: int) -> faiss.Index:
        lists = 2 ** round(np.log2(2 * items**0.5))
        kind = f"IVF{lists},PQ{dim // 2}x4fs,RFlat"
        return faiss.index_factory(dim, kind, faiss.METRIC_INNER_PRODUCT)

    def use(self, setting: list[int]) -> None:
        """Sets how many lists a search looks into and how many items it scores exactly."""
        faiss.extract_index_ivf(self._index.base_index).nprobe = setting[0]
        self._index.k_factor = setting[1]
