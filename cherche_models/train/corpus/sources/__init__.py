"""The sources of the mixture, one a file.

A module here defines ``SOURCE``, a `cherche_models.train.corpus.base.Source`, and `cherche_models.train.corpus.table`
finds it by itself. It parses the archives it is given and reaches neither the network nor the file system.
"""
