"""One report file that cannot be taken in. It fails alone; the others of its payload go on (ocp-payload D5)."""

from kura.core.errors import KuraError


class FileRefused(KuraError):
    """The report file cannot be read."""

    code = "file_refused"
