"""What can't be undone: shown unless it is confirmed. Nothing prompts."""

from collections.abc import Callable

from tau.commands.output import Document
from tau.errors import ConfirmationRequired


def confirmed(act: Callable[[bool], Document], *, yes: bool, dry_run: bool) -> Document:
    """What `act` answers, called with whether it is a dry run.

    Raises ConfirmationRequired with what the dry run answered, where neither was asked for.
    """
    if yes or dry_run:
        return act(dry_run)
    raise ConfirmationRequired(would=act(True))
