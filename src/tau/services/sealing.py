"""How a secret that has to be read again, such as one that signs, is kept in the store."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class SealedText:
    """What is stored of a secret, and the id of the key that opens it; None where none does."""

    token: bytes
    key_id: str | None


class Sealer(Protocol):
    """Makes of a text what the store may hold, and of that the text again.

    `context` names the place of a secret: what was sealed for one place opens at no other.
    """

    def seal(self, *context: str, value: str) -> SealedText:
        """What is stored of a secret."""
        ...

    def open(self, sealed: SealedText, *context: str) -> str:
        """The secret that was stored."""
        ...


class PlainSealer:
    """Keeps secrets as they are: who reads the store reads them."""

    def seal(self, *context: str, value: str) -> SealedText:
        return SealedText(value.encode(), None)

    def open(self, sealed: SealedText, *context: str) -> str:
        return sealed.token.decode()
