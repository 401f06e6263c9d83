"""The ring of keys and its file: who reads what, and what a crash may leave."""

import base64
import os
import stat
from pathlib import Path

import pytest

from tau.core.crypto import KEY_FILE, Keyring, Sealed, key_id
from tau.errors import ConfigurationError, FileUnsafe, SecretKeyWrong

VALUE = 'pässwörd "x" \n second line'


def new_key() -> str:
    return base64.b64encode(os.urandom(32)).decode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / KEY_FILE


@pytest.fixture
def ring(path: Path) -> Keyring:
    ring = Keyring(path)
    ring.add_key()
    return ring


def test_a_value_comes_back_and_is_not_in_what_is_stored(ring: Keyring) -> None:
    sealed = ring.seal("default", "A", value=VALUE)
    assert ring.open(sealed, "default", "A") == VALUE
    assert sealed.key_id == ring.key_id
    assert b"second line" not in base64.urlsafe_b64decode(sealed.token)


def test_a_value_opens_at_its_own_place_only(ring: Keyring) -> None:
    sealed = ring.seal("default", "A", value=VALUE)
    for place in (("default", "B"), ("other", "A")):
        with pytest.raises(SecretKeyWrong):
            ring.open(sealed, *place)


def test_what_was_changed_does_not_open(ring: Keyring) -> None:
    sealed = ring.seal("default", "A", value=VALUE)
    middle = len(sealed.token) // 2
    other = b"A" if sealed.token[middle : middle + 1] != b"A" else b"B"
    changed = sealed.token[:middle] + other + sealed.token[middle + 1 :]
    with pytest.raises(SecretKeyWrong):
        ring.open(Sealed(changed, sealed.key_id), "default", "A")


def test_another_key_does_not_open_it(ring: Keyring, tmp_path: Path) -> None:
    other = Keyring(tmp_path / "other.key")
    other.add_key()
    with pytest.raises(SecretKeyWrong) as caught:
        other.open(ring.seal("default", "A", value=VALUE), "default", "A")
    assert caught.value.details == {"key_id": ring.key_id}


def test_without_a_key_nothing_is_sealed(path: Path) -> None:
    ring = Keyring(path)
    assert ring.key_id is None
    with pytest.raises(SecretKeyWrong):
        ring.seal("default", "A", value=VALUE)


def test_the_file_is_its_owners_alone_and_holds_the_newest_first(ring: Keyring, path: Path) -> None:
    old = ring.seal("default", "A", value=VALUE)
    ring.add_key()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [key_id(line) for line in path.read_text().split()] == [ring.key_id, old.key_id]
    assert os.listdir(path.parent) == [KEY_FILE]
    again = Keyring(path)
    assert again.open(old, "default", "A") == VALUE
    assert again.seal("default", "A", value=VALUE).key_id == ring.key_id


def test_keys_that_are_needed_stay_in_the_file(ring: Keyring, path: Path) -> None:
    first = ring.key_id
    assert first is not None
    ring.add_key()
    second = ring.key_id
    assert second is not None
    ring.add_key()
    ring.drop_all_but({first})
    assert Keyring(path).key_ids == {first, ring.key_id}
    ring.drop_all_but(())
    assert Keyring(path).key_ids == {ring.key_id}


def test_keys_of_the_settings_go_first_and_the_files_still_open(ring: Keyring, path: Path) -> None:
    old = ring.seal("default", "A", value=VALUE)
    new, newer = new_key(), new_key()
    configured = Keyring(path, configured=f"{newer}, {new}")
    assert configured.is_configured
    assert configured.open(old, "default", "A") == VALUE
    sealed = configured.seal("default", "A", value=VALUE)
    assert Keyring(Path("/nowhere"), configured=newer).open(sealed, "default", "A") == VALUE
    configured.drop_all_but([sealed.key_id])
    assert Keyring(path).key_ids == frozenset()


@pytest.mark.parametrize("text", ["hunter22-is-no-key", "YWJj", "ö", "x" * 44])
def test_what_is_no_key_is_refused_and_not_shown(path: Path, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Keyring(path, configured=f"{new_key()} {text}")
    assert text not in str(caught.value.to_dict())
    assert "key 2" in caught.value.message


def test_a_file_that_others_may_read_is_refused(ring: Keyring, path: Path) -> None:
    path.chmod(0o640)
    with pytest.raises(FileUnsafe):
        Keyring(path)


def test_a_file_that_was_changed_meanwhile_counts_once_it_is_read_again(
    ring: Keyring, path: Path, tmp_path: Path
) -> None:
    other = Keyring(tmp_path / "other.key")
    other.add_key()
    sealed = other.seal("default", "A", value=VALUE)
    with path.open("a") as file:
        file.write((tmp_path / "other.key").read_text())
    ring.reload()
    assert ring.open(sealed, "default", "A") == VALUE
