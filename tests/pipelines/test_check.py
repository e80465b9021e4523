"""The job that looks at a source: what it prints, its status, and that it needs no TensorFlow."""

import json
import subprocess
import sys

import yaml


def test_it_prints_what_it_found_without_tensorflow_and_without_writing(site):
    site.config.write_text(yaml.safe_dump(site.values), encoding="utf-8")
    before = sorted((path, path.lstat().st_mtime_ns) for path in site.root.rglob("*"))
    flags = [f"--config={site.config}", f"--source={site.source}", "-v=-1"]
    script = (
        "import sys\n"
        "from pipelines import check\n"
        "status = check.main(['check', *sys.argv[1:]])\n"
        "assert 'tensorflow' not in sys.modules and 'apache_beam' not in sys.modules\n"
        "sys.exit(status)\n"
    )
    run = subprocess.run([sys.executable, "-c", script, *flags], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("events: 5 files of jsonl, 2024-03-01 to 2024-03-05")
    assert run.stdout.endswith("a build would take this: --start=2024-03-01 --end=2024-03-05\n")
    assert sorted((path, path.lstat().st_mtime_ns) for path in site.root.rglob("*")) == before


def test_a_source_that_a_build_refuses_ends_with_its_line_behind_what_was_found(site, days):
    site.write_day(days[1], [b"{", b"{"])
    built = site.run("build_examples", f"--date={days[1]}")
    checked = site.check(f"--date={days[1]}")
    assert (checked.status, checked.error) == (2, built.error)
    assert "not JSON" in checked.out
    assert "a build would refuse this" in checked.out
    facts = json.loads(site.check(f"--date={days[1]}", "--json").out)
    assert facts["refusal"] == built.error.removeprefix("error: ")
    assert site.check("--date=2024-3-1").status == 2
