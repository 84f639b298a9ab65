"""Ways to damage a record: each is a function of one file's bytes and a source of chance."""

import random
import re
from collections.abc import Callable

_FIELDS = r"""
0 -1 -0 nan inf -inf 1e400 1e-400 0x10 1_0 2147483648 -2147483649
~ - . .. # ../../x.dat /etc/hostname C:\x r.hea
8 24 32 61 80 160 212 310 311 508 516 524 999
16x0 16x99 16x999999999999 16:7 16:999999999 16+1 16+25 16+99999999999 16+-4
0/mV nan/mV inf/mV 1e99/mV 1e-99 -200/mV 200(1e9)/mV 200(99999999999999)/mV (0)/mV /mV 200/ 200// 2.0.0/mV
500/0 500/1(2) 1/0 r/2 r/0 r/-1 r/9999999
"""
_ODD = ("", "9" * 19, "9" * 5000, "0" * 50, "1" * 50 + ".5", "a" * 300, "\x00", "\u00e9", "\u2028", "\u0661", "\u00b2")
HOSTILE = (*_FIELDS.split(), *_ODD)


def flip(content: bytes, chance: random.Random) -> bytes:
    damaged = bytearray(content)
    for _ in range(chance.choice((1, 1, 2, 9, 99))):
        if damaged:
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def cut(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content) + 1)]


def lose(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    return content[:start] + content[start + chance.choice((1, 2, 7, 24, 999)) :]


def insert(content: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(content) + 1)
    return content[:start] + chance.randbytes(chance.choice((1, 2, 24, 999))) + content[start:]


def append(content: bytes, chance: random.Random) -> bytes:
    return content + bytes(chance.choice((1, 2, 6, 24, 9999)))


def repeat(content: bytes, chance: random.Random) -> bytes:
    return content * 2


def empty(content: bytes, chance: random.Random) -> bytes:
    return b""


def garbage(content: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(len(content))


def backwards(content: bytes, chance: random.Random) -> bytes:
    return content[::-1]


def on_lines(change: Callable[[list[str], random.Random], object]) -> Callable[[bytes, random.Random], bytes]:
    def changed(content: bytes, chance: random.Random) -> bytes:
        text = content.decode().splitlines()
        change(text, chance)
        return "\n".join(text).encode()

    return changed


def on_fields(change: Callable[[list[str], random.Random], object]) -> Callable[[bytes, random.Random], bytes]:
    def on_one(text: list[str], chance: random.Random) -> None:
        line = place(text, chance)
        fields = text[line].split(" ")
        change(fields, chance)
        text[line] = " ".join(fields)

    return on_lines(on_one)


def swap(items: list[str], chance: random.Random) -> None:
    one, two = place(items, chance), place(items, chance)
    items[one], items[two] = items[two], items[one]


def place(items: list[str], chance: random.Random) -> int:
    return chance.randrange(len(items))


def put_hostile(fields: list[str], chance: random.Random) -> None:
    fields[place(fields, chance)] = chance.choice(HOSTILE)


def add_hostile(fields: list[str], chance: random.Random) -> None:
    fields.insert(place(fields, chance), chance.choice(HOSTILE))


def double(items: list[str], chance: random.Random) -> None:
    items.insert(place(items, chance), chance.choice(items))


def drop(items: list[str], chance: random.Random) -> None:
    items.pop(place(items, chance))


def comment(text: list[str], chance: random.Random) -> None:
    text[:] = [f"# {line}" for line in text]


def everywhere(text: list[str], chance: random.Random) -> None:
    """The same hostile field in every signal line, as only then it is consistent."""
    column, hostile = chance.randrange(9), chance.choice(HOSTILE)
    for i in range(1, len(text)):
        fields = text[i].split(" ")
        text[i] = " ".join([*fields[:column], hostile, *fields[column + 1 :]])


def unguarded(text: list[str], chance: random.Random) -> None:
    """Without checksums, and with another number of leads or samples than there are."""
    text[1:] = [
        " ".join([*line.split(" ")[:5], *line.split(" ")[8:]][: chance.choice((2, 3, 4, 5))]) for line in text[1:]
    ]
    del text[chance.randrange(1, len(text) + 1) :]
    text[0] = re.sub(r"^(\S+) \d+ (\d+) \d+", rf"\1 {len(text) - 1} \2 {chance.randrange(700)}", text[0])


EITHER = {f.__name__: f for f in (flip, cut, lose, insert, append, repeat, empty, garbage, backwards)}
HEADER = {
    **{
        f"lines, {change.__name__}": on_lines(change) for change in (swap, drop, double, comment, unguarded, everywhere)
    },
    **{f"fields, {change.__name__}": on_fields(change) for change in (swap, drop, double, put_hostile, add_hostile)},
    "windows": lambda content, chance: b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"),
}
MUTATIONS = {f"header: {name}": ((".hea",), change) for name, change in (EITHER | HEADER).items()}
MUTATIONS |= {f"signal: {name}": ((".dat", ".mat"), change) for name, change in EITHER.items()}
