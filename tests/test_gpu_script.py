"""The prepared measurements of a GPU run to their end without one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("vesin")
pytest.importorskip("sphericart.torch")
pytest.importorskip("distributed")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not SCRIPT.exists(), reason="benchmarks are not installed")
def test_all_parts_run_on_a_cpu():
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--quick", "--device", "cpu"],
        capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    parts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(parts) == 5
    for part in parts:
        assert "failed" not in part, part
        assert len(part) > 2
