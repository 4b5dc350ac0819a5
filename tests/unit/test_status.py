import grpc
import pytest

from services.common import errors, status


def failure(code: grpc.StatusCode, details: str | None = "no") -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), details=details)


def test_every_error_has_a_status_and_every_status_an_error():
    assert set(status.STATUS) == set(errors.VideosearchError.__subclasses__())


@pytest.mark.parametrize("error", errors.VideosearchError.__subclasses__())
def test_a_client_sees_the_error_that_the_server_raised(error):
    assert type(status.error_of(failure(status.code_of(error("no"))), "StoreService at x")) is error


def test_no_two_errors_share_a_status():
    assert len(set(status.STATUS.values())) == len(status.STATUS)


@pytest.mark.parametrize("code", ["CANCELLED", "UNKNOWN", "UNIMPLEMENTED"])
def test_a_peer_that_stops_or_is_another_program_is_unavailable(code):
    assert isinstance(status.error_of(failure(grpc.StatusCode[code]), "StoreService at x"), errors.UnavailableError)


def test_internal_is_no_error_of_the_domain():
    assert status.error_of(failure(grpc.StatusCode.INTERNAL), "StoreService at x") is None


@pytest.mark.parametrize("code", ["UNAVAILABLE", "DEADLINE_EXCEEDED"])
def test_a_peer_that_does_not_answer_is_named(code):
    error = status.error_of(failure(grpc.StatusCode[code], "connection refused"), "StoreService at 10.0.0.1:50052")
    assert str(error) == "StoreService at 10.0.0.1:50052: connection refused"


def test_what_the_peer_says_of_the_request_is_passed_on_unchanged():
    error = status.error_of(failure(grpc.StatusCode.NOT_FOUND, "no video 'x'"), "StoreService at x")
    assert str(error) == "no video 'x'"


def test_a_status_without_details_is_named():
    assert str(status.error_of(failure(grpc.StatusCode.NOT_FOUND, None), "x")) == "NOT_FOUND"


def test_a_message_that_is_too_large_is_a_fault_of_the_request():
    told = failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "SERVER: Received message larger than max (5 vs. 4)")
    assert isinstance(status.error_of(told, "StoreService at x"), errors.InvalidInputError)


def test_without_a_hint_an_overload_has_the_usual_one():
    told = status.error_of(failure(grpc.StatusCode.RESOURCE_EXHAUSTED, "full"), "StoreService at x")
    assert told.retry_after_s == errors.OverloadedError("").retry_after_s
