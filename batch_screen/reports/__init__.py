"""The report on a run as one self-contained HTML page: no script, no address.

A pure function of what the run wrote. All that a server or an input said is masked before it
comes here, and escaped where it is written.
"""
