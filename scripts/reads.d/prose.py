"""Comments of the C files: counts phrases that plain English sources avoid.

Each is counted for 1,000 words of comments, because a clause in the place of a noun ("what waits",
"who has it") makes a reader stop and guess which noun was meant.
"""

import re

from sources import name, product, text

BE, HAVE = "is was are were", "has have had"
MOTION = "comes came goes went lies lay stands stood waits waited"
DEEDS = "asks dies died does gets goes comes reads sends wants waits"
SUBJECTS = "it he they that this the"


def any_of(*lists):
    return "(?:" + "|".join(" ".join(lists).split()) + ")"


PHRASES = {
    "what-clauses": rf"\bwhat {any_of(BE, HAVE, MOTION, SUBJECTS)}\b",
    "who-clauses": rf"(?:^|[.!?:;] |\b{any_of('for of to by and or than but')} )"
                   rf"who(?:ever|m)?(?: [a-z]+)? {any_of(BE, HAVE, DEEDS)}\b",
    "anew": r"\banew\b",
    "is no": rf"\b{any_of('is are was')} no [a-z]",
    ", for it": rf", for {any_of('it they the that there each who which what')}\b",
}

STRING = r'"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
COMMENT = re.compile(rf"{STRING}|/\*(?P<block>.*?)\*/|//(?P<line>[^\n]*)", re.S)
WORD = re.compile(r"[A-Za-z][A-Za-z'-]*")


def comments(source):
    """The comments of a C file, each as one line of prose; a paragraph ends like a sentence."""
    for found in COMMENT.finditer(source):
        comment = found["block"] or found["line"] or ""
        lines = re.sub(r"\n[ \t]*\*", "\n", comment)
        yield " ".join(re.sub(r"\n[ \t]*\n", " . ", lines).split())


def places(pattern, prose):
    """Each place where the pattern occurs, with some words around it."""
    return [f"{name(path)}: ... {line[max(0, at.start() - 40):at.end() + 40]} ..."
            for path, line in prose for at in re.finditer(pattern, line, re.I)]


def measure():
    """[(occurrences in 1,000 words of comments, where)] for each phrase."""
    prose = [(path, line) for path in product(".c", ".h") for line in comments(text(path))]
    thousands = sum(len(WORD.findall(line)) for _, line in prose) / 1000
    found = [places(pattern, prose) for pattern in PHRASES.values()]
    return [(len(where) / thousands, where) for where in found]
