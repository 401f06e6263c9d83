"""Encryption of the secrets at rest: a ring of keys, the newest first, kept outside the database.

The values are MultiFernet tokens of the cryptography library, which is imported at the first one:
most daemons start and stop without. A key is known by its id, a hash that tells nothing of it.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import stat
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau.core.durable import new_file
from tau.errors import ConfigurationError, FileUnsafe, SecretKeyWrong

KEY_BYTES = 32
KEY_FILE = "secrets.key"


@dataclass(frozen=True)
class Sealed:
    """An encrypted value and the id of the key that opens it."""

    token: bytes
    key_id: str


class Keyring:
    """The keys of the settings, which go first, then those of a file that this class writes.

    Whoever adds a key to the file has it on the disk before anything is encrypted with it, so that
    no crash leaves a value that nobody can read.
    """

    def __init__(self, path: Path, *, configured: str | None = None) -> None:
        self._path = path
        self._configured = parse_keys(configured or "", source="TAU_SECRETS_KEY")
        self._in_file: tuple[str, ...] = ()
        self._fernet: Any = None
        self.reload()

    @property
    def is_configured(self) -> bool:
        """Whether the settings name the key, which is then not ours to change."""
        return bool(self._configured)

    @property
    def key_id(self) -> str | None:
        """The id of the key that encrypts; None where there is none yet."""
        keys = self._keys
        return key_id(keys[0]) if keys else None

    @property
    def key_ids(self) -> frozenset[str]:
        return frozenset(map(key_id, self._keys))

    @property
    def _keys(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self._configured + self._in_file))

    def reload(self) -> None:
        """Read the file again, which another may have changed. Raises FileUnsafe and others."""
        self._set(_read(self._path))

    def add_key(self) -> None:
        """Put a new key before those of the file: durable when this returns."""
        key = base64.urlsafe_b64encode(os.urandom(KEY_BYTES)).decode("ascii")
        self._keep((key, *self._in_file))

    def drop_all_but(self, used: Collection[str]) -> None:
        """Remove from the file what no value needs; the key that encrypts always stays."""
        kept = {*used} | ({self.key_id} if self.key_id else set())
        self._keep(tuple(key for key in self._in_file if key_id(key) in kept))

    def seal(self, *context: str, value: str) -> Sealed:
        """Encrypt a value for the place that `context` names. Raises SecretKeyWrong without key."""
        current = self.key_id
        if current is None:
            raise SecretKeyWrong("There is no key to encrypt with.")
        plain = json.dumps([*context, value]).encode("ascii")
        return Sealed(self._load().encrypt(plain), current)

    def open(self, sealed: Sealed, *context: str) -> str:
        """The value. Raises SecretKeyWrong where no key opens it, or it is another place's."""
        from cryptography.fernet import InvalidToken

        try:
            if sealed.key_id not in self.key_ids:
                raise InvalidToken
            *found, value = json.loads(self._load().decrypt(sealed.token))
        except InvalidToken:
            raise SecretKeyWrong(
                f"{context[-1]} is not encrypted with this daemon's key.", key_id=sealed.key_id
            ) from None
        if found != [*context]:
            raise SecretKeyWrong(f"What is stored as {context[-1]} was encrypted as another one.")
        return str(value)

    def _load(self) -> Any:
        if self._fernet is None:
            from cryptography.fernet import Fernet, MultiFernet

            self._fernet = MultiFernet([Fernet(key) for key in self._keys])
        return self._fernet

    def _keep(self, keys: tuple[str, ...]) -> None:
        if keys != self._in_file:
            _write(self._path, keys)
            self._set(keys)

    def _set(self, in_file: tuple[str, ...]) -> None:
        self._in_file, self._fernet = in_file, None


def key_id(key: str) -> str:
    """What a key is known by in the store."""
    return hashlib.sha256(b"tau secrets key " + key.encode("ascii")).hexdigest()[:16]


def parse_keys(text: str, *, source: str) -> tuple[str, ...]:
    """Keys of 32 bytes in either base64 alphabet, apart by commas or blanks, the newest first.

    Raises ConfigurationError, without the text.
    """
    words = [
        word.translate(str.maketrans("+/", "-_")) for word in re.split(r"[,\s]+", text) if word
    ]
    for number, word in enumerate(words, start=1):
        try:
            is_key = len(base64.b64decode(word, altchars=b"-_", validate=True)) == KEY_BYTES
        except (binascii.Error, ValueError):
            is_key = False
        if not is_key:
            raise ConfigurationError(
                f"{source}: key {number} is no key: 32 bytes in base64.",
                hint="`openssl rand -base64 32` makes one.",
            )
    return tuple(words)


def _read(path: Path) -> tuple[str, ...]:
    """The keys of the file, none where there is no file. Raises FileUnsafe."""
    try:
        with open(path, encoding="utf-8") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise FileUnsafe(
                    f"{path} has mode {mode:04o}: others may read it.",
                    hint=f"chmod 600 {path}",
                    file=str(path),
                )
            return parse_keys(file.read(), source=str(path))
    except FileNotFoundError:
        return ()


def _write(path: Path, keys: Sequence[str]) -> None:
    """Whole or not at all, also over a loss of power; never readable by others."""
    with new_file(path, replace=True) as temporary:
        temporary.write_text("".join(f"{key}\n" for key in keys), encoding="ascii")
