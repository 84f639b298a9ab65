"""The names that published corpora give to our findings: SNOMED CT, SCP-ECG, and the classes of CPSC and CODE."""

from ecgfm.data.synthetic.visit import Visit

SNOMED = {
    "sinus_rhythm": "426783006",
    "bradycardia": "426177001",
    "tachycardia": "427084000",
    "atrial_fibrillation": "164889003",
    "atrial_flutter": "164890007",
    "first_degree_av_block": "270492004",
    "lbbb": "164909002",
    "rbbb": "59118001",
    "left_axis": "39732003",
    "right_axis": "47665007",
    "lvh": "164873001",
    "st_elevation": "164931005",
    "st_depression": "429622005",
    "t_inversion": "59931005",
    "infarct": "164865005",
    "pvc": "427172004",
    "pac": "284470004",
    "long_qt": "111975006",
    "low_voltage": "251146004",
    "paced": "10370003",
}
CSN_NAMES = {  # acronym and full name, as Chapman-Shaoxing-Ningbo spells them
    "sinus_rhythm": ("SR", "Sinus Rhythm"),
    "bradycardia": ("SB", "Sinus Bradycardia"),
    "tachycardia": ("ST", "Sinus Tachycardia"),
    "atrial_fibrillation": ("AFIB", "Atrial Fibrillation"),
    "atrial_flutter": ("AF", "Atrial Flutter"),
    "first_degree_av_block": ("1AVB", "1 degree atrioventricular block"),
    "lbbb": ("LBBB", "left bundle branch block"),
    "rbbb": ("RBBB", "right bundle branch block"),
    "left_axis": ("ALS", "Axis left shift"),
    "right_axis": ("ARS", "Axis right shift"),
    "lvh": ("LVH", "left ventricle hypertrophy"),
    "st_elevation": ("STE", "ST extension"),
    "st_depression": ("STDD", "ST drop down"),
    "t_inversion": ("TWO", "T wave opposite"),
    "infarct": ("MI", "myocardial infarction"),
    "pvc": ("VPB", "ventricular premature beat"),
    "pac": ("APB", "atrial premature beats"),
    "long_qt": ("QTIE", "QT interval extension"),
    "low_voltage": ("LVQRSAL", "lower voltage QRS in all lead"),
    "paced": ("PACE", "pacing rhythm"),
}
CPSC = {  # the number in REFERENCE.csv
    "atrial_fibrillation": 2,
    "first_degree_av_block": 3,
    "lbbb": 4,
    "rbbb": 5,
    "pac": 6,
    "pvc": 7,
    "st_depression": 8,
    "st_elevation": 9,
}
CODE = {
    "1dAVb": "first_degree_av_block",
    "RBBB": "rbbb",
    "LBBB": "lbbb",
    "SB": "bradycardia",
    "AF": "atrial_fibrillation",
    "ST": "tachycardia",
}
SCP = {
    "bradycardia": "SBRAD",
    "tachycardia": "STACH",
    "atrial_fibrillation": "AFIB",
    "atrial_flutter": "AFLT",
    "first_degree_av_block": "1AVB",
    "lbbb": "CLBBB",
    "rbbb": "CRBBB",
    "lvh": "LVH",
    "st_elevation_anterior": "STE_",
    "st_elevation_inferior": "STE_",
    "st_elevation_lateral": "STE_",
    "st_depression_anterior": "ISCAN",
    "st_depression_inferior": "ISCIN",
    "st_depression_lateral": "ISCLA",
    "t_inversion": "INVT",
    "infarct_anterior": "AMI",
    "infarct_inferior": "IMI",
    "infarct_lateral": "LMI",
    "pvc": "PVC",
    "pac": "PAC",
    "long_qt": "LNGQT",
    "low_voltage": "LVOLT",
    "paced": "PACE",
}


def groups(visit: Visit) -> list[str]:
    """What was found, without territories and without the rhythm where a rate names it."""
    names = [
        f.rsplit("_", 1)[0] if f.startswith(("st_", "infarct_")) else f for f, there in visit.present.items() if there
    ]
    rated = {"bradycardia", "tachycardia"} & set(names)
    return [name for name in dict.fromkeys(names) if not (rated and name == "sinus_rhythm")]


def snomed(visit: Visit) -> str:
    return ",".join(SNOMED[name] for name in groups(visit))
