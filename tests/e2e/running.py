"""A real server for end-to-end tests: `ladestrom serve` as a process of its own, on loopback.

    from tests.e2e.running import Running, irve_register

    @pytest.fixture
    def running(tmp_path):
        with Running(tmp_path) as server:            # set up, not started
            server.import_register("irve", irve_register(tmp_path / "r.jsonl", stations=10, evses=4))
            server.operator("acme", all_evses=True)
            server.start()                           # returns when it is ready
            yield server                             # stopped at the end, whatever happened

    running.url                     http://127.0.0.1:PORT; the same after every restart
    running.key("report", operator="acme")   a key, made at the command line; also while it runs
    running.run("keys", "list")     any other command, with --data where it belongs
    running.kill9()                 SIGKILL, and waits for the end
    running.restart()               SIGTERM where it runs, then start; on the same data and port
    running.stop()                  SIGTERM; the exit code
    running.ready_s                 seconds from starting the process to its line `ready`
    running.output                  the last lines it printed, standard error included

Everything raises `NotRunning` with the server's output when it does not do what it should in time.
Settings are given by name: `Running(tmp_path, {"log.durability": "relaxed"})`.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.patience import DEADLINE_S, scaled
from tests.programs import PIPE, STDOUT, Program, TimeoutExpired, begin, kill, run

COMMAND_DEADLINE_S: Final = scaled(120.0)
PATIENT: Final[Mapping[str, str]] = {
    "server.drain_s": str(min(300, scaled(30))),
    "server.header_timeout_s": str(min(300, scaled(10))),
    "stream.ping_timeout_s": "3600",
    "stream.stalled_s": str(min(3_600, scaled(60))),
}
"""Settings by which nobody who is well is taken for dead because the machine is busy; at most what they may be."""
OUTPUT_LINES_MAX: Final = 400
READY: Final = re.compile(r"\bready\b.*\bin [0-9.]+ ?m?s\b")

LADESTROM: Final = (sys.executable, "-m", "ladestrom")
SOURCE: Final = Path(__file__).resolve().parents[2] / "src"


class NotRunning(Exception):
    """The server or a command did not do what it should; says what it printed."""


class Running:
    """One server, its data directory and its address. A context manager that stops it at the end."""

    def __init__(
        self,
        directory: Path,
        settings: Mapping[str, str] | None = None,
        *,
        before_exec: Callable[[], None] | None = None,
        program: Sequence[str | Path] = LADESTROM,
    ) -> None:
        """Nothing runs yet.

        Args:
            directory: where `data` is made.
            settings: by `section.name`.
            before_exec: runs in the server's process before the server does (to pin it to a core).
            program: what runs the server, where that is not `ladestrom` itself.
        """
        self.data = directory / "data"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: Program | None = None
        self.output: deque[str] = deque(maxlen=OUTPUT_LINES_MAX)
        self.ready_s = 0.0
        self.starts = 0
        self._environment = environment({**PATIENT, **(settings or {})})
        self._before_exec = before_exec
        self._program = program
        self._reader: threading.Thread | None = None
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- the process ---------------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """Process id of the server that runs."""
        if self.process is None:
            raise NotRunning("no server was started")
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self, deadline_s: float = DEADLINE_S) -> None:
        """Starts the server and returns when it says that it is ready."""
        began_s = time.monotonic()
        process = self._spawn()
        while not self._ready.wait(0.02):
            if process.poll() is not None:
                self._close_output()
                raise NotRunning(f"the server ended with {process.returncode}:\n{self.said()}")
            if time.monotonic() - began_s > deadline_s:
                said = self.said()
                self.kill9()
                raise NotRunning(f"the server was not ready within {deadline_s:g} s:\n{said}")
        self.ready_s = time.monotonic() - began_s

    def start_and_kill9(self, after_s: float) -> None:
        """Starts the server and kills it after so many seconds, ready or not."""
        self._spawn()
        self._ready.wait(after_s)
        self.kill9()

    def _spawn(self) -> Program:
        if self.alive:
            raise NotRunning("the server runs already")
        self._ready.clear()
        self.process = begin(
            [*self._program, "serve", "--data", self.data, "--port", str(self.port)],
            stdout=PIPE,
            stderr=STDOUT,
            env=self._environment,
            preexec_fn=self._before_exec,
        )
        self.starts += 1
        self._reader = threading.Thread(target=self._read, args=(self.process,), daemon=True)
        self._reader.start()
        return self.process

    def _read(self, process: Program) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self.output.append(line.rstrip())
            if READY.search(line):
                self._ready.set()

    def said(self) -> str:
        """The last lines that the server printed."""
        return "\n".join(self.output)

    def stop(self) -> int:
        """Asks the server to end (SIGTERM), and gives its exit code."""
        return self._end(signal.SIGTERM)

    def kill9(self) -> None:
        """Ends the server as a crash would (SIGKILL)."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        process = self.process
        if process is None:
            raise NotRunning("no server was started")
        if process.poll() is None:
            process.send_signal(number)
            try:
                process.wait(DEADLINE_S)
            except TimeoutExpired:
                kill(process)
                raise NotRunning(
                    f"the server did not end within {DEADLINE_S:g} s of {number.name}:\n{self.said()}"
                ) from None
        self._close_output()
        return process.returncode

    def _close_output(self) -> None:
        if self._reader is not None:
            self._reader.join(DEADLINE_S)
            self._reader = None
        if self.process is not None and self.process.stdout is not None:
            self.process.stdout.close()

    def restart(self, deadline_s: float = DEADLINE_S) -> None:
        """Starts again on the same data and port; a server that still runs is asked to end before."""
        if self.alive:
            self.stop()
        self.start(deadline_s)

    def close(self) -> None:
        """Ends whatever runs. Never raises for a server that is gone already."""
        if self.process is not None:
            try:
                with contextlib.suppress(NotRunning):
                    self.stop()
            finally:
                kill(self.process)
                self._close_output()

    def cpu_s(self) -> float:
        """Seconds of processor time that the server has used, all its threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    # -- the command line ----------------------------------------------------------------------------------

    def run(self, *arguments: str, data: bool = True) -> str:
        """Runs a command of ladestrom to its end and gives its standard output.

        Args:
            arguments: the command and its options.
            data: whether `--data` is added.
        """
        command = [*LADESTROM, *arguments, *(("--data", str(self.data)) if data else ())]
        done = run(command, env=self._environment, deadline_s=COMMAND_DEADLINE_S)
        if done.returncode != 0:
            said = done.stdout + done.stderr
            raise NotRunning(f"ladestrom {' '.join(arguments)}: {done.returncode}\n{said}")
        return done.stdout

    def operator(
        self, name: str, *, prefixes: Sequence[str] = (), parties: Sequence[str] = (), all_evses: bool = False
    ) -> None:
        """Adds an operator."""
        options = [*_each("--prefix", prefixes), *_each("--party", parties)]
        self.run("operators", "add", name, *options, *(["--all"] if all_evses else []))

    def key(self, scope: str, *, operator: str | None = None) -> str:
        """Makes a key; the one for `report` belongs to an operator."""
        of = [] if operator is None else ["--operator", operator]
        return self.run("keys", "create", "--name", f"{scope} key", "--scope", scope, *of).strip()

    def import_register(self, register: str, file: Path) -> str:
        """Fills or updates the registry; what the command printed."""
        return self.run("import", register, str(file))


def _each(option: str, values: Sequence[str]) -> list[str]:
    return [word for value in values for word in (option, value)]


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without ladestrom's variables, and with these settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LADESTROM_")}
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, (str(SOURCE), os.environ.get("PYTHONPATH"))))
    kept["PYTHONUNBUFFERED"] = "1"
    kept["NO_COLOR"] = "1"
    for name, value in settings.items():
        kept["LADESTROM_" + name.upper().replace(".", "__")] = value
    return kept


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


# -- a register that is made up ----------------------------------------------------------------------------

REGISTER_PREFIX: Final = "FRLDS"


def made_up_evse(station: int, number: int) -> str:
    """EVSE id of the register that `irve_register` writes; both count from 0."""
    return f"{REGISTER_PREFIX}E{station:05d}{number:02d}"


def made_up_evses(stations: int, evses: int) -> list[str]:
    """All EVSE ids of such a register, in its order."""
    return [made_up_evse(station, number) for station in range(stations) for number in range(evses)]


def irve_register(file: Path, *, stations: int, evses: int) -> Path:
    """Writes a register in the French form: so many stations with so many EVSEs each, one connector each."""
    with file.open("w") as lines:
        for station in range(stations):
            for number in range(evses):
                lines.write(json.dumps(_irve_row(station, number, evses)) + "\n")
    return file


def _irve_row(station: int, number: int, evses: int) -> dict[str, str | None]:
    return {
        "nom_amenageur": "Exemple",
        "nom_operateur": "Exemple",
        "nom_enseigne": "Exemple",
        "id_station_itinerance": f"{REGISTER_PREFIX}P{station:05d}",
        "id_station_local": None,
        "nom_station": f"Exemple {station}",
        "implantation_station": "Voirie",
        "adresse_station": f"{station + 1} rue de l'Exemple",
        "code_insee_commune": "75101",
        "coordonneesXY": f"[{2.0 + station % 100 / 100:.6f}, {47.0 + station // 100 / 100:.6f}]",
        "nbre_pdc": str(evses),
        "id_pdc_itinerance": made_up_evse(station, number),
        "id_pdc_local": None,
        "puissance_nominale": "50.0",
        "prise_type_ef": "False",
        "prise_type_2": "False",
        "prise_type_combo_ccs": "True",
        "prise_type_chademo": "False",
        "prise_type_autre": "False",
        "gratuit": "False",
        "paiement_acte": "True",
        "paiement_cb": "False",
        "paiement_autre": "True",
        "tarification": None,
        "condition_acces": "Accès libre",
        "reservation": "False",
        "horaires": "24/7",
        "accessibilite_pmr": "Accessibilité inconnue",
        "restriction_gabarit": "Aucune",
        "station_deux_roues": "False",
        "raccordement": None,
        "num_pdl": None,
        "date_mise_en_service": "2024-01-01",
        "observations": None,
        "date_maj": "2025-01-01",
        "cable_t2_attache": None,
    }
