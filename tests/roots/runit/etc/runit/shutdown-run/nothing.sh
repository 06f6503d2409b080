: # Nothing has to be done here at the end.
