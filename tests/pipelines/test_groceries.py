"""What `make groceries` runs, on a few purchases."""

import re

import pytest

from pipelines import groceries
from tests.groceries_package import installed, purchases


@pytest.mark.parametrize("end", ["2017-01-28", "2018-01-01"])
def test_a_day_without_four_weeks_before_it_or_beyond_the_year_is_refused(end, tmp_path, capsys):
    assert groceries.main(["groceries", f"--workdir={tmp_path}", f"--end={end}"]) == 2
    assert "give a day from 2017-01-29 to 2017-12-31" in capsys.readouterr().err


@pytest.mark.long
def test_it_ends_with_a_table_of_nights_and_recommendations_to_households(tmp_path, capsys):
    flags = ["groceries", f"--workdir={tmp_path / 'work'}", "--end=2017-01-30", "--verbosity=-1"]
    # Few purchases, of which many are of the product that is in no table.
    flags += ["--set=examples.max_rejected_share=0.5", "--set=gates.min_items_per_batch=0"]
    with installed(tmp_path / "package", purchases(3000, days=31)):
        assert groceries.main(flags) == 0
        first = capsys.readouterr().out
        assert groceries.main(flags) == 0
    assert capsys.readouterr().out == first
    nights = re.findall(r"^(2017-01-\d\d) ", first, re.MULTILINE)
    assert nights == [f"2017-01-{day:02}" for day in range(3, 31)]
    households = re.findall(r"^for household (\d), who last bought TYPE", first, re.MULTILINE)
    assert len(set(households)) == 2
    line = r"^ +-?\d+\.\d{4}  1\d\d +TYPE \d +(bought (once|\d+ times) before|never bought)$"
    assert len(re.findall(line, first, re.MULTILINE)) == 20
