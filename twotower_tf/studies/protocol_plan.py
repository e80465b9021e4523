"""What the protocol of ``protocol_study`` needs: days enough, and a configuration a loss.

No TensorFlow here: a wrong flag is to be told at once.
"""

import datetime
from collections.abc import Sequence

from pydantic import ValidationError

from twotower_tf.config import Config
from twotower_tf.config.registries import LOSSES
from twotower_tf.errors import InputError

CATCH_UP, MEASURED = 15, 7


def check_days(config: Config, days: Sequence[datetime.date]) -> None:
    """Raises InputError unless there are days enough to catch up over and to measure.

    A backfill of the configuration must end before the days that are measured.
    """
    if len(days) < CATCH_UP + MEASURED:
        raise InputError(
            f"the protocol needs {CATCH_UP + MEASURED} days, {CATCH_UP} to catch up and "
            f"{MEASURED} to measure, and --start and --end give {len(days)}; give more days"
        )
    backfill, last = config.training.backfill, days[-MEASURED - 1]
    if backfill is not None and (backfill.until or days[min(backfill.days, len(days)) - 1]) > last:
        raise InputError(
            f"training.backfill must end by {last}, before the {MEASURED} days that are measured; "
            "make it shorter, or leave it out with --set training.backfill=null"
        )


def with_losses(config: Config, kinds: Sequence[str]) -> dict[str, Config]:
    """Returns the configuration with each loss in the place of its own, by kind.

    Its own kind stays as it is configured. Others have their defaults, but for the temperature:
    that is the configuration's.

    Raises:
        InputError: If a kind is none of the registry's or does not fit the configuration, or
            there is none.
    """
    if not kinds:
        raise InputError("--losses: give at least one kind of loss")
    given = {"temperature": getattr(config.loss, "temperature", None)}
    configs = {}
    for kind in kinds:
        if kind == config.loss.kind:
            configs[kind] = config
            continue
        try:
            loss = LOSSES.parse({"kind": kind})
            taken = {key: value for key, value in given.items() if value and hasattr(loss, key)}
            changed = config.model_copy(update={"loss": loss.model_copy(update=taken)})
            # What else is configured must fit this loss too, such as negatives.
            configs[kind] = Config.model_validate(changed.model_dump(mode="json", by_alias=True))
        except ValidationError as error:
            message = error.errors()[0]["msg"].removeprefix("Value error, ")
            raise InputError(f"--losses: {kind}: {message}") from error
        except ValueError as error:
            raise InputError(f"--losses: {error}") from error
    return configs
