"""The methods by name: in which file each one is, and what it needs."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Peer:
    """A method, and how it is run.

    Attributes:
        title: What tables and pictures say.
        module, kind: The file in this folder, and the class in it.
        most_seeds: How often it is run at most: once if every seed gives the same.
        note: How it is trained and asked, for the reader of the figures.
        only: The one data set it can be asked about; all if empty.
        environment: Variables of its process.
    """

    title: str
    module: str
    kind: str
    most_seeds: int
    note: str
    only: str = ""
    environment: dict[str, str] = dataclasses.field(default_factory=dict)


_DAILY = "counted anew every day"
_WEEKLY = "trained anew every 7 days of the window; the user's past is up to the event"
_ONCE = "trained once, on all before the window; the query's history is up to the event"
_SLOW = _ONCE + "; as many epochs as fit into minutes; one seed"
# implicit has threads of its own, and warns if the linear algebra below it has some too.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
# PyTorch's threads spin while they wait: on two cores one is as fast, and leaves the other free.
_PASSIVE = {"OMP_NUM_THREADS": "1"}
# LibRecommender builds on layers that only Keras 2 has.
_KERAS_2 = {"TF_USE_LEGACY_KERAS": "1"}

# As many seeds as are asked for.
SEEDED = 1000

OURS = "ours"
POPULAR = "most_popular"

PEERS = {
    OURS: Peer(
        "ours",
        "ours",
        "run",
        SEEDED,
        "the shipped YAML: pipelines.train, then pipelines.run_daily on each day of the window, "
        "asked before training on the day; seconds are of whole jobs, their start included",
    ),
    POPULAR: Peer("most popular", "baselines", "MostPopular", 1, _DAILY),
    "after_seed": Peer("after seed", "baselines", "AfterSeed", 1, _DAILY),
    "own_items": Peer("own items", "baselines", "OwnItems", 1, _DAILY),
    "item_knn": Peer(
        "item-kNN (implicit)", "implicit_models", "Cosine", 1, _WEEKLY, "", _ONE_THREAD
    ),
    "bm25": Peer("BM25 (implicit)", "implicit_models", "Bm25", 1, _WEEKLY, "", _ONE_THREAD),
    "als": Peer("ALS (implicit)", "implicit_models", "Als", SEEDED, _WEEKLY, "", _ONE_THREAD),
    "ease": Peer(
        "EASE (RecTools)", "rectools_models", "Ease", 1, _ONCE + "; the 8,000 commonest items"
    ),
    "sasrec": Peer("SASRec (RecTools)", "rectools_models", "SasRec", 1, _SLOW, "", _PASSIVE),
    "libreco": Peer(
        "TwoTower (LibRecommender)",
        "libreco_model",
        "LibrecoTwoTower",
        1,
        "trained once, on all before the window, ids and features of users and items; one seed",
        "",
        _KERAS_2,
    ),
    "tfrs": Peer("stock TFRS", "stock_tfrs", "StockTfrs", 1, _SLOW),
    "truth": Peer("the truth", "truth", "Truth", 1, "the simulator's probabilities", "simulated"),
}
