"""Exercises of notebook 12: how a connection ends."""

from __future__ import annotations

from typing import Any

from ..core.errors import DriveTimeout, SocketError
from ..trace.language import say
from .engine import Hint, Run, among, client, exercise, heard, plain, run

_BLOCKS, _BLOCK = 40, 256 * 1024


def _states(found: Run) -> list[str]:
    return sorted(state for state, _ in found.node.tables()["sockets"].values())


@exercise(
    "12.1",
    "each end wakes the reader with None; writing wakes nobody; a closed id may not be used.",
    "每种结束都以 None 唤醒读者；写不唤醒任何人；已关闭的 id 不能再用。",
)
def _ends(answer: Any) -> Hint:
    expected = ["none", "none", "none", "waits", "raises"]
    hints = [
        say("1: look at the marks of polite: what ended its loop?", "1：看 polite 的标记：是什么结束了循环？"),
        say("2: look at the marks of reader: to readline a reset and a close look alike. Who gets the error text?",
            "2：看 reader 的标记：对 readline 来说 reset 和 close 一样。错误文本给了谁？"),
        say("3: look at the marks of both, and at who stands in socket_pool when close is called.",
            "3：看 both 的标记，以及调用 close 时 socket_pool 里有谁。"),
        say("4: the two directions of a connection are independent. Which message would wake a reader, and does write make one?",
            "4：连接的两个方向互相独立。什么消息会唤醒读者？write 会产生它吗？"),
        say("5: when close has returned, is the id still in socket_pool? Read what the text below the stepper says.",
            "5：close 返回之后，id 还在 socket_pool 里吗？看 stepper 下面那段话。"),
    ]  # fmt: skip
    given = plain(["None" if value is None else value for value in answer])
    if not isinstance(answer, list | tuple) or len(given) != 5:
        return say("The answer is a list of five words.", "答案是五个词的列表。")
    for value, right, hint in zip(given, expected, hints, strict=True):
        if value not in ("none", "raises", "waits"):
            return say(f"{value!r} is none of None, raises and waits.", f"{value!r} 不是 None、raises、waits 之一。")
        if value != right:
            return hint
    return None


@exercise(
    "12.2",
    "the queue holds 3, 6 and 9 MB; the thresholds to be reached are 1, 2 and 4.",
    "队列依次是 3、6、9 MB；要达到的阈值是 1、2、4。",
)
def _warnings(answer: Any) -> Hint:
    return among(
        answer,
        [3072, 6144, 9216],
        {
            (1024, 2048, 4096): say(
                "Those are the thresholds. What does _append post when one is reached: the threshold, or the size of the queue?",
                "那是阈值。达到阈值时 _append 发出的是阈值还是队列的大小？",
            ),
            (1024, 2048, 4096, 8192): say(
                "There is at most one warning for each write, and it names the size of the queue.",
                "每次写最多一个警告，内容是队列的大小。",
            ),
            (3072, 6144): say(
                "The threshold doubles, it does not follow the size: it was 1, then 2. What is it when 9 MB are there?",
                "阈值每次翻倍，不跟随队列大小：先是 1，再是 2。到 9 MB 时是多少？",
            ),
            (3072,): say(
                "Behind the first warning the threshold is 2 MB (twice 1), not twice 3.",
                "第一个警告之后阈值是 2 MB（1 的两倍），不是 3 的两倍。",
            ),
        },
        say(
            "Write down for each write: the size of the queue, the threshold before, whether there is a warning. A list of numbers in KB.",
            "对每次写记下：队列大小、之前的阈值、是否警告。答案是以 KB 为单位的数字列表。",
        ),
    )


@exercise(
    "12.3",
    "the end of the input is the question, and the way back is still open for the answer.",
    "输入的结束就是提问，而回答的方向还开着。",
)
def _adder(program: Any) -> Hint:
    scripts = [([b"1\n2\n3\n"], b"6\n"), ([b"10\n", b"-4"], b"6\n"), ([], b"0\n"), ([b"1", b"0\n5\n"], b"15\n")]

    def script(r: Run) -> None:
        for pieces, _ in scripts:
            c = client(r)
            for piece in pieces:
                c.send(piece)
                r.node.run_until_idle()
            try:
                early = heard(r, c)
                c.shutdown()
                r.said.append((early, heard(r, c), _states(r)))
            except (SocketError, DriveTimeout) as e:
                r.said.append((b"", str(e), _states(r)))

    found = run(program, script)
    for (pieces, wanted), (early, got, states) in zip(scripts, found.said, strict=True):
        sent = b"".join(pieces)
        if early:
            return say(
                f"A client that sent {sent!r} hears {early!r} before it has finished writing.",
                f"发送 {sent!r} 的客户端还没写完就听到了 {early!r}。",
            )
        if got != wanted:
            tail = found.errors[0] if found.errors else ""
            because = f" A coroutine ends with {tail!r}." if tail else ""
            chinese = f"有协程以 {tail!r} 结束。" if tail else ""
            return say(
                f"A client sends {sent!r}, finishes, and hears {got!r}; {wanted!r} is wanted.{because} "
                "What does readline do with a last line that has no line feed?",
                f"客户端发送 {sent!r} 并结束写，听到 {got!r}，应为 {wanted!r}。{chinese}最后一行没有换行符时 readline 怎么做？",
            )
        if states != ["listen"]:
            return say(
                f"The sockets are then {states}: our side is still to be closed.",
                f"之后的 socket 是 {states}：我们这一侧还没有关闭。",
            )
    return None


@exercise(
    "12.4",
    "finally runs on every way out, also when the service ends.",
    "无论从哪里离开，finally 都会执行，服务退出时也一样。",
)
def _crash(program: Any) -> Hint:
    def script(r: Run) -> None:
        a, b = client(r), client(r)
        for c, text in ((a, b"one\n"), (b, b"two\n"), (b, b"crash\n"), (a, b"three\n")):
            c.send(text)
            r.said.append(heard(r, c))
        r.said.append(_states(r))
        a.close()
        r.node.run_until_idle()
        r.said.append(_states(r))

    found = run(program, script)
    *lines, after, end = found.said
    if lines[:2] != [b"one\n", b"two\n"] or lines[3] != b"three\n":
        return say(
            f"The clients sent one, two, crash, three and heard {lines}: the echo of the others has to go on.",
            f"客户端发了 one、two、crash、three，听到 {lines}：其他客户端的回显应当继续。",
        )
    if after == ["connected", "connected", "listen"]:
        return say(
            "Behind crash the socket of that client is still connected. Which line closes it, and does the error reach it?",
            "crash 之后那个客户端的 socket 仍是 connected。哪一行关闭它？出错时会执行到吗？",
        )
    if not any("a bug of mine" in error for error in found.errors):
        return say(
            "The error is not in the log any more. It should still be raised: close, and do not catch.",
            "日志里没有这个错误了。错误仍应抛出：只关闭，不要吞掉。",
        )
    if after != ["connected", "listen"] or end != ["listen"]:
        return say(
            f"The sockets are {after} behind crash, and {end} when the other has finished too.",
            f"crash 之后的 socket 是 {after}，另一个也结束后是 {end}。",
        )
    return None


@exercise(
    "12.5",
    "the queue stays below two megabytes, however slowly the client reads.",
    "无论客户端读得多慢，队列都不到两兆。",
)
def _sender(program: Any) -> Hint:
    most = [0]

    def look(r: Run) -> None:
        most[0] = max(most[0], *(row.get("wbuffer") or 0 for row in r.server.socket_server.netstat()))

    def script(r: Run) -> None:
        c = client(r)
        r.node.advance(200)
        look(r)
        got = 0
        for _ in range(_BLOCKS // 4):
            try:
                got += len(c.recv(4 * _BLOCK))
            except (SocketError, DriveTimeout) as e:
                r.said.append(str(e))
                return
            r.node.advance(200)
            look(r)
        r.said.append(got)
        r.said.append(_states(r))

    found = run(program, script)
    if found.errors:
        return say(
            f"A coroutine ends with {found.errors[0]!r}. Look at node.log_lines.",
            f"有协程以 {found.errors[0]!r} 结束。请看 node.log_lines。",
        )
    if most[0] >= 2 * 1024 * 1024:
        return say(
            f"Up to {most[0] // 1024} KB were queued. A warning is a message: does your coroutine wait long enough between two writes "
            "for the socket server to be asked, and does it stop when the warning has come?",
            f"队列最多达到 {most[0] // 1024} KB。警告是一条消息：两次写之间，你的协程等到 socket 服务器轮询了吗？警告来了之后停下了吗？",
        )
    if len(found.said) == 1:
        return say(
            f"The client reads on and on, and does not get all of {_BLOCKS} blocks: the writer stopped and does not go on. "
            "What does the warning with size 0 say, and whom does it wake?",
            f"客户端一直在读，却没有收全 {_BLOCKS} 块：写者停下后没有继续。大小为 0 的警告说明什么？它唤醒了谁？",
        )
    if found.said[1] != ["listen"]:
        return say(
            f"All blocks have arrived, and the sockets are {found.said[1]}: close is missing.",
            f"所有块都到了，socket 是 {found.said[1]}：缺少 close。",
        )
    return None
