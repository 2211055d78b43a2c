"""The values of a training that its row leaves open, chosen from the data set and the machine.

`facts` says what is known of both, `memory` what a step needs, `rules` has every rule with its
reason, and `choose` finds the facts and keeps what a run was begun with.
"""
