"""Exercises of notebook 18: well-known libraries on skynet sockets. (The extra `contrib` is asked for only here.)"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from ..core.errors import SocketError
from ..node.client import Client
from ..skynet import socket
from ..trace.language import say
from .engine import Hint, Run, client, exercise, first_wrong, heard, plain, run

UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def _web(accept: Callable[[int, str], Any]) -> Callable[[], None]:
    """The service of the notebook that listens."""
    if not callable(accept):
        raise TypeError("a program is expected here: a function")

    def main() -> None:
        lid = socket.listen("127.0.0.1:0")
        socket.start(lid, accept)

    return main


@exercise(
    "18.1",
    "NEED_DATA comes once before the first bytes and once behind the last: h11 keeps what it has not used yet.",
    "NEED_DATA 在第一批字节之前出现一次，在最后一批之后出现一次：h11 保留还没用掉的部分。",
)
def _reads(answer: Any) -> Hint:
    hints = [
        say("Before: what does h11 say when it has not been given a single byte?", "之前：h11 一个字节都没有拿到时会说什么？"),
        say("Between: both requests came in one piece. Who has the bytes of the second while the first is answered?",
            "之间：两个请求是一起来的。回答第一个时，第二个的字节在谁手里？"),
        say("After: the connection stays open, and serve asks for the next request. What does h11 say, with nothing left?",
            "之后：连接还开着，serve 要下一个请求。h11 什么都不剩时会说什么？"),
    ]  # fmt: skip
    given = plain(answer)
    if not isinstance(given, list) or len(given) != 3 or not all(isinstance(n, int) for n in given):
        return say("The answer is a list of three numbers.", "答案是三个数字的列表。")
    return first_wrong(given, [1, 0, 1], hints)


def _answers(data: bytes, count: int) -> list[tuple[int, bytes]] | str:
    """What a server has sent, as (status code, body); or what h11 says against it."""
    import h11

    found: list[tuple[int, bytes]] = []
    conn = h11.Connection(h11.CLIENT)
    conn.receive_data(data)
    try:
        for _ in range(count):
            conn.send(h11.Request(method="GET", target="/", headers=[("host", "x")]))
            conn.send(h11.EndOfMessage())
            body, code = b"", 0
            while not isinstance(event := conn.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA or isinstance(event, h11.ConnectionClosed):
                    return found
                code = event.status_code if isinstance(event, h11.Response) else code
                body += event.data if isinstance(event, h11.Data) else b""
            found.append((code, bytes(body)))
            if conn.our_state is not h11.DONE or conn.their_state is not h11.DONE:
                return found
            conn.start_next_cycle()
    except h11.RemoteProtocolError as e:
        return str(e)
    return found


@exercise(
    "18.2",
    "one connection, many requests: start_next_cycle when both sides are done, and h11 says when there is no next one.",
    "一个连接，多个请求：双方都完成后调用 start_next_cycle，没有下一个时 h11 会告诉你。",
)
def _by_hand(program: Any) -> Hint:
    said: list[Any] = []

    def ask(target: str, more: str = "") -> bytes:
        return f"GET /{target} HTTP/1.1\r\nhost: x\r\n{more}\r\n".encode()

    def script(r: Run) -> None:
        c = client(r)

        def answered(data: bytes, count: int) -> None:
            try:
                c.send(data)
                said.append(_answers(heard(r, c), count))
            except SocketError:
                said.append(say("a closed connection", "已关闭的连接"))

        answered(ask("one"), 1)
        answered(ask("two") + ask("three") + ask("four")[:9], 2)
        answered(ask("four")[9:], 1)
        answered(ask("five", "connection: close\r\n"), 1)
        said.append(c._eof)
        gone = client(r)
        gone.send(ask("six")[:10])
        heard(r, gone)
        gone.close()

    found = run(_web(program), script)
    one, two, rest, last, ended = said
    if one != [(200, b"ONE")]:
        return say(
            f"GET /one is answered with {one}; [(200, b'ONE')] is wanted: status 200, and the target in capital letters without its slash.",
            f"GET /one 得到 {one}；应为 [(200, b'ONE')]：状态 200，去掉斜杠并大写的目标。",
        )
    if two != [(200, b"TWO"), (200, b"THREE")]:
        return say(
            f"Then two requests come in one piece, and are answered with {two}. What must be called before the next request, and where are its bytes?",
            f"然后两个请求一起来，得到 {two}。下一个请求之前要调用什么？它的字节在哪里？",
        )
    if rest != [(200, b"FOUR")]:
        return say(
            f"A request in two pieces is answered with {rest}. Does each request get a Connection of its own? Then the old one keeps the first piece.",
            f"分两段来的请求得到 {rest}。是不是每个请求都新建了 Connection？那前一段就留在旧的里面了。",
        )
    if last != [(200, b"FIVE")] or not ended:
        return say(
            f"A request with connection: close is answered with {last}, and then the connection is {'closed' if ended else 'left open'}. Which state does h11 have then?",
            f"带 connection: close 的请求得到 {last}，之后连接{'关闭了' if ended else '还开着'}。这时 h11 处于什么状态？",
        )
    left = sum(state != "listen" for state, _ in found.trace.state()["sockets"].values())
    if left:
        return say(
            "A client goes away in the middle of a request, and its socket stays. What does h11 raise or return then, and who closes?",
            "有客户端在请求中途离开，它的 socket 却留下了。这时 h11 抛出或返回什么？谁来关闭？",
        )
    errors = [error for error in found.errors if "closed" not in error]  # of the one that went away
    if errors:
        return say(f"A coroutine ends with {errors[0]!r}.", f"有协程以 {errors[0]!r} 结束。")
    return None


@exercise(
    "18.3",
    "five rules broken, five answers; and the client beside them noticed nothing.",
    "违反五条规则，得到五种回答；旁边的客户端毫无察觉。",
)
def _refused(answer: Any) -> Hint:
    from ..contrib import httpd

    codes = (400, 413, 431, 501, 505)
    if not isinstance(answer, dict) or set(answer) != set(codes):
        return say(f"The answer is a dict with the keys {codes}.", f"答案是以 {codes} 为键的 dict。")
    for code, request in answer.items():
        if not isinstance(request, bytes):
            kind = type(request).__name__
            return say(f"A request is bytes; that for {code} is {kind}.", f"请求是 bytes；{code} 的却是 {kind}。")
    got: dict[int, int] = {}
    beside: list[bytes] = []

    def script(r: Run) -> None:
        good = client(r)
        for code in codes:
            c = client(r)
            try:
                c.send(bytes(answer[code]))
                first = heard(r, c).split(b"\r\n")[0].split()
            except SocketError:
                first = []
            got[code] = int(first[1]) if len(first) > 1 and first[1].isdigit() else 0
            c.close()
        good.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        beside.append(heard(r, good))

    run(_web(lambda id, addr: httpd.serve(id, lambda request: "fine")), script)
    hints = {
        400: say("400: break the grammar. What must every request of HTTP/1.1 have?", "400：破坏语法。HTTP/1.1 的请求必须有什么？"),
        413: say("413: a body of more than a megabyte. It need not be sent: what announces it?",
                 "413：超过一兆的正文。不必真的发送：什么预告了它的大小？"),
        431: say("431: a header of more than 8192 bytes; it is counted with the target.", "431：超过 8192 字节的头部，目标也计算在内。"),
        501: say("501: a way of sending a body that h11 does not know. Which header names it?",
                 "501：h11 不认识的正文传输方式。哪个头部指定它？"),
        505: say("505: another version of HTTP, in the first line: digit, dot, digit.",
                 "505：第一行里写另一个 HTTP 版本：数字、点、数字。"),
    }  # fmt: skip
    for code in codes:
        if got[code] != code:
            what = got[code] or say("no answer", "没有回答")
            return say(
                f"For {code} the server gives {what}. {hints[code]}", f"想要 {code}，服务器给出 {what}。{hints[code]}"
            )
    if not beside[0].startswith(b"HTTP/1.1 200 "):
        return say("The client beside them was not served any more.", "旁边的客户端得不到服务了。")
    return None


def _frames(data: bytes) -> list[tuple[int, bytes]]:
    """(opcode, payload) of what a server has sent; the last is cut off if it is not whole."""
    found = []
    while len(data) >= 2:
        length, at = data[1] & 0x7F, 2
        if length == 126:
            length, at = int.from_bytes(data[2:4], "big"), 4
        found.append((data[0] & 0x0F, data[at : at + length]))
        data = data[at + length :]
    return found


def _frame(data: bytes, opcode: int = 1) -> bytes:
    """A frame of a client, for payloads below 126 bytes."""
    mask = b"mask"
    return bytes([0x80 | opcode, 0x80 | len(data)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


@exercise(
    "18.4",
    "the first two bytes say kind and length, the next four are the mask; long messages have their length in two more.",
    "头两个字节是类型和长度，接下来四个是掩码；长消息另用两个字节放长度。",
)
def _framed(program: Any) -> Hint:
    from ..contrib import websocket

    def echo(id: int, addr: str) -> None:
        ws = websocket.accept(id)
        while ws is not None and (message := ws.read()) is not None:
            ws.write(message)

    def script(r: Run) -> None:
        for text in ("hi", "häl", "", "x" * 125, "y" * 126, "z" * 1000):
            c = client(r)
            c.send(UPGRADE)
            heard(r, c)
            c.send(bytes(program(text)))
            said.append((text, _frames(heard(r, c))))
            c.close()

    said: list[Any] = []
    if not callable(program):
        raise TypeError("a program is expected here: a function")
    run(_web(echo), script)
    for text, back in said:
        if back == [(1, text.encode())]:
            continue
        shown = repr(text) if len(text) < 20 else f"{text[:3]!r}... ({len(text)})"
        if back and back[0][0] == 8:
            code, reason = int.from_bytes(back[0][1][:2], "big"), back[0][1][2:].decode("utf-8", "replace")
            return say(
                f"For {shown} the server says goodbye with {code}: {reason}.",
                f"对 {shown}，服务器以 {code} 告别：{reason}。",
            )
        if not back:
            return say(
                f"For {shown} nothing comes back: the server waits for more. Which length does your frame announce, and how is one of 126 and more written?",
                f"对 {shown} 没有任何返回：服务器还在等。你的帧声明了多长？126 及以上怎么写？",
            )
        if back[0][0] == 1 and text.encode().startswith(back[0][1]):
            return say(
                f"For {shown} the server echoes {back[0][1]!r} only: a length counts bytes, not characters.",
                f"对 {shown}，服务器只返回 {back[0][1]!r}：长度以字节计，不是字符。",
            )
        return say(
            f"For {shown} the server echoes {back[0]}. Opcode 1 is text; the payload is masked byte by byte with the four bytes before it.",
            f"对 {shown}，服务器返回 {back[0]}。opcode 1 是文本；正文逐字节与前面四个字节做异或。",
        )
    return None


@exercise(
    "18.5",
    "a coroutine for each client that reads, and whoever has a message writes to all.",
    "每个客户端一个读的协程，谁有消息谁就写给所有人。",
)
def _room(program: Any) -> Hint:
    from ..contrib.websocket import WebSocket

    def ended() -> list[Any]:
        return [x for x in gc.get_referrers(WebSocket) if type(x) is WebSocket and x.code is not None]

    said: list[Any] = []
    before = ended()

    def script(r: Run) -> None:
        clients: dict[str, Client] = {}
        for name in ("Ann", "Bob", "Eve"):
            clients[name] = client(r)
            clients[name].send(UPGRADE)
            heard(r, clients[name])

        def all_hear() -> dict[str, list[bytes]]:
            return {name: [data for op, data in _frames(heard(r, c)) if op == 1] for name, c in clients.items()}

        clients["Ann"].send(_frame(b"hello"))
        said.append(all_hear())
        clients["Bob"].send(_frame(b"\x03\xe8", 8))
        said.append(dict(_frames(heard(r, clients.pop("Bob")))))
        clients["Eve"].send(_frame(b"one") + _frame(b"two"))
        said.append(all_hear())
        clients.pop("Eve").reset()
        r.node.run_until_idle()
        clients["Ann"].send(_frame(b"alone?"))
        said.append(all_hear())
        if len(ended()) > len(before):
            gc.collect()
        said.append(sum(x not in before for x in ended()))

    found = run(_web(program), script)
    hello, bye, more, alone, kept = said
    wanted = {name: [b"hello"] for name in ("Ann", "Bob", "Eve")}
    if hello != wanted:
        return say(
            f"Ann says hello, and they hear {hello}; {wanted} is wanted.",
            f"Ann 说 hello，他们听到 {hello}；应为 {wanted}。",
        )
    if bye != {8: b"\x03\xe8"}:
        return say(
            f"Bob says goodbye (1000) and gets {bye}: his goodbye is wanted back. Who reads for him until the end?",
            f"Bob 告别（1000），得到 {bye}：应当回一个告别。谁替他读到最后？",
        )
    wanted = {name: [b"one", b"two"] for name in ("Ann", "Eve")}
    if more != wanted:
        return say(
            f"Then Eve says one and two, and they hear {more}; {wanted} is wanted.",
            f"之后 Eve 说 one 和 two，他们听到 {more}；应为 {wanted}。",
        )
    if alone != {"Ann": [b"alone?"]} or found.errors:
        what = found.errors[0] if found.errors else alone
        return say(
            f"Eve is reset, Ann speaks, and what becomes of it is {what!r}. Her ws.read() returns None: that is no message, and the end of her loop.",
            f"Eve 被重置，Ann 说话，结果是 {what!r}。她的 ws.read() 返回 None：那不是消息，而是循环的结束。",
        )
    if kept:
        return say(
            f"Two have left, and {kept} of them are still in memory: who takes them out of your table?",
            f"走了两个，其中 {kept} 个还留在内存里：谁把他们从表里去掉？",
        )
    left = sum(state != "listen" for state, _ in found.trace.state()["sockets"].values())
    if left != 1:
        return say(
            f"In the end {left} connections are there; only Ann's should be.",
            f"最后还有 {left} 个连接；应该只剩 Ann 的。",
        )
    return None


@exercise(
    "18.6",
    "sender, number and question must all fit; and once somebody was answered, nobody waits any more.",
    "来源、编号、问题都要吻合；而一旦得到回答，就没有人在等了。",
)
def _datagrams(answer: Any) -> Hint:
    expected = ["no", "no", "no", "no", "yes", "no"]
    hints = [
        say("1: who waits for number 8?", "1：谁在等 8 号？"),
        say("2: number and question can be guessed. Where does it come from?", "2：编号和问题都能猜到。它从哪里来？"),
        say("3: the number is right. What was asked under it?", "3：编号对。这个编号下问的是什么？"),
        say("4: is a question an answer?", "4：问题算回答吗？"),
        say("5: no such name: is that an answer to what was asked?", "5：没有这个名字：这算不算对问题的回答？"),
        say("6: the right answer, but after which one?", "6：回答是对的，但它在哪一个之后？"),
    ]
    given = plain(answer)
    if not isinstance(given, list) or len(given) != 6 or not all(value in ("yes", "no") for value in given):
        return say("The answer is a list of six words, yes or no.", "答案是六个词（yes 或 no）的列表。")
    return first_wrong(given, expected, hints)
