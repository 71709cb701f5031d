"""An error by status, code and shape."""

from __future__ import annotations

import json

import pytest

from aikit import errors
from aikit.wire.status import error_in_body, error_of, preview, unexpected


def error(status, value=None, headers=None):
    body = value if isinstance(value, bytes) else json.dumps(value if value is not None else {}).encode()
    return error_of(status, headers or {}, body, provider="p", model="m")


def openai(code=None, kind=None, message="no"):
    return {"error": {"message": message, "type": kind, "code": code}}


def anthropic(kind, message="no"):
    return {"type": "error", "error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, openai(), errors.BadRequest),
        (400, openai("context_length_exceeded", "invalid_request_error"), errors.ContextTooLong),
        (400, {"error": {"code": 400, "type": "exceed_context_size_error"}}, errors.ContextTooLong),
        (400, anthropic("invalid_request_error", "prompt is too long: 210000 tokens > 200000"), errors.ContextTooLong),
        (400, openai("content_filter"), errors.ContentFiltered),
        (400, {"error": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}}, errors.ContentFiltered),
        (400, anthropic("invalid_request_error", "Your credit balance is too low to"), errors.QuotaExhausted),
        (401, openai("invalid_api_key", "invalid_request_error"), errors.AuthenticationFailed),
        (401, b"", errors.AuthenticationFailed),
        (402, anthropic("billing_error"), errors.QuotaExhausted),
        (403, anthropic("permission_error"), errors.AuthenticationFailed),
        (404, openai("model_not_found"), errors.ModelNotFound),
        (404, {"error": "model 'x' not found"}, errors.ModelNotFound),
        (408, b"", errors.Overloaded),
        (409, b"", errors.Overloaded),
        (413, anthropic("request_too_large"), errors.BadRequest),
        (422, {"detail": [{"msg": "field required"}]}, errors.BadRequest),
        (429, openai("rate_limit_exceeded", "tokens"), errors.RateLimited),
        (429, openai("insufficient_quota", "insufficient_quota"), errors.QuotaExhausted),
        (429, b"slow down", errors.RateLimited),
        (500, b"<html><body>oh</body></html>", errors.Overloaded),
        (500, anthropic("invalid_request_error"), errors.Overloaded),
        (503, b"", errors.Overloaded),
        (529, anthropic("overloaded_error"), errors.Overloaded),
        (418, b"", errors.BadRequest),
        (307, b"", errors.ProtocolError),
    ],
)
def test_an_error_is_classified_by_code_then_status(status, body, expected):
    told = error(status, body)
    assert type(told) is expected
    assert (told.provider, told.model, told.status) == ("p", "m", status)


@pytest.mark.parametrize(("status", "expected"), [(501, False), (505, False), (302, False), (500, None), (429, None)])
def test_some_statuses_are_final_by_nature(status, expected):
    assert error(status).should_retry is expected


def test_the_servers_own_word_on_retrying_goes_on_the_error():
    assert error(400, headers={"x-should-retry": "true"}).should_retry is True
    assert error(503, headers={"x-should-retry": "false"}).should_retry is False


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (openai(None, "server_error"), errors.Overloaded),
        (openai("insufficient_quota"), errors.QuotaExhausted),
        (openai("rate_limit_exceeded"), errors.RateLimited),
        (anthropic("overloaded_error"), errors.Overloaded),
        (anthropic("invalid_request_error"), errors.BadRequest),
        ({"error": {"code": 429, "message": "slow"}}, errors.RateLimited),
        ({"error": {"code": 502, "message": "bad gateway"}}, errors.Overloaded),
        ({"error": "it broke"}, errors.ProtocolError),
        ([{"error": {"code": 503, "status": "UNAVAILABLE"}}], errors.Overloaded),
    ],
)
def test_an_error_under_a_good_status_is_told_by_its_shape(body, expected):
    assert type(error_in_body(json.dumps(body).encode(), provider="p", model="m")) is expected


@pytest.mark.parametrize("body", [{"error": None}, {"x": "error"}, [], 3, {"choices": [{"text": '"error"'}]}])
def test_a_body_that_tells_of_no_error_is_none(body):
    assert error_in_body(json.dumps(body).encode(), provider="p", model="m") is None


def test_a_web_page_is_quoted_without_its_tags_in_200_characters():
    page = b"<html><head><title>T</title><script>x=1</script></head><body><h1>502 &amp; more</h1>" + b"<p>y</p>" * 500
    text = str(error(502, page))
    assert "502 & more" in text
    assert "<" not in text
    assert "x=1" not in text
    assert len(preview(page)) <= 200


def test_a_preview_holds_no_controls():
    assert preview("a\x1b[31mb\u202ec\nd\x00".encode()) == "a [31mb c d"


def test_the_wrong_shape_is_a_protocol_error_with_a_preview():
    wrong = unexpected("sent no answer", b"<html><b>Sign in</b> to the hotel's network", provider="p", model="m")
    assert type(wrong) is errors.ProtocolError
    assert "Sign in to the hotel's network" in str(wrong)
