"""Lesson 20 with Prometheus: the page's queries, its prometheus.yml, and what promtool says."""
# needs: prometheus promtool

import contextlib
import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from shared import ROOT, Unexpected, case, done, expect, expect_in, lesson_program

FOLDER = ROOT / "20-opentelemetry-metrics"
# The server has it by default, and so has prometheus.yml.
NUMBERS = "127.0.0.1:9464"
METHODS = {"calculator.v1.Calculator/Factorize", "calculator.v1.Calculator/SquareRoot", "other"}


def main():
    address = sys.argv[1]
    traffic(address)
    with case("promtool finds nothing to say about the numbers"):
        expect((0, ""), promtool("check", "metrics", stdin=get(f"http://{NUMBERS}/metrics")))
    with case("promtool finds nothing wrong in prometheus.yml"):
        code, out = promtool("check", "config", str(FOLDER / "prometheus.yml"))
        expect_in("SUCCESS", out)
        expect(0, code)
    with prometheus() as url:
        with case("Prometheus collects them with prometheus.yml as it is"):
            until("a first scrape", lambda: query(url, 'up{job="calculator"} == 1'))
        # rate() needs two readings with growth in between.
        until("a scrape of the first calls", lambda: query(url, "grpc_server_call_started_total"))
        stop = threading.Event()
        going_on = threading.Thread(target=lambda: [traffic(address) for _ in iter(stop.is_set, True)])
        going_on.start()
        try:
            queries_of_the_page(url)
        finally:
            stop.set()
            going_on.join()
    done()


def queries_of_the_page(url):
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^\| .* \| `((?:sum|histogram_quantile).*)` \|$", page, re.M)
    # In the order in which the page has them: what each method's number must be.
    expected = [
        ("calls a second", METHODS, lambda method, value: 0 < value < 20),
        ("errors", METHODS, errors),
        ("the median", METHODS, lambda method, value: 0 < value < 0.5),
        ("the 99th percentile", METHODS, slow),
        ("bytes a second", METHODS, lambda method, value: (value > 0) == (method != "other")),
    ]
    with case(f"the page has {len(expected)} queries"):
        expect(len(expected), len(blocks))
    for (what, methods, holds), text in zip(expected, blocks):
        with case(f"the page's query for {what} shows every method"):

            def shown():
                values = query(url, text)
                return values if all(holds(*it) for it in values.items()) and set(values) == methods else None

            until(f"good values of {text!r}", shown, lambda: query(url, text))


def errors(method, value):
    share = {"SquareRoot": 1 / 3, "Factorize": 1 / 2, "other": 1}[method.split("/")[-1]]
    # A reading may fall between two calls.
    return abs(value - share) < 0.15


def slow(method, value):
    return 1 < value <= 2 if method.endswith("Factorize") else 0 < value < 0.5


def traffic(address):
    code, _, err = lesson_program("client", f"http://{address}")
    if code != 0:
        raise Unexpected(f"expected the client to succeed, got {err!r}")


@contextlib.contextmanager
def prometheus():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as data:
        words = [
            "prometheus",
            f"--config.file={FOLDER / 'prometheus.yml'}",
            f"--storage.tsdb.path={data}",
            f"--web.listen-address=127.0.0.1:{port}",
        ]
        log = pathlib.Path(data) / "log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(words, stdout=stderr, stderr=stderr)
        url = f"http://127.0.0.1:{port}"
        try:
            until("Prometheus", lambda: get(f"{url}/-/ready"), lambda: log.read_text()[-1000:])
            yield url
        finally:
            process.terminate()
            process.wait(20)


def until(what, found, otherwise=lambda: "nothing"):
    """Asks again and again, up to a minute: Prometheus reads every five seconds."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if got := found():
                return got
        time.sleep(0.2)
    raise Unexpected(f"expected {what}, got {otherwise()!r}")


def query(url, text):
    """Each method's value; whatever has no method is under its empty name."""
    answer = get(f"{url}/api/v1/query?query={urllib.parse.quote(text)}")
    result = json.loads(answer)["data"]["result"]
    return {it["metric"].get("grpc_method", ""): float(it["value"][1]) for it in result}


def get(url):
    # Past any proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url, timeout=10) as answer:
        return answer.read().decode()


def promtool(*words, stdin=""):
    ended = subprocess.run(["promtool", *words], input=stdin, capture_output=True, encoding="utf-8")
    return ended.returncode, ended.stdout + ended.stderr


main()
