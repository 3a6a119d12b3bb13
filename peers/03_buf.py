"""Client streaming of lesson 03 by `buf curl`."""
# needs: buf

from shared import buf_curl, case, done, expect, expect_in

CALCULATOR = "calculator.v1.Calculator"

with case("a summary of three readings"):
    readings = [{"value": 1}, {"value": 2}, {"value": 6}]
    summary = {"count": "3", "mean": 3, "minimum": 1, "maximum": 6}
    expect((0, [summary]), buf_curl(f"{CALCULATOR}/Summarize", *readings)[:2])
with case("a reading that is none is invalid_argument"):
    code, replies, error = buf_curl(f"{CALCULATOR}/Summarize", {"value": 1}, {"value": "NaN"})
    expect((3 * 8, []), (code, replies))
    expect_in("reading 2 is NaN, not a finite number", error)
done()
