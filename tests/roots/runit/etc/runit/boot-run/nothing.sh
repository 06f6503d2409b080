: # Nothing has to be done here at boot: what is to be mounted run-on-pid-ns has mounted.
