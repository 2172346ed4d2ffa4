"""Scenes: small pictures composed of OpenMoji artwork, and edits of them with exact answers.

catalogue   what can be shown            layout      where it stands
captions    how it is said               phrasings   how an edit is asked for
references  what an object is called     wording     version 2's instructions, as people type them
edits       what the right answers are   rendering   how it looks
examples    one example of a seed        dataset     many, as pairs
"""
