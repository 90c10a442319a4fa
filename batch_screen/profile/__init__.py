"""What can be said of a list before it is screened: what it holds, its damage, what to fix.

Knows nothing of endpoints, prices and the network. Whatever leaves this room is masked.
"""
