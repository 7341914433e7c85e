"""Runs one snax service: its file, then a method for each message. After service/snaxd.lua, lualib/snax/hotfix.lua."""

PRELOADED = dict(globals())  # what the preload file has left here is for the snax file, too

from typing import Any  # noqa: E402

from skynet_lite import SkynetError, codecache, profile, skynet, snax  # noqa: E402
from skynet_lite.core.errors import error_text  # noqa: E402
from skynet_lite.lualib.inject import is_of, take_place  # noqa: E402

METHODS = snax.METHODS


class Service:
    def __init__(self, name: str) -> None:
        self.type = snax.interface(name)
        self.names = self.type.methods()  # number → (group, name)
        self.inited = False
        self.times: dict[str, dict[str, Any]] = {}
        self.namespace: dict[str, Any] = PRELOADED | {"__name__": name, "__file__": self.type.path}
        exec(codecache.load(self.type.path), self.namespace)
        self.methods: dict[tuple[str, str], Any] = self.namespace.setdefault(METHODS, {})
        if set(self.methods) != {what for what in self.names.values() if what[0] != "system"}:
            raise SkynetError(
                f"snax {name}: define its methods with def at the top of the file, not under if or in loops"
            )

    def call(self, id: int, args: tuple[Any, ...]) -> None:
        group, name = self.names[id]
        if group == "system":
            getattr(self, name)(*args)
            return
        if not self.inited:
            raise SkynetError("Init first")
        profile.start()
        try:
            answer = self.methods[group, name](*args)
        finally:
            row = self.times.setdefault(name, {"count": 0, "time": 0.0})
            row["count"] += 1
            row["time"] += profile.stop()
        if group == "response":
            self.answer(answer)

    def answer(self, answer: Any) -> None:
        """A tuple is several values, as in Lua."""
        skynet.retpack(*(answer if type(answer) is tuple else (answer,)))

    def init(self, *args: Any) -> None:
        if self.inited:
            raise SkynetError("Already init")
        if "init" in self.namespace:
            self.namespace["init"](*args)
        skynet.retpack()
        skynet.info_func(lambda: self.times)
        self.inited = True

    def exit(self, *args: Any) -> None:
        if not self.inited:
            raise SkynetError("Never init")
        if "exit" in self.namespace:
            self.namespace["exit"](*args)
        skynet.retpack()
        self.inited = False
        skynet.exit()

    def profile(self) -> None:
        skynet.retpack(self.times)

    def hotfix(self, source: str, *args: Any) -> None:
        try:
            fix = self.patch(source)
            answer = fix(*args) if fix is not None else None
        except Exception as e:
            skynet.retpack(False, error_text(e))
        else:
            skynet.retpack(True, answer)

    def patch(self, source: str) -> Any:
        """Run the patch where the service lives, keep its functions, undo its assignments; its `hotfix`, if any."""
        own, before = self.namespace, dict(self.namespace)
        methods: dict[tuple[str, str], Any] = {}
        own[METHODS] = methods
        try:
            exec(compile(source, "=patch", "exec", dont_inherit=True), own)
            for what in methods:
                if what not in self.methods:
                    raise SkynetError(f"Patch mismatch {'.'.join(what)}")
            for name in before:
                if name in own and own[name] is not before[name] and callable(own[name]) and not is_of(own[name], own):
                    raise SkynetError(f"{name} cannot be replaced: the new one is no plain function")
        except BaseException:
            own.clear()
            own |= before
            raise
        fix = own.pop("hotfix", None)
        for name, old in before.items():
            if name == "hotfix" or not is_of(own.get(name), own) or take_place(old, own[name], own):
                own[name] = old
        self.methods |= methods
        return None if fix is before.get("hotfix") else fix


@skynet.start
def main(name: str) -> None:
    snax.protocol()
    service = Service(name)

    def dispatch(session: int, source: int, id: int, *args: Any) -> None:
        service.call(id, args)

    skynet.dispatch("snax", dispatch)
    skynet.running().service.libs["snax"] = name, dispatch
