"""`buf curl` calls our server by reflection, without a schema of its own."""
# needs: buf

import json
import os
import subprocess

from shared import case, done, expect, expect_in, server_address

CALCULATOR = "calculator.v1.Calculator"
TOKEN = "authorization: Bearer token-of-ann"


def curl(method, message, token=TOKEN, protocol="grpc-v1", words=()):
    """Calls a method by what reflection tells: the exit code, stdout, stderr."""
    headers = ["--reflect-header", token] if token else []
    ended = subprocess.run(
        [os.environ["BUF"], "curl", "--reflect", "--reflect-protocol", protocol, *headers, *words]
        + ["--protocol", "grpc", "--http2-prior-knowledge", "--data", json.dumps(message)]
        + [f"http://{server_address()}/{method}"],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    return ended.returncode, ended.stdout, ended.stderr


for version in ["grpc-v1", "grpc-v1alpha"]:
    with case(f"{version}: a call by reflection"):
        code, out, err = curl(f"{CALCULATOR}/SquareRoot", {"value": 16}, protocol=version)
        expect((0, {"value": 4}), (code, json.loads(out or "{}")))
    with case(f"{version}: a hidden service is unknown"):
        code, out, err = curl("helloworld.Greeter/SayHello", {}, protocol=version)
        expect(True, code != 0)
        expect_in("helloworld.Greeter", err)
    with case(f"{version}: a stranger's call doesn't get as far as its method"):
        code, out, err = curl(f"{CALCULATOR}/SquareRoot", {"value": 16}, "", version)
        expect((True, ""), (code != 0, out))
        expect_in("failed to find service", err)
with case("the services are listed"):
    ended = subprocess.run(
        [os.environ["BUF"], "curl", "--list-services", "--reflect-header", TOKEN]
        + ["--protocol", "grpc", "--http2-prior-knowledge", f"http://{server_address()}"],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    expect([CALCULATOR, "grpc.reflection.v1.ServerReflection"], ended.stdout.split())
done()
