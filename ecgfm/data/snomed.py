"""The diagnoses of the CinC 2020 and 2021 challenges: SNOMED-CT codes, their abbreviations, and the scored classes."""

import re
from collections.abc import Iterable

# In the order of the challenge's weights; codes that it scores as one diagnosis share a class.
SCORED_CODES = {
    "AF": "164889003",
    "AFL": "164890007",
    "BBB": "6374002",
    "Brady": "426627000",
    "CLBBB|LBBB": "733534002|164909002",
    "CRBBB|RBBB": "713427006|59118001",
    "IAVB": "270492004",
    "IRBBB": "713426002",
    "LAD": "39732003",
    "LAnFB": "445118002",
    "LPR": "164947007",
    "LQRSV": "251146004",
    "LQT": "111975006",
    "NSIVCB": "698252002",
    "NSR": "426783006",
    "PAC|SVPB": "284470004|63593006",
    "PR": "10370003",
    "PRWP": "365413008",
    "PVC|VPB": "427172004|17338001",
    "QAb": "164917005",
    "RAD": "47665007",
    "SA": "427393009",
    "SB": "426177001",
    "STach": "427084000",
    "TAb": "164934002",
    "TInv": "59931005",
}

# The codes that occur in the recordings and are not scored, as "code abbreviation".
_UNSCORED = """
233892002 AAR, 164951009 abQRS, 251187003 AED, 61277005 AIVR, 426664006 AJR, 251139008 ALR, 57054005 AMI,
413444003 AMIs, 426434006 AnMIs, 54329005 AnMI, 251173003 AB, 195080001 AFAFL, 195126007 AH, 251268003 AP,
106068003 ARH, 713422000 ATach, 233917008 AVB, 50799005 AVD, 29320008 AVJR, 251166008 AVNRT, 233897008 AVRT,
251170000 BPAC, 418818005 BRU, 74615001 BTS, 426749004 CAF, 251199005 CCR, 61721007 CVCL/CCVCL, 698247007 CD,
27885002 CHB, 204384007 CIAHB, 53741008 CHD, 413844008 CMI, 251198002 CR, 82226007 DIB, 428417006 ERe, 13640000 FB,
164942001 FQRS, 84114007 HF, 368009 HVD, 251259000 HTV, 251200008 ICA, 195042002 IIAVB, 426183003 IIAVBII,
425419005 IIs, 251120003 ILBBB, 704997005 ISTD, 49260003 IR, 426995002 JE, 251164006 JPC, 426648003 JTach,
253352002 LAA, 67741000119109 LAE, 446813000 LAH, 425623009 LIs, 445211001 LPFB, 164873001 LVH, 55827005 LVHV,
370365005 LVS, 164865005 MI, 164861001 MIs, 54016002 MoI, 428750005 NSSTTA, 164867002 OldMI, 282825002 PAF,
251205003 PPW, 67198005 PSVT, 425856008 PVT, 164912004 PWC, 253339007 RAAb, 164921003 RAb, 446358003 RAH,
67751000119106 RAHV, 314208002 RAF, 89792004 RVH, 17366009 SAAWR, 65778007 SAB, 5609005 SARR, 60423000 SND,
49578007 SPRI, 77867006 SQT, 55930002 STC, 429622005 STD, 164931005 STE, 164930006 STIAb, 251168009 SVB,
426761007 SVT, 266257000 TIA, 251223006 TPW, 164937009 UAb, 11157007 VBig, 164884008 VEB, 75532003 VEsB,
81898007 VEsR, 164896001 VF, 111288001 VFL, 266249003 VH, 195060002 VPEx, 251266004 VPP, 251182009 VPVC,
164895002 VTach, 251180001 VTrig, 195101003 WAP, 74390002 WPW
"""

SCORED = {code: name for name, codes in SCORED_CODES.items() for code in codes.split("|")}  # code -> scored class
ABBREVIATIONS = {
    **{c: n for names, codes in SCORED_CODES.items() for n, c in zip(names.split("|"), codes.split("|"), strict=True)},
    **{pair.split()[0]: pair.split()[1] for pair in _UNSCORED.split(",")},
}  # code -> its own abbreviation

_DIAGNOSES = re.compile(r"#?\s*Dx\s*:(.*)", re.IGNORECASE)  # "Dx:" with and without a space before it


def codes(comments: Iterable[str]) -> tuple[str, ...]:
    """The diagnoses that a header's comments list: codes, or words in the oldest headers."""
    listed = (match[1] for comment in comments if (match := _DIAGNOSES.match(comment.strip())))
    found = (code.strip(" _\t") for line in listed for code in line.split(","))
    return tuple(dict.fromkeys(code for code in found if code and code.lower() not in ("unknown", "nan")))


def scored(found: Iterable[str]) -> tuple[str, ...]:
    """The scored classes among these codes, by exact code."""
    return tuple(dict.fromkeys(SCORED[code] for code in found if code in SCORED))


def abbreviated(found: Iterable[str]) -> tuple[str, ...]:
    """Each code's own abbreviation; a code without one stays as it is."""
    return tuple(dict.fromkeys(ABBREVIATIONS.get(code, code) for code in found))
