"""A sample of hundreds of thousands of particles, in the ledger and tables of a service before it starts."""

from dataclasses import replace

from ledger_cases import START, arrival, result, sha256
from temwatch.ledger import open_ledger, pack, queue, recording
from temwatch.outputs import sample_folder

FOLDERS_WRITTEN = 1000  # a generation that no micrograph of a test reaches: nothing is left to be drawn


def put_large_sample(service, micrographs, particles):
    """The sample `large`: so many micrographs, each with the same particles, all of it published."""
    packed = pack(result("any", particles))
    with open_ledger(service.state) as ledger:
        written = {}
        for number in range(micrographs):
            queue.add(ledger, arrival(f"large/{number}.dm3", sample="large"))
            (file,) = queue.claim(ledger, 1, START)
            row = {**packed.micrograph, "sha256": sha256(str(number))}
            recording.record(ledger, file.id, [replace(packed, micrograph=row)])
            written[file.id] = FOLDERS_WRITTEN
        sample_folder.publish_tables(ledger, service.output, "large", written)
