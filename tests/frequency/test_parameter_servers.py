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

pytestmark = pytest.mark.long

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT = 120  # Seconds, of what takes 20: the machine may be busy.

ITEMS, BATCH = 300, 24
ALONE = 60  # Batches that one worker counts before the other joins in.
CHUNK, CHUNKS = 50, 30
BUCKETS = 3001  # 375 groups of 8, one of them in both shards.
SKETCHES = {
    "paper": {"buckets": BUCKETS, "alpha": 0.02, "hashes": 2},
    "adaptive": {"buckets": BUCKETS},
}


def sketches():
    from twotower_tf.frequency.adaptive import AdaptiveFrequencyEstimator
    from twotower_tf.frequency.estimator import StreamingFrequencyEstimator

    kinds = {"paper": StreamingFrequencyEstimator, "adaptive": AdaptiveFrequencyEstimator}
    return {name: kinds[name](**given) for name, given in SKETCHES.items()}


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
    print(f"{job} {task} listens at {server.target}", flush=True)
    # Until the test closes the pipe, or is gone itself; a server has no other way to be stopped.
    sys.stdin.read()
    os._exit(0)


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
    tf.train.Checkpoint(**estimators).save(str(folder / "checkpoint"))
    (folder / "measured.json").write_text(json.dumps(measured), encoding="utf-8")


def state_of(estimators):
    return {name: sketch_state(estimator) for name, estimator in estimators.items()}


def sketch_state(estimator):
    tables = [variable for variable in estimator.variables if variable.shape.rank == 1]
    return {
        "step": int(estimator.step),
        "estimates": estimator.probabilities(np.arange(ITEMS)).numpy().tolist(),
        "statistics": [float(estimator.touched_share()), float(estimator.mean_gap())],
        "servers": [table.device for table in tables],
        "tables": {table.name: table.numpy().tolist() for table in tables},
    }


# --------------------------------------------------------------------------------- the tests


def free_addresses(count):
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        return [f"localhost:{each.getsockname()[1]}" for each in sockets]


def command(cluster, folder, job, task):
    return [sys.executable, __file__, json.dumps(cluster), str(folder), job, str(task)]


@contextlib.contextmanager
def running_cluster(folder, environment):
    """Starts the servers and workers, and ends them whatever happens."""
    addresses = free_addresses(4)
    cluster = {"ps": addresses[:2], "worker": addresses[2:]}
    with contextlib.ExitStack() as started:
        for job, task in ("ps", 0), ("ps", 1), ("worker", 0), ("worker", 1):
            log = started.enter_context(open(folder / f"{job}-{task}.log", "wb"))
            arguments = command(cluster, folder, job, task)
            pipes = {"stdin": subprocess.PIPE, "stdout": log, "stderr": log}
            process = subprocess.Popen(arguments, env=environment, **pipes)
            started.enter_context(process)
            started.callback(process.kill)
        yield cluster


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parameter_servers")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": ""}
    with running_cluster(folder, environment) as cluster:
        # Past the timeout it is killed too: a coordinator waits for its servers for ever.
        run = subprocess.run(
            command(cluster, folder, "coordinator", 0),
            env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=TIMEOUT,
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


def error(estimates):
    """The error of the estimates, as a share of what they estimate."""
    truth = stream()[1]
    return np.abs(np.array(estimates) - truth).sum() / truth.sum()


def whole_tables(state):
    """The tables of a sketch, their shards put together, by name."""
    tables = {}
    for name, values in state["tables"].items():
        tables.setdefault(name.split("/part_")[0].split(":")[0], []).extend(values)
    return tables


@pytest.mark.parametrize("name", SKETCHES)
def test_every_table_lies_on_both_servers_with_items_in_both_halves(measured, name):
    state = measured["together"][name]
    shards = list(state["tables"].values())
    assert len(shards) == 4  # Two tables of two shards.
    for half in (0, 2):
        servers = {device.split("/device")[0] for device in state["servers"][half : half + 2]}
        assert servers == {f"/job:ps/replica:0/task:{task}" for task in (0, 1)}
    for shard in shards:
        # What most places hold is what the table was filled with.
        filled = np.median(shard)
        assert np.count_nonzero(np.array(shard) != filled) > ITEMS / 4


@pytest.mark.parametrize("name", SKETCHES)
def test_one_worker_counts_into_shards_exactly_what_one_process_does(measured, one_process, name):
    sharded, plain = measured["alone"][name], one_process["alone"][name]
    assert sharded["step"] == plain["step"] == ALONE
    assert whole_tables(sharded) == whole_tables(plain)
    assert sharded["estimates"] == plain["estimates"]
    np.testing.assert_allclose(sharded["statistics"], plain["statistics"], rtol=1e-6)


def test_the_workers_count_at_the_same_time(measured):
    # While one worker counts its batches, the steps of the other pass too.
    taken = [after - before for before, after in measured["spans"]]
    assert np.mean(taken) > 1.5 * CHUNK


@pytest.mark.parametrize("name", SKETCHES)
def test_two_asynchronous_workers_estimate_as_well_as_one(measured, one_process, name):
    together, alone = measured["together"][name], one_process["together"][name]
    assert together["step"] == alone["step"] == ALONE + CHUNK * CHUNKS
    assert error(together["estimates"]) < 1.2 * error(alone["estimates"])
    # The most frequent items, p = 0.2 to 0.35, lose sightings when both workers have them at
    # once: at most p / 2, as the workers do nothing else.
    ratio = np.divide(together["estimates"], alone["estimates"])[:20]
    assert 0.85 < ratio.mean() < 1.02


@pytest.mark.parametrize("name", SKETCHES)
def test_checkpoint_of_the_servers_goes_on_in_one_process(folder, measured, name):
    import tensorflow as tf

    estimators = sketches()
    checkpoint = tf.train.Checkpoint(**estimators)
    checkpoint.restore(str(folder / "checkpoint-1")).assert_consumed()
    assert sketch_state(estimators[name])["estimates"] == measured["together"][name]["estimates"]
    assert estimators[name].step.numpy() == ALONE + CHUNK * CHUNKS


if __name__ == "__main__":
    cluster, out, job, task = sys.argv[1:]
    if job == "coordinator":
        coordinate(json.loads(cluster), pathlib.Path(out))
    else:
        serve(json.loads(cluster), job, int(task))
