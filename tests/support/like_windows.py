"""Commands of patch2loc in a process that lacks what Windows lacks: `python like_windows.py '[["detect", "--help"]]'`.

Other libraries are imported before, and keep what they have, because each of them chooses by itself what it does on
which system.  Then modules, functions and signals of Unix are hidden from all that is imported later, and files behave
as on Windows: none that is open can be replaced or removed, none that is only read can be flushed, and none that is
locked can be read or written by a second handle.
"""

import fcntl
import importlib
import json
import os
import pkgutil
import shutil
import signal
import sys
import types
from pathlib import Path

LIBRARIES = (
    "asyncio",
    "concurrent.futures.process",
    "multiprocessing.pool",
    "subprocess",
    "ancpbids.utils",
    "filelock",
    "http.server",
    "intensity_normalization",
    "matplotlib.pyplot",
    "nibabel",
    "nilearn.datasets",
    "pandas",
    "requests",
    "scipy.ndimage",
    "SimpleITK",
    "sklearn.linear_model",
    "tenacity",
    "torch",
    "torchvision",
    "tqdm",
    "webbrowser",
)
MODULES = (
    "crypt",
    "fcntl",
    "grp",
    "nis",
    "ossaudiodev",
    "posix",
    "pty",
    "pwd",
    "readline",
    "resource",
    "spwd",
    "syslog",
)
MODULES += ("termios", "tty")
FUNCTIONS = (
    "O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK WNOHANG chown chroot confstr ctermid fchown fork forkpty getegid "
    "geteuid getgid getgroups getloadavg getpgid getpgrp getuid initgroups killpg lchown mkfifo mknod nice openpty "
    "pathconf posix_spawn pread pwrite register_at_fork sched_getaffinity sched_setaffinity setgid setpgid setsid "
    "setuid statvfs sync sysconf sysconf_names tcgetpgrp ttyname uname wait wait3 wait4 waitid"
)
SIGNALS = "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 alarm pthread_sigmask"
LOCKED = ".patch2loc.lock"


def hide_unix():
    """Hide what Windows has not, and let files behave as there."""
    for name in MODULES:
        sys.modules[name] = None
    shutil._use_fd_functions = False
    for name in ("replace", "rename", "unlink", "remove"):
        setattr(os, name, refusing_open_files(getattr(os, name)))
    os.fsync = flushing_what_is_written(os.fsync)
    for name in ("read_text", "write_text"):
        setattr(Path, name, refusing_locked_files(getattr(Path, name)))
    sys.platform = "win32"
    for module, names in ((os, FUNCTIONS), (signal, SIGNALS)):
        hidden = {"__name__", *names.split()}
        without = types.ModuleType(module.__name__)
        vars(without).update({name: value for name, value in vars(module).items() if name not in hidden})
        sys.modules[module.__name__] = without


def open_files():
    """Files that this process has open or mapped into memory."""
    mapped = {line.split(maxsplit=5)[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    descriptors = Path("/proc/self/fd")
    return mapped | {os.path.realpath(descriptors / number) for number in os.listdir(descriptors)}


def refusing_open_files(function):
    def refuse(path, *others, **named):
        paths = [os.path.realpath(each) for each in (path, *others) if isinstance(each, (str, os.PathLike))]
        used = open_files().intersection(paths)
        if used and not any(
            each.endswith(LOCKED) for each in paths
        ):  # filelock's own are not those of Windows
            raise PermissionError(13, "The process cannot access the file, it is open", min(used))
        return function(path, *others, **named)

    return refuse


def flushing_what_is_written(fsync):
    def flush(descriptor):
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(9, "Bad file descriptor")
        fsync(descriptor)

    return flush


def refusing_locked_files(function):
    def refuse(path, *arguments, **named):
        if path.name == LOCKED:
            raise PermissionError(13, "Permission denied", str(path))
        return function(path, *arguments, **named)

    return refuse


def import_all():
    """Import every module of the library; how many there are."""
    import patch2loc

    names = [module.name for module in pkgutil.walk_packages(patch2loc.__path__, "patch2loc.")]
    for name in names:
        importlib.import_module(name)
    return len(names)


def main():
    for name in LIBRARIES:
        importlib.import_module(name)
    hide_unix()

    from patch2loc import files

    files.ON_WINDOWS = True
    count = import_all()
    from patch2loc.commands import main

    statuses = []
    for words in json.loads(sys.argv[1]):
        print(f"$ patch2loc {' '.join(words)}", flush=True)
        try:
            statuses.append(main(words))
        except SystemExit as end:  # as --help ends
            statuses.append(end.code)
    print(json.dumps({"modules": count, "statuses": statuses}))


if __name__ == "__main__":
    main()
