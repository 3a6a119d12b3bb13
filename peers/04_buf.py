"""Bidirectional streaming of lesson 04 by `buf curl`."""
# needs: buf

from shared import buf_curl, case, done, expect

CALCULATOR = "calculator.v1.Calculator"

with case("a running maximum"):
    numbers = [{"value": 1}, {"value": 5}, {"value": 2}]
    maxima = [{"value": 1}, {"value": 5}, {"value": 5}]
    expect((0, maxima), buf_curl(f"{CALCULATOR}/Maximum", *numbers)[:2])
done()
