"""Waiting by polling a condition; a sleep is never an assertion."""
import time


def until(condition, timeout=10.0, what="condition", every=0.05):
    """Polls until condition() is true and returns its value; fails with `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {timeout:g} s in vain for: {what}")
        time.sleep(every)
