"""Codes of countries (ISO 3166-1 alpha-2) and of their parts (ISO 3166-2), as sources and policies write them.

Besides the official codes those count that the standard leaves to users (``XK`` for Kosovo is one in wide use) and ``T1``,
which some networks say of the Tor network. ``XX`` and ``ZZ`` mean "unknown" in headers and databases.
"""

from __future__ import annotations

import re

_OFFICIAL = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ "
    "CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO "
    "FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE "
    "JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO "
    "MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW "
    "PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM "
    "TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW"
)
OFFICIAL = frozenset(_OFFICIAL.split())
TOR = "T1"
_FOR_USERS = re.compile(r"AA|Q[M-Z]|X[A-Z]|ZZ", re.ASCII)
_NOWHERE = frozenset({"XX", "ZZ"})
_PART = re.compile(r"[A-Z]{2}-[A-Z0-9]{1,3}", re.ASCII)


def is_code(text: str) -> bool:
    """Whether an upper-case text may stand for a country, ``XX`` and ``ZZ`` included."""
    return text in OFFICIAL or text == TOR or _FOR_USERS.fullmatch(text) is not None


def country(stated: object) -> str:
    """The code that a source states; ``""`` where it states none that can be, or that it does not know."""
    if not isinstance(stated, str) or len(stated) > 16:
        return ""
    code = stated.strip().upper()
    return code if code not in _NOWHERE and is_code(code) else ""


def subdivision(stated: object, within: str) -> str:
    """``"43"`` or ``"UA-43"`` within ``"UA"`` → ``"UA-43"``; ``""`` where it is none of that country."""
    if not isinstance(stated, str) or not stated or not within:
        return ""
    code = stated.strip().upper()
    code = code if "-" in code else f"{within}-{code}"
    return code if _PART.fullmatch(code) and code.startswith(f"{within}-") else ""


def is_subdivision(text: str) -> bool:
    """Whether an upper-case text may stand for a part of a country."""
    return _PART.fullmatch(text) is not None and text[:2] in OFFICIAL
