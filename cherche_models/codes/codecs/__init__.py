"""The codecs, one family a file.

A module here defines ``CODECS``, a tuple of `cherche_models.codes.base.Codec`, and
`cherche_models.codes.table` finds it by itself: settings, help texts and error messages
list its codecs without another change. It imports nothing above ``base``. The numbers
in use are those of ``CODECS`` in `cherche_models.codec`.

The sidecar scores codes of any codec; an OpenSearch shard scores those that the plugin has a decoder for.
"""
