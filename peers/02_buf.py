"""Server streaming of lesson 02 by `buf curl`."""
# needs: buf

from shared import buf_curl, case, done, expect, expect_in

CALCULATOR = "calculator.v1.Calculator"

with case("the factors of 12"):
    replies = [{"value": "2"}, {"value": "2"}, {"value": "3"}]
    expect((0, replies), buf_curl(f"{CALCULATOR}/Factorize", {"value": "12"})[:2])
with case("0 is invalid_argument"):
    code, replies, error = buf_curl(f"{CALCULATOR}/Factorize", {"value": "0"})
    expect((3 * 8, []), (code, replies))
    expect_in("every number divides 0: it has no prime factors", error)
done()
