"""Secrets are taken out of messages, and nothing else is."""

import base64
import html
import json
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau.pipeline.protocol import encode_line
from tau.pipeline.redaction import REDACTED, Redactor, is_secret_name

LOG = {"k": "log", "ts": 1.5, "level": "info", "message": "hi", "source": "ctx", "seq": 3}

SECRETS = ["hunter22", 'a/b "c"\\d+e', "pässwörd ✓", "tab\tand\nline-two-is-long", "1234"]


def redactor_of(*secrets: Any) -> Redactor:
    redactor = Redactor()
    for secret in secrets:
        redactor.add(secret)
    return redactor


def texts_with(secret: str) -> dict[str, str]:
    data = secret.encode()
    texts = {
        "plain": f"is {secret}!",
        "quote": f"http://h/?q={quote(secret)}",
        "quote all": quote(secret, safe=""),
        "plus": quote_plus(secret),
        "lower hex": quote(secret, safe="").lower() if secret.islower() else quote(secret),
        "json": json.dumps({"a": secret}),
        "json of text": json.dumps(secret, ensure_ascii=False),
        "repr": repr([secret]),
        "repr of bytes": repr(data),
    }
    for before in range(4):
        padded = b"u" * before + data
        texts[f"base64 {before}"] = base64.b64encode(padded + b"tail").decode()
        texts[f"urlsafe {before}"] = base64.urlsafe_b64encode(padded).decode()
    return texts


@pytest.mark.parametrize("secret", SECRETS)
def test_hides_known_values_in_all_their_forms(secret: str) -> None:
    redactor = redactor_of(secret)
    for form, text in texts_with(secret).items():
        line = encode_line(LOG | {"message": text})

        redacted = json.loads(redactor.redact_line(line))

        assert REDACTED in redacted["message"], form
        assert redacted | {"message": ""} == LOG | {"message": ""}


@pytest.mark.parametrize("secret", SECRETS)
def test_leaves_no_form_behind(secret: str) -> None:
    redactor = redactor_of(secret)
    texts = texts_with(secret)
    message = LOG | {"message": " ".join(texts.values()), "fields": texts}

    left = json.dumps(redactor.redact_message(message), ensure_ascii=False)

    whole = [base64.b64encode(b"u" * n + secret.encode())[4:-4].decode() for n in range(3)]
    forms = [secret, quote(secret), quote_plus(secret), repr(secret)[1:-1], *whole]
    assert [form for form in forms if len(form) >= 4 and form in left] == []


@pytest.mark.parametrize(
    "secret",
    [
        "info",
        "log",
        "level",
        "message",
        "1.5",
        "ctx",
        '"k"',
        "seq",
        "source",
        '":"',
        "1234",
        "true",
    ],
)
def test_a_secret_that_looks_like_the_frame_breaks_nothing(secret: str) -> None:
    message = LOG | {"ts": 1234.5, "seq": 1234, "fields": {"n": 12345, secret: secret}}

    redacted = json.loads(redactor_of(secret).redact_line(encode_line(message)))

    for name in ("k", "ts", "level", "source", "seq"):
        assert redacted[name] == message[name]
    if len(secret) >= 4:
        assert REDACTED in redacted["fields"]
        assert secret not in redacted["fields"]


def test_numbers_that_show_a_secret_are_hidden() -> None:
    redacted = redactor_of("1234").redact_message(LOG | {"fields": {"a": 912345, "b": 77}})

    assert redacted["fields"] == {"a": REDACTED, "b": 77}


def test_short_values_are_left_alone() -> None:
    assert redactor_of("abc", "").redact_text("abc") == "abc"


def test_json_values_count_by_their_texts() -> None:
    redactor = redactor_of({"password": "pw-1234", "port": 54321, "nested": [{"x": "deep-one"}]})

    assert redactor.redact_text("pw-1234 54321 deep-one none") == " ".join(
        [REDACTED] * 3 + ["none"]
    )


def test_a_secret_of_several_lines_is_known_line_by_line() -> None:
    redactor = redactor_of("first-long-line\n{\nsecond-long-line\n")

    assert redactor.redact_text("second-long-line {") == f"{REDACTED} {{"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgres://bob:p@ss@db:5432/x", "postgres://bob:[redacted]@db:5432/x"),
        ("redis://:pw@h/0", "redis://:[redacted]@h/0"),
        ("https://h/a?b=1 and x@y.z", "https://h/a?b=1 and x@y.z"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer [redacted]"),
        ("Basic dXNlcjpwdw==", "Basic [redacted]"),
        ("Basic understanding", "Basic understanding"),
        ("password=hunter2 x", "password=[redacted] x"),
        ('api_key: "a b c"', 'api_key: "[redacted]"'),
        ("{'db_password': 'a', 'n': 1}", "{'db_password': '[redacted]', 'n': 1}"),
        ('{"token": "a\\"b"}', '{"token": "[redacted]"}'),
        ("AWS_SECRET_ACCESS_KEY=a/b", "AWS_SECRET_ACCESS_KEY=[redacted]"),
        ("--api-key abc1", "--api-key [redacted]"),
        ("https://h/?api_key=abc&z=1", "https://h/?api_key=[redacted]&z=1"),
        ("os.environ['PASSWORD'] = 'abc'", "os.environ['PASSWORD'] = '[redacted]'"),
        ("DSN = 'mysql://h'", "DSN = '[redacted]'"),
        ("if token == 'abc':", "if token == '[redacted]':"),
        ("token='unterminated abc", "token=[redacted]"),
        ("key AKIAABCDEFGHIJKLMNOP.", "key [redacted]."),
        ("tau_ab12cd34_" + "x" * 32, "[redacted]"),
        ("-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----!", "[redacted]!"),
        ("-----BEGIN PRIVATE KEY-----\ncut off", "[redacted]"),
        # what only looks like it
        ("token = ctx.secret('X')", "token = ctx.secret('X')"),
        ("def f(password: str, token=None):", "def f(password: str, token=None):"),
        ("max_tokens=100, the tokens: 5", "max_tokens=100, the tokens: 5"),
        ("secret: the name 'X' is not set", "secret: the name 'X' is not set"),
        ("KeyError: 'email', primary_key=id", "KeyError: 'email', primary_key=id"),
    ],
)
def test_patterns(text: str, shown: str) -> None:
    redactor = Redactor()

    assert redactor.redact_text(text) == shown
    line = redactor.redact_line(encode_line(LOG | {"message": text}))
    assert json.loads(line)["message"] == shown


def test_fields_with_telling_names_are_hidden() -> None:
    fields = {"api_key": "x", "rows": 3, "deep": [{"db_password": "y", "user": "z"}], "token": ""}

    redacted = Redactor().redact_message(LOG | {"fields": fields})

    assert redacted["fields"] == {
        "api_key": REDACTED,
        "rows": 3,
        "deep": [{"db_password": REDACTED, "user": "z"}],
        "token": "",
    }


def test_results_lose_known_values_only() -> None:
    value = {"password": "mine", "url": "a://b:c@d", "hit": "x hunter22", "hunter22": 1}

    redacted = redactor_of("hunter22").redact_message({"k": "result", "ts": 1.0, "value": value})

    assert redacted["value"] == {
        "password": "mine", "url": "a://b:c@d", "hit": f"x {REDACTED}", REDACTED: 1,
    }  # fmt: skip


def test_failures_keep_their_shape() -> None:
    failure = {
        "type": "ValueError",
        "message": "no frames for line 1234",
        "code": "pipeline.import_failed",
        "retry": "after_fix",
        "causes": [{"type": "KeyError", "message": "line"}],
        "frames": [
            {
                "file": "line.py",
                "line": 1234,
                "function": "main",
                "code": "connect('a://b:c@d')",
                "source": ["1234> password = 'x'"],
                "locals": {"rows": "list[1234] of int", "api_key": "str[3]"},
            }
        ],
        "hidden_frames": 1234,
    }
    redactor = redactor_of("1234", "frames", "pipeline", "message", "after_fix", "line.py")

    redacted = redactor.redact_message({"k": "failure", "ts": 1234.5, "failure": failure})

    assert redacted["ts"] == 1234.5
    shown = redacted["failure"]
    assert shown["code"] == "pipeline.import_failed"
    assert shown["retry"] == "after_fix"
    assert shown["hidden_frames"] == 1234
    (frame,) = shown["frames"]
    assert (frame["line"], frame["file"]) == (1234, REDACTED)
    assert frame["code"] == f"connect('a://b:{REDACTED}@d')"
    assert frame["source"] == [f"{REDACTED}> password = '{REDACTED}'"]
    assert frame["locals"] == {"rows": f"list[{REDACTED}] of int", "api_key": REDACTED}
    assert shown["message"] == f"no {REDACTED} for line {REDACTED}"


def test_a_line_with_nothing_to_hide_passes_unread() -> None:
    redactor = redactor_of("hunter22")
    odd = b'{ "k" : "log",  broken'

    assert redactor.redact_line(odd) is odd
    assert (
        redactor.redact_line(b"hunter22, which is no message") == b"hunter22, which is no message"
    )


@given(st.text(min_size=4), st.text(), st.text())
def test_any_text_is_hidden_and_the_line_stays_one(secret: str, before: str, after: str) -> None:
    line = encode_line(LOG | {"message": before + secret + after})

    redacted = redactor_of(secret).redact_line(line)

    assert redacted.count(b"\n") == 1
    assert secret not in json.loads(redacted)["message"].replace(REDACTED, "")


@pytest.mark.parametrize(
    "text",
    [
        "password=" * 50_000, "a" * 500_000 + "key", "://a:" * 100_000, "token='" * 70_000,
        "-----BEGIN PRIVATE KEY-----" * 20_000, "bearer " * 70_000, "--" * 250_000 + "key",
        "token" + "1" * 500_000, "token" + "_id" * 150_000, "token" + " " * 500_000,
        "token" + "\\" * 300_000, "basic " + "a" * 500_000, "tau_" + "a" * 500_000,
    ],
)  # fmt: skip
@pytest.mark.timeout(20)
def test_no_text_takes_for_ever(text: str) -> None:
    Redactor().redact_text(text)


def test_names() -> None:
    secret = ["password", "DB_PASSWORD", "apiKey", "GITHUB_TOKEN", "client_secret", "api-key"]
    other = ["tokens", "monkey", "passwords_file", "user", "primary_key", "secretary"]

    assert [name for name in secret if not is_secret_name(name)] == []
    assert [name for name in other if is_secret_name(name)] == []


def test_harmless_lines_pass_as_the_same_object() -> None:
    """Which is what makes a flood of them cheap: they are not even parsed."""
    redactor = redactor_of(*(f"S3cr3t-Value/{number}+xyz" for number in range(10)))
    line = encode_line(LOG | {"message": "x" * 150})

    assert redactor.redact_line(line) is line


@pytest.mark.parametrize("secret", SECRETS)
def test_forms_that_libraries_make(secret: str) -> None:
    redactor, data = redactor_of(secret), secret.encode()
    once = json.dumps({"a": secret})
    texts = [
        data.hex(),
        data.hex().upper(),
        "".join(f"%{byte:02x}" for byte in data),
        "".join(chr(b) if b < 128 and chr(b).isalnum() else f"%{b:02x}" for b in data),
        quote(data, safe="!$&'()*+,;=:@/?"),
        html.escape(secret),
        json.dumps(once),
        json.dumps(json.dumps(once)) if secret.isalnum() else once,
    ]

    for text in texts:
        assert REDACTED in redactor.redact_text(text), text
        line = encode_line(LOG | {"message": text})
        assert REDACTED in json.loads(redactor.redact_line(line))["message"], text


def test_base64_that_is_wrapped_into_lines() -> None:
    secret = "".join(f"part-{number}/" for number in range(40))
    redactor = redactor_of(secret)

    for text in (base64.encodebytes(secret.encode()).decode(), pem(secret.encode())):
        for line in text.splitlines():
            assert redactor.redact_text(line) == REDACTED, line


def pem(data: bytes) -> str:
    encoded = base64.b64encode(data).decode()
    return "\n".join(encoded[at : at + 64] for at in range(0, len(encoded), 64))


def test_what_is_secret_within_a_secret() -> None:
    url = redactor_of("postgres://bob:p%40ss-w0rd@db:5432/x")
    assert url.redact_text("p@ss-w0rd for bob at db, p%40ss-w0rd") == (
        f"{REDACTED} for bob at db, {REDACTED}"
    )
    document = {"type": "service", "private_key": "-----BEGIN\nabcdefgh1\nabcdefgh2\n", "id": "me"}
    key = redactor_of(json.dumps(document))
    assert key.redact_text("abcdefgh2 of service me") == f"{REDACTED} of service me"
    assert redactor_of("{no json").redact_text("{no json") == REDACTED
    assert redactor_of("a://[b:c@d").redact_text("a://[b:c@d") == REDACTED


def test_what_would_tell_a_secret_and_what_is_chance() -> None:
    redactor = redactor_of("hunter22-long", "2026")
    state = {"day": "2026-11-21", "n": 2026, "deep": [{"a": None, "b": True, "c": 1.5}]}

    assert not redactor.is_told_by(state)
    for told in ("xhunter22-longx", {"hunter22-long": 1}, [[{"a": quote("hunter22-long")}]]):
        assert redactor.is_told_by(state | {"more": told})
    assert redactor.is_told_by({"a": base64.b64encode(b"xx hunter22-long").decode()})
    assert redactor_of("1234567890").is_told_by([91234567890])
