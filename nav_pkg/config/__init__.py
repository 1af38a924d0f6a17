"""Every setting, declared once: command lines, files and tables in the docs follow from it."""
