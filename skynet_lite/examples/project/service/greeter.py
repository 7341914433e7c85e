"""Counts whom it has greeted. Another instance of this file would count for itself."""

from collections import Counter

from skynet_lite import skynet

greeted: Counter[str] = Counter()


@skynet.start
def main() -> None:
    @skynet.dispatch("lua")
    def greet(session: int, source: int, name: str) -> None:
        greeted[name] += 1
        skynet.retpack(f"hello {name}, visit {greeted[name]}")
