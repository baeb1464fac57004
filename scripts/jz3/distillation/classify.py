"""Every way in which a call to a teacher can end, and what follows from it: a pure function.

A call ends with an HTTP response or with a fault of the connection (`Ended`). `classify` says what
is to be done (`Outcome`): keep an answer, keep a failure that belongs to this request, try again,
or stop because the fault would meet every request; and what is known of the cost.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeGuard

from ..text import shorten
from .waiting import retry_after

BYTES_PER_TOKEN = 128  # the longest token of the known vocabularies
_ENDS = {"stop": "stop", "eos": "stop", "end_turn": "stop", "stop_sequence": "stop",
         "length": "length", "max_tokens": "length", "max_output_tokens": "length"}  # fmt: skip
_REFUSED = re.compile(
    r"content[ _-]?(filter|policy|management)|moderation|flagged|safety|responsible_?ai|"
    r"data_inspection_failed|sensitive",
    re.I,
)
_CONTEXT = re.compile(
    r"context[ _-]?(length|size|window)|exceed_context|(prompt|input|request|messages?)\b.{0,40}\b"
    r"(is|are)? ?too (long|large)|string_above_max_length|reduce the length|too many "
    r"(input |prompt )?tokens|(input|prompt) (token|length).{0,40}(exceed|limit|maximum)|"
    r"exceeds?.{0,40}\b(context|n_ctx|max_model_len|maximum (input|prompt)|token limit)",
    re.I,
)
_NO_MODEL = re.compile(
    r"model.{0,60}(not (found|exist)|unknown|does ?n.t exist)|no such model", re.I
)
_UNSUPPORTED = re.compile(
    r"unsupported|not support|unrecognized|unknown (parameter|field|argument)|not permitted|"
    r"extra (inputs|fields)|unexpected|is not allowed|does not accept|invalid (parameter|argument)",
    re.I,
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ud800-\udfff\ufffd]")
_VERSION = re.compile(
    r"[-:@.](\d.*|v\d.*|latest|preview|i?q\d.*|f16|bf16|fp\d+|awq|gptq|gguf|int\d+|free)"
    r"([-:@.].*)?$"
)


@dataclass(frozen=True)
class Sent:
    """What was asked, as far as it judges the end.

    sent: bytes of the body; length: the longest answer allowed, in tokens; parameters: the names
    in the body; models: names under which the model may answer (none: any); secret: the key.
    """

    model: str
    sent: int
    length: int
    parameters: tuple[str, ...] = ()
    models: tuple[str, ...] | None = ()
    secret: str = field(default="", repr=False)


@dataclass(frozen=True)
class Ended:
    """How a call ended. status: HTTP, or 0 with a `fault`.

    fault: never_sent | timeout | broken | oversized | defect; detail: a word on it.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    fault: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Usage:
    """Tokens that a provider counted and that can be true. beyond: written over the length."""

    prompt: int
    completion: int
    cached: int = 0
    beyond: int = 0


@dataclass(frozen=True)
class Outcome:
    """What follows from an end.

    action: answer | failure (of this request, kept) | retry | skip (this request failed now, a
    later run may ask it) | stop. billed: none | unknown | usage (`usage`, None: the worst case).
    kind: of a failure, one word; text: the answer, or a line on what went wrong. wait: seconds that
    the server asks for; shared: all requests wait. parameter: that the endpoint does not take.
    """

    action: Literal["answer", "failure", "retry", "skip", "stop"]
    kind: str
    text: str
    billed: Literal["none", "unknown", "usage"] = "none"
    finish_reason: str = "error"
    model: str = ""
    usage: Usage | None = None
    response: str = ""
    wait: float = 0.0
    shared: bool = False


def classify(ended: Ended, sent: Sent) -> Outcome:
    """What follows from the end of a call. Raises nothing, whatever the server sent."""
    if ended.fault:
        return _fault(ended, sent)
    if ended.status == 200:
        return _response(ended, sent)
    value = _parsed(ended.content)
    found = _error_of(value)
    code, said = found if found else ("", "")
    message = said or ended.content.decode("utf-8", "replace")
    return _refused(ended.status, ended.headers, code, message, sent)


def one_line(text: str, secret: str = "") -> str:
    """At most 200 characters, without line breaks, control characters and the key."""
    clean = _CONTROL.sub("\ufffd", hide(text, secret))
    return shorten(hide(" ".join(clean[:4000].split()), secret), 200)


def hide(text: str, secret: str) -> str:
    """The text without the key."""
    return text.replace(secret, "***") if len(secret) >= 6 and secret != "none" else text


# ---------------------------------------------------------------- no response


def _fault(ended: Ended, sent: Sent) -> Outcome:
    detail = one_line(ended.detail, sent.secret)
    if ended.fault == "never_sent":
        return Outcome("retry", "absent", f"connection failed, {detail}")
    if ended.fault == "timeout":
        return Outcome("retry", "timeout", f"no answer in {detail}", "unknown")
    if ended.fault == "broken":
        return Outcome("retry", "broken", f"connection failed, {detail}", "unknown")
    if ended.fault == "oversized":
        return Outcome("failure", "too_long", f"response too large: {detail}", "usage")
    return Outcome("skip", "defect", detail, "unknown")


# ---------------------------------------------------------------- a refusal by status


def _refused(
    status: int, headers: Mapping[str, str], code: str, message: str, sent: Sent
) -> Outcome:
    text = f"HTTP {status}: {one_line(message, sent.secret)}"
    about = f"{code} {message[:4000]}"
    wait = retry_after(headers)
    if status in (402, 429) and (
        status == 402 or "insufficient_quota" in code or "billing" in code
    ):
        return Outcome("stop", "quota", one_line(message, sent.secret))
    if status == 429:
        return Outcome("retry", "rate", text, wait=wait, shared=True)
    if status in (408, 409, 425):
        billed: Literal["none", "unknown"] = "unknown" if status == 408 else "none"
        return Outcome("retry", "server", text, billed, wait=wait)
    if status in (501, 505):
        return Outcome("stop", "request", text)
    if status >= 500:  # a gateway may have lost an answer that the provider bills
        return Outcome("retry", "server", text, "unknown", wait=wait, shared=status in (503, 529))
    if status == 401 or (status in (403, 407) and not _REFUSED.search(about)):
        return Outcome("stop", "key", f"HTTP {status}")
    if status in (404, 405, 410):
        return Outcome("stop", "model", text)
    if status < 400:
        return Outcome("stop", "request", text)
    if _REFUSED.search(about):
        return Outcome("failure", "refusal", text)
    if _CONTEXT.search(about):
        return Outcome("failure", "context", text)
    if _NO_MODEL.search(about):
        return Outcome("stop", "model", text)
    lower = about.lower()
    if "response_format" in lower or "json_schema" in lower:
        return Outcome("stop", "schema", text)
    for name in sorted({*sent.parameters} - {"model", "messages"}, key=len, reverse=True):
        if name in lower and (_UNSUPPORTED.search(about) or name in code):
            return Outcome("stop", name, text)
    if status in (413, 414, 431):
        return Outcome("failure", "context", text)
    return Outcome("skip", "request", text)


# ---------------------------------------------------------------- a response


def _response(ended: Ended, sent: Sent) -> Outcome:
    value = _parsed(ended.content)
    if not isinstance(value, dict):
        line = one_line(ended.content[:4000].decode("utf-8", "replace"), sent.secret)
        return Outcome("retry", "unreadable", f"unreadable response: {line}", "unknown")
    choices = value.get("choices")
    if not choices and (found := _error_of(value)):  # a gateway's "200, but"
        code, words = found
        status = int(code[:3]) if re.match(r"[45]\d\d\b", code) else 400
        said = _refused(status, ended.headers, code, words, sent)
        return Outcome(
            said.action, said.kind, said.text, "unknown", wait=said.wait, shared=said.shared
        )
    usage = usage_of(value.get("usage"), sent, len(ended.content))
    choice = choices[0] if isinstance(choices, list) and choices else None
    message: Any = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(choice, dict) or not isinstance(message, dict):
        line = one_line(json.dumps(value, ensure_ascii=True)[:4000], sent.secret)
        return Outcome("retry", "unreadable", f"unreadable response: {line}", "usage", usage=usage)
    model = _name(value.get("model"), sent)
    text = _text(message.get("content"))
    if usage and text and usage.completion * BYTES_PER_TOKEN < len(text):
        usage = None  # so few tokens can not hold that text
    refusal, reason = message.get("refusal"), choice.get("finish_reason")
    end = _ENDS.get(reason, "") if isinstance(reason, str) else ""
    kept = _kept(value, sent)

    def failure(kind: str, line: str) -> Outcome:
        line = one_line(line, sent.secret)
        return Outcome(
            "failure", kind, line, "usage", model=model, usage=usage, response=kept
        )  # fmt: skip

    if refusal or reason == "content_filter":
        return failure("refusal", str(refusal or text or "content filter"))
    if text is None:
        return failure("no_text", f"the answer is no text ({type(message['content']).__name__})")
    if not end:
        return failure("finish_reason", f"no text (finish_reason {str(reason)[:40]})")
    if not text.strip():
        return failure("empty", f"no text (finish_reason {reason})")
    if sent.length and len(text) > BYTES_PER_TOKEN * sent.length:
        return failure("too_long", f"{len(text):,} characters for {sent.length:,} tokens allowed")
    if _CONTROL.search(text) or not _is_utf8(ended.content):
        return failure("encoding", f"not a sound text: {text[:200]}")
    if not _same_model(value.get("model"), sent):
        return failure("other_model", f"answered by {model}, asked {sent.model}")
    return Outcome(
        "answer", "", hide(text, sent.secret), "usage", finish_reason=end, model=model,
        usage=usage, response=kept,
    )  # fmt: skip


def usage_of(value: object, sent: Sent, size: int) -> Usage | None:
    """The tokens counted by the provider, where they can be true; None: the worst case stands.

    A prompt has at least one token and at most one per byte sent. What was written has at most one
    token per token allowed; a larger count is believed no further, but said (`beyond`).
    """
    if not isinstance(value, dict):
        return None
    prompt, written = value.get("prompt_tokens"), value.get("completion_tokens")
    if not _is_count(prompt) or not _is_count(written):
        return None
    if not 1 <= prompt <= max(sent.sent, 1) or written < 1:
        return None
    beyond = max(0, written - sent.length) if sent.length else 0
    if beyond:
        # More tokens than bytes came: the count is nonsense. Else the server wrote on and on.
        return Usage(prompt, sent.length, 0, beyond) if written <= size else None
    details = value.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    cached = cached if _is_count(cached) and 0 <= cached <= prompt else 0
    return Usage(prompt, written, cached)


def _is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12


def _parsed(content: bytes) -> Any:
    """The JSON value, or None. Bytes that are no UTF-8 become U+FFFD, which no answer may hold."""
    try:
        return json.loads(content.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError, MemoryError):
        return None


def _error_of(value: Any) -> tuple[str, str] | None:
    """(code and type, message) of an error in any of the usual forms."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if not isinstance(value, dict):
        return None
    error = value.get("error", value if "message" in value or "detail" in value else None)
    if isinstance(error, str):
        return str(value.get("code") or ""), error
    if not isinstance(error, dict):
        return None
    code = " ".join(str(error[k]) for k in ("code", "type", "param") if error.get(k))
    parts = (error.get(k) for k in ("message", "detail", "innererror", "metadata"))
    return code, " ".join(str(part) for part in parts if part)


def _text(content: object) -> str | None:
    """The text of a message: as it is, or in parts. None: something else."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = [
            part.get("text") for part in content
            if isinstance(part, dict) and part.get("type") == "text"
        ]  # fmt: skip
        if len(parts) == len(content) and all(isinstance(part, str) for part in parts):
            return "".join(part for part in parts if part)
    return None


def _is_utf8(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def _name(model: object, sent: Sent) -> str:
    if not isinstance(model, str) or not model.strip():
        return sent.model
    return one_line(model, sent.secret)


def _same_model(model: object, sent: Sent) -> bool:
    """Whether the answer comes from the model asked: a dated version of it is it."""
    if sent.models is None or model is None or model == "":
        return True
    if not isinstance(model, str):
        return False
    found = model.lower().rstrip("/").rsplit("/", 1)[-1].removesuffix(".gguf")
    for name in (sent.model, *sent.models):
        asked = name.lower().rstrip("/").rsplit("/", 1)[-1].removesuffix(".gguf")
        asked = asked.removesuffix("-latest").removesuffix(":latest")
        if found == asked or (found.startswith(asked) and _VERSION.match(found[len(asked) :])):
            return True
    return False


def _kept(value: dict[str, Any], sent: Sent) -> str:
    """The response as it is kept: ASCII JSON without the key, at most a million characters."""
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        return ""
    return hide(text, json.dumps(sent.secret)[1:-1]) if len(text) <= 1_000_000 else ""
