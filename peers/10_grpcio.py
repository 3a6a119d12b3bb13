"""Error details of lesson 10 with grpcio-status: written by one side, read by the other."""

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc.code_pb2 import INTERNAL, INVALID_ARGUMENT, UNAVAILABLE
from google.rpc.error_details_pb2 import BadRequest, RequestInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from shared import case, channel, client_prints, done, expect, grpc_fails, page, server_says, serving
from signup_pb2 import Form, Member
from signup_pb2_grpc import SignupServicer, SignupStub, add_SignupServicer_to_server

Code = grpc.StatusCode


def main():
    with channel() as it:
        calls_on_our_server(SignupStub(it))
    with case("our client on a grpcio server prints what the page shows"):
        with serving((add_SignupServicer_to_server, Office())) as address:
            client_prints(page("10", "cargo 10 client"), address)
    done()


def calls_on_our_server(office):
    def register(name, email):
        return lambda: office.Register(Form(name=name, email=email, year_of_birth=1990), timeout=10)

    with case("no mistake"):
        expect("A1990", register("Ann", "ann@club.example")().card)
    with case("two wrong fields: both are named"):
        violations = detail(BadRequest, grpc_fails(Code.INVALID_ARGUMENT, register(" ", "ann"))).field_violations
        got = [(violation.field, violation.description) for violation in violations]
        expect([("name", "is blank"), ("email", "isn't an e-mail address")], got)
    with case("try again later: in five seconds"):
        error = grpc_fails(Code.UNAVAILABLE, register("Cay", "cay@flooded.example"))
        expect(5, detail(RetryInfo, error).retry_delay.seconds)
    with case("INTERNAL: the caller learns a number, the log the cause"):
        error = grpc_fails(Code.INTERNAL, register("Pat O'Hara", "pat@club.example"))
        expect("something went wrong here", error.details())
        line, _ = server_says(detail(RequestInfo, error).request_id)
        expect(True, "database: " in line)


def detail(kind, error):
    """The one detail of an error, whose status must say the same as its trailers."""
    status = rpc_status.from_call(error)
    expect((error.code().value[0], error.details()), (status.code, status.message))
    (packed,) = status.details
    unpacked = kind()
    expect(True, packed.Unpack(unpacked))
    return unpacked


class Office(SignupServicer):
    """Answers as the course's office does, in grpcio's own way."""

    def __init__(self):
        self.incidents = 0

    def Register(self, request, context):
        if request.name == " ":
            wrong = [("name", "is blank"), ("email", "isn't an e-mail address")]
            self.refuse(context, INVALID_ARGUMENT, "fields are wrong", bad_request(wrong))
        match request.email.split("@")[-1].split(".")[0], request.name:
            case "nowhere", _:
                wrong = [("email", "takes no mail")]
                self.refuse(context, INVALID_ARGUMENT, "fields are wrong", bad_request(wrong))
            case "flooded", _:
                delay = RetryInfo(retry_delay=Duration(seconds=5))
                self.refuse(context, UNAVAILABLE, "try again later", delay)
            case ("overseas", _) | (_, "Pat O'Hara"):
                self.incidents += 1
                info = RequestInfo(request_id=f"incident {self.incidents}")
                self.refuse(context, INTERNAL, "something went wrong here", info)
        return Member(card=f"A{request.year_of_birth}")

    def refuse(self, context, code, message, detail):
        packed = Any()
        packed.Pack(detail)
        status = Status(code=code, message=message, details=[packed])
        context.abort_with_status(rpc_status.to_status(status))


def bad_request(wrong):
    violations = [BadRequest.FieldViolation(field=field, description=what) for field, what in wrong]
    return BadRequest(field_violations=violations)


main()
