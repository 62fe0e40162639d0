"""The bench; a package, so that its select.py never stands for the standard library's."""
