"""A ClickHouse server of a script's own, to be started, asked and killed. See scripts/clickhouse for how it is started."""
import json
import os
import signal
import socket
import subprocess
import time
import urllib.request

CLICKHOUSE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "clickhouse")
HOST = "127.0.0.1"


def free_port():
    with socket.create_server((HOST, 0)) as server:
        return server.getsockname()[1]


class Server:
    """Listens on the same two ports, however often it is killed and started."""

    def __init__(self, kind, directory, extra=""):
        self.kind, self.dir, self.extra = kind, directory, extra
        self.tcp, self.http = free_port(), free_port()
        self.start()

    def start(self):
        said = subprocess.run(
            [CLICKHOUSE, self.kind, "start", "--dir", self.dir, "--tcp", str(self.tcp), "--http", str(self.http),
             "--parent-pid", str(os.getpid()), "--extra", self.extra, "--wait", "120"],
            check=True, stdout=subprocess.PIPE)
        self.pid = json.loads(said.stdout)["pid"]

    def kill(self):
        """SIGKILL, and not a word."""
        children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(self.pid)], stdout=subprocess.PIPE).stdout.split()
        for pid in [int(child) for child in children] + [self.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        end = time.monotonic() + 10
        while time.monotonic() < end:
            try:
                socket.create_connection((HOST, self.tcp), timeout=1).close()
                time.sleep(0.05)
            except OSError:
                return

    def stop(self):
        subprocess.run([CLICKHOUSE, self.kind, "stop", "--dir", self.dir], stdout=subprocess.DEVNULL)

    def query(self, sql, timeout=60):
        request = urllib.request.Request("http://%s:%d/" % (HOST, self.http), data=sql.encode())
        return urllib.request.urlopen(request, timeout=timeout).read().decode().strip()
