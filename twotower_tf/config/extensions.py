"""A user's own modules: imported by name before anything asks the registries they add to."""

import importlib
from collections.abc import Iterable


def import_modules(names: Iterable[str]) -> None:
    """Imports modules, which add their kinds to the registries.

    Raises:
        ValueError: For the first that is not there or does not load; says why.
    """
    for name in names:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError as error:
            missing = "" if error.name == name else f": {error}"
            raise ValueError(
                f"there is no module '{name}' to import{missing}; install its package where the "
                "job runs, or put the folder that holds it on PYTHONPATH"
            ) from error
        except Exception as error:
            raise ValueError(
                f"module '{name}' can't be imported: {type(error).__name__}: {error}"
            ) from error
