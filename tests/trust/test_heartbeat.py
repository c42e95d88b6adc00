"""Other Python threads go on during a call: whatever takes long releases the GIL."""

import json

import pytest
from scripts import said_by

LONGER = 5e-3  # seconds, than with an idle main thread


def test_no_call_keeps_the_interpreter():
    """Half of a call at the most, on a busy machine too: one that keeps the GIL has no beat."""
    calls = said_by("heartbeats.py", 0.05, 1 << 26, 2, 4)
    assert len(calls) > 20
    long = [call for call in calls if call["seconds"] > 0.03]
    assert len(long) > len(calls) // 4
    kept = [call["name"] for call in long if call["gap"] - call["idle"] > 0.6 * call["seconds"]]
    assert len(kept) <= 1, kept


@pytest.mark.soak
def test_beats_are_as_regular_as_beside_an_idle_thread():
    calls = said_by("heartbeats.py", 1.0, 1 << 30, 9)
    longest = sorted(calls, key=lambda call: call["idle"] - call["gap"])[:10]
    print(json.dumps(longest, indent=1))
    assert [call["name"] for call in calls if call["gap"] > call["idle"] + LONGER] == []
