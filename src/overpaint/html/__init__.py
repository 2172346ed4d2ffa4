"""Pages that stages write: one file with everything inside, for a screen, a phone and a printer."""
