"""A user's own package, the one of docs/extending.md, from logs to a release that is asked.

Every job is a process of its own, as the kinds that a package adds stay in the registries.
"""

import datetime
import json
import os
import pathlib
import pickle
import re
import subprocess
import sys

import pytest
import yaml

from twotower_tf.config_loader import load_config
from twotower_tf.errors import InputError

ROOT = pathlib.Path(__file__).resolve().parents[2]
_FILE = re.compile(r"`(my_company/[\w/]+\.py)`.*?^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_YAML = re.compile(r"^```yaml\n(extensions:.*?query:.*?)^```$", re.MULTILINE | re.DOTALL)
# A mistake in the section of the package's own feature.
_LIMIT = ["--set=candidate.features=[{name: length, kind: above, limits: 3}]"]
# Says which process imported it.
_TRACE = """
import os, pathlib, sys
with open(pathlib.Path(__file__).with_name("imported"), "a") as file:
    print(os.path.basename(sys.argv[0]), file=file)
"""


def _page() -> str:
    return (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")


class Extended:
    """A site whose configuration names a package beside it."""

    def __init__(self, site):
        self.site, self.packages = site, site.root / "packages"
        for path, code in _FILE.findall(_page()):
            file = self.packages / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(code, encoding="utf-8")
        (self.package / "__init__.py").write_text(
            (self.package / "__init__.py").read_text() + _TRACE, encoding="utf-8"
        )
        chosen = yaml.safe_load(_YAML.search(_page().rpartition("chooses them by name")[2])[1])
        for tower in ("query", "candidate"):
            kept = site.values[tower]["features"]
            site.values[tower] = {"kind": chosen[tower]["kind"], "width": 8, "features": kept}
        own = next(one for one in chosen["candidate"]["features"] if one["kind"] == "above")
        kept = [one for one in site.values["candidate"]["features"] if one["name"] != own["name"]]
        site.values["candidate"]["features"] = [*kept, own]
        site.values["extensions"] = chosen["extensions"]
        site.values["loss"] = chosen["loss"]
        site.values["index"] |= chosen["index"]

    @property
    def package(self) -> pathlib.Path:
        """Where the package's modules are."""
        return self.packages / "my_company" / "retrieval"

    def run(self, job: str, *flags, found: bool = True) -> subprocess.CompletedProcess:
        """Runs a job, by which the package is found or is not."""
        site = self.site
        site.config.write_text(yaml.safe_dump(site.values), encoding="utf-8")
        own = [f"--config={site.config}", f"--workdir={site.workdir}"]
        path = os.pathsep.join(map(str, (ROOT, *([self.packages] if found else []))))
        return subprocess.run(
            [sys.executable, "-m", f"pipelines.{job}", *own, *map(str, flags)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path},
            capture_output=True,
            text=True,
        )

    def importers(self) -> list[str]:
        """Returns the programs that imported the package so far."""
        return (self.package / "imported").read_text().split()


@pytest.mark.long
def test_a_package_of_the_users_own_runs_from_logs_to_a_release_that_is_asked(site):
    extended = Extended(site)
    day = extended.site.source / "events"
    first = min(path.stem for path in day.iterdir())
    beam = ("--", "--direct_running_mode=multi_processing", "--direct_num_workers=2")
    run = extended.run("run_daily", f"--source={site.source}", f"--date={first}", *beam)
    assert run.returncode == 0, run.stderr
    assert {"run_daily.py", "sdk_worker_main.py"} <= set(extended.importers())

    (release,) = site.workdir.glob("releases/site/[0-9]*")
    serving = json.loads((release / "assets.extra" / "serving.json").read_text())
    assert serving["index_kind"] == "half_precision"
    assert serving["modules"] == ["my_company.retrieval"]
    assert [one["name"] for one in serving["candidate_features"]][-1] == "length"
    bound = json.loads((site.workdir / "configuration.json").read_text())
    assert "loss" not in bound["model"]
    assert (bound["model"]["query"]["kind"], bound["model"]["query"]["width"]) == ("gated", 8)
    trained = site.metrics("train", datetime.date.fromisoformat(first))
    assert trained["settings"]["loss.kind"] == "focal_cosine"
    site.write("items.jsonl", [{"item_id": "new", "published": 1_500_000_000, "length": 70}])
    refreshed = extended.run(
        "refresh_index", f"--source={site.source}", "--set=index.max_fresh_share=1.0"
    )
    assert refreshed.returncode == 0, refreshed.stderr
    asked = extended.run("recommend", '--query={"seed_item_id": "i3"}', "--k=5")
    assert asked.returncode == 0, asked.stderr
    assert asked.stdout.split()[1] == "new"

    width = ["--set=query.width=9", "--set=candidate.width=9"]
    other = extended.run("build_examples", "--source=x", f"--date={first}", *width)
    assert other.returncode == 2
    assert ".width is 9, and the model was made with 8" in other.stderr
    other = extended.run("build_examples", "--source=x", f"--date={first}", *_LIMIT)
    assert other.returncode == 2
    assert "candidate.features[" in other.stderr
    assert "unknown key 'limits'; did you mean 'limit'?" in other.stderr
    lost = extended.run("recommend", "--query={}", "--set=extensions=[]")
    assert lost.returncode == 2
    assert "query: unknown kind 'gated' (allowed: mlp)" in lost.stderr
    gone = extended.run("recommend", "--query={}", found=False)
    assert gone.returncode == 2
    assert re.search(
        r"extensions: there is no module 'my_company.retrieval' to import", gone.stderr
    )
    assert len(gone.stderr.splitlines()) == 1


def test_a_release_that_needs_a_module_that_is_not_there_says_so(tmp_path):
    from twotower_tf.serving.serving_description import load_saved_model, write_serving

    write_serving(str(tmp_path), "portable", ["no_such_module"], 1, 1, [], [], [])
    with pytest.raises(InputError, match="can't be loaded: there is no module 'no_such_module'"):
        load_saved_model(str(tmp_path))


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("1 +", "module 'broken_extension' can't be imported: SyntaxError: invalid syntax"),
        ("1 / 0", "module 'broken_extension' can't be imported: ZeroDivisionError: division by"),
        ("import nowhere", "there is no module 'broken_extension' to import: No module named 'now"),
        (
            "from typing import Literal\n"
            "from twotower_tf.config.registries import LOSSES\n"
            "from twotower_tf.config.section import Section\n"
            "@LOSSES.made_by(print)\n"
            "class Mine(Section):\n"
            "    kind: Literal['plain_softmax'] = 'plain_softmax'\n",
            "ValueError: the loss 'plain_softmax' is already PlainSoftmaxSection",
        ),
    ],
)
def test_a_module_that_does_not_load_is_one_line(tmp_path, monkeypatch, code, message):
    (tmp_path / "broken_extension.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError) as raised:
        load_config(str(ROOT / "configs" / "demo.yaml"), ["extensions=[broken_extension]"])
    assert f"{message}" in str(raised.value)
    assert "extensions: " in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_pickled_configuration_brings_its_extensions_along(tmp_path, monkeypatch):
    # As a Beam worker gets it: nothing in it is of the module, which is imported all the same.
    (tmp_path / "lone_extension.py").write_text("", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    demo = str(ROOT / "configs" / "demo.yaml")
    (tmp_path / "pickled").write_bytes(
        pickle.dumps(load_config(demo, ["extensions=[lone_extension]"]))
    )
    script = "import pickle, sys; pickle.load(sys.stdin.buffer); sys.modules['lone_extension']"
    with open(tmp_path / "pickled", "rb") as file:
        path = os.pathsep.join(map(str, (ROOT, tmp_path)))
        worker = [sys.executable, "-c", script]
        run = subprocess.run(worker, stdin=file, env={**os.environ, "PYTHONPATH": path})
    assert run.returncode == 0


@pytest.mark.parametrize("given", ["mine", "[1]", "['']"])
def test_extensions_are_a_list_of_names(given):
    with pytest.raises(InputError, match=r"configuration .*: extensions"):
        load_config(str(ROOT / "configs" / "demo.yaml"), [f"extensions={given}"])
