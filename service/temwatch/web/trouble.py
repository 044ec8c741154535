"""What went wrong, in plain words, and what a person can do about it."""

from __future__ import annotations

from typing import Any

from temwatch.ledger import MicrographRow
from temwatch.metrics import Vitals
from temwatch.web import serialize

ADVICE = {
    "empty": "The microscope wrote no data. Save the micrograph again.",
    "truncated": "The file ends too early. Copy it again from the microscope; it is then taken up by itself.",
    "zero_filled": "The copy stopped half-way. Copy the file again; it is then taken up by itself.",
    "not_a_micrograph": "The content is not what the name says. Copy it again, if it belongs here at all.",
    "a_folder": "This is a folder, not a micrograph. Rename the folder.",
    "no_pixel_size": "The file does not say how large a pixel is. Enter the pixel size and retry.",
    "anisotropic": "Pixels must be square. Resample the image, or calibrate both axes alike.",
    "not_real_space": "This is a diffraction pattern. Nothing to do.",
    "spectroscopy": "This is a spectrum or a map. Nothing to do.",
    "not_grey": "Only grey images are measured. Export the micrograph as a grey image.",
    "too_small": "There are too few pixels to hold a particle. Nothing to do.",
    "no_contrast": "All pixels are alike. Check beam, shutter and detector.",
    "permission_denied": "The service may not read this file. Give its user read permission, then retry.",
    "vanished": "The file went away before it was read. Put it back, then retry.",
    "changed": "The file changed while it was read. It is taken up again when it is complete; else retry.",
    "input_output": "The disk or the share reported an error. Check the connection, then retry.",
    "crashed": "It ended the worker several times. Keep the file and report it; the log has the details.",
    "out_of_memory": "There was not enough memory. Close other programs, then retry.",
    "no_space": "The disk is full. Free some space, then retry.",
    "internal": "This is a defect of temwatch. The log has the details; please report it.",
}
"""One sentence or two for every code of `errors.REFUSAL_CODES` and `errors.FAILURE_CODES`."""

_OTHER = "See the reason, then retry."


def of_files(rows: list[MicrographRow]) -> list[dict[str, Any]]:
    """Refused and failed files, each with what to do."""
    return [
        serialize.micrograph(row)
        | {"reason_code": row.reason_code, "what_to_do": ADVICE.get(row.reason_code or "", _OTHER)}
        for row in rows
    ]


def of_service(vitals: Vitals) -> list[dict[str, str]]:
    """What keeps the service from working at all, each with what to do."""
    found = []
    if not vitals.watch_folder_up:
        found.append(
            {
                "what": "The watched folder is not there.",
                "what_to_do": "Check the network and the microscope PC. Work goes on by itself.",
            }
        )
    elif not vitals.ready:
        found.append({"what": "The service is starting.", "what_to_do": "It will be ready in a moment."})
    if not vitals.gpu_healthy:
        found.append(
            {
                "what": "The graphics card does not work as it should.",
                "what_to_do": "Restart the workstation. If it comes back, the card needs service.",
            }
        )
    return found
