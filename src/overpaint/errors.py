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
