"""The page of all configuration keys, made from the class that holds them: `python docs/configuration.py`.

One idea: what a key means stands beside it in skynet_lite/node/config.py, and nowhere else. Only what skynet calls it
is told here.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from dataclasses import MISSING, Field, fields
from pathlib import Path

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from skynet_lite.node import config  # noqa: E402

SKYNET = {
    "thread": "`thread`; 8 there", "harbor": "`harbor`", "bootstrap": "`bootstrap`, a command: `snlua bootstrap`",
    "start": "`start`", "luaservice": "`luaservice`", "snax": "`snax`", "preload": "`preload`", "logger": "`logger`",
    "logpath": "`logpath`", "cluster": "`cluster`, a file", "daemon": "`daemon`", "profile": "`profile`; on there",
    "env": "any other key of the file",
}  # fmt: skip
HEAD = """# Configuration

What a node can be told. Keys that skynet has keep skynet's names. The table is made from the code
(`skynet_lite/node/config.py`).

| key | type | default | meaning | in skynet |
| --- | --- | --- | --- | --- |
"""
WRONG = {"threads": 4}, {"thread": 0}, {"lualoader": "loader.lua"}
TAIL = """
`Node` takes three more, which only a program can give: `log` (a list, a function, a file, or a `logging.Logger`),
`record=True` (record from birth), and `outside` (what stands for the world). See
{py:class}`skynet_lite.node.node.Node`.

## Where values come from

Four places. A later one wins:

1. the defaults above;
2. a TOML file, the first argument of `Node`, or of `skynet-lite run`;
3. the environment: `SKYNET_LITE_` and the key in capitals;
4. keywords of `Node`.

```toml
# config.toml
thread = 1
start = "main"
luaservice = "./service/?.py"
logger = "$LOGS/node.log"     # $NAME: a variable of the environment
include = "common.toml"       # read before this file; a name, or a list of names

[env]                         # your program's own values
max_players = 64
```

```toml
# common.toml
clock = "virtual"
thread = 4
```

```python
# service/main.py
from skynet_lite import skynet

@skynet.start
def main():
    skynet.error("players:", skynet.getenv("max_players"))
```

```python
import os
from skynet_lite import Node

os.environ["LOGS"] = "."
os.environ["SKYNET_LITE_PROFILE"] = "true"
with Node("config.toml", endless=0) as node:
    node.run_until_idle()
    print(node.config.clock, node.config.thread, node.config.profile, node.config.endless)
del os.environ["SKYNET_LITE_PROFILE"]
```
```text
virtual 1 True 0
```

A keyword that is `None` counts as not given. Patterns in `luaservice` are relative to the folder of the
TOML file. Given as a keyword, they are relative to where the program runs.

## Your own values

They live in `[env]`, or in the keyword `env`. A service reads them by `skynet.getenv`, which gives text, as skynet
does. `skynet.setenv` sets a value once.

```python
from skynet_lite import Node, SkynetError, skynet

def reads():
    print(repr(skynet.getenv("max_players")), skynet.getenv("thread"), skynet.getenv("nothing"))
    skynet.setenv("season", 3)
    try:
        skynet.setenv("season", 4)
    except SkynetError as e:
        print(e)

with Node(env={"max_players": 64}, log=list) as node:
    node.newservice(reads)
```
```text
'64' 1 None
Can't setenv exist key : season (it is '3'; choose another name)
```

## A wrong key

A key that does not exist is refused at once. A typing error should not be found at night.

```python
from skynet_lite import ConfigError, Node

for wrong in (@keys@):
    try:
        Node(**wrong)
    except ConfigError as e:
        print(e)
```
```text
@wrong@
```

Keys of skynet's that are refused, and why:

| key | why |
| --- | --- |
"""


def meanings() -> dict[str, str]:
    """The text below each field of Config; what is in quotes is code."""
    (tree,) = ast.parse(inspect.getsource(config.Config)).body
    assert isinstance(tree, ast.ClassDef)
    return {
        before.target.id: re.sub(r'("[^"]*")', r"`\1`", " ".join(ast.literal_eval(text.value).split()))
        for before, text in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(before, ast.AnnAssign) and isinstance(before.target, ast.Name) and isinstance(text, ast.Expr)
    }


def default(field: Field[object]) -> str:
    """As it is written in a TOML file."""
    value = field.default if field.default is not MISSING else "{}"
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`" if not isinstance(value, str) or value == "{}" else f'`"{value}"`'


def page() -> str:
    """The page; keys in the order of the class."""
    kinds = {"dict[str, Any]": "table", "str | dict[str, Any] | None": "str or table"}
    kinds |= {f"{kind} | None": kind for kind in ("str", "int")}
    told = meanings()
    cells = [
        (f"`{f.name}`", kinds.get(str(f.type), str(f.type)), default(f), told[f.name], SKYNET.get(f.name, "–"))
        for f in fields(config.Config)
        if f.name != "folder"
    ]
    wrong = []
    for keys in WRONG:
        try:
            config.load(None, keys)
        except config.ConfigError as e:
            wrong.append(str(e))
    refused = [f"| `{key}` | {why} |\n" for key, why in config._REFUSED.items()]
    tail = TAIL.replace("@keys@", str(WRONG)[1:-1].replace("'", '"')).replace("@wrong@", "\n".join(wrong))
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in cells) + tail + "".join(refused)


if __name__ == "__main__":
    (DOCS / "configuration.md").write_text(page(), encoding="utf-8")
