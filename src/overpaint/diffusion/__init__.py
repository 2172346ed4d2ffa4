"""The method as pure functions: one equation, one function, its paper in the docstring."""
