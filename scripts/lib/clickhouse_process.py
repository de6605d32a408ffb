"""The process that is, or watches over, one ClickHouse server; and the record of it in the server's directory.

  clickhouse_process.py modern|legacy DIRECTORY ENGINE PARENT_PID keep|remove
  clickhouse_process.py query DIRECTORY ENGINE FORMAT PATH   (SQL on stdin)

modern: the engine is the extension module of PyPI's chdb-core, which holds a whole clickhouse-local. That one has
`SYSTEM START LISTEN`, which opens the real TCP and HTTP servers with the ports of config.xml; they live as long as the
session that opened them, so its last statement reads from a FIFO that this process keeps open until it shall end.
legacy: the engine is the path of clickhouse-server, which runs as a child.

Either way the server ends when this process does: by SIGTERM, with PARENT_PID, or by SIGKILL (the modern one is this
process; the child asked the kernel for a signal at its parent's death).
"""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid

STOP_SECONDS_MAX = 20


def start_time(pid):
    """Tells a process from a later one of the same number; None when there is none, or a zombie."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            fields = file.read().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return None
    return None if fields[0] in "ZX" else fields[19]


def record(directory, pid, said):
    path = os.path.join(directory, "state.json")
    with open(path + ".new", "w") as file:
        json.dump({"pid": pid, "start_time": start_time(pid), "said": said}, file)
    os.replace(path + ".new", path)


def recorded(directory):
    """The record, if its process still lives."""
    try:
        with open(os.path.join(directory, "state.json")) as file:
            state = json.load(file)
    except (OSError, ValueError):
        return None
    return state if state["start_time"] and start_time(state["pid"]) == state["start_time"] else None


def end(pid, started, reap=lambda: None):
    """SIGTERM, then SIGKILL after a while: that process only."""
    limit = time.monotonic() + STOP_SECONDS_MAX + 10
    os.kill(pid, signal.SIGTERM)
    while start_time(pid) == started and started:
        reap()
        if time.monotonic() > limit:
            os.kill(pid, signal.SIGKILL)
            limit += 3600
        time.sleep(0.05)


def load(module):
    """The extension module by itself: chdb's own package would start an engine that has no listeners."""
    import importlib.machinery
    import importlib.util
    directory = os.getcwd()
    os.chdir(os.path.dirname(module))  # it looks for libraries beside it
    try:
        ctypes.CDLL(module, mode=os.RTLD_NOW | os.RTLD_DEEPBIND)  # its allocator must win over Python's C library
        loader = importlib.machinery.ExtensionFileLoader("_chdb", module)
        loaded = importlib.util.module_from_spec(importlib.util.spec_from_loader("_chdb", loader))
        loader.exec_module(loaded)
        return loaded
    finally:
        os.chdir(directory)


def modern(directory, module):
    """Starts the server; how to end it, and what tells whether it lives."""
    metadata = os.path.join(directory, "data", "metadata")
    os.makedirs(metadata, exist_ok=True)
    for database in ("system", "default"):  # clickhouse-local would hold them in memory
        path = os.path.join(metadata, database + ".sql")
        if not os.path.exists(path):
            with open(path, "w") as file:
                file.write("ATTACH DATABASE _ UUID '%s' ENGINE = Atomic\n" % uuid.uuid4())
    fifo = os.path.join(directory, "hold")
    if os.path.exists(fifo):
        os.unlink(fifo)
    os.mkfifo(fifo, 0o600)
    held = os.open(fifo, os.O_RDWR)
    sql = ("SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; SELECT count() FROM file('%s', LineAsString, 'l String') "
           "SETTINGS storage_file_read_method = 'read', engine_file_skip_empty_files = 0, max_threads = 1 FORMAT Null"
           % fifo)
    engine = load(module)

    def session():
        try:
            engine.query(sql, "TSV", path=os.path.join(directory, "data"))
        except BaseException as error:
            print("the engine ended:", error, flush=True)

    thread = threading.Thread(target=session, daemon=True)
    thread.start()
    return (lambda: os.close(held)), thread.is_alive


def legacy(directory, server):
    def die_with_parent():
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG

    child = subprocess.Popen([server, "--config-file=" + os.path.join(directory, "config.xml")], cwd=directory,
                             preexec_fn=die_with_parent)
    return child.terminate, lambda: child.poll() is None


def serve(kind, directory, engine, parent, keep):
    asked = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: asked.set())
    parent_started = start_time(parent) if parent else None
    stop, lives = (modern if kind == "modern" else legacy)(directory, engine)
    limit = None
    while lives():
        time.sleep(0.1)
        gone = parent and start_time(parent) != parent_started
        if limit is None and (asked.is_set() or gone):
            stop()
            limit = time.monotonic() + STOP_SECONDS_MAX
        if limit is not None and time.monotonic() > limit:
            break
    if not keep and limit is not None:
        shutil.rmtree(directory, ignore_errors=True)
    sys.stdout.flush()
    os._exit(0 if limit is not None else 1)  # the engine's threads must not hold the process back


def query(engine, text, form, path):
    """Prints what all statements print; 0, or 1 if one failed. The engine itself only writes errors to stderr, so a
    last statement of ours shows that those before it went well."""
    with tempfile.TemporaryDirectory() as directory:
        mark = os.path.join(directory, "done")
        text = text.rstrip().rstrip(";") + "\n;\nSELECT 1 INTO OUTFILE '%s'" % mark
        try:
            printed = engine.query(text, form, **({"path": path} if path else {})).bytes() or b""
        except Exception as error:
            print(error, file=sys.stderr)
            return 1
        sys.stdout.buffer.write(printed)
        return 0 if os.path.exists(mark) else 1


def main(kind, directory, engine, *rest):
    if kind == "query":
        code = query(load(engine), sys.stdin.buffer.read().decode(), *rest)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    serve(kind, directory, engine, int(rest[0]), rest[1] == "keep")


if __name__ == "__main__":
    main(*sys.argv[1:])
