"""Lists of phone numbers as batches of text columns, in bounded memory.

Knows files, compressions, encodings and delimiters. Deliberately does not know what a valid
phone number is: it never strips or repairs a cell, it only finds the column.
"""
