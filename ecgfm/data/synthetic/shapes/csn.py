"""Chapman-Shaoxing-Ningbo's tree: WFDB headers over MATLAB files in folders of folders, diagnoses as SNOMED codes."""

from collections.abc import Iterator
from pathlib import Path

from ecgfm.data.record import LEADS
from ecgfm.data.synthetic.codes import CSN_NAMES, SNOMED, snomed
from ecgfm.data.synthetic.factors import Row
from ecgfm.data.synthetic.files import header, mat4, put
from ecgfm.data.synthetic.people import strangers
from ecgfm.data.synthetic.recording import record


def write(folder: Path, seed: int, records: int) -> Iterator[Row]:
    folders: dict[str, list[str]] = {}
    for count, visit in zip(range(records), strangers(seed), strict=False):
        name = f"JS{count + 1:05}"
        inside = f"WFDBRecords/{count // 1000 + 1:02}/{count // 100 % 10 + 10 * (count // 1000 + 1):03}"
        samples = record(visit, mains_hz=50).digital(1000)
        comments = [f"#Age: {int(visit.age)}", f"#Sex: {'Female' if visit.subject.sex == 'F' else 'Male'}"]
        comments += [f"#Dx: {snomed(visit)}", "#Rx: Unknown", "#Hx: Unknown", "#Sx: Unknown"]
        line = f"{name} 12 500 {samples.shape[1]}"
        text = header(line, f"{name}.mat 16+24", "1000/mV", LEADS, samples, comments, signed=True)
        put(folder, f"{inside}/{name}.hea", text)
        put(folder, f"{inside}/{name}.mat", mat4(samples))
        folders.setdefault(inside, []).append(name)
        path = f"{inside}/{name}"
        yield Row(path, path, visit)
    for inside, names in folders.items():
        put(folder, f"{inside}/RECORDS", "".join(f"{name}\n" for name in names))
    put(folder, "RECORDS", "".join(f"{inside}/\n" for inside in folders))
    table = [f"{acronym},{name},{SNOMED[finding]}" for finding, (acronym, name) in CSN_NAMES.items()]
    put(
        folder,
        "ConditionNames_SNOMED-CT.csv",
        "\ufeff" + "\n".join(["Acronym Name,Full Name,Snomed_CT", *table]) + "\n",
    )
