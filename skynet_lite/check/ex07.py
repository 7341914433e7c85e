"""Exercises of notebook 07: bytes, buffers, lines."""

from __future__ import annotations

import re
from typing import Any

from ..trace.language import say
from .engine import Hint, Run, client, exercise, heard, plain, run


@exercise(
    "07.1",
    "the piece d wakes nobody: the line is not whole; and b was in the buffer, so it cost no resume.",
    "片段 d 不唤醒任何人：行还不完整；而 b 已在缓冲区里，不需要恢复。",
)
def _counts(answer: Any) -> Hint:
    data, resumes, lines = answer
    lines = [line.decode() if isinstance(line, bytes) else line for line in lines]
    if type(data) is not int or type(resumes) is not int:
        return say("The first two are numbers.", "前两个是数字。")
    if data != 3:
        return say(
            "Each piece was handled before the next was sent: how many times was the socket ready?",
            "每个片段都在下一个发送之前处理完：socket 就绪了几次？",
        )
    if plain(lines) != ["a", "b", "cd"]:
        return say(
            "Write down the buffer behind each piece, and take lines from its front. Where a piece ends has no meaning.",
            "写下每个片段之后的缓冲区，再从前面取行。片段在哪里结束没有意义。",
        )
    if resumes == 3:
        return say(
            "Three pieces or three lines, but which of the pieces brought a line feed while the reader was parked?",
            "三个片段、三行；但哪些片段在读者停着时带来了换行？",
        )
    if resumes != 2:
        return say(
            "When is readline granted at once, and when does the reader park? Only a parked one is resumed.",
            "readline 什么时候立即返回，什么时候停下？停下的才会被恢复。",
        )
    return None


@exercise(
    "07.2", "None is no data; nothing is lost, and nothing is there twice.", "None 不是数据；没有丢失，也不会重复。"
)
def _early(answer: Any) -> Hint:
    one, two, three = answer
    if one is not None:
        return say(
            "Three bytes were asked for and can never come. Look for `readline None` in the tasting.",
            "要三个字节，但永远等不到。看 tasting 那一节里的 `readline None`。",
        )
    if two is None or isinstance(two, str):
        return say("readall returns bytes, always.", "readall 总是返回 bytes。")
    if two != b"ab":
        return say(
            "What a failed read could not use is left in the buffer. For whom?",
            "读取失败时没用上的字节留在缓冲区。留给谁？",
        )
    if three != b"":
        return say(
            "The first readall has emptied the buffer. What is *everything* then? (Not None: readall returns bytes.)",
            "第一个 readall 已清空缓冲区。那时的“全部”是什么？（不是 None：readall 返回 bytes。）",
        )
    return None


# --------------------------------------------------------------------------- programs


def _exchange(r: Run, *pieces: bytes) -> None:
    """A new client sends the pieces, each handled before the next; what it hears in the end goes to `said`."""
    c = client(r)
    for piece in pieces:
        c.send(piece)
        r.node.run_until_idle()
    r.said.append(heard(r, c))
    c.shutdown()
    r.node.run_until_idle()
    r.said.append(heard(r, c))


def _failed(found: Run) -> Hint:
    if found.errors:
        return say(
            f"A coroutine ends with {found.errors[0]!r}. Run your program on a lab() and look at node.log_lines.",
            f"有协程以 {found.errors[0]!r} 结束。请用 lab() 运行你的程序，看看 node.log_lines。",
        )
    return None


def _left_open(found: Run) -> list[int]:
    """Sockets of clients that the service still had when the script was over."""
    return [id for id, (state, _) in found.trace.state()["sockets"].items() if state != "listen"]


@exercise("07.3", "one coroutine reads, and hands on what it has read.", "由一个协程读取，再把读到的交给别人。")
def _repaired(program: Any) -> Hint:
    def script(r: Run) -> None:
        _exchange(r, b"one\ntwo\nthr", b"ee\n")

    found = run(program, script)
    if any("reads from it already" in error for error in found.errors):
        return say(
            "Two coroutines still read from one socket. Let one read, and wake the other when there is something to mark.",
            "仍有两个协程读同一个 socket。让一个读，有东西要标记时再唤醒另一个。",
        )
    failed = _failed(found)
    if failed:
        return failed
    if found.said[0] != b"one\ntwo\nthree\n":
        return say(
            f"The client sends one, two, three and hears {found.said[0]!r}.",
            f"客户端发送 one、two、three，听到 {found.said[0]!r}。",
        )
    if not found.marks:
        return say("Nothing is marked as seen.", "没有任何 seen 标记。")
    if found.marks != ["seen one", "seen two", "seen three"]:
        return say(
            f"The marks are {found.marks}. Two lines may come in one piece, before the other coroutine has moved: "
            "where are they kept until it does?",
            f"标记是 {found.marks}。两行可能同时到达，而另一个协程还没动：这期间它们存在哪里？",
        )
    readers = set()
    for event in found.trace:
        if event["e"] == "table" and event["table"] == "socket_pool":
            readers |= set(re.findall(r"(co\d+) waits in (?:read|block)", str(event.get("value", ""))))
    markers = {event["co"] for event in found.trace if event["e"] == "mark" and event.get("service")}
    if readers & markers:
        return say(
            f"{min(readers & markers)} reads the socket and makes the marks. Another coroutine should make them.",
            f"{min(readers & markers)} 既读 socket 又做标记。标记应由另一个协程来做。",
        )
    return None


@exercise("07.4", "any bytes, in any pieces.", "任意字节，任意分段，都没问题。")
def _frames(program: Any) -> Hint:
    def script(r: Run) -> None:
        _exchange(r, b"5:hello")
        _exchange(r, *(b"%c" % byte for byte in b"3:abc2:xy"))
        _exchange(r, b"1:a0:4:\n:9\n2:zz")
        _exchange(r, b"9:short")

    found = run(program, script)
    failed = _failed(found)
    if failed:
        return failed
    whole, _, pieces, _, odd, _, short, rest = found.said
    if not whole:
        return say(
            "Nothing is answered to 5:hello. Does the program wait for something that a frame does not have, a line feed?",
            "对 5:hello 没有回答。程序是不是在等帧里没有的东西，比如换行？",
        )
    if whole != b"5:olleh":
        return say(f"5:hello is answered with {whole!r}.", f"对 5:hello 的回答是 {whole!r}。")
    if pieces != b"3:cba2:yx":
        return say(
            f"3:abc2:xy, sent byte by byte, is answered with {pieces!r}. Does the program take a piece for a frame?",
            f"逐字节发送 3:abc2:xy，回答是 {pieces!r}。程序是不是把一个片段当成一帧？",
        )
    if odd != b"1:a0:4:\n9:\n2:zz":
        return say(
            f"1:a, then 0: (an empty frame), then four bytes with line feeds and a colon, then 2:zz, all in one piece: "
            f"the answer is {odd!r}. Only the length tells where a frame ends.",
            f"1:a，然后 0:（空帧），再是含换行和冒号的四个字节，再是 2:zz，一次发来：回答是 {odd!r}。只有长度能说明帧在哪里结束。",
        )
    if short or rest:
        return say(
            f"9:short is cut off, and answered with {short or rest!r}. What does read return at the end of the stream?",
            f"9:short 被截断，却得到 {short or rest!r}。流结束时 read 返回什么？",
        )
    if _left_open(found):
        return say(
            "The clients have ended, and their sockets are still open here: close them.",
            "客户端已结束，它们的 socket 在这里仍开着：请关闭。",
        )
    return None


@exercise("07.5", "whoever leaves makes room.", "有人离开，就有空位。")
def _bounded(program: Any) -> Hint:
    def script(r: Run) -> None:
        one, two = client(r), client(r)
        for c in (one, two):
            c.send(b"hi\n")
            r.said.append(heard(r, c))
        for _ in range(2):
            c = client(r)
            r.said.append(heard(r, c))
        r.said.append(len(_now_open(r)))
        one.close()
        r.node.run_until_idle()
        again = client(r)
        again.send(b"again\n")
        r.said.append(heard(r, again))

    found = run(program, script)
    failed = _failed(found)
    if failed:
        return failed
    one, two, three, four, inside, again = found.said
    if (one, two) != (b"hi\n", b"hi\n"):
        return say(f"Two clients say hi, and hear {one!r} and {two!r}.", f"两个客户端说 hi，听到 {one!r} 和 {two!r}。")
    if three != b"busy\n" or four != b"busy\n":
        return say(
            f"With two clients inside, a third hears {three!r} and a fourth {four!r}; both should hear busy. "
            "(Can one write to a socket that was not started?)",
            f"已有两个客户端时，第三个听到 {three!r}，第四个听到 {four!r}；都应听到 busy。（没有 start 的 socket 能写吗？）",
        )
    if inside != 2:
        return say(
            f"Who has heard busy is to be closed; {inside} connections are open instead of 2.",
            f"听到 busy 的应被关闭；现在开着 {inside} 个连接，而不是 2 个。",
        )
    if again != b"again\n":
        return say(
            f"One of the two has left, and a new one hears {again!r}. Who counts down, and when?",
            f"两个中走了一个，新来的听到 {again!r}。谁来减一，什么时候？",
        )
    return None


def _now_open(r: Run) -> list[int]:
    return [id for id, (state, _) in r.node.tables()["sockets"].items() if state != "listen"]
