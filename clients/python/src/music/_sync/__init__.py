"""The blocking client: each class here hands its calls to the one of the same name in
:mod:`music.aio`, which runs in the caller's thread."""
