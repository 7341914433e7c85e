"""A snax service that says its argument when it starts."""

from skynet_lite import snax


def init(word):
    snax.printf("ping server start:\t%s", word)


@snax.response
def ping(word):
    return word
