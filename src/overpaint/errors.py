"""The one error that is the user's to mend."""

from __future__ import annotations

from overpaint.text import printable


class UserError(Exception):
    """A mistake the user can mend: one clear sentence that says what, where and what to do.

    The command line prints the sentence and exits with 1; broken invariants of ours
    are ordinary exceptions instead, so that the two are never confused.
    """

    def __init__(self, sentence: object = "") -> None:
        """The sentence may quote a stranger's words: it is kept in one line, as `printable`."""
        super().__init__(printable(sentence))


class WrongOption(UserError):
    """Options whose values the settings refuse: a wrong command line, which ends with 2."""


def install_extra(extra: str) -> str:
    """The command that installs an extra of this package, with the versions that are tested together."""
    return f"pip install -c constraints.txt 'overpaint[{extra}]'"


def missing_extra(what: str, extra: str, otherwise: str = "") -> UserError:
    """The error for packages that are not installed: `what` needs those of `extra`.

    `otherwise` says what else can be done, such as "set structure=false".
    """
    instead = f", or {otherwise}" if otherwise else ""
    return UserError(f"{what} needs more packages: {install_extra(extra)}{instead}.")
