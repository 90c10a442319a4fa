"""The fast path: ``Normaliser``'s steps over whole columns, with the same results.

- ``clean.read_cells`` for ``clean.clean``: a raw cell to digits, or to a reject reason
- ``decide._route`` for ``Normaliser._choose``: which reading or readings the digits get
- ``parse.read_columns`` for ``parse.read``: digits to a number, from the tables of ``plans``
- ``weigh.weighed`` for ``Normaliser._weigh``: one of two readings, or a reject reason
- ``decide._strict_enough`` for ``Normaliser._refusal``: whether the number is wanted at all

A rule is changed in both; ``make differential`` finds where they differ. What needs rare care is
left undecided here and goes to ``Normaliser``.
"""
