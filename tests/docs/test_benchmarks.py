"""The table of kept ratios is that of the history, and a fallen ratio fails the quick set."""

import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def kept():
    spec = importlib.util.spec_from_file_location("kept", ROOT / "benchmarks" / "kept.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_the_page_is_made_of_the_history(kept):
    text = kept.PAGE.read_text(encoding="utf-8")
    assert kept.last_lines()
    assert kept.page_text(text) == text, "run `python benchmarks/kept.py page`"


@pytest.mark.parametrize(("share", "fallen"), [(1.0, 0), (0.87, 0), (0.8, 1)])
def test_the_quick_set_fails_where_a_ratio_fell_by_15_percent(kept, tmp_path, monkeypatch, share, fallen):
    what = {"what": "ours is so many times theirs", "setting": "10 bags"}
    monkeypatch.setattr(kept, "HISTORY", tmp_path / "history")
    monkeypatch.delenv("HAGE_BENCH_HISTORY", raising=False)
    kept.keep("some", [1.8, 2.0, 2.2], **what)
    script = tmp_path / "some.py"
    line = json.dumps({**what, "ratio": 2.0 * share})
    script.write_text(f"import os\nopen(os.environ['HAGE_BENCH_HISTORY'] + '/some.jsonl', 'w').write('{line}')\n")
    monkeypatch.setattr(kept, "QUICK", ((str(script),),))
    assert kept.quick(keep_them=False) == fallen
