"""Two parameter servers and two workers, each a process, against one process that does it all.

A strategy must be made before TensorFlow is used, so this file runs itself: as the servers, the
workers and their coordinator, once, and the tests look at what the coordinator measured.
"""

import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

import twotower_tf  # noqa: F401  (first: it chooses Keras 2)

ROOT = pathlib.Path(__file__).resolve().parents[2]
JOBS = ["ps", "ps", "worker", "worker"]
TIMEOUT = 120  # Seconds, of what takes 20: the machine may be busy.

ITEMS, BATCH = 300, 24
ALONE = 60  # Batches that one worker counts before the other joins in.
CHUNK, CHUNKS = 40, 50
BUCKETS = 3001  # The servers' shards differ in size, and one group of 8 lies in both.
SKETCHES = {
    "paper": {"buckets": BUCKETS, "alpha": 0.02},
    "paper, two hash functions": {"buckets": BUCKETS, "alpha": 0.02, "hashes": 2},
    "adaptive": {"buckets": BUCKETS},
    "adaptive, two hash functions": {"buckets": BUCKETS, "hashes": 2},
}


def sketches():
    from twotower_tf.frequency.adaptive import AdaptiveFrequencyEstimator
    from twotower_tf.frequency.estimator import StreamingFrequencyEstimator

    kinds = {"paper": StreamingFrequencyEstimator, "adaptive": AdaptiveFrequencyEstimator}
    return {name: kinds[name.split(",")[0]](**given) for name, given in SKETCHES.items()}


def stream():
    """Batches of drawn items, [steps, BATCH], and the probability of each to be in one."""
    weights = 1.0 / (20 + np.arange(ITEMS))
    share = weights / weights.sum()
    size = (ALONE + CHUNK * CHUNKS, BATCH)
    batches = np.random.default_rng(11).choice(ITEMS, size=size, p=share)
    return batches.astype(np.int64), 1 - (1 - share) ** BATCH


def counting(estimators):
    """A graph that counts batches [n, BATCH] in all sketches: the steps before and after."""
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, BATCH], tf.int64)])
    def count(batches):
        steps = next(iter(estimators.values())).step
        before = steps.read_value()
        for n in tf.range(tf.shape(batches)[0]):
            for estimator in estimators.values():
                estimator.update(batches[n])
        return tf.stack([before, steps.read_value()])

    return count


# ------------------------------------------------------------------------------ the processes


def serve(cluster, job, task):
    import tensorflow as tf

    server = tf.distribute.Server(cluster, job_name=job, task_index=task, protocol="grpc")
    # Until the test closes the pipe, or is gone itself.
    sys.stdin.read()
    os._exit(0 if server else 1)


def coordinate(cluster, folder):
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec(cluster), rpc_layer="grpc"
    )
    strategy = tf.distribute.ParameterServerStrategy(
        resolver,
        variable_partitioner=tf.distribute.experimental.partitioners.FixedShardsPartitioner(2),
    )
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    with strategy.scope():
        estimators = sketches()
    count = counting(estimators)
    batches, _ = stream()
    coordinator.schedule(count, args=(batches[:ALONE],))
    coordinator.join()
    measured = {"alone": state_of(estimators)}
    counted = [
        coordinator.schedule(count, args=(chunk,))
        for chunk in batches[ALONE:].reshape(CHUNKS, CHUNK, BATCH)
    ]
    coordinator.join()
    measured["spans"] = [value.fetch().tolist() for value in counted]
    measured["together"] = state_of(estimators)
    tf.train.Checkpoint(**keyed(estimators)).save(str(folder / "checkpoint"))
    (folder / "measured.json").write_text(json.dumps(measured), encoding="utf-8")


def keyed(estimators):
    return {f"sketch_{n}": estimator for n, estimator in enumerate(estimators.values())}


def state_of(estimators):
    return {name: sketch_state(estimator) for name, estimator in estimators.items()}


def sketch_state(estimator):
    variables = [v for v in estimator.variables if v.shape.rank == 1]
    return {
        "step": int(estimator.step),
        "estimates": estimator.probabilities(np.arange(ITEMS)).numpy().tolist(),
        "touched_share": float(estimator.touched_share()),
        "mean_gap": float(estimator.mean_gap()),
        "devices": [variable.device for variable in variables],
        "tables": [variable.numpy().tolist() for variable in variables],
        "names": [variable.name for variable in variables],
    }


# --------------------------------------------------------------------------------- the tests


def free_addresses(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [f"localhost:{each.getsockname()[1]}" for each in sockets]


@contextlib.contextmanager
def running_cluster(folder):
    """Starts the servers and workers, and ends them whatever happens."""
    addresses = free_addresses(len(JOBS))
    cluster = {job: [a for a, j in zip(addresses, JOBS, strict=True) if j == job] for job in JOBS}
    arguments = [json.dumps(cluster), str(folder)]
    processes = []
    try:
        for n, job in enumerate(JOBS):
            with open(folder / f"{job}-{n}.log", "wb") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, __file__, *arguments, job, str(n % 2)],
                        env=os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""},
                        stdin=subprocess.PIPE,
                        stdout=log,
                        stderr=log,
                    )
                )
        yield arguments
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.communicate()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parameter_servers")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    with running_cluster(folder) as arguments:
        # subprocess.run ends the coordinator if it takes too long.
        run = subprocess.run(
            [sys.executable, __file__, *arguments, "coordinator", "0"],
            env=environment, capture_output=True, text=True, timeout=TIMEOUT,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def measured(folder):
    return json.loads((folder / "measured.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def one_process():
    estimators, (batches, _) = sketches(), stream()
    count = counting(estimators)
    count(batches[:ALONE])
    alone = state_of(estimators)
    count(batches[ALONE:])
    return {"alone": alone, "together": state_of(estimators)}


def test_smoke(measured, one_process):
    truth = stream()[1]
    print(truth.min(), truth.max(), measured["spans"][:6])
    for name in SKETCHES:
        for w in (one_process, measured):
            e = np.array(w["together"][name]["estimates"])
            print(name, w["together"][name]["step"], np.abs(e - truth).sum() / truth.sum(), (e-truth).sum()/truth.sum(), (e/truth)[:10].mean(),
                  w["together"][name]["touched_share"], w["together"][name]["mean_gap"], w["together"][name]["devices"], w["together"][name]["names"])


if __name__ == "__main__":
    cluster, out, job, task = sys.argv[1:]
    if job == "coordinator":
        coordinate(json.loads(cluster), pathlib.Path(out))
    else:
        serve(json.loads(cluster), job, int(task))
