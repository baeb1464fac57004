"""Hostile programs: as root and as a user, and on kernels that lack a protection."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from jz3 import io
from jz3.execution import programs

HERE = Path(__file__).parent
SCRIPTS = Path(programs.__file__).parents[2]
SETTINGS = {"seconds": 5, "memory_mb": 500, "output_characters": 400, "workers": 2}
confined = pytest.mark.skipif(bool(programs.missing_protections()), reason="no confinement here")

# What each attack may use; VICTIM and PARENT are live processes of the same user, PRECIOUS a file.
PRELUDE = """
import ctypes, os, signal, socket, struct, sys, threading, time, fcntl, mmap
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    result = getattr(libc, name)(*arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), name)
    return result
def kernel(number, *arguments):
    result = libc.syscall(number, *arguments)
    if result == -1:
        raise OSError(ctypes.get_errno(), str(number))
    return result
"""
# Each gets through, and prints OPEN, if it ends without an error.
ATTACKS = """
open('/etc/passwd').read()
open('/etc/shadow').read()
open('/etc/hostname').read()
open('PRECIOUS').read()
os.listdir('PRECIOUS/..')
os.listdir('/var')
os.listdir('/home')
os.listdir(os.path.expanduser('~root'))
open('/proc/1/environ').read()
open('/proc/self/environ').read()
open('/proc/VICTIM/environ').read()
open('/proc/PARENT/mem', 'rb')
os.listdir('/proc')[0]
os.listdir('/sys')[0]
open('/dev/mem', 'rb')
open('/dev/kmsg')
open('/dev/tty')
os.listdir('/dev/shm')
os.readlink('/proc/self/cwd')
os.stat('PRECIOUS')
open('/usr/planted', 'w')
open(sys.prefix + '/planted', 'w')
open(os.__file__, 'a')
open(os.__file__, 'r+')
os.remove(os.__file__)
os.rename(os.__file__, 'mine.py')
os.chmod(os.__file__, 0o777)
os.utime(os.__file__)
os.link(os.__file__, 'mine.py')
os.mkdir('/planted')
os.chown('.', 0, 0)
os.mknod('device', 0o20666, os.makedev(1, 1))
os.mkfifo('pipe')
os.setxattr('.', 'user.a', b'1')
os.chroot('.')
open('PRECIOUS', 'w')
open('PRECIOUS', 'a')
os.truncate('PRECIOUS', 0)
os.symlink('PRECIOUS', 'link'); open('link').read()
os.kill(VICTIM, 9)
os.kill(PARENT, 9)
os.kill(os.getppid(), 9)
os.kill(-1, 9)
os.kill(1, 9)
os.killpg(0, 9)
os.kill(VICTIM, 0)
signal.pidfd_send_signal(os.pidfd_open(VICTIM), 9)
call('tgkill', VICTIM, VICTIM, 9)
kernel(200, VICTIM, 9)
call('sigqueue', VICTIM, 9, None)
fcntl.fcntl(1, fcntl.F_SETOWN, VICTIM)
fcntl.fcntl(1, fcntl.F_SETOWN, -VICTIM)
fcntl.fcntl(1, fcntl.F_SETOWN, os.getpid())
fcntl.fcntl(1, fcntl.F_SETSIG, 9)
fcntl.fcntl(1, 15, struct.pack('ii', 1, VICTIM))
fcntl.fcntl(os.open('f', os.O_CREAT | os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)
fcntl.fcntl(os.open('.', 0), fcntl.F_NOTIFY, 1)
fcntl.fcntl(1, 1031, 1 << 20)
call('fcntl', 1, 8 | 1 << 32, VICTIM)
fcntl.ioctl(os.open('f', os.O_CREAT | os.O_RDWR), 0x40086602, struct.pack('q', 16))
fcntl.ioctl(os.open('.', 0), 0xC0045877, 0)
fcntl.ioctl(0, 0x5412, b'x')
fcntl.ioctl(1, 0x8901, struct.pack('i', VICTIM))
fcntl.ioctl(1, 0x5452, struct.pack('i', 1))
fcntl.flock(os.open(os.__file__, 0), fcntl.LOCK_EX)
call('prctl', 1, 0, 0, 0, 0)
call('prctl', 4, 1, 0, 0, 0)
call('prctl', 36, 1, 0, 0, 0)
call('prctl', 0x59616D61, -1, 0, 0, 0)
call('prctl', 22, 0, 0, 0, 0)
call('prctl', 24, 0, 0, 0, 0)
call('prctl', 8, 1, 0, 0, 0)
os.setuid(0)
os.setresuid(0, 0, 0)
os.setgid(0)
os.setgroups([0])
os.getresuid().index(0)
os.getgroups().index(0)
call('capset', struct.pack('Ii', 0x20080522, 0), b'\\xff' * 24)
import resource; resource.setrlimit(resource.RLIMIT_CPU, (1000, 1000))
import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
import resource; resource.prlimit(VICTIM, resource.RLIMIT_CPU, (0, 0))
import resource; resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE, (9, 9))
os.nice(5)
os.setpriority(os.PRIO_PROCESS, VICTIM, 19)
os.sched_setaffinity(VICTIM, {0})
os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
kernel(314, VICTIM, struct.pack('IIQiIQQQ', 48, 3, 0, 0, 0, 0, 0, 0), 0)
call('ptrace', 16, VICTIM, 0, 0)
kernel(310, VICTIM, None, 0, None, 0, 0)
kernel(312, VICTIM, PARENT, 0, 0, 0)
os.fork()
os.posix_spawn('/bin/true', ['true'], {})
os.execv('/bin/true', ['true'])
os.execv(sys.executable, ['python', '-c', 'pass'])
import subprocess; subprocess.run(['true'])
os.popen('id').read().index('id')
1 / (os.system('true') == 0)
import multiprocessing; multiprocessing.Process(target=print).start()
import pty; pty.fork()
kernel(435, b'\\0' * 88, 88)
kernel(56, 17, 0, 0, 0, 0)
call('unshare', 0x10000000)
call('unshare', 0x00020000)
call('setns', 0, 0)
call('mount', b'tmpfs', b'.', b'tmpfs', 0, None)
call('umount2', b'.', 2)
kernel(155, b'.', b'.')
kernel(428, -100, b'.', 1)
kernel(430, b'tmpfs', 0)
kernel(442, -100, b'.', 0, b'\\0' * 32, 32)
socket.socket()
socket.socket(socket.AF_INET6)
socket.socket(socket.AF_UNIX)
socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)
socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
socket.socketpair(socket.AF_INET)
socket.socketpair()[0].sendto(b'x', b'\\0abstract')
socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', b'\\0abstract')
socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].connect(b'\\0abstract')
socket.socketpair()[0].bind(b'\\0abstract')
socket.socketpair()[0].sendmsg([b'x'])
socket.create_connection(('127.0.0.1', PORT), 1)
import urllib.request; urllib.request.urlopen('http://127.0.0.1:PORT')
call('shmget', 0x1234, 64, 0o1600)
1 / (libc.shmat(MEMORY, None, 0) != -1)
call('shmctl', MEMORY, 0, None)
call('msgget', 0x1234, 0o1600)
call('semget', 0x1234, 1, 0o1600)
call('mq_open', b'/queue', 0o102, 0o600, None)
os.memfd_create('x')
kernel(425, 1, b'\\0' * 120)
kernel(321, 0, b'\\0' * 120, 120)
kernel(323, 0)
kernel(298, b'\\0' * 112, 0, -1, -1, 0)
kernel(248, b'user', b'a', b'b', 1, -3)
kernel(250, 0, -3, 1)
kernel(304, -100, b'.', 0, 0)
kernel(251, 1, 0, 0)
kernel(103, 3, None, 0)
kernel(175, None, 0, b'')
kernel(169, 0)
call('sethostname', b'x', 1)
time.clock_settime(time.CLOCK_REALTIME, 0)
call('mlockall', 3)
call('sync')
kernel(0x40000000 + 39)
kernel(444, None, 0, 1)
kernel(449, None, 0, 0, None, 0)
kernel(467, 0, 0, 0, 0)
kernel(500, 0)
[os.read(fd, 1) for fd in range(3, 64)]
sys.modules['jz3.execution.sandbox']
import jz3
"""
LINES = [line for line in ATTACKS.strip().splitlines() if line]
X86_ONLY = ("kernel(",)  # numbers of one machine
# Programs that need no door: they cost their own row, and no other.
POISON = [
    "while True: pass",
    "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
    "import time\ntime.sleep(1000)",
    "x = 'a'\nwhile True: x += x",
    "x = []\nwhile True: x.append(bytearray(10**6))",
    "while True: print('x' * 10**6)",
    "import os\nos.close(1); os.close(2)\nwhile True: pass",
    "import os\nfor i in range(256):\n  try: os.close(i)\n  except OSError: pass\nwhile True: pass",
    "import os\nos._exit(98)",
    "import os\nos._exit(97)",
    "import os, signal\nos.abort()",
    "import ctypes\nctypes.string_at(0)",
    "import sys\nsys.setrecursionlimit(10**9)\ndef f(): f()\nf()",
    "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
    "i = 0\nwhile True:\n  i += 1\n  open(f'f{i}', 'w').write('x' * 10**6)",
    "import os\nd = 'd'\nwhile True: os.mkdir(d); os.chdir(d)",
    "import os\nos.chmod('.', 0); open('a', 'w')",
    "import os\nos.symlink('/', 'a'); os.mkdir('b'); os.chmod('b', 0)",
    "import sys\nsys.stdout.close(); sys.stderr.close()",
    "import atexit, time\natexit.register(time.sleep, 1000)",
    "import sys\nsys.settrace(lambda *a: 1/0)\nx = 1",
    "import builtins\nbuiltins.print = None\nprint(1)",
    "import gc\n[o.close() for o in gc.get_objects() if hasattr(o, 'fileno')]",
    "class A:\n  def __del__(self):\n    while True: pass\na = A()",
    "9**9**9**9",
    "raise KeyboardInterrupt",
    "raise type('A', (BaseException,), {'__str__': lambda s: 1 / 0})",
]


def written(attack, **names):
    for name, value in names.items():
        attack = attack.replace(name, str(value))
    return f"{PRELUDE}\n{attack}\nprint('OPEN')"


def test_an_attack_that_gets_through_is_seen():
    source = written(LINES[0])
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout.endswith("OPEN\n")


def assault(folder):
    """Run every attack; what got through, and what was not as before. (Called by other users.)"""
    precious = Path(folder, "precious")
    precious.write_text("hush")
    before = precious.stat()
    os.environ["OPENAI_API_KEY"] = "hush"
    libc = ctypes.CDLL(None)
    memory = libc.shmget(0, 64, 0o600)
    import socket

    with subprocess.Popen(["sleep", "600"]) as victim, socket.create_server(("127.0.0.1", 0)) as s:
        names = {
            "PRECIOUS": precious, "VICTIM": victim.pid, "PARENT": os.getpid(), "MEMORY": memory,
            "PORT": s.getsockname()[1],
        }  # fmt: skip
        lines = LINES if os.uname().machine == "x86_64" else [
            line for line in LINES if not line.startswith(X86_ONLY)
        ]  # fmt: skip
        sources = [written(line, **names) for line in lines]
        results = programs.run_programs([*sources, "print('alive')"], SETTINGS)
        wrong = [
            (line, result)
            for line, result in zip(lines, results, strict=False)
            if "OPEN" in result.output or "hush" in result.output or "the sandbox" in result.error
        ]
        if results[-1].output != "alive":
            wrong.append(("the last one", results[-1]))
        if victim.poll() is not None:
            wrong.append(("the victim is dead", victim.returncode))
        victim.kill()
    after = precious.stat()
    if (after.st_mtime_ns, after.st_mode, after.st_size) != (
        before.st_mtime_ns, before.st_mode, before.st_size,
    ):  # fmt: skip
        wrong.append(("the file is another", after))
    if sorted(os.listdir(folder)) != ["precious"]:
        wrong.append(("files were planted", os.listdir(folder)))
    if libc.shmctl(memory, 0, None) != 0:
        wrong.append(("shared memory is gone", memory))
    return [(line, str(found)) for line, found in wrong]


@confined
def test_no_door_is_open(tmp_path):
    assert len(LINES) >= 150
    assert assault(tmp_path) == []


@confined
def test_a_poison_row_costs_one_row():
    rows = [source for poison in POISON for source in (poison, "print(6 * 7)")]
    results = programs.run_programs(rows, SETTINGS | {"seconds": 1})
    healthy = [result.output for result in results[1::2]]
    assert healthy == ["42"] * len(POISON)


def elsewhere(command, code, *arguments):
    """What a Python of its own, started by `command`, prints as JSON of `code`'s `found`."""
    program = (
        f"import sys, json; sys.path[:0] = [{str(SCRIPTS)!r}, {str(HERE)!r}]\n"
        f"arguments = {list(map(str, arguments))!r}\n{code}\nprint(json.dumps(found))"
    )
    done = subprocess.run([*command, sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def readable_by_others():
    paths = [Path(sys.executable), Path(sys.executable).resolve(), SCRIPTS, Path(programs.__file__)]
    return all(parent.stat().st_mode & 0o005 for path in paths for parent in (path, *path.parents))


@confined
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user")
@pytest.mark.skipif(not readable_by_others(), reason="this Python is for one user")
def test_no_door_is_open_to_a_user():
    code = (
        "import os, tempfile\nos.setgroups([]); os.setgid(4321); os.setuid(4321)\n"
        "import test_attacks\n"
        "with tempfile.TemporaryDirectory() as folder: found = test_attacks.assault(folder)"
    )
    assert elsewhere([], code) == []


def lacking(what, code, *arguments):
    return elsewhere([sys.executable, str(HERE / "without.py"), what], code, *arguments)


MISSING = "from jz3.execution import programs\nfound = sorted(programs.missing_protections())"
REFUSED = """
from jz3 import io
from jz3.execution import programs
SETTINGS = {"seconds": 5, "memory_mb": 500, "output_characters": 400, "workers": 1}
found = []
for accepted in ([], arguments):
    try:
        ran = programs.run_programs(["print(1)"], SETTINGS | {"accept_missing": accepted})
        found.append(ran[0].output)
    except io.UserError as error:
        found.append(str(error))
"""


@confined
def test_without_landlock_a_root_of_its_own_holds(tmp_path):
    code = "import test_attacks\nfound = test_attacks.assault(arguments[0])"
    assert lacking("landlock", code, tmp_path) == []


@confined
@pytest.mark.parametrize(
    ("without", "holes"),
    [
        ("seccomp", ["network", "processes", "system_calls"]),
        ("landlock,seccomp", ["network", "processes", "system_calls"]),
        ("namespaces", ["folder"]),
        ("landlock,namespaces", ["files", "folder"]),
        ("landlock,seccomp,namespaces",
         ["files", "folder", "network", "processes", "system_calls"]),
    ],
)  # fmt: skip
def test_what_the_kernel_lacks_is_named_and_stops_the_run(without, holes):
    if "namespaces" in without and os.geteuid() == 0 and not readable_by_others():
        with pytest.raises(AssertionError, match="must be readable by other users"):
            lacking(without, MISSING)
        return
    refused, accepted = lacking(without, REFUSED, *holes)
    for hole in holes:
        assert f"{hole}: {programs.PROTECTIONS[hole]}" in refused
    assert f"execution.accept_missing: [{', '.join(holes)}]" in refused
    assert accepted == "1"


def test_a_hole_must_be_accepted_by_its_name(monkeypatch):
    monkeypatch.setattr(
        programs, "missing_protections", lambda: {"files": "read", "folder": "none"}
    )
    with pytest.raises(io.UserError, match=r"files: read.*accept_missing: \[files\]"):
        programs.require_protection(["folder", "network"])
    programs.require_protection(["folder", "files"])


@confined
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_programs_die_with_an_interrupted_run(tmp_path, end):
    """Whatever they did to outlive it."""
    source = (
        "import ctypes, os, signal, time\nctypes.CDLL(None).prctl(1, 0, 0, 0, 0)\n"
        "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]\ntime.sleep(300)"
    )
    driver = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r})\n"
        "from jz3.execution import programs\nprograms.missing_protections()\nprint('up', flush=1)\n"
        f"programs.run_programs([{source!r}], {SETTINGS | {'seconds': 100}!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", driver], stdout=subprocess.PIPE)
    process.stdout.readline()
    deadline = time.monotonic() + 30
    while len(found := descendants(process.pid)) < 2:  # the server, and its first process
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    time.sleep(1)
    found |= descendants(process.pid)
    process.send_signal(end)
    process.wait()
    process.stdout.close()
    while alive := [pid for pid in found if Path(f"/proc/{pid}/cmdline").exists()]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.1)


def descendants(pid):
    found, waiting = set(), [pid]
    while waiting:
        for path in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            children = {int(child) for child in path.read_text().split()}
            waiting += children - found
            found |= children
    return found
