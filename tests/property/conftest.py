"""Time is no property: a busy machine fails nothing here."""

from hypothesis import settings

settings.register_profile("cherche", deadline=None)
settings.load_profile("cherche")
