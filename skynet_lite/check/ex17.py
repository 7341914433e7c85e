"""Exercises of notebook 17: the debug console."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .. import skynet
from ..core.errors import AddressError, CallError, DriveTimeout
from ..trace.language import say
from .engine import Hint, Run, exercise, first_wrong, plain, raised, run


@exercise(
    "17.1",
    "each service of the list is asked once, the console among them; the launcher that asks them is asked in lua.",
    "列表里的每个服务都被问一次，控制台自己也在内；去问它们的 launcher 则是用 lua 消息问的。",
)
def _count(answer: Any) -> Hint:
    given = plain(answer)
    if not isinstance(given, list) or len(given) != 2 or not all(isinstance(n, int) for n in given):
        return say("The answer is a list of two numbers.", "答案是两个数字的列表。")
    asked, lua = given
    if (asked, lua) == (1, 6):
        return say("The other way round: first debug, then lua.", "顺序反了：先写 debug，再写 lua。")
    if asked == 5:
        return say(
            "The console stands in the list, too. Does it answer debug messages while a command of its own runs?",
            "控制台也在列表里。它自己的命令还在执行时，它会回答 debug 消息吗？",
        )
    if asked == 7:
        return say(
            "Who asks the services? It does not stand in the list itself.",
            "是谁去问各个服务？它自己不在列表里。",
        )
    if asked == 12:
        return say("An answer is of type response; count the requests only.", "回答的类型是 response；只数请求。")
    if asked != 6:
        return say(
            "Count the lines that list prints: shop, till, the console, and three of the boot.",
            "数一数 list 打印的行：shop、till、控制台，以及引导时的三个。",
        )
    if lua == 0:
        return say(
            "The console does not know the services. Whom does it ask, and by which type?",
            "控制台并不认识各个服务。它去问谁？用哪种消息类型？",
        )
    if lua != 1:
        return say(
            "One message of type lua, from the console: all that follows is debug, or an answer.",
            "控制台只发出一条 lua 消息：之后的都是 debug 消息或回答。",
        )
    return None


@exercise(
    "17.2",
    "waits for circles, stat for mailboxes, task for one service, netstat for sockets, inject to mend.",
    "找环用 waits，看邮箱用 stat，看一个服务用 task，看 socket 用 netstat，修补用 inject。",
)
def _which(answer: Any) -> Hint:
    given = plain(answer)
    if not isinstance(given, list) or len(given) != 5 or not all(isinstance(word, str) for word in given):
        return say("The answer is a list of five words, each a command.", "答案是五个词的列表，每个词是一条命令。")
    hints = [
        say("1: one command shows at once, for all services, who waits for whom.",
            "1：有一条命令一次就显示所有服务里谁在等谁。"),
        say("2: mqlen is a column of which command?", "2：mqlen 是哪条命令的一列？"),
        say("3: the stacks of the parked coroutines of one service.", "3：一个服务里挂起协程的调用栈。"),
        say("4: a row for each socket: whose it is, its peer, the bytes read and written.",
            "4：每个 socket 一行：属于谁、对端、读写的字节数。"),
        say("5: which one runs a file inside the service? start would make a second one, without the state.",
            "5：哪条命令在服务内部运行一个文件？start 会另起一个服务，状态就没了。"),
    ]  # fmt: skip
    # verdicts names the circle as well, and uniqtask the line.
    words = [word.split()[0] if word.split() else "" for word in given]
    words[0] = "waits" if words[0] == "verdicts" else words[0]
    words[2] = "task" if words[2] == "uniqtask" else words[2]
    return first_wrong(words, ["waits", "stat", "task", "netstat", "inject"], hints)


def _asked(r: Run, *words: Any) -> Any:
    """What a debug command answers, by a service that asks; "failed" if it does not."""
    answers: list[Any] = []

    def asker() -> None:
        try:
            answers.append(skynet.call(r.addr, "debug", *words))
        except CallError:
            answers.append("failed")

    def main() -> None:
        skynet.fork(asker)

    r.node.newservice(main)
    r.node.run_until_idle()
    return answers[0] if answers else "no answer"


@exercise(
    "17.3",
    "the figures are the lengths of its own tables, read by a function that runs inside.",
    "这些数字就是它自己两张表的长度，由在内部运行的函数读取。",
)
def _queue(program: Any) -> Hint:
    answers: list[Any] = []

    def script(r: Run) -> None:
        def taker() -> None:
            for k in (0, 1):
                skynet.fork(lambda k=k: answers.append((k, skynet.call(r.addr, "lua", "take"))))

        def put(*values: Any) -> None:
            def main() -> None:
                for x in values:
                    skynet.send(r.addr, "lua", "put", x)

            r.node.newservice(main)
            r.node.run_until_idle()

        r.said.append(_asked(r, "INFO"))
        r.node.newservice(taker)
        r.node.run_until_idle()
        r.said.append(_asked(r, "INFO"))
        put("a", "b", "c", "d")
        r.said.append(_asked(r, "INFO"))

    found = run(program, script)
    first, empty, full = found.said
    if first is None:
        return say(
            "info answers nothing: hand a function to skynet.info_func.",
            "info 什么也没答：请把一个函数交给 skynet.info_func。",
        )
    if found.errors:
        return raised(found)
    if first != {"waiting": 0, "asking": 0}:
        return say(
            f"At the start info answers {first}; a table with waiting and asking, both 0, is wanted.",
            f"刚启动时 info 答 {first}；应为含 waiting 和 asking 的表，两者都是 0。",
        )
    if empty != {"waiting": 0, "asking": 2}:
        return say(
            f"Two callers take from an empty queue, and info answers {empty}. Who keeps the callers, and does the function count them now, or when it was made?",
            f"两个调用者从空队列取，info 答 {empty}。调用者记在哪里？函数是现在数，还是在创建时就数好了？",
        )
    if not answers:
        return say(
            "Four values are put then, and no caller has an answer. The next put brings it, no timer: no time passes.",
            "随后放入四个值，调用者却都没有得到回答。回答应由下一个 put 带来，而不是定时器：这时没有时间流逝。",
        )
    if answers != [(0, "a"), (1, "b")]:
        return say(
            f"Four values are put then, and the callers 0 and 1 get {answers}; what was put first goes to who asked first.",
            f"随后放入四个值，调用者 0 和 1 得到 {answers}；先放的给先问的。",
        )
    if full != {"waiting": 2, "asking": 0}:
        return say(
            f"Two of the four are left, and info answers {full}: a caller that was answered asks no more.",
            f"四个值还剩两个，info 却答 {full}：已得到回答的调用者不再算在内。",
        )
    return None


@exercise(
    "17.4",
    "one coroutine was stopped, not the service; and who leaves lets it run.",
    "停下的是一个协程，不是服务；使用者离开，协程就继续运行。",
)
def _plug(answer: Any) -> Hint:
    given = plain(answer)
    if not isinstance(given, list) or len(given) != 4 or not all(value in ("yes", "no") for value in given):
        return say("The answer is a list of four words, yes or no.", "答案是四个词（yes 或 no）的列表。")
    hints = [
        say("1: ping is a message of its own. Which coroutine would answer it?",
            "1：ping 是另一条消息。会由哪个协程回答？"),
        say("2: two who set the variables of one coroutine? Try it before client.close().",
            "2：两个人同时改一个协程的变量？在 client.close() 之前试一试。"),
        say("3: ask(buyer, '') behind client.close() prints what has come.",
            "3：在 client.close() 之后用 ask(buyer, '') 看看收到了什么。"),
        say("4: the console says cont for a connection that has ended. Try it.",
            "4：连接断开时，控制台会替它说 cont。试一试。"),
    ]  # fmt: skip
    return first_wrong(given, ["yes", "no", "yes", "no"], hints)


def _counter() -> None:
    """The counter of the notebook."""
    total = 0

    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        nonlocal total
        total += n + n
        skynet.retpack(total)


@exercise(
    "17.5",
    "the new handler goes on from half of what the old one held, and no caller has noticed anything.",
    "新的处理函数从旧函数所持有的值的一半继续，调用者毫无察觉。",
)
def _patch(source: Any) -> Hint:
    if not isinstance(source, str):
        raise TypeError("a text is expected here: the source of a file for inject")

    def script(r: Run) -> None:
        r.said.append(r.node.call(r.addr, "lua", 5))
        with TemporaryDirectory() as folder:
            (Path(folder) / "my_patch.py").write_text(source)
            r.said.append(_asked(r, "RUN", source, str(Path(folder) / "my_patch.py")))
        for n in (1, 10):
            try:
                r.said.append(r.node.call(r.addr, "lua", n))
            except (CallError, AddressError):
                r.said.append("failed")
            except DriveTimeout:
                r.said.append("no answer")

    found = run(_counter, script)
    _, ran, one, ten = found.said
    if isinstance(ran, str):
        return say(
            "The file does not come to its end, and so inject gives no answer: it waits, or ends the service.",
            "文件没有执行到末尾，所以 inject 没有回答：它在等待，或者结束了服务。",
        )
    ok, output = ran
    if not ok:
        last = str(output).strip().splitlines()[-1]
        return say(f"The file ends with {last!r}.", f"文件以 {last!r} 结束。")
    if "failed" in (one, ten):
        return say(f"After the patch a call fails. {raised(found)}", f"打补丁后调用失败。{raised(found)}") + (
            say(
                " A name that the handler uses must be there when it runs: global in the file, or a default. "
                "_P and _U are gone by then, if no name of yours keeps what is needed of them.",
                "处理函数用到的名字在它运行时必须存在：文件里的全局变量，或默认参数。"
                "那时 _P 和 _U 已经没有了，除非你自己的名字保存了所需的部分。",
            )
            if "defined" in found.errors[0] or "associated" in found.errors[0]
            else ""
        )
    if "no answer" in (one, ten):
        return say("After the patch a call gets no answer.", "打补丁后调用得不到应答。")
    if one == 12 or (isinstance(one, int) and isinstance(ten, int) and ten - one == 20):
        return say(
            "It goes on counting twice: the handler is the old one. Which function puts a new one in its place, and is it called?",
            "它仍然数两遍：处理函数还是旧的。哪个函数能换上新的？它被调用了吗？",
        )
    if one in (1, 2):
        return say(
            "It begins again from 0. The old total is in _P['lua']['total'].",
            "它从 0 重新开始了。旧的总数在 _P['lua']['total'] 里。",
        )
    if one == 11:
        return say(
            "It counts right from now on; but the total so far was doubled, and is to be halved.",
            "以后数对了；但之前的总数是加倍的，应当减半。",
        )
    if (one, ten) == (6, 15):
        return say(
            "The second message begins from the same total as the first: the sum is not kept. See global.",
            "第二条消息又从同一个总数开始：和没有保存下来。想想 global。",
        )
    if (one, ten) != (6, 16):
        return say(
            f"The total was 10 for 5. With 1 more it is {one}, with 10 more {ten}; 6 and 16 are wanted.",
            f"5 被记成了 10。再加 1 得 {one}，再加 10 得 {ten}；应为 6 和 16。",
        )
    return None
