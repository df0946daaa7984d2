"""Attacks on the way a snapshot takes into a home, by the names they usually go by (TUF's list and ours).

`forge` makes the evil inputs, each from a good signed snapshot by bending one thing; `victim` is the home they are
offered to. Every test asserts the refusal and all of the state that it must leave.
"""
