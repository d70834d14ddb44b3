"""Masks: which weights stay. `tickets` names the runs of a study, `masks` and `random` compute the masks themselves."""
