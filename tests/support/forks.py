"""Programs in forks of a process that has their libraries loaded: imports are most of what a small job takes.

    forks.run([sys.executable, "-m", "snakemake", ...], folder)

Python processes with this environment, and those that they start in turn, such as the jobs of a run, are forks of a
server that has imported what LIBRARIES names and nothing of this package: they begin as they would by themselves, in
their folder, with their arguments, environment, search path and streams.  They end as their fork does; they are killed
with it, and it with them.
"""

import atexit
import contextlib
import gc
import importlib
import os
import pickle
import resource
import runpy
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path

from filelock import FileLock

LIBRARIES = """
    snakemake.cli snakemake.workflow snakemake.iocontainers snakemake_executor_plugin_slurm
    pandas nbformat requests psutil filelock tqdm jsonschema jinja2 pyarrow.parquet
    numpy.ma torch torch.nn.utils.fusion torchvision.models.resnet safetensors.numpy
    scipy.ndimage scipy.stats scipy.optimize scipy.sparse.csgraph scipy.spatial.transform
    SimpleITK nibabel matplotlib.figure matplotlib.backends.backend_agg matplotlib.layout_engine
""".split()  # noqa: SIM905
CLIENT = Path(__file__).parent / "in_forks"
WAIT = 60  # seconds that the libraries may take to load
TURN = 1.0  # seconds between looks at whether the tests still run


def environment(base=None):
    """Environment of programs that are to run in forks; the server is started by the first test that asks."""
    base = dict(os.environ if base is None else base)
    search_path = filter(None, [base.get("PYTHONPATH"), str(CLIENT)])
    return base | {
        "PYTHONPATH": os.pathsep.join(search_path),
        "PATCH2LOC_FORKS": str(_server()),
        "PATCH2LOC_FORKS_OF": sys.executable,
        "PATCH2LOC_FORKS_SECONDS": str(_seconds_file()),
    }


def run(command, folder, base=None):
    """A finished process whose programs are forks; with what it wrote, as text."""
    import time_spent  # here: programs know nothing of it

    before = _seconds()
    process = subprocess.run(
        list(map(str, command)), cwd=folder, env=environment(base), capture_output=True, text=True
    )
    time_spent.of_forks += _seconds() - before
    return process


def _seconds():
    """Processor seconds of the forks that have ended and were started for the tests of this process."""
    path = _seconds_file()
    return sum(map(float, path.read_text().split())) if path.exists() else 0.0


def _seconds_file():
    return _base(f"{os.getpid()}.seconds")


def _base(end):
    """A path of this run of the tests, short enough for a socket."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))[:12]
    return Path(tempfile.gettempdir(), f"patch2loc-{os.getuid()}-{run}.{end}")


def _server():
    """Address of the server of this run of the tests."""
    address = _base("socket")
    with FileLock(_base("lock")):
        if not address.exists():
            tests = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
            command = [sys.executable, __file__, str(address), str(tests), str(_seconds_file())]
            subprocess.Popen(
                command,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg"},
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                start_new_session=True,
            )
            deadline = time.monotonic() + WAIT
            while not address.exists():
                assert time.monotonic() < deadline, "the server of forks did not start"
                time.sleep(0.05)
    return address


def serve(address, tests, seconds_path):
    """Fork a process for each request, until the process of the tests is gone."""
    del sys.path[0]  # tests/support: programs know nothing of it
    for name in LIBRARIES:
        importlib.import_module(name)
    gc.freeze()  # collections in the forks then leave its memory alone, which they share
    _add_seconds(seconds_path, resource.getrusage(resource.RUSAGE_SELF))
    with socket.socket(socket.AF_UNIX) as listening, selectors.DefaultSelector() as waiting:
        listening.bind(f"{address}.new")
        listening.listen(64)
        waiting.register(listening, selectors.EVENT_READ, lambda: _start(listening, waiting))
        os.rename(f"{address}.new", address)
        try:
            while _is_alive(tests):
                for key, _ in waiting.select(TURN):
                    key.data()
        finally:
            for path in Path(address).parent.glob(f"{Path(address).stem}.*"):
                path.unlink()
            os._exit(0)  # what libraries do at their end takes a while, and says much


def _is_alive(number):
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def _start(listening, waiting):
    """Begin the program that a process asks for."""
    asking, _ = listening.accept()
    with asking.makefile("rb") as stream:
        _, streams, _, _ = socket.recv_fds(asking, 1, 3)
        request = pickle.load(stream)
    program = os.fork()
    if program == 0:
        waiting.close()
        listening.close()
        asking.close()
        _become(request, streams)
    for number in streams:
        os.close(number)
    ended = os.pidfd_open(program)

    def kill():
        waiting.unregister(asking)
        os.kill(program, signal.SIGKILL)

    def end():
        """Tell how the program ended, if anybody still waits for it."""
        waiting.unregister(ended)
        os.close(ended)
        if asking in (key.fileobj for key in waiting.get_map().values()):
            waiting.unregister(asking)
        _, status, used = os.wait4(program, 0)
        _add_seconds(request["environment"]["PATCH2LOC_FORKS_SECONDS"], used)
        with asking, contextlib.suppress(OSError):
            asking.sendall(str(os.waitstatus_to_exitcode(status)).encode())

    waiting.register(ended, selectors.EVENT_READ, end)
    waiting.register(asking, selectors.EVENT_READ, kill)  # nothing more is to be read but its end


def _add_seconds(path, used):
    with open(path, "a") as file:
        file.write(f"{used.ru_utime + used.ru_stime}\n")


def _become(request, streams):
    """Be the program that is asked for, to its end."""
    for target, number in enumerate(streams):
        os.dup2(number, target)
        os.close(number)
    # Streams know whether what they were opened on can be sought: a file may have become a pipe.
    for name in ("stdout", "stderr"):
        old = getattr(sys, name)
        setattr(
            sys,
            name,
            open(old.fileno(), "w", encoding=old.encoding, errors=old.errors, closefd=False, buffering=1),  # noqa: SIM115
        )
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    first, *rest = request["arguments"]
    status = 0
    try:
        _run(first, rest, request["path"])
    except SystemExit as end:
        status = _status(end)
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:  # of a full disk
        status = status or 120  # as Python ends then
    os._exit(status)


def _run(first, rest, path):
    if first == "-c":
        sys.path[:], sys.argv[:] = ["", *path], ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__", "__builtins__": __builtins__})
    elif first == "-m":
        sys.path[:], sys.argv[:] = [os.getcwd(), *path], rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[:], sys.argv[:] = [os.path.dirname(os.path.abspath(first)), *path], [first, *rest]
        runpy.run_path(first, run_name="__main__")


def _status(end):
    if end.code is None or isinstance(end.code, int):
        return (end.code or 0) & 0xFF
    print(end.code, file=sys.stderr)
    return 1


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3])
