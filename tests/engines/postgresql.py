"""PostgreSQL: Debian's server on a folder of the test's own, with databases that are copies of one another."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from signal import Signals
from tempfile import TemporaryDirectory

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from tests.engines.engine import free_port, missing, printed, running, stop, wait_until

USER, PASSWORD = "hub", "p@ss/word?of:tests"  # with all that a URL must write another way
SERVANT = "nobody"  # the server refuses to run as root
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "200",
}


def binaries() -> Path:
    """The folder of the newest server that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if not found:
        missing("PostgreSQL", "install Debian's package `postgresql`, or run `make engines` as root")
    return found[-1].parent


class PostgreSQL:
    """A running server; its one user may do everything."""

    def __init__(self, folder: Path, host: str) -> None:
        self._folder = folder
        self._host = host
        self._binaries = binaries()
        self._data = folder / "data"
        self._port = free_port()
        self._running = ExitStack()
        password = folder / "password"
        password.write_text(PASSWORD)
        if os.geteuid() == 0:
            for path in (folder, password):
                shutil.chown(path, SERVANT)
        options = ["--no-sync", "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}", "--encoding=UTF8"]
        printed(self._as_servant("initdb", *options))
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")  # whoever reaches the address that it listens on

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        settings = {**SETTINGS, "listen_addresses": self._host}
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        command = self._as_servant("postgres", "-p", str(self._port), "-k", str(self._folder), *options)
        self._process = self._running.enter_context(running(command, self._folder / "log"))
        wait_until(self._answers, "PostgreSQL answers")

    def stop(self, how: Signals = Signals.SIGQUIT) -> None:
        """End the server: every connection breaks at once. What was committed last stays with SIGINT alone."""
        stop(self._process, how)
        self._running.pop_all().close()

    def become_standby(self) -> None:
        """Start the server that was stopped as a standby, which is read alone."""
        signal = self._data / "standby.signal"
        signal.touch()
        if os.geteuid() == 0:
            shutil.chown(signal, SERVANT)
        self.start()

    def promote(self) -> None:
        """Let the standby take writes."""
        self._administer(SQL("SELECT pg_promote()"))

    def url(self, database: str, *, user: str = USER, password: str = PASSWORD, options: str = "") -> str:
        """What a SecretRef to this database holds."""
        quoted = "".join(letter if letter.isalnum() else f"%{ord(letter):02X}" for letter in password)
        return f"postgresql://{user}:{quoted}@{self._host}:{self._port}/{database}{options}"

    def create(self, name: str, template: str = "template1") -> str:
        """Make a database as a copy of another, to which nobody may be connected; gives its URL."""
        statement = SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY FILE_COPY")
        self._administer(statement.format(Identifier(name), Identifier(template)))
        return self.url(name)

    def drop(self, name: str) -> None:
        """Remove a database, and end who is connected to it."""
        self._administer(SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(Identifier(name)))

    def _administer(self, statement: SQL | Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _answers(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _as_servant(self, program: str, *words: str) -> Sequence[str]:
        command = [str(self._binaries / program), "-D", str(self._data), *words]
        # the kernel forgets with the user whose end is to be this one's, too
        servant = ["setpriv", "--pdeathsig=KILL", f"--reuid={SERVANT}", f"--regid={_group()}", "--clear-groups", "--"]
        return [*(servant if os.geteuid() == 0 else []), *command]


@contextmanager
def serving(host: str = "127.0.0.1") -> Generator[PostgreSQL]:
    """A server, gone at the end with all that it held."""
    # pytest's own folders are closed to all but who runs it, and the server does not run as root
    with TemporaryDirectory(prefix="visionfleet-postgresql-") as folder:
        server = PostgreSQL(Path(folder), host)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _group() -> str:
    return subprocess.run(
        ["id", "-gn", SERVANT], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
    ).stdout.strip()
