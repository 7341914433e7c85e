"""Exercises of notebook 15: many workers, and the monitor."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from ..core.errors import CallError, DriveTimeout
from ..drive.workers import WorkerNode
from ..trace.language import say
from .asking import ask
from .engine import Hint, Run, among, exercise, first_wrong, plain, run

PATIENCE = 2.0
"""Seconds of real time in which a program must do what a moment is enough for."""


@exercise(
    "15.1",
    "the address modulo three; so the same in each run, and on each machine.",
    "地址对三取余；所以每次运行、每台机器上都一样。",
)
def _placement(answer: Any) -> Hint:
    return among(
        answer, [2, 1, 2, 0],
        {
            (0, 1, 2, 3): say("Three workers have the numbers 0, 1 and 2.", "三个工作线程的编号是 0、1、2。"),
            (0, 1, 2, 0): say(
                "It is not the order of their birth that counts. Divide the address.", "不是按诞生的顺序。请用地址来除。"
            ),
            (2, 2, 0, 1): say("0a is ten, in hexadecimal.", "0a 是十六进制的十。"),
            (3, 2, 3, 1): say("Workers are counted from 0.", "工作线程从 0 开始编号。"),
        },
        say("The worker is the handle modulo the number of workers: 8 % 3, ...", "工作线程号是 handle 对线程数取余：8 % 3，……"),
    )  # fmt: skip


@exercise(
    "15.2",
    "one service, one worker, one mailbox in its order; all else may overlap.",
    "一个服务、一个工作线程、一个按顺序的邮箱；其余的都可能重叠。",
)
def _may_it_be(answer: Any) -> Hint:
    given = plain(answer)
    if not isinstance(given, list) or len(given) != 6 or not set(given) <= {"yes", "no"}:
        return say("The answer is a list of six words, yes or no.", "答案是六个词的列表，yes 或 no。")
    hints = [
        say("1: a service has one mailbox, and one worker.", "1：一个服务只有一个邮箱、一个工作线程。"),
        say("2: what did the two at the barrier prove?", "2：barrier 前的两个服务证明了什么？"),
        say("3: the worker is in the loop. Who should take a message?", "3：工作线程在循环里。谁来取消息？"),
        say("4: both go to the end of one mailbox.", "4：两条都放到同一个邮箱的末尾。"),
        say(
            "5: is 1 in B's mailbox when A goes on to its next line?",
            "5：A 执行下一行时，1 是否已经在 B 的邮箱里？",
        ),
        say("6: who says which of two threads is faster?", "6：两个线程谁更快，谁说了算？"),
    ]
    return first_wrong(given, ["no", "yes", "no", "no", "no", "yes"], hints)


@exercise(
    "15.3",
    "3 of A (one is taken, and 7 >> 1 = 3 make up the turn), 1 of B (3 >> 1), 2 of A (4 >> 1), and so on.",
    "A 的 3 条（先取一条，余下 7 >> 1 = 3，这一轮共 3 条），B 的 1 条（3 >> 1），A 的 2 条（4 >> 1），依此类推。",
)
def _turn(answer: Any) -> Hint:
    letters = (
        answer if isinstance(answer, str) else "".join(map(str, answer)) if isinstance(answer, list | tuple) else ""
    )
    given = "".join(plain(letters).split())
    if sorted(given) != ["a"] * 8 + ["b"] * 4:
        return say("The answer is a text of eight A and four B.", "答案是由八个 A 和四个 B 组成的文本。")
    right = _order(8, 4, 1)
    if given == right:
        return None
    if given == _order(8, 4, -1):
        return say("That is weight -1. What is 7 >> 1?", "那是权重 -1。7 >> 1 是多少？")
    if given == _order(8, 4, 0):
        return say("That is weight 0, which takes all. Weight 1?", "那是权重 0，会全部取走。权重 1 呢？")
    if given.startswith("aaaab"):
        return say(
            "The first turn is not half of eight: one is taken first, and what then waits is shifted.",
            "第一轮不是八的一半：先取走一条，再对剩下的数目移位。",
        )
    k = next(k for k, (a, b) in enumerate(zip(given, right, strict=True)) if a != b)
    return say(
        f"The first {k} are right. Of a mailbox with n messages, one is taken, and (n - 1) >> 1 make up the turn, "
        "the one counted in.",
        f"前 {k} 个是对的。邮箱里有 n 条消息时先取一条，这一轮共 (n - 1) >> 1 条，含已取的那一条。",
    )


def _order(a: int, b: int, weight: int) -> str:
    """skynet_context_message_dispatch on two mailboxes."""
    left, queue, taken = {"a": a, "b": b}, ["a", "b"], ""
    while queue:
        name = queue.pop(0)
        turn = 1 if weight < 0 else max(1, (left[name] - 1) >> weight)
        taken += name * turn
        left[name] -= turn
        queue += [name] if left[name] else []
    return taken


@exercise(
    "15.4",
    "the caller has its answer, and still the worker is lost; the monitor says where.",
    "调用者得到了应答，工作线程却回不来了；监控线程指出了位置。",
)
def _hog(program: Any) -> Hint:
    if not callable(program):
        raise TypeError("a program is expected here: a function")
    node = WorkerNode(thread=2, clock="virtual", log=list)
    node.patience = 0.2
    try:
        return _watch(node, program)
    finally:
        node.close()


def _watch(node: WorkerNode, program: Callable[..., Any]) -> Hint:
    address = node.newservice(program, wait=False)
    worker = node.worker(address)
    end = time.monotonic() + PATIENCE
    s = node.service(address)
    while s.start_state in ("loading", "starting"):
        time.sleep(0.002)
        if time.monotonic() > end:
            return say(
                "Its start function does not come back: nobody can call it.", "启动函数没有返回：没有人能调用它。"
            )
    try:
        answer = node.call(address, "lua", timeout=PATIENCE)
    except DriveTimeout:
        return say(
            "The call gets no answer. Answer first, then keep the worker.", "调用得不到应答。请先应答，再占住线程。"
        )
    except CallError:
        return say("The call fails. Look at the log of a node of your own.", "调用失败。请在你自己的节点上看日志。")
    if answer != "hello":
        return say(f"The call is answered by {answer!r}; 'hello' is wanted.", f"应答是 {answer!r}；应为 'hello'。")
    assert node.monitor is not None
    end = time.monotonic() + 0.5
    while worker.monitor.destination == address and time.monotonic() < end:
        time.sleep(0.01)
    node.monitor.check()
    time.sleep(0.05)  # else a worker that goes on from message to message could be caught in one of them twice
    found = [report for report in node.monitor.check() if report.service == address]
    if not found:
        return say(
            "Its worker has come back from the message: the monitor has nothing to say. "
            "A coroutine that is parked, or that yields, holds nobody up.",
            "工作线程已经从那条消息里回来：监控线程无话可说。挂起或让出的协程不会占住任何人。",
        )
    if found[0].function != "forever":
        return say(
            f"The monitor finds it at {found[0].place} in {found[0].function}; forever is wanted.",
            f"监控线程发现它在 {found[0].place} 的 {found[0].function} 里；应为 forever。",
        )
    return None


N = 5000
SQUARES = sum(k * k for k in range(N))
PIECES = 5


@exercise(
    "15.5",
    "each piece ends in a wait, so the rest stands behind what has come meanwhile: the service goes on in between.",
    "每一段都以等待结束，剩下的部分就排在其间到来的消息之后：服务在中间得以继续。",
)
def _pieces(program: Any) -> Hint:
    before = threading.active_count()
    answers: list[Any] = []
    found = run(program, lambda r: answers.extend(ask(r, (N,), ("ping",)) + ask(r, (10,))))
    total, pong, small = answers
    if found.errors:
        return say(f"A coroutine ends with {found.errors[0]!r}.", f"有协程以 {found.errors[0]!r} 结束。")
    if threading.active_count() > before:
        return say("A thread is left. Use none.", "留下了线程。请不要用线程。")
    if (total, small) != (SQUARES, 285):
        return say(
            f"The sums below {N} and 10 are {total!r} and {small!r}; {SQUARES} and 285 are wanted.",
            f"{N} 和 10 以下的和是 {total!r} 和 {small!r}；应为 {SQUARES} 和 285。",
        )
    if pong != "pong":
        return say(f"ping is answered by {pong!r}.", f"ping 的应答是 {pong!r}。")
    sum_at, ping_at, lets_go = _times(found)
    if sum_at < ping_at:
        return say(
            "ping is answered after the sum: its message has waited for all of it. What lets the service go on in the middle?",
            "ping 在求和之后才得到应答：它的消息一直在等。怎样让服务在中途继续？",
        )
    if lets_go < PIECES - 1:
        return say(
            f"The pieces are too long, and ping waits for a whole one. Between five pieces the service goes on "
            f"{PIECES - 1} times at least; yours: {lets_go}.",
            f"每一段太长，ping 要等完整的一段。分成五段，服务在中间至少继续 {PIECES - 1} 次；你的：{lets_go} 次。",
        )
    return None


def _times(found: Run) -> tuple[int, int, int]:
    """When the sum and ping were answered; how often the service went on with the sum by another message before."""
    me = f":{found.addr:08x}"
    taken = [(i, e) for i, e in enumerate(found.trace) if e["e"] == "message" and e["service"] == me]
    asked = [(i, e) for i, e in taken if e["ptype"] == "lua" and e["session"] and e["source"] != me]
    sum_at, ping_at = (
        next(i for i, e in enumerate(found.trace) if e["e"] == "send" and (e["to"], e["session"]) == whom)
        for whom in [(e["source"], e["session"]) for _, e in asked[:2]]
    )
    began = asked[0][0]
    # Answers and what it sends to itself: a request to itself is answered, and counted then.
    lets_go = sum(began < i < sum_at and not (e["ptype"] == "lua" and e["session"]) for i, e in taken)
    return sum_at, ping_at, lets_go


@exercise(
    "15.6",
    "one addition is lost with the global, none with messages: the one who adds has one mailbox.",
    "用全局变量丢了一次加法，用消息则不会：做加法的服务只有一个邮箱。",
)
def _back_door(answer: Any) -> Hint:
    return among(
        answer, [1, 2],
        {
            (2, 2): say("What do both read before either writes?", "两者在写之前读到的是什么？"),
            (2, 1): say("The other way round: where can a lost update hide?", "反过来：丢失的更新会藏在哪里？"),
            (1, 1): say("Two messages in one mailbox, handled one after the other.", "一个邮箱里的两条消息，依次处理。"),
            (0, 2): say("Both write: 0 + 1.", "两者都写入：0 + 1。"),
        },
        say("Two numbers: with the global, and with messages.", "两个数：用全局变量时，和用消息时。"),
    )  # fmt: skip
