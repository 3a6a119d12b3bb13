"""Unary calls of lesson 01 by `buf curl`."""
# needs: buf

from shared import buf_curl, case, done, expect, expect_in

CALCULATOR = "calculator.v1.Calculator"

with case("the square root of 16 is 4"):
    expect((0, [{"value": 4}]), buf_curl(f"{CALCULATOR}/SquareRoot", {"value": 16})[:2])
with case("the square root of -4 is invalid_argument, with a sentence"):
    code, replies, error = buf_curl(f"{CALCULATOR}/SquareRoot", {"value": -4})
    # Its exit code is eight times gRPC's.
    expect((3 * 8, []), (code, replies))
    expect_in("no real number is the square root of -4", error)
done()
