"""What runs on this machine, kept in the state folder as local.json. It holds no secret: of keys only their ids."""

from pathlib import Path
from typing import Self

from pydantic import BaseModel, ValidationError

from visionfleet.local.errors import LocalError
from visionfleet.local.processes import Process

FILE_NAME = "local.json"


class State(BaseModel):
    """The stack that was started from one file."""

    file: Path
    runtime: str = ""  # what runs the inference server: native or docker
    container: str | None = None  # its name, with docker
    urls: dict[str, str] = {}  # process name -> where it answers
    key_ids: list[str] = []
    processes: list[Process] = []

    @property
    def is_running(self) -> bool:
        """Whether all of it runs."""
        return all(process.is_running for process in self.processes)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """The state kept in the folder, None where nothing was started. Raises LocalError for a file that is broken."""
        path = folder / FILE_NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise LocalError(f"{path} cannot be read\n  remove it, then end what still runs by hand") from None

    def write(self, folder: Path) -> None:
        """Keeps the state; a reader sees the old one or the new one."""
        draft = folder / f"{FILE_NAME}.new"
        draft.write_text(self.model_dump_json(indent=2), encoding="utf-8")
        draft.replace(folder / FILE_NAME)

    @staticmethod
    def remove(folder: Path) -> None:
        """Forgets the state."""
        (folder / FILE_NAME).unlink(missing_ok=True)
