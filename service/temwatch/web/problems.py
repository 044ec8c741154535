"""Problems of the service and of files, each with its remedy in plain words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from temwatch.health import Vitals, hung_in_words
from temwatch.ledger import MicrographRow, Reader
from temwatch.outputs import sample_folder
from temwatch.web import serialize

ADVICE = {
    "empty": "The microscope wrote no data. Save the micrograph again.",
    "truncated": "The file is incomplete. Copy it from the microscope again. Analysis starts automatically.",
    "zero_filled": "The copy stopped half-way. Copy the file again. Analysis starts automatically.",
    "not_a_micrograph": "The content does not match the file name. If the file belongs here, copy it again.",
    "a_folder": "This is a folder, not a micrograph. Rename the folder.",
    "no_pixel_size": "The file states no pixel size. Enter the pixel size and retry.",
    "anisotropic": "Pixels must be square. Resample the image, or give both axes the same calibration.",
    "not_real_space": "This is a diffraction pattern. Nothing to do.",
    "not_a_sequence": "The pages are no frames in time. Save what is to be measured as single micrographs.",
    "spectroscopy": "This is a spectrum or a map. Nothing to do.",
    "not_grey": "Only greyscale images are measured. Export the micrograph as a greyscale image.",
    "too_small": "The image is too small to contain a particle. Nothing to do.",
    "no_contrast": "All pixels have the same value. Check beam, shutter and detector.",
    "permission_denied": "The service cannot read this file. Give its user read permission, then retry.",
    "vanished": "The file disappeared before it was read. Put it back, then retry.",
    "changed": "The file changed while it was being read. It is analysed once it is complete; if not, retry.",
    "input_output": "The disk or the share reported an error. Check the connection, then retry.",
    "crashed": "The file crashed the worker several times. Keep it and report this; the log has the details.",
    "rosettasciio": "RosettaSciIO did not read the file. Do what the reason says, then retry.",
    "out_of_memory": "There was not enough memory. Close other programs, then retry.",
    "no_space": "The disk is full. Free some space, then retry.",
    "internal": "Internal error. The log has the details; please report it.",
}
"""One or two sentences for each code of `errors.REFUSAL_CODES` and `errors.FAILURE_CODES`."""

_OTHER = "See the reason, then retry."


def file_problems(rows: list[MicrographRow]) -> list[dict[str, Any]]:
    """Refused and failed files, each with its remedy."""
    return [
        serialize.micrograph(row)
        | {"reason_code": row.reason_code, "what_to_do": ADVICE.get(row.reason_code or "", _OTHER)}
        for row in rows
    ]


def edited_tables(ledger: Reader, output: Path) -> list[dict[str, str]]:
    """Tables that somebody has edited, each with where the edited file is."""
    return [
        {
            "what": f"{one.file} of {one.sample} was edited.",
            "what_to_do": f"The table was written anew. Your changes are in {one.kept_as} beside it. "
            "Edit a copy of the table next time. Move or delete that file to end this message.",
        }
        for one in sample_folder.edited_tables(ledger, output)
    ]


def service_problems(vitals: Vitals) -> list[dict[str, str]]:
    """Problems that keep the service from working, each with its remedy."""
    found = []
    if not vitals.watch_folder_up:
        found.append(
            {
                "what": "The watched folder is missing.",
                "what_to_do": "Check the network and the microscope PC. The service resumes automatically.",
            }
        )
    if not vitals.output_writable:
        found.append(
            {
                "what": "The results cannot be written.",
                "what_to_do": "Check the disk or share of the results. Micrographs wait and are analysed "
                "once it is back.",
            }
        )
    if vitals.workers_hung:
        found.append(
            {
                "what": f"{hung_in_words(vitals.workers_hung).capitalize()}.",
                "what_to_do": "Check the network and the share. The worker is replaced automatically.",
            }
        )
    if not vitals.ready and vitals.gpu_healthy and not found:
        found.append({"what": "The service is starting.", "what_to_do": "It will be ready in a moment."})
    if not vitals.gpu_healthy:
        found.append(
            {
                "what": "The graphics card is not working properly.",
                "what_to_do": "Restart the workstation. If the problem returns, have the card serviced.",
            }
        )
    return found
