"""The trainers of the small models that we own; README.md says what each does and how to run it."""
