"""Every way a call can end, as a table: by the pure function, and through a real server."""

import email.utils
import json
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jz3 import io, records
from jz3.distillation import teacher
from jz3.distillation.classify import Ended, Sent, Usage, classify, usage_of
from jz3.distillation.journal import NANO, TeacherJournal
from jz3.distillation.waiting import duration, retry_after, spent_limits
from teacher_server import TeacherServer

KEY = "sk-secret-0123456789"
SENT = Sent(
    "gpt-x", sent=500, length=100, secret=KEY,
    parameters=("model", "messages", "temperature", "max_tokens", "seed", "response_format"),
)  # fmt: skip


def reply(text="fine text", reason="stop", message=None, usage=(50, 40), **other):
    """The bytes of a chat completion; other: fields beside, or in place of, the usual ones."""
    tokens = usage
    if isinstance(usage, tuple):
        tokens = dict(zip(("prompt_tokens", "completion_tokens"), usage, strict=True))
    choice = {
        "index": 0, "finish_reason": reason,
        "message": {"role": "assistant", "content": text} if message is None else message,
    }  # fmt: skip
    value = {"id": "x", "model": "gpt-x", "choices": [choice], "usage": tokens} | other
    return json.dumps(value).encode()


def error(message="", code=None, kind=None):
    return json.dumps({"error": {"message": message, "code": code, "type": kind}}).encode()


VLLM = (
    "This model's maximum context length is 2048 tokens. However, you requested 3000 tokens (2900"
    " in the messages, 100 in the completion). Please reduce the length of the messages."
)
VLLM_NEW = (
    "'max_tokens' or 'max_completion_tokens' is too large: 100. This model's maximum context length"
    " is 2048 tokens and your request has 2000 input tokens (100 > 2048 - 2000)."
)
O1 = (
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use"
    " 'max_completion_tokens' instead."
)

# status and bytes -> action, kind, what is known of the cost
ENDS = {
    # sound answers
    "stop": (200, reply(), "answer", "", "usage"),
    "length": (200, reply(reason="length"), "answer", "", "usage"),
    "a BOM before it": (200, b"\xef\xbb\xbf" + reply(), "answer", "", "usage"),
    "content in parts": (
        200, reply(message={"content": [{"type": "text", "text": "fine"}]}), "answer", "", "usage"),
    "a dated version": (200, reply(model="gpt-x-2026-01-01"), "answer", "", "usage"),
    "with its maker's name": (200, reply(model="maker/gpt-x"), "answer", "", "usage"),
    "no model named": (200, reply(model=None), "answer", "", "usage"),
    "no usage": (200, reply(usage=None), "answer", "", "usage"),
    "an astral character": (200, reply("\U0001d465 = 1"), "answer", "", "usage"),
    # usage that can not be true is no reason against the text
    "negative tokens": (200, reply(usage=(-50, -40)), "answer", "", "usage"),
    "1e400 tokens": (200, reply().replace(b": 50", b": 1e400"), "answer", "", "usage"),
    "10^15 tokens": (200, reply(usage=(10**15, 10**15)), "answer", "", "usage"),
    "tokens as text": (200, reply(usage=("50", "40")), "answer", "", "usage"),
    "tokens NaN": (200, reply().replace(b": 50", b": NaN"), "answer", "", "usage"),
    "tokens true": (200, reply(usage=(True, True)), "answer", "", "usage"),
    "tokens a list": (200, reply(usage=([1], {})), "answer", "", "usage"),
    "usage a list": (200, reply(usage=[1, 2]), "answer", "", "usage"),
    "fractions of tokens": (200, reply(usage=(50.5, 40.5)), "answer", "", "usage"),
    # paid for, and not usable
    "a lone surrogate": (200, reply("a \ud83d b"), "failure", "encoding", "usage"),
    "invalid UTF-8": (200, reply("caf#").replace(b"#", b"\xe9"), "failure", "encoding", "usage"),
    "NUL": (200, reply("a\0b"), "failure", "encoding", "usage"),
    "a replacement character": (200, reply("a\ufffdb"), "failure", "encoding", "usage"),
    "5 MB": (200, reply("a " * 2_500_000), "failure", "too_long", "usage"),
    "another model": (200, reply(model="gpt-y"), "failure", "other_model", "usage"),
    "a smaller model": (200, reply(model="gpt-x-mini"), "failure", "other_model", "usage"),
    "a model that is a list": (200, reply(model=["gpt-x"]), "failure", "other_model", "usage"),
    "a surrogate as model": (200, reply(model="\ud83d"), "failure", "other_model", "usage"),
    "blank": (200, reply("  \n"), "failure", "empty", "usage"),
    "no content": (200, reply(message={"role": "assistant"}), "failure", "empty", "usage"),
    "null content": (200, reply(None), "failure", "empty", "usage"),
    "a number as content": (200, reply(message={"content": 5}), "failure", "no_text", "usage"),
    "an object as content": (200, reply(message={"content": {}}), "failure", "no_text", "usage"),
    "an image as content": (
        200, reply(message={"content": [{"type": "image"}]}), "failure", "no_text", "usage"),
    "refused": (
        200, reply(message={"content": None, "refusal": "no"}), "failure", "refusal", "usage"),
    "refused in an object": (
        200, reply(message={"content": "", "refusal": {"a": 1}}), "failure", "refusal", "usage"),
    "filtered": (200, reply("I", "content_filter"), "failure", "refusal", "usage"),
    "a tool call": (200, reply(None, "tool_calls"), "failure", "finish_reason", "usage"),
    "no finish reason": (200, reply(reason=None), "failure", "finish_reason", "usage"),
    "a list as reason": (200, reply(reason=["stop"]), "failure", "finish_reason", "usage"),
    # no completion at all: perhaps billed
    "a page": (200, b"<html>bad gateway</html>", "retry", "unreadable", "unknown"),
    "nothing": (200, b"", "retry", "unreadable", "unknown"),
    "null": (200, b"null", "retry", "unreadable", "unknown"),
    "a list": (200, b"[]", "retry", "unreadable", "unknown"),
    "a number": (200, b"1" * 10_000, "retry", "unreadable", "unknown"),
    "cut off": (200, reply()[:-30], "retry", "unreadable", "unknown"),
    "200,000 brackets": (200, b"[" * 200_000, "retry", "unreadable", "unknown"),
    "200,000 braces": (200, b'{"a":' * 200_000, "retry", "unreadable", "unknown"),
    "deep inside": (
        200, b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        "retry", "unreadable", "unknown"),
    "no choices": (200, reply(choices=[]), "retry", "unreadable", "usage"),
    "choices null": (200, reply(choices=None), "retry", "unreadable", "usage"),
    "choices a text": (200, reply(choices="abc"), "retry", "unreadable", "usage"),
    "choices of null": (200, reply(choices=[None]), "retry", "unreadable", "usage"),
    "choices an object": (200, reply(choices={"0": 1}), "retry", "unreadable", "usage"),
    "no message": (200, reply(choices=[{"finish_reason": "stop"}]), "retry", "unreadable", "usage"),
    "a text as message": (200, reply(choices=[{"message": "hi"}]), "retry", "unreadable", "usage"),
    "an error with 200": (200, error("overloaded", 503), "retry", "server", "unknown"),
    "a stream": (200, b"data: {}\n\ndata: [DONE]\n", "retry", "unreadable", "unknown"),
    "binary": (200, bytes(range(256)) * 40, "retry", "unreadable", "unknown"),
    # concerning this request only
    "OpenAI's context": (400, error("x", "context_length_exceeded"), "failure", "context", "none"),
    "llama.cpp's context": (
        400, error("x", 400, "exceed_context_size_error"), "failure", "context", "none"),
    "vLLM's context": (400, error(VLLM, 400, "BadRequestError"), "failure", "context", "none"),
    "vLLM's newer one": (400, error(VLLM_NEW, 400), "failure", "context", "none"),
    "vLLM's, bare": (
        400, json.dumps({"object": "error", "message": VLLM, "code": 400}).encode(),
        "failure", "context", "none"),
    "Anthropic's": (400, error("prompt is too long: 9 tokens > 8"), "failure", "context", "none"),
    "TGI's": (
        422, b'{"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 9.'
        b' Given: 8 `inputs` tokens: the input is too long"}', "failure", "context", "none"),
    "too large": (413, b"Request Entity Too Large", "failure", "context", "none"),
    "Azure's filter": (400, error("x", "content_filter"), "failure", "refusal", "none"),
    "flagged": (403, error("Input was flagged by moderation"), "failure", "refusal", "none"),
    "a policy": (400, error("x", "content_policy_violation"), "failure", "refusal", "none"),
    "an unknown 400": (400, error("bad luck"), "skip", "request", "none"),
    "a 400 without words": (400, b"", "skip", "request", "none"),
    "a 400 in HTML": (400, b"<html>\xff", "skip", "request", "none"),
    "422 in detail": (422, b'{"detail": [{"loc": ["body"]}]}', "skip", "request", "none"),
    # passing
    "slow down": (429, error("slow down", "rate_limit_exceeded"), "retry", "rate", "none"),
    "429 in HTML": (429, b"<html>", "retry", "rate", "none"),
    "500": (500, error("internal error"), "retry", "server", "unknown"),
    "502": (502, b"<html>", "retry", "server", "unknown"),
    "503": (503, b"", "retry", "server", "unknown"),
    "504": (504, b"[" * 200_000, "retry", "server", "unknown"),
    "524": (524, b"\xff\xfe", "retry", "server", "unknown"),
    "408": (408, b"", "retry", "server", "unknown"),
    # meeting every request
    "401": (401, error(f"Incorrect key {KEY}"), "stop", "key", "none"),
    "403": (403, error("no rights"), "stop", "key", "none"),
    "404": (404, error("no such model", "model_not_found"), "stop", "model", "none"),
    "no money": (402, error("Insufficient Balance"), "stop", "quota", "none"),
    "no quota": (429, error("exceeded", "insufficient_quota"), "stop", "quota", "none"),
    "max_tokens": (400, error(O1, "unsupported_parameter"), "stop", "max_tokens", "none"),
    "temperature": (
        400, error("Unsupported value: 'temperature' does not support 0.6", "unsupported_value"),
        "stop", "temperature", "none"),
    "seed": (422, b'{"detail": "seed: Extra inputs are not permitted"}', "stop", "seed", "none"),
    "no schema": (
        400, error("response_format json_schema is not supported"), "stop", "schema", "none"),
    "a redirect": (302, b"", "stop", "request", "none"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_each_end_is_sorted(name):
    status, content, *wanted = ENDS[name]
    outcome = classify(Ended(status, {}, content), SENT)
    assert [outcome.action, outcome.kind, outcome.billed] == wanted, outcome
    assert KEY not in repr(outcome)
    if outcome.action != "answer":
        assert len(outcome.text) < 230
        assert outcome.text.isprintable()
        outcome.text.encode()


def test_there_are_many():
    assert len(ENDS) >= 60


@pytest.mark.parametrize("fault", ["never_sent", "timeout", "broken", "oversized", "defect"])
def test_each_fault_is_sorted(fault):
    outcome = classify(Ended(fault=fault, detail=f"word {KEY}"), SENT)
    assert outcome.action == {"oversized": "failure", "defect": "skip"}.get(fault, "retry")
    assert outcome.billed == {"never_sent": "none", "oversized": "usage"}.get(fault, "unknown")
    assert KEY not in outcome.text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([
            "choices", "message", "content", "usage", "error", "code", "type", "model", "refusal",
            "finish_reason", "prompt_tokens", "completion_tokens", "prompt_tokens_details",
        ]),
        inner, max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    st.integers(100, 599),
    st.binary(max_size=50) | json_values.map(lambda v: json.dumps(v).encode()),
)
def test_no_response_can_break_it(status, content):
    outcome = classify(Ended(status, {"Retry-After": "x"}, content), SENT)
    if outcome.usage:
        assert 1 <= outcome.usage.prompt <= SENT.sent
        assert 1 <= outcome.usage.completion <= SENT.length


@given(json_values)
def test_no_part_of_a_response_can_break_it(value):
    for name in ("message", "usage", "model", "reason", "choices"):
        classify(Ended(200, {}, reply(**{name: value})), SENT)


def test_usage_is_bounded_by_what_was_asked():
    def usage(prompt, written, size=400, **details):
        value = {"prompt_tokens": prompt, "completion_tokens": written}
        return usage_of(value | {"prompt_tokens_details": details}, SENT, size)

    assert usage(500, 100) == Usage(500, 100)
    assert usage(500, 100, cached_tokens=300) == Usage(500, 100, 300)
    assert usage(500, 100, cached_tokens=501) == Usage(500, 100, 0)
    assert usage(500, 100, cached_tokens=-1) == Usage(500, 100, 0)
    assert usage(501, 100) is None  # more tokens than bytes were sent
    assert usage(0, 100) is None
    assert usage(500, 0) is None
    assert usage(500, 101) == Usage(500, 100, 0, beyond=1)  # the server wrote on
    assert usage(500, 401) is None  # more tokens than bytes came
    text = classify(Ended(200, {}, reply("x" * 1000, usage=(50, 1))), SENT)
    assert text.usage is None  # one token does not hold 1000 characters


def test_an_echo_of_the_key_is_hidden_in_every_form():
    escaped = "".join(f"\\u{ord(c):04x}" for c in KEY)
    for content in (
        f"<html>Authorization: Bearer {KEY}</html>".encode(),
        reply(f"the header was Bearer {KEY}, thanks"),
        reply("fine", **{f"x {KEY}": [KEY, {"a": KEY}]}),
        reply("fine#", extra="#").replace(b"#", escaped.encode()),
        reply(model=KEY),
        reply(message={"content": "", "refusal": KEY}),
        error("x " * 95 + KEY),  # where the line is cut
        error(" " * 3990 + KEY),
    ):
        for status in (200, 400, 429, 500):
            outcome = classify(Ended(status, {}, content), SENT)
            assert KEY not in repr(outcome)
            assert KEY[:12] not in repr(outcome)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 0.0),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"Retry-After-Ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": "1m2.5s"}, 62.5),
        ({"Retry-After": "250ms"}, 0.25),
        ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
        ({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"Retry-After": "Wed, 21 Oct 2099 07:28:00 GMT"}, 600.0),
        ({"Retry-After": "1e400"}, 60.0),
        ({"Retry-After": "nan"}, 60.0),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "99999"}, 600.0),
        ({"Retry-After": "soon"}, 60.0),
    ],
)  # fmt: skip
def test_how_long_to_wait(headers, seconds):
    assert retry_after(headers) == seconds


def test_a_date_without_the_servers_clock_is_taken_against_ours():
    then = email.utils.formatdate(time.time() + 20, usegmt=True)
    assert 17 < retry_after({"Retry-After": then}) <= 20


def test_a_limit_that_is_used_up_is_read_from_the_headers():
    def limits(left, reset, what="tokens"):
        return spent_limits(
            {f"x-ratelimit-remaining-{what}": left, f"x-ratelimit-reset-{what}": reset}
        )

    assert limits("0", "6m0s") == 360
    assert limits("0", "1.5s", "requests") == 1.5
    assert limits("10", "6m0s") == 0
    assert limits("x", "y") == 0
    assert limits("0", "2026") == 600
    assert duration("1h2m") == 3720
    assert duration("1x") is None


# ---------------------------------------------------------------- through a server


TEACHER = teacher.Teacher(
    base_url="", model="gpt-x", api_key=KEY, temperature=0.6, max_tokens=100, input_price=1.0,
    output_price=1.0, budget=1.0, concurrency=2, timeout=10.0, attempts=2, backoff=0.01,
)  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
def test_one_hostile_response_harms_no_other_request(name, tmp_path, capfd):
    status, content, action, *_ = ENDS[name]
    with TeacherServer(faults=["", "", *[(status, content, {})] * 2]) as server:
        asked = replace(TEACHER, base_url=server.base_url)
        requests = [(f"r{k}", asked.body(f"r{k}", f"prompt {k}", [])) for k in range(8)]
        with TeacherJournal(tmp_path / "journal") as journal:
            if action == "stop":
                with pytest.raises(io.UserError) as line:
                    teacher.ask(asked, requests, journal)
                assert "\n" not in str(line.value)
                assert KEY not in str(line.value)
            else:
                assert len(teacher.ask(asked, requests, journal)) == 8
            assert journal.totals()[0] <= NANO
            kept = dict(journal.records())
        sound = [row for row in kept.values() if row["finish_reason"] != "error"]
        assert len(sound) >= 2
        if action != "stop":
            with TeacherJournal(tmp_path / "journal") as journal:
                hits = server.hits
                again = teacher.ask(asked, requests, journal)
                if action == "answer" or action == "failure":
                    assert server.hits == hits
                io.write_table(
                    tmp_path / "out",
                    [{"request_id": k, "prompt_digest": "", **row} for k, row in again.items()],
                    records.COMPLETIONS, {},
                )  # fmt: skip
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written
    assert KEY not in "".join(capfd.readouterr())
