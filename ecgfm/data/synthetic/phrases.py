"""What machines say: the statements of each finding, the usual one first, and what else they print.

Three makes of carts speak three dialects: each has its usual wording, and now and then another's.
"""

SINUS = {
    "normal": ("Sinus rhythm", "Normal sinus rhythm", "Sinus rhythm"),
    "bradycardia": ("Sinus bradycardia", "Marked sinus bradycardia", "Sinus bradycardia"),
    "tachycardia": ("Sinus tachycardia", "Sinus tachycardia", "Sinus tachycardia"),
    "arrhythmia": ("Sinus arrhythmia", "Sinus rhythm with marked sinus arrhythmia", "Sinus arrhythmia"),
}
FIBRILLATION = ("Atrial fibrillation", "A-fib", "Probable atrial fibrillation")
FLUTTER = ("Atrial flutter", "Atrial flutter", "Consider atrial flutter")
RESPONSE = {
    "tachycardia": (" with rapid ventricular response", " with uncontrolled ventricular response", " - rapid"),
    "bradycardia": (" with slow ventricular response", " with slow ventricular response", " - slow"),
}
CONDUCTION = {
    2: " with 2:1 A-V conduction",
    3: " with 3:1 A-V block",
    4: " with 4:1 A-V block",
    0: " with variable A-V block",
}
PACED = ("Ventricular pacing", "Ventricular-paced rhythm", "Electronic ventricular pacemaker")
AFTER_PACING = ("Pacemaker rhythm - no further analysis", "No further analysis attempted due to paced rhythm")

FIRM = {
    "first_degree_av_block": ("First degree A-V block", "1st degree A-V block", "Prolonged PR interval"),
    "pvc": ("Ventricular premature complex(es)", "Premature ventricular complexes", "PVC(s)"),
    "pac": ("Atrial premature complex(es)", "Premature atrial complexes", "PAC(s)"),
    "lbbb": ("Left bundle branch block", "LBBB", "Complete left bundle branch block"),
    "rbbb": ("Right bundle branch block", "RBBB", "Complete right bundle branch block"),
    "left_axis": ("Left axis deviation", "Left axis deviation", "Abnormal left axis deviation"),
    "right_axis": ("Right axis deviation", "Rightward axis", "Abnormal right axis deviation"),
    "lvh": ("Left ventricular hypertrophy", "LVH", "Voltage criteria for left ventricular hypertrophy"),
    "infarct": ("{T} infarct - age undetermined", "{T} infarct, age undetermined", "Old {t} infarct"),
    "st_elevation": (
        "{T} ST elevation, consider acute infarct",
        "ST elevation, {t} leads",
        "{T} injury pattern - acute infarct",
    ),
    "st_depression": (
        "{T} ST depression, probably ischemia",
        "ST depression in {t} leads",
        "{T} ST changes may be due to myocardial ischemia",
    ),
    "t_inversion": (
        "{T} T wave changes may be due to myocardial ischemia",
        "T wave inversion in {t} leads",
        "Abnormal T, consider ischemia, {t} leads",
    ),
    "long_qt": ("Prolonged QT interval", "Prolonged QT", "QT interval prolonged for rate"),
    "low_voltage": ("Low QRS voltages in limb leads", "Low voltage QRS", "Generalized low QRS voltages"),
}
HEDGED = {
    "first_degree_av_block": ("Borderline first degree A-V block", "Borderline prolonged PR interval"),
    "pvc": ("Possible ventricular premature complex", "Fusion complexes or PVC"),
    "pac": ("Possible atrial premature complex", "Probable atrial premature complex"),
    "lbbb": ("Incomplete left bundle branch block", "IV conduction defect"),
    "rbbb": ("Incomplete right bundle branch block", "rSr'(V1) - probable normal variant"),
    "left_axis": ("Leftward axis", "Borderline left axis deviation"),
    "right_axis": ("Borderline right axis deviation", "Vertical axis"),
    "lvh": ("Possible left ventricular hypertrophy", "Minimal voltage criteria for LVH, may be normal variant"),
    "infarct": ("Possible {t} infarct - age undetermined", "Cannot rule out {t} infarct, age undetermined"),
    "st_elevation": ("Possible {t} ST elevation", "Borderline ST elevation, {t} leads"),
    "st_depression": ("{T} ST changes are nonspecific", "Minor {t} ST depression"),
    "t_inversion": ("Nonspecific T wave changes, {t} leads", "{T} T wave changes are nonspecific"),
    "long_qt": ("Borderline prolonged QT interval", "Borderline long QTc"),
    "low_voltage": ("Borderline low voltage in limb leads", "Borderline low QRS voltages"),
}
SHORT = {  # said in the line of the rhythm
    "first_degree_av_block": (
        " with first degree A-V block",
        " with 1st degree A-V block",
        " with borderline 1st degree A-V block",
    ),
    "pvc": (" with PVC(s)", " with occasional premature ventricular complexes", " with frequent PVCs"),
    "pac": (" with PAC(s)", " with premature atrial complexes", " with atrial premature complexes"),
}
LEFT_FASCICLE = ("Left anterior fascicular block", "LAD, consider left anterior fascicular block")
STRAIN = ("Left ventricular hypertrophy with ST-T changes", "LVH with secondary repolarization abnormality")
LEFT_ATRIUM = ("Possible left atrial abnormality", "Left atrial enlargement", "Probable left atrial enlargement")
EARLY = (
    "ST elev, probable normal early repol pattern",
    "Early repolarization",
    "ST junctional elevation is nonspecific",
)
WEAK_R = ("Poor R wave progression - probable normal variant", "Late precordial R/S transition")
QUALITY = ("--- Warning: Data quality may affect interpretation ---", "Baseline artifact", "Artifact in lead(s)")
DENIALS = ("No acute ST changes", "No evidence of acute ischemia", "No ectopy seen", "No acute ischemic changes")
COMPARED = ("No significant change from previous tracing", "Compared to previous tracing: no significant change")
SUMMARY = {
    "normal": ("Normal ECG", "Normal ECG", "Summary: Normal ECG"),
    "otherwise": ("Otherwise normal ECG", "Otherwise normal ECG", "Summary: Otherwise normal ECG"),
    "borderline": ("Borderline ECG", "Borderline ECG", "Summary: Borderline ECG"),
    "abnormal": ("Abnormal ECG", "Abnormal ECG", "Summary: Abnormal ECG"),
}
TOGETHER = {
    ("anterior", "lateral"): "anterolateral",
    ("inferior", "lateral"): "inferolateral",
    ("anterior", "inferior"): "anterior and inferior",
    ("anterior", "inferior", "lateral"): "widespread",
}
