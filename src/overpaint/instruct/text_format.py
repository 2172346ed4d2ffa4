"""The text that a language model reads and writes, as the mission delimits it.

a dog on the beach        the prompt: the caption,
##                        and in the format `kinds` the kind of edit after the ##
make the dog a cat        the completion: the instruction,
%%
a cat on the beach        the edited caption,
END                       and the end
"""

from __future__ import annotations

from dataclasses import dataclass

from overpaint.instruct.settings import FormatName

END = "\nEND"
BETWEEN = "\n%%\n"


@dataclass(frozen=True)
class TextFormat:
    """How triplets are said in text; `name` is stored with a fine-tuned model."""

    name: FormatName = "delimited"

    def prompt(self, caption: str, kind: str) -> str:
        """What the model continues."""
        return f"{caption}\n##{f' {kind}' if self.name == 'kinds' else ''}\n"

    def completion(self, edit_prompt: str, edited_prompt: str) -> str:
        """What the model is to write."""
        return f"{edit_prompt}{BETWEEN}{edited_prompt}{END}"

    def parse(self, completion: str) -> tuple[str, str] | None:
        """(instruction, edited caption), or None when a delimiter or the end is missing."""
        text, end, _ = completion.partition(END)
        parts = text.split(BETWEEN)
        return (parts[0], parts[1]) if end and len(parts) == 2 else None


def grammar(max_instruction: int, max_caption: int) -> str:
    """The completions that are valid, as a Lark grammar; lengths are in characters."""

    def line(longest: int) -> str:
        # One line that neither begins nor ends in white space, and holds no delimiter.
        return rf"/[^\s%#][^\n\r%#]{{0,{longest - 2}}}[^\s%#]/"

    return (
        'start: EDIT "\\n%%\\n" EDITED "\\nEND"\n'
        f"EDIT: {line(max_instruction)}\nEDITED: {line(max_caption)}\n"
    )
