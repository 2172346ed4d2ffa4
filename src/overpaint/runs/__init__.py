"""A whole run: the stages of a recipe one after the other, into one folder.

    runs/NAME/triplets  pairs  model  report    what the stages make
    runs/NAME/recipe.lock.yaml                  the recipe as resolved, versions, what was made of what

Each stage resumes by itself and knows its own folder; here is decided which of them there is
something to do for, and that none can fail at its start hours after the first one began.
"""
