"""The methods by name: in which file each one is, and what it needs."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Peer:
    """A method, and how it is run.

    Attributes:
        title: What tables and pictures say.
        module, kind: The file in this folder, and the class in it.
        seeded: Whether another seed gives another result; what is not runs once.
        note: How it is trained and asked, for the reader of the figures.
        only: The one data set it can be asked about; all if empty.
        environment: Variables of its process.
    """

    title: str
    module: str
    kind: str
    seeded: bool
    note: str
    only: str = ""
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


_DAILY = "counted anew every day"
_WEEKLY = "trained anew every 7 days of the window; the user's past is up to the event"
_ONCE = "trained once, on all before the window; the query's history is up to the event"
# implicit has threads of its own, and warns if the linear algebra below it has some too.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
# PyTorch's threads spin while they wait: on two cores one is as fast, and leaves the other free.
_PASSIVE = {"OMP_NUM_THREADS": "1"}
# LibRecommender builds on layers that only Keras 2 has.
_KERAS_2 = {"TF_USE_LEGACY_KERAS": "1"}

OURS = "ours"
POPULAR = "most_popular"

PEERS = {
    OURS: Peer(
        "ours",
        "ours",
        "run",
        True,
        "the shipped YAML: pipelines.train, then pipelines.run_daily on each day of the window, "
        "asked before training on the day; seconds are of whole jobs, their start included",
    ),
    POPULAR: Peer("most popular", "baselines", "MostPopular", False, _DAILY),
    "after_seed": Peer("after seed", "baselines", "AfterSeed", False, _DAILY),
    "own_items": Peer("own items", "baselines", "OwnItems", False, _DAILY),
    "item_knn": Peer(
        "item-kNN (implicit)", "implicit_models", "Cosine", False, _WEEKLY, "", _ONE_THREAD
    ),
    "bm25": Peer("BM25 (implicit)", "implicit_models", "Bm25", False, _WEEKLY, "", _ONE_THREAD),
    "als": Peer("ALS (implicit)", "implicit_models", "Als", True, _WEEKLY, "", _ONE_THREAD),
    "ease": Peer(
        "EASE (RecTools)", "rectools_models", "Ease", False, _ONCE + "; the 8,000 commonest items"
    ),
    "sasrec": Peer("SASRec (RecTools)", "rectools_models", "SasRec", True, _ONCE, "", _PASSIVE),
    "libreco": Peer(
        "TwoTower (LibRecommender)",
        "libreco_model",
        "LibrecoTwoTower",
        True,
        "trained once, on all before the window, ids and features of users and items",
        "",
        _KERAS_2,
    ),
    "tfrs": Peer("stock TFRS", "stock_tfrs", "StockTfrs", True, _ONCE),
    "truth": Peer(
        "the truth", "truth", "Truth", False, "the simulator's probabilities", "simulated"
    ),
}
