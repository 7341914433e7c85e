"""skynet-lite learn --doctor: is the set-up complete, and if not, which command mends it?

One idea: a check is a probe, a function without arguments that tries the real thing
(listens, starts a kernel, looks where JupyterLab looks) and returns findings. Which
versions are needed is asked of the installed package, so that pyproject.toml alone says it.
"""

from __future__ import annotations

import os
import re
import shlex
import socket
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

KERNEL_SECONDS = 60.0
PACKAGES = ("greenlet", "matplotlib", "ipywidgets", "anywidget", "jupyterlab", "ipykernel", "nbclient")
FRONT_ENDS = {"anywidget": "anywidget", "@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets"}  # whose package


@dataclass(frozen=True)
class Finding:
    """One line of the table. `grade`: "ok", "warning" (the course works without it) or "missing"."""

    grade: str
    name: str
    found: str
    remedy: str = ""


Probe = Callable[[], Iterable[Finding]]


def doctor(probes: Iterable[Probe] | None = None) -> int:
    """Print the table, a line for each finding; 1 if something is missing that is needed."""
    missing = 0
    for probe in PROBES if probes is None else probes:
        for finding in probe():
            missing += finding.grade == "missing"
            remedy = f"  → {finding.remedy}" if finding.remedy else ""
            print(f"{finding.grade:8} {finding.name:24} {finding.found}{remedy}", flush=True)
    print(f"{missing} missing: the set-up is not complete" if missing else "nothing is missing: skynet-lite learn")
    return 1 if missing else 0


def command(*words: str) -> str:
    """A command with the Python that runs now, as it is typed into a shell."""
    return shlex.join((sys.executable or "python3", "-m", *words))


def install(*packages: str) -> str:
    return command("pip", "install", *packages)


def needed() -> dict[str, str]:
    """The least versions that skynet_lite asks for, with or without an extra; Python's under "python"."""
    try:
        about, lines = metadata.metadata("skynet_lite"), metadata.requires("skynet_lite") or []
    except metadata.PackageNotFoundError:
        return {}
    bounds = filter(None, (re.match(r"([\w.-]+)\s*>=\s*([\d.]+)", line) for line in lines))
    return {"python": (about["Requires-Python"] or "").removeprefix(">="), **{b[1]: b[2] for b in bounds}}


def _judged(name: str, version: str, least: str, remedy: str, where: str = "") -> Finding:
    here, there = ([int(n) for n in re.findall(r"\d+", text)[:3]] for text in (version, least))
    if here < there:
        return Finding("missing", name, f"{version}, older than {least}", remedy)
    return Finding("ok", name, version + where)


def python(version: str | None = None) -> Iterable[Finding]:
    here, least = version or ".".join(map(str, sys.version_info[:3])), needed().get("python", "")
    yield _judged("Python", here, least, f"python{least} -m venv .venv", f", {sys.prefix}")


def packages(names: Iterable[str] = PACKAGES) -> Iterable[Finding]:
    least = needed()
    if not least:
        here = Path(__file__).resolve().parent.parent.parent
        remedy = install("-e", f"{here}[notebooks]")
        yield Finding("missing", "skynet_lite", "runs from a folder, is not installed", remedy)
    for name in names:
        wanted = f"{name}>={least[name]}" if name in least else name
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding("missing", name, "not installed", install(wanted))
        else:
            yield _judged(name, version, least.get(name, ""), install("--upgrade", wanted))


def tcp(host: str = "127.0.0.1") -> Iterable[Finding]:
    """Listen, connect, and say one byte."""
    try:
        with socket.create_server((host, 0)) as server:
            server.settimeout(5)
            with socket.create_connection(server.getsockname(), timeout=5) as client, server.accept()[0] as accepted:
                accepted.settimeout(5)
                client.sendall(b"x")
                if accepted.recv(1) != b"x":
                    raise OSError("a byte was sent, and did not arrive")
    except OSError as e:
        yield Finding("missing", "TCP on loopback", f"{host}: {e}", _loopback())
    else:
        yield Finding("ok", "TCP on loopback", f"listened, connected and spoke on {host}")


def udp(host: str = "127.0.0.1") -> Iterable[Finding]:
    """Send a datagram from one socket to another. Few notebooks need it."""
    try:
        datagrams = (socket.AF_INET, socket.SOCK_DGRAM)
        with socket.socket(*datagrams) as to, socket.socket(*datagrams) as by:
            to.bind((host, 0))
            to.settimeout(5)
            by.sendto(b"x", to.getsockname())
            to.recv(1)
    except OSError as e:
        yield Finding("warning", "UDP on loopback", f"{host}: {e}", _loopback())
    else:
        yield Finding("ok", "UDP on loopback", f"a datagram has arrived on {host}")


def _loopback() -> str:
    up = "sudo ip link set lo up" if sys.platform == "linux" else "ping -n 1 127.0.0.1"
    return f"{up}   (and let a firewall or sandbox pass 127.0.0.1)"


def kernel(limit: float = KERNEL_SECONDS) -> Iterable[Finding]:
    """Start the kernel `python3` as notebooks do, and ask it which Python it is. `limit`: seconds for its start."""
    name, again = "kernel python3", command("ipykernel", "install", "--sys-prefix")
    try:
        from jupyter_client.kernelspec import NoSuchKernel
        from jupyter_client.manager import run_kernel
    except ImportError as e:
        yield Finding("missing", name, f"cannot be started: no {e.name}", install("ipykernel"))
        return
    answers: list[str] = []
    try:
        # Not through pipes of ours: what it prints while dying is its log, not a line of this table.
        with (
            open(os.devnull, "w") as nowhere,
            run_kernel(kernel_name="python3", startup_timeout=limit, stdout=nowhere, stderr=nowhere) as client,
        ):
            client.execute_interactive(  # type: ignore[attr-defined]  # it is a blocking one
                "import sys; print(sys.prefix)",
                timeout=limit,
                output_hook=lambda message: answers.append(message["content"].get("text", "")),
            )
    except NoSuchKernel:
        yield Finding("missing", name, "there is none", f"{install('ipykernel')} && {again}")
    except (OSError, RuntimeError, TimeoutError) as e:
        said = " ".join(str(e).split()) or type(e).__name__
        remedy = f"{install('--force-reinstall', 'ipykernel')} && {again}"
        yield Finding("missing", name, f"does not answer: {said}", remedy)
    else:
        theirs = "".join(answers).strip()
        ours = os.path.realpath(theirs) == os.path.realpath(sys.prefix)
        other = Finding("missing", name, f"is another Python: {theirs}", again)
        yield Finding("ok", name, "starts, answers, and is this Python") if ours else other


def front_ends(folders: list[str] | None = None) -> Iterable[Finding]:
    """The halves of the widgets that live in the page. `folders`: where JupyterLab looks for them."""
    try:
        from jupyter_core.paths import jupyter_path
        from jupyterlab_server.config import get_federated_extensions, get_page_config
    except ImportError as e:
        yield Finding("missing", "page: widgets", f"cannot be looked for: no {e.name}", install("jupyterlab"))
        return
    folders = jupyter_path("labextensions") if folders is None else folders
    there, off = get_federated_extensions(folders), get_page_config(folders).get("disabledExtensions", [])
    for extension, package in FRONT_ENDS.items():
        name = f"page: {package}"
        if extension not in there:
            remedy = install("--force-reinstall", "--no-deps", package)
            yield Finding("missing", name, f"JupyterLab has no extension {extension}", remedy)
        elif any(entry.split(":")[0] == extension for entry in off):
            remedy = command("jupyterlab.labextensions", "enable", extension)
            yield Finding("missing", name, "the extension is disabled", remedy)
        else:
            yield Finding("ok", name, f"extension {there[extension].get('version', '')}".strip())


def notebooks(folder: Path | None = None) -> Iterable[Finding]:
    from .learn import LearnError, course, numbered

    try:
        here = course() if folder is None else folder
    except LearnError:
        remedy = f"{install('./notebooks')}   (in a clone of skynet_lite)"
        yield Finding("missing", "notebooks", "not installed", remedy)
        return
    none = Finding("missing", "notebooks", f"none in {here}", f"git -C {shlex.quote(str(here))} checkout .")
    yield Finding("ok", "notebooks", f"{len(found)} in {here}") if (found := numbered(here)) else none


def font(find: Callable[[], str | None] | None = None) -> Iterable[Finding]:
    """Letters for Chinese labels in figures. `find`: finds such a font, by its name."""
    try:
        from ..view.figure import wider_font
    except ImportError:
        yield Finding("warning", "font for Chinese", "cannot be looked for: no matplotlib", install("matplotlib"))
        return
    remedy = "sudo apt-get install fonts-noto-cjk   (or another font of theirs; then delete matplotlib's font cache)"
    none = Finding("warning", "font for Chinese", "none: figures fall back to English labels", remedy)
    name = (find or wider_font)()
    yield Finding("ok", "font for Chinese", name) if name is not None else none


def browser(get: Callable[[], object] | None = None) -> Iterable[Finding]:
    import webbrowser

    try:
        (get or webbrowser.get)()
    except webbrowser.Error:
        yield Finding("warning", "browser", "none that can be opened from here", "skynet-lite learn --no-browser")
    else:
        yield Finding("ok", "browser", "one can be opened")


PROBES: tuple[Probe, ...] = (python, packages, tcp, udp, kernel, front_ends, notebooks, font, browser)
