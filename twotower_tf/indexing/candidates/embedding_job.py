"""The embedding of a catalogue as a Beam job: shards are spread over the workers."""

from collections.abc import Iterator, Sequence

import apache_beam as beam
from apache_beam.utils.shared import Shared

from twotower_tf import beam_runs
from twotower_tf.indexing.candidates.embedding_shards import Shard, ShardPlan, embed_shard
from twotower_tf.models.inference import TowerInference


@beam.typehints.with_input_types(Shard)
@beam.typehints.with_output_types(str)
class EmbedShards(beam.DoFn):
    """Embeds the rows of shards, to the files whose names it returns; threads share one tower.

    Args:
        plan: What the shards have in common.
        tower_folder: Where the candidate tower was saved (``TowerInference.save``).
    """

    def __init__(self, plan: ShardPlan, tower_folder: str):
        self._plan = plan
        self._tower_folder = tower_folder
        self._shared = Shared()

    def setup(self) -> None:
        """Loads the tower, if no other thread of this process has it."""
        self._tower = self._shared.acquire(
            lambda: TowerInference.load(self._tower_folder, self._plan.config, "candidate")
        )

    def process(self, element: Shard) -> Iterator[str]:
        """Embeds a shard and writes its files; yields the name of the one with the vectors."""
        made = embed_shard(self._plan.config, element, self._tower, lambda items: None)
        self._plan.write(element, made)
        yield element.file


def run_embedding_job(
    plan: ShardPlan, shards: Sequence[Shard], tower_folder: str, beam_args: Sequence[str]
) -> None:
    """Makes all shards; returns when they are there.

    Args:
        plan: What the shards have in common; its folder must be the workers' too.
        shards: What to make; they name the files of their rows.
        tower_folder: Where the candidate tower was saved; the workers read it.
        beam_args: Beam's own flags.
    """
    with beam_runs.pipeline(beam_args) as pipeline:
        (
            pipeline
            | "Shards" >> beam.Create(shards, reshuffle=False)
            # Else a runner may take all of them for one piece of work.
            | "Spread" >> beam.Reshuffle()
            | "Embed" >> beam.ParDo(EmbedShards(plan, tower_folder))
        )
