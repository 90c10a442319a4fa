"""Lists of phone numbers as batches of text columns, in bounded memory.

``detect`` finds a file's layout, ``columns`` the columns to read, and ``table`` gives the rows of
all files. A format is a module with ``read`` beside ``csv`` and ``parquet``, and recognised by
``detect``.

Deliberately does not know what a valid phone number is: it never strips or repairs a cell, it only
finds the column.
"""
