"""Every proto of the course, as protoc and buf read it."""
# needs: buf

import os
import pathlib
import subprocess
import tempfile

import grpc_tools
from grpc_tools import protoc
from shared import ROOT, Unexpected, case, done, expect

FOLDERS = ["protos", "conform/protos", "wire/protos"]
WELL_KNOWN = str(pathlib.Path(grpc_tools.__file__).parent / "_proto")


def main():
    for folder in FOLDERS:
        protos = sorted(path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob("*.proto"))
        if not protos:
            continue
        with case(f"{folder}: protoc reads {len(protos)} files"):
            with tempfile.TemporaryDirectory() as out:
                words = ["protoc", f"-I{ROOT / folder}", f"-I{WELL_KNOWN}", f"--descriptor_set_out={out}/set"]
                expect(0, protoc.main(words + [str(ROOT / folder / proto) for proto in protos]))
        with case(f"{folder}: buf builds {len(protos)} files"):
            buf("build", str(ROOT / folder), "-o", os.devnull)
    done()


def buf(*words):
    ended = subprocess.run([os.environ["BUF"], *words], capture_output=True, encoding="utf-8", timeout=60)
    if ended.returncode != 0:
        raise Unexpected(f"expected success, got {ended.stderr.strip()!r}")
    return ended.stdout


main()
