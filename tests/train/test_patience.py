import subprocess
import sys
import time

import pytest

from ecgfm.train.patience import group_timeout

SCRIPT = """
import time
from ecgfm.train.patience import Patience

with Patience({seconds}) as clock:
    for _ in range(4):
        clock.short()
        time.sleep({step})
    clock.long()
    time.sleep({long})
time.sleep(0.5)
print("to the end")
"""


@pytest.mark.parametrize(
    ("seconds", "step", "long", "ends"),
    [(0.3, 0.05, 1.0, True), (0.3, 1.0, 0.0, False), (0.1, 0.01, 2.0, False), (None, 0.1, 0.1, True)],
)
def test_a_process_that_stands_still_is_ended(seconds: float | None, step: float, long: float, ends: bool) -> None:
    code = SCRIPT.format(seconds=seconds, step=step, long=long)
    start = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ("to the end" in done.stdout) == ends
    assert (done.returncode == 0) == ends
    assert ("Timeout" in done.stderr) == (not ends)
    assert ("time.sleep" in done.stderr or "<string>" in done.stderr) == (not ends)  # where it stood
    assert time.monotonic() - start < 60


def test_a_group_waits_as_long_as_its_first_process_may_take() -> None:
    assert [group_timeout(seconds) for seconds in (1.0, 300.0)] == [600.0, 3000.0]
    assert group_timeout(None) > 86_400
