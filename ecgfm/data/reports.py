"""Reports: from the lines a cart printed to one cleaned text, and from all texts to the table that holds each once.

Rules for every text (`clean`):

1. letters are composed (NFC) and lower case: carts and hospitals differ in capitals alone;
2. runs of * = _ - ~ # are drawing and become a space, as do control characters and runs of blanks;
3. blanks and the marks * = _ - ~ # . , ; : | are cut off at both ends;
4. a text of which nothing is left is no report.

Rules for the lines of a cart (`join`), each cleaned first:

5. a line that speaks of the print-out and not of the heart is left out (NOTICES), as is the prefix "summary:";
   a line about the quality of the signal stays;
6. "ekg" is written "ecg";
7. lines are joined by ". " in their order; gaps between them are tolerated.

The language is left as it is: PTB-XL's reports are German, some English.
"""

# pyright: reportAttributeAccessIssue=false
# (pyarrow makes its compute functions when it is imported)

from typing import TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

NOTICES = (
    r"^(report|interpretation|analysis) (is )?made without know"
    r"|^(patient'?s? )?(age|sex|gender)( and (age|sex|gender))? (is |was )?(not entered|unknown|not specified)"
    r"|^unedited (copy|report)"
    r"|(report is )?computer generated (only|report)"
    r"|^unconfirmed( report| diagnosis)?$"
)
_DRAWING = r"(?:[*=_~#-]{2,}|[\s\p{Z}\p{Cc}\p{Cf}])+"
_ENDS = r"^[\s*=_~#.,;:|-]+|[\s*=_~#.,;:|-]+$"

Texts: TypeAlias = pa.StringArray | pa.ChunkedArray


def clean(texts: Texts) -> pa.StringArray:
    """Each text by the rules above; null where nothing is left. Work is done once per distinct text."""
    encoded = _whole(texts).dictionary_encode()
    distinct = pc.utf8_lower(pc.utf8_normalize(encoded.dictionary, "NFC"))
    distinct = pc.replace_substring_regex(distinct, _DRAWING, " ")
    distinct = pc.replace_substring_regex(distinct, _ENDS, "")
    return _filled(distinct).take(encoded.indices)


def join(lines: list[Texts]) -> pa.StringArray:
    """One text per record from a cart's lines, a column each; null where no line says anything."""
    # not null_handling="skip", with which pyarrow 26 loses the rows that are null throughout
    texts = pc.binary_join_element_wise(*(pc.fill_null(_line(column), "") for column in lines), "\n")
    return _filled(pc.replace_substring_regex(pc.utf8_trim(texts, "\n"), "\n+", ". "))


def _line(lines: Texts) -> pa.StringArray:
    encoded = clean(lines).dictionary_encode()
    distinct = pc.replace_substring_regex(encoded.dictionary, r"^summary:? *", "")
    distinct = pc.replace_substring_regex(distinct, r"\bekg\b", "ecg")
    distinct = pc.if_else(pc.match_substring_regex(distinct, NOTICES), "", distinct)
    return _filled(distinct).take(encoded.indices)


def report_table(texts: Texts) -> pa.Table:
    """Every distinct report once, in the order of its text: report_id, text, count."""
    counted = _whole(texts).drop_null().value_counts()
    found = pa.table({"text": counted.field("values"), "count": counted.field("counts")}).sort_by("text")
    return found.add_column(0, "report_id", pa.array(range(len(found)), pa.int32()))


def _whole(texts: Texts) -> pa.StringArray:
    return texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts


def _filled(texts: pa.StringArray) -> pa.StringArray:
    return pc.if_else(pc.equal(texts, ""), pa.scalar(None, pa.string()), texts)
